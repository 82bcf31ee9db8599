/* Tail loss probe: after a silence of about two round trips, one segment brings an ACK out (RFC 8985 7). */
#include "tcp/tail_probe.h"

#include "tcp/congestion.h"
#include "wire/seq.h"

enum {
    MAX_ACK_DELAY_US = 200000, /* TLP.max_ack_delay: a peer that delays its ACK of a single segment */
    NO_SAMPLE_US = 1000000
};

/* tail_end is TLP.end_seq; at snd_una it stands for none, unless the probe was a retransmission. */
static bool is_outstanding(const struct tcp_connection *c, uint32_t una)
{
    return c->tail_end != una || tcp_has(c, TCP_TAIL_RETRANSMITTED);
}

bool tail_probe_may(const struct tcp_engine *e, const struct tcp_connection *c)
{
    return tcp_has(c, TCP_HAS_SACK) && c->phase == TCP_PHASE_OPEN && c->retransmits == 0
           && tcp_is_synchronized(c) && !is_outstanding(c, c->snd_una) && !tcp_has(c, TCP_TAIL_PENDING)
           && (c->recovery == 0 || e->recoveries[c->recovery].sacked == 0);
}

uint32_t tail_probe_timeout_us(const struct tcp_connection *c, uint32_t flight)
{
    uint32_t timeout = c->srtt_us != 0 ? c->srtt_us >> 2 : NO_SAMPLE_US;

    if (flight <= congestion_smss(c)) {
        timeout += MAX_ACK_DELAY_US;
    }
    return timeout;
}

void tail_probe_due(struct tcp_engine *e, struct tcp_connection *c)
{
    c->flags |= TCP_TAIL_PENDING;
    e->statistics.tail_probes++;
}

bool tail_probe_is_new(const struct tcp_connection *c)
{
    return seq_lt(c->snd_nxt, c->snd_end) && seq_lt(c->snd_nxt, c->snd_una + c->snd_wnd);
}

struct tcp_block tail_probe_range(const struct tcp_connection *c, uint32_t max_len)
{
    uint32_t flight = tcp_flight(c);

    return (struct tcp_block){c->snd_nxt - (flight < max_len ? flight : max_len), c->snd_nxt};
}

void tail_probe_sent(struct tcp_connection *c, uint32_t end, bool is_retransmission)
{
    c->flags &= ~(uint32_t)(TCP_TAIL_PENDING | TCP_TAIL_RETRANSMITTED);
    c->tail_end = end;
    if (is_retransmission) {
        c->flags |= TCP_TAIL_RETRANSMITTED;
    }
}

void tail_probe_forget(struct tcp_connection *c)
{
    c->flags &= ~(uint32_t)(TCP_TAIL_PENDING | TCP_TAIL_RETRANSMITTED);
    c->tail_end = c->snd_una;
}

static bool is_bare_duplicate(const struct tcp_connection *c, const struct recovery_ack *ack)
{
    return c->snd_una == ack->prior_una && ack->segment->sacks == 0 && !ack->has_data && !ack->window_changed
           && ack->segment->ack == c->tail_end;
}

bool tail_probe_is_duplicate(const struct tcp_connection *c, const struct tcp_block *dup)
{
    return tcp_has(c, TCP_TAIL_RETRANSMITTED) && dup->right == c->tail_end;
}

bool tail_probe_on_ack(struct tcp_connection *c, const struct recovery_ack *ack, const struct tcp_block *dup)
{
    if (!tcp_has(c, TCP_HAS_SACK)) { /* there it is one beyond `recover` */
        c->tail_end = seq_max(c->tail_end, c->snd_una);
        return false;
    }
    if (!is_outstanding(c, ack->prior_una)) {
        c->tail_end = c->snd_una;
        c->flags &= c->snd_una != ack->prior_una ? ~(uint32_t)TCP_TAIL_PENDING : ~0u;
        return false;
    }
    if (seq_lt(c->snd_una, c->tail_end)) {
        return false;
    }
    if (!tcp_has(c, TCP_TAIL_RETRANSMITTED) || (dup != NULL && tail_probe_is_duplicate(c, dup))
        || is_bare_duplicate(c, ack)) {
        tail_probe_forget(c);
        return false;
    }
    if (seq_gt(c->snd_una, c->tail_end)) {
        tail_probe_forget(c);
        return true;
    }
    return false;
}
