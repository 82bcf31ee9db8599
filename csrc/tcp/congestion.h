/* Congestion control: the small interface behind which NewReno and CUBIC stand, chosen per connection. */
#ifndef VNIC_TCP_CONGESTION_H
#define VNIC_TCP_CONGESTION_H

#include "tcp/state.h"

enum {
    CONGESTION_WINDOW_MAX = 1 << 30,        /* of cwnd: sequence numbers in flight must stay comparable */
    CONGESTION_SSTHRESH_START = 0x7fffffff, /* "arbitrarily high" (RFC 5681 3.1) */
    CONGESTION_SEGMENTS_MIN = 2             /* ssthresh is never below these (RFC 5681 eq. 4) */
};

/* What an ACK of new data tells. */
struct congestion_ack {
    uint32_t acked;  /* bytes acknowledged in order */
    uint32_t news;   /* of these not SACKed before */
    uint32_t rtt_us; /* sample of this ACK, 0: none */
    bool is_limited; /* cwnd held data back (RFC 7661, RFC 5681): else it must not grow */
};

/* Why the window is reduced. */
enum congestion_signal { CONGESTION_LOSS, CONGESTION_ECN, CONGESTION_TIMEOUT };

/* Private state is c->cc; all zero is clean. */
struct congestion_ops {
    /* Congestion avoidance: cwnd >= ssthresh and the window is in use. */
    void (*on_ack)(struct tcp_engine *e, struct tcp_connection *c, const struct congestion_ack *ack);
    /* Returns the new ssthresh; the caller sets cwnd. */
    uint32_t (*on_signal)(struct tcp_engine *e, struct tcp_connection *c, enum congestion_signal signal,
                          uint32_t flight);
    /* After idle time or an application limit: epochs start again (RFC 9438 4.2, 5.8). */
    void (*on_idle)(struct tcp_engine *e, struct tcp_connection *c);
};

extern const struct congestion_ops newreno_ops, cubic_ops;

/* Initial window (RFC 6928; one segment when the SYN was lost, RFC 5681 3.1) and a clean private state. */
void congestion_start(struct tcp_engine *e, struct tcp_connection *c, bool is_syn_lost);

void congestion_on_ack(struct tcp_engine *e, struct tcp_connection *c, const struct congestion_ack *ack);

/* A reduction: sets ssthresh, ends the first slow start; the caller sets cwnd. */
void congestion_reduce(struct tcp_engine *e, struct tcp_connection *c, enum congestion_signal signal);

void congestion_on_idle(struct tcp_engine *e, struct tcp_connection *c);

/* RFC 5681 4.1: the restart window after idle time. */
void congestion_restart(struct tcp_engine *e, struct tcp_connection *c);

/* SMSS: what one segment carries with the options that every segment has. */
static inline uint32_t congestion_smss(const struct tcp_connection *c)
{
    uint32_t options = tcp_has(c, TCP_HAS_TIMESTAMPS) ? 12 : 0;

    return c->snd_mss > options + 1u ? c->snd_mss - options : 1;
}

static inline void congestion_grow(struct tcp_connection *c, uint32_t bytes)
{
    c->cwnd += bytes;
    if (c->cwnd > CONGESTION_WINDOW_MAX) {
        c->cwnd = CONGESTION_WINDOW_MAX;
    }
}

static inline uint32_t congestion_at_least_two(const struct tcp_connection *c, uint32_t window)
{
    uint32_t least = CONGESTION_SEGMENTS_MIN * congestion_smss(c);

    return window > least ? window : least;
}

#endif
