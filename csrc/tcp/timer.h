/* The timers of a connection: three slots, armed and stopped; the wheel holds the earliest. */
#ifndef VNIC_TCP_TIMER_H
#define VNIC_TCP_TIMER_H

#include "tcp/state.h"

/*
 * A timer is kept modulo 2^32, in us or ms, and compared by difference with the wheel's time; so a delay is at most
 * 2^31 - 1 units. A delay of 0 expires at the present time. Stopping costs one bit: the wheel finds out later.
 */

/* Starts or moves a timer: delay from now. */
void timer_set_xmit(struct tcp_engine *e, struct tcp_connection *c, enum tcp_xmit what, uint32_t delay_us);
void timer_set_delack(struct tcp_engine *e, struct tcp_connection *c, uint32_t delay_us);
void timer_set_keep(struct tcp_engine *e, struct tcp_connection *c, uint32_t delay_ms);

static inline void timer_stop(struct tcp_engine *e, struct tcp_connection *c, uint32_t timers)
{
    (void)e;
    c->armed &= (uint8_t)~timers;
}

/* A connection one of whose timers has expired, out of the wheel until timer_take_expired(); NULL: none. */
struct tcp_connection *timer_next_expired(struct tcp_engine *e);

/* enum tcp_timer bits whose time has come; they are stopped, and the others are in the wheel. */
uint32_t timer_take_expired(struct tcp_engine *e, struct tcp_connection *c);

/* Those whose time has come expire that much later instead; the connection is out of the wheel, and back in it then. */
void timer_postpone(struct tcp_engine *e, struct tcp_connection *c, uint64_t delay_ns);

/* The first of the connection's timers, ns; UINT64_MAX: none. */
uint64_t timer_deadline(const struct tcp_engine *e, const struct tcp_connection *c);

/* Its timers were set by other means than the calls above: the wheel is to come by for the first. */
void timer_resume(struct tcp_engine *e, struct tcp_connection *c);

/* The wheel forgets the connection, its timers stay as they are. */
void timer_suspend(struct tcp_engine *e, struct tcp_connection *c);

/* The connection is about to be released. */
void timer_release(struct tcp_engine *e, struct tcp_connection *c);

static inline bool timer_is_set(const struct tcp_connection *c, uint32_t timer)
{
    return (c->armed & timer) != 0;
}

#endif
