/* Persist: probing a window of zero (RFC 9293 3.8.6.1). */
#ifndef VNIC_TCP_PERSIST_H
#define VNIC_TCP_PERSIST_H

#include "tcp/state.h"
#include "tcp/timer.h"

static inline bool persist_is_on(const struct tcp_connection *c)
{
    return timer_is_set(c, TCP_TIMER_XMIT) && c->xmit == TCP_XMIT_PERSIST;
}

/* Starts with the first interval, when there is something to send or not acknowledged. */
void persist_start(struct tcp_engine *e, struct tcp_connection *c);

/* An ACK came and SND.WND is or was 0; backoff: as it was before loss recovery saw the ACK. */
void persist_follow(struct tcp_engine *e, struct tcp_connection *c, struct tcp_result *result,
                    uint32_t prior_wnd, uint8_t backoff);

/* The timer expired: a probe is due, or none of many was answered. */
void persist_expired(struct tcp_engine *e, struct tcp_connection *c, struct tcp_result *result);

/* A probe left: the next one follows after twice the time (SHLD-30). */
void persist_on_probe(struct tcp_engine *e, struct tcp_connection *c);

#endif
