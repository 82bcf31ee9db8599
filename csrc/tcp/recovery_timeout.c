/* What the retransmission timer does when it expires: RTO, tail loss probe, or RACK's patience at its end. */
#include "tcp/episode.h"
#include "tcp/prr.h"
#include "tcp/rack.h"
#include "tcp/recovery.h"
#include "tcp/tail_probe.h"
#include "tcp/undo.h"
#include "tcp/xmit_timer.h"

uint32_t recovery_rto_us(const struct tcp_engine *e, const struct tcp_connection *c)
{
    uint64_t rto = c->rto_us != 0 ? c->rto_us : e->config.rto_initial_us;

    rto <<= c->backoff < 16 ? c->backoff : 16;
    return rto < e->config.rto_max_us ? (uint32_t)rto : e->config.rto_max_us;
}

/* RFC 2018 8: a receiver that SACKed what it should have acknowledged has thrown it away. */
static void check_reneging(struct tcp_engine *e, struct tcp_connection *c)
{
    uint32_t first = runs_first(e, c);

    if (first != 0 && (e->nodes[first].marks & SCOREBOARD_SACKED) != 0) {
        scoreboard_forget_sacks(e, c);
    }
}

/* The first timeout of this data reduces ssthresh (RFC 5681 3.1); later ones find it reduced. */
static void reduce_by_timeout(struct tcp_engine *e, struct tcp_connection *c, struct tcp_recovery *r)
{
    bool may_be_spurious = r != NULL && c->phase < TCP_PHASE_RECOVERY;

    if (may_be_spurious) {
        undo_save(c, r);
    }
    congestion_reduce(e, c, CONGESTION_TIMEOUT);
    episode_begin_resend(c, r);
    if (may_be_spurious) {
        r->frto = 1;
    }
}

/* RFC 6298 5.4 to 5.6. */
static void on_rto(struct tcp_engine *e, struct tcp_connection *c)
{
    struct tcp_recovery *r = episode_entry(e, c);

    e->statistics.timeouts++;
    check_reneging(e, c);
    if (c->retransmits == 0) {
        reduce_by_timeout(e, c, r);
    } else {
        episode_begin_resend(c, r);
    }
    scoreboard_lose_all(e, c);
    c->cwnd = congestion_smss(c);
    c->retransmits = (uint8_t)(c->retransmits + (c->retransmits != UINT8_MAX));
    if (recovery_rto_us(e, c) < e->config.rto_max_us) {
        c->backoff++;
    }
    xmit_timer_set_rto(e, c);
}

static void on_reordering_timeout(struct tcp_engine *e, struct tcp_connection *c)
{
    struct tcp_recovery *r = engine_recovery(e, c);
    uint32_t wait_us = 0;
    bool has_begun = false;

    if (r != NULL) {
        wait_us = rack_detect(e, c, r);
        if (c->phase < TCP_PHASE_RECOVERY && r->lost != 0) {
            episode_begin(e, c, r, CONGESTION_LOSS);
            has_begun = true;
        }
        if (c->phase == TCP_PHASE_RECOVERY) {
            prr_on_ack(e, c, r, 0, true);
        }
    }
    if (has_begun) {
        xmit_timer_restart(e, c, tcp_flight(c), wait_us);
    } else {
        xmit_timer_after_reordering(e, c, wait_us);
    }
}

void recovery_on_timeout(struct tcp_engine *e, struct tcp_connection *c, enum tcp_xmit what)
{
    if (c->snd_una == c->snd_nxt) {
        return;
    }
    if (what == TCP_XMIT_REORDER) {
        on_reordering_timeout(e, c);
    } else if (what == TCP_XMIT_RTO) {
        on_rto(e, c);
    } else if (!xmit_timer_defer_probe(e, c)) {
        tail_probe_due(e, c);
        xmit_timer_set_rto(e, c);
    }
}
