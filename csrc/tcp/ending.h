/* How a connection ends: closed with a reason, handed back to the host, or waiting in FIN_WAIT_2 and TIME_WAIT. */
#ifndef VNIC_TCP_ENDING_H
#define VNIC_TCP_ENDING_H

#include "tcp/state.h"

/* CLOSED: timers stop, what was held out of order is let go. */
void ending_close(struct tcp_engine *e, struct tcp_connection *c, struct tcp_result *result, uint32_t reason);

/* CHIMNEY: the host must take the connection back; from here on it is silent. */
void ending_upload(struct tcp_connection *c, struct tcp_result *result, uint32_t reason);

/* The same, in state CLOSED. */
void ending_upload_closed(struct tcp_engine *e, struct tcp_connection *c, struct tcp_result *result,
                          uint32_t reason);

/* A limit of time or of tries is reached: RFC closes, CHIMNEY uploads (as it is, or in state CLOSED). */
void ending_give_up(struct tcp_engine *e, struct tcp_connection *c, struct tcp_result *result,
                    uint32_t reason, bool is_closed);

void ending_enter_fin_wait_2(struct tcp_engine *e, struct tcp_connection *c);
void ending_enter_time_wait(struct tcp_engine *e, struct tcp_connection *c, struct tcp_result *result);
void ending_restart_time_wait(struct tcp_engine *e, struct tcp_connection *c);

/* CHIMNEY, where MaxRT does not decide: timeouts in a row, or probes without an answer; 0: a time limits it. */
static inline uint32_t ending_tries(const struct tcp_engine *e, const struct tcp_connection *c)
{
    return c->profile == TCP_PROFILE_CHIMNEY && c->user_timeout_ms == 0 ? e->parameters.max_retransmissions
                                                                        : 0;
}

/* How long the connection may go without progress, ms: user timeout or R2. */
uint32_t ending_limit_ms(const struct tcp_engine *e, const struct tcp_connection *c);

/* A delay, cut to what is left of a user timeout that began at c->retrans_ms; at least 1 ms. */
uint32_t ending_cut_us(const struct tcp_engine *e, const struct tcp_connection *c, uint32_t limit_ms,
                       uint32_t delay_us);

#endif
