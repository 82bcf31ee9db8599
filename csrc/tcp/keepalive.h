/* Keepalive: whether an idle peer still lives (RFC 9293 3.8.4). */
#ifndef VNIC_TCP_KEEPALIVE_H
#define VNIC_TCP_KEEPALIVE_H

#include "tcp/state.h"

enum {
    KEEPALIVE_TIME_MS = 7200000, /* MUST-28: no less than two hours by default */
    KEEPALIVE_INTERVAL_MS = 75000,
    KEEPALIVE_LIMIT = 9,
    KEEPALIVE_LEAST = 2,         /* MUST-29: no single probe decides */
    /* CHIMNEY, where the host gave no values */
    KEEPALIVE_CHIMNEY_INTERVAL_MS = 1000,
    KEEPALIVE_CHIMNEY_LIMIT = 10,
    KEEPALIVE_HASTE_MS = 300000
};

/* The timer starts in a connection that wants it, and stops in one that does not. */
void keepalive_start(struct tcp_engine *e, struct tcp_connection *c);

/* The keep timer expired in a state in which it is this one. */
void keepalive_expired(struct tcp_engine *e, struct tcp_connection *c, struct tcp_result *result);

/* CHIMNEY under attack: no later than in five minutes; and back to what the user wants. */
void keepalive_hasten(struct tcp_engine *e, struct tcp_connection *c);
void keepalive_relax(struct tcp_engine *e, struct tcp_connection *c);

/* The keep timer of this state is keepalive's, not that of FIN_WAIT_2 or TIME_WAIT. */
static inline bool keepalive_owns_timer(const struct tcp_connection *c)
{
    return c->state >= TCP_STATE_ESTABLISHED && c->state != TCP_STATE_TIME_WAIT
           && !(c->state == TCP_STATE_FIN_WAIT_2 && tcp_has(c, TCP_CLOSED_BY_USER));
}

#endif
