/* NewReno's window: one segment more a round trip, half of it after a loss (RFC 5681). */
#include "tcp/congestion.h"

enum { BYTES_ACKED = 0 }; /* c->cc[]: bytes acknowledged since the last increase (RFC 3465 2.1) */

static void newreno_on_ack(struct tcp_engine *e, struct tcp_connection *c, const struct congestion_ack *ack)
{
    (void)e;
    c->cc[BYTES_ACKED] += ack->acked;
    if (c->cc[BYTES_ACKED] >= c->cwnd) {
        c->cc[BYTES_ACKED] -= c->cwnd;
        congestion_grow(c, congestion_smss(c));
    }
    if (c->cc[BYTES_ACKED] > c->cwnd) { /* an ACK of more than a window is one window at most */
        c->cc[BYTES_ACKED] = c->cwnd;
    }
}

static uint32_t newreno_on_signal(struct tcp_engine *e, struct tcp_connection *c,
                                  enum congestion_signal signal, uint32_t flight)
{
    (void)e;
    (void)signal;
    c->cc[BYTES_ACKED] = 0;
    return congestion_at_least_two(c, flight / 2);
}

/* Growth goes by bytes, not by time. */
static void newreno_on_idle(struct tcp_engine *e, struct tcp_connection *c)
{
    (void)e;
    (void)c;
}

const struct congestion_ops newreno_ops = {newreno_on_ack, newreno_on_signal, newreno_on_idle};
