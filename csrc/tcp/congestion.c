/* Congestion control: slow start and the windows that are common to all; the rest is chosen per connection. */
#include "tcp/congestion.h"

#include "tcp/hystart.h"

#include <string.h>

enum {
    WINDOW_BYTES_PER_SEGMENT = 1460, /* RFC 6928 2: min(10 SMSS, max(2 SMSS, 14600)) */
    SEGMENTS_PER_ACK = 8 /* L of RFC 9406 4.2 for a sender that does not pace */
};

static const struct congestion_ops *ops_of(const struct tcp_connection *c)
{
    return c->congestion == TCP_CC_CUBIC ? &cubic_ops : &newreno_ops;
}

static uint32_t initial_window(const struct tcp_engine *e, const struct tcp_connection *c)
{
    uint32_t segments = e->config.initial_segments * congestion_smss(c);
    uint32_t bytes = congestion_at_least_two(c, e->config.initial_segments * WINDOW_BYTES_PER_SEGMENT);

    return segments < bytes ? segments : bytes;
}

void congestion_start(struct tcp_engine *e, struct tcp_connection *c, bool is_syn_lost)
{
    memset(c->cc, 0, sizeof c->cc);
    c->cwnd = is_syn_lost ? congestion_smss(c) : initial_window(e, c);
    c->ssthresh = CONGESTION_SSTHRESH_START;
    hystart_begin(c);
}

/*
 * RFC 5681 3.1: cwnd += min(N, SMSS). A receiver that merges segments acknowledges many at once; that counts as the
 * ACKs of every second one which it did not send, up to min(N, L SMSS) of RFC 9406 4.2. After a timeout an ACK may be
 * of much that arrived long ago: there it counts once (RFC 3465 2.3).
 */
static uint32_t slow_start_growth(const struct tcp_connection *c, const struct congestion_ack *ack)
{
    uint32_t smss = congestion_smss(c), most = SEGMENTS_PER_ACK * smss;

    if (ack->news <= 2 * smss || c->phase == TCP_PHASE_LOSS) {
        return ack->acked < smss ? ack->acked : smss;
    }
    return ack->news / 2 < most ? ack->news / 2 : most;
}

static void slow_start(struct tcp_connection *c, const struct congestion_ack *ack)
{
    uint32_t growth = slow_start_growth(c, ack);

    if (tcp_has(c, TCP_HYSTART)) {
        growth = hystart_on_ack(c, ack, growth);
    }
    congestion_grow(c, growth);
}

void congestion_on_ack(struct tcp_engine *e, struct tcp_connection *c, const struct congestion_ack *ack)
{
    if (!ack->is_limited) {
        if (!tcp_has(c, TCP_HYSTART)) {
            ops_of(c)->on_idle(e, c);
        }
    } else if (c->cwnd < c->ssthresh) {
        slow_start(c, ack);
    } else {
        hystart_end(c);
        ops_of(c)->on_ack(e, c, ack);
    }
}

void congestion_reduce(struct tcp_engine *e, struct tcp_connection *c, enum congestion_signal signal)
{
    uint32_t flight = tcp_flight(c);

    hystart_end(c);
    c->ssthresh = ops_of(c)->on_signal(e, c, signal, flight < c->cwnd ? flight : c->cwnd);
    if (tcp_has(c, TCP_HAS_ECN)) {
        c->flags |= TCP_CWR_PENDING; /* for whatever reason cwnd is reduced (RFC 3168 6.1.2) */
    }
}

void congestion_on_idle(struct tcp_engine *e, struct tcp_connection *c)
{
    if (!tcp_has(c, TCP_HYSTART)) {
        ops_of(c)->on_idle(e, c);
    }
}

/* ssthresh keeps three quarters of what was reached, so that slow start finds back to it. */
void congestion_restart(struct tcp_engine *e, struct tcp_connection *c)
{
    uint32_t window = initial_window(e, c);

    congestion_on_idle(e, c);
    if (c->cwnd > window) {
        uint32_t reached = c->cwnd - c->cwnd / 4;

        c->ssthresh = c->ssthresh > reached ? c->ssthresh : reached;
        c->cwnd = window;
    }
}
