/* RACK: a segment is lost when one sent sufficiently later has arrived (RFC 8985 6). */
#include "tcp/rack.h"

#include "tcp/congestion.h"
#include "wire/seq.h"

enum {
    REO_WND_PERSIST = 16, /* recoveries */
    REO_MULT_MAX = 255
};

void rack_update(struct tcp_connection *c, struct tcp_recovery *r, const struct delivery *d)
{
    if (d->has_rack
        && ((r->flags & TCP_RECOVERY_HAS_RACK) == 0
            || delivery_is_before(r->rack_us, r->rack_end, d->rack_us, d->rack_end))) {
        r->flags |= TCP_RECOVERY_HAS_RACK;
        r->rack_us = d->rack_us;
        r->rack_end = d->rack_end;
        r->rack_rtt_us = d->now_us - d->rack_us;
    }
    if (d->is_reordered) {
        c->flags |= TCP_REORDERING_SEEN;
    }
    r->fack = seq_max(r->fack, c->snd_una);
    if (d->has_rack) {
        r->fack = seq_max(r->fack, d->rack_end);
    }
}

void rack_on_dsack(struct tcp_connection *c, struct tcp_recovery *r)
{
    if (r != NULL) {
        if ((r->flags & TCP_RECOVERY_DSACK_ROUND) != 0 && seq_lt(c->snd_una, r->dsack_round)) {
            return;
        }
        r->flags |= TCP_RECOVERY_DSACK_ROUND;
        r->dsack_round = c->snd_nxt;
    }
    if (c->reo_mult < REO_MULT_MAX) {
        c->reo_mult++;
    }
    c->reo_persist = REO_WND_PERSIST;
}

void rack_on_recovery_end(struct tcp_connection *c)
{
    if (c->reo_persist != 0 && --c->reo_persist == 0) {
        c->reo_mult = 0;
    }
}

static bool has_dup_thresh(const struct tcp_engine *e, const struct tcp_connection *c, uint32_t sacked_above)
{
    return sacked_above > (e->parameters.dup_threshold - 1) * congestion_smss(c);
}

/* RACK.reo_wnd; c->reo_mult is RACK.reo_wnd_mult - 1. */
static uint32_t window_us(const struct tcp_engine *e, const struct tcp_connection *c,
                          const struct tcp_recovery *r)
{
    uint64_t window = (uint64_t)c->min_rtt_us / 4 * (c->reo_mult + 1u);
    uint32_t srtt = c->srtt_us >> 3;

    if (!tcp_has(c, TCP_REORDERING_SEEN)
        && (c->phase >= TCP_PHASE_RECOVERY || c->dup_acks >= e->parameters.dup_threshold
            || has_dup_thresh(e, c, r->sacked))) {
        return 0;
    }
    return window < srtt ? (uint32_t)window : srtt;
}

/* What a walk over the scoreboard goes by. */
struct rack_walk {
    uint32_t now_us, patience_us; /* RACK.rtt + RACK.reo_wnd */
    uint32_t sacked_above;        /* RFC 6675 4 IsLost; 0 once reordering was seen */
    uint32_t wait_us;
    bool has_rack;
};

static bool is_lost(const struct tcp_engine *e, const struct tcp_recovery *r, const struct tcp_connection *c,
                    const struct tcp_node *run, struct rack_walk *w)
{
    if ((run->marks & SCOREBOARD_RETRANSMITTED) == 0 && has_dup_thresh(e, c, w->sacked_above)) {
        return true;
    }
    if (w->has_rack && delivery_is_before(run->stamp, run->right, r->rack_us, r->rack_end)) {
        int32_t left_us = (int32_t)(run->stamp + w->patience_us - w->now_us);

        if (left_us <= 0) {
            return true;
        }
        w->wait_us = (uint32_t)left_us > w->wait_us ? (uint32_t)left_us : w->wait_us;
    }
    return false;
}

/* All that lies beyond a run that was sent once and later than the newest delivered one was sent later still. */
static bool is_beyond(const struct tcp_recovery *r, const struct tcp_node *run, const struct rack_walk *w)
{
    return (run->marks & (SCOREBOARD_SACKED | SCOREBOARD_LOST | SCOREBOARD_RETRANSMITTED)) == 0
           && w->sacked_above == 0
           && !(w->has_rack && delivery_is_before(run->stamp, run->right, r->rack_us, r->rack_end));
}

uint32_t rack_detect(struct tcp_engine *e, struct tcp_connection *c, struct tcp_recovery *r)
{
    struct rack_walk w = {.now_us = engine_us(e), .has_rack = (r->flags & TCP_RECOVERY_HAS_RACK) != 0};

    if (w.has_rack && delivery_is_before(c->run_us, c->snd_nxt, r->rack_us, r->rack_end)) {
        (void)runs_seal(e, c);
    }
    w.patience_us = r->rack_rtt_us + window_us(e, c, r);
    w.sacked_above = tcp_has(c, TCP_REORDERING_SEEN) ? 0 : r->sacked;
    for (uint32_t index = runs_first(e, c); index != 0; index = runs_next(e, c, index)) {
        struct tcp_node *run = &e->nodes[index];

        if (is_beyond(r, run, &w)) {
            break;
        }
        if ((run->marks & SCOREBOARD_SACKED) != 0) {
            w.sacked_above -= w.sacked_above != 0 ? run->right - run->left : 0;
        } else if ((run->marks & SCOREBOARD_LOST) == 0 && is_lost(e, r, c, run, &w)) {
            scoreboard_lose(e, c, run);
        }
    }
    return w.wait_us;
}
