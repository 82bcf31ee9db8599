/* Loss recovery: what each ACK says of the network, and the phase that follows from it. */
#include "tcp/recovery.h"

#include "tcp/episode.h"
#include "tcp/prr.h"
#include "tcp/rack.h"
#include "tcp/rtt.h"
#include "tcp/sack.h"
#include "tcp/tail_probe.h"
#include "tcp/undo.h"
#include "tcp/xmit_timer.h"
#include "wire/seq.h"

#include <string.h>

enum {
    FRTO_GENUINE_SEGMENTS = 3 /* cwnd at most, when F-RTO finds the timeout genuine (RFC 5682 3.1) */
};

/* An ACK while it is looked at. */
struct review {
    const struct recovery_ack *ack;
    struct delivery d;
    struct tcp_block dup;
    uint32_t flight;    /* before it */
    uint32_t acked;     /* bytes that snd_una moved */
    uint32_t delivered; /* for PRR: what is new to the receiver */
    uint32_t rtt_us;
    uint32_t wait_us;   /* for RACK */
    bool has_dup;
    bool is_lossy;      /* more was found lost */
    bool has_begun;     /* this ACK began an episode */
    bool was_open;      /* phase was OPEN or DISORDER when it came */
    bool was_recovery;  /* ... RECOVERY */
};

static void note_progress(const struct tcp_engine *e, struct tcp_connection *c)
{
    c->dup_acks = 0;
    c->retransmits = 0;
    c->retrans_ms = engine_ms(e);
}

static void grow(struct tcp_engine *e, struct tcp_connection *c, uint32_t acked, uint32_t news,
                 uint32_t rtt_us)
{
    struct congestion_ack ack = {acked, news, rtt_us, tcp_has(c, TCP_CWND_LIMITED)};

    if (c->phase == TCP_PHASE_LOSS) { /* there is something to send again */
        ack.is_limited = true;
    }
    congestion_on_ack(e, c, &ack);
}

/* No entry is left: recovery is by timeout only, but ECE is obeyed (RFC 3168 6.1.2). */
static void reduce_without_entry(struct tcp_engine *e, struct tcp_connection *c)
{
    if (!tcp_has(c, TCP_CWR_PENDING)) {
        congestion_reduce(e, c, CONGESTION_ECN);
        c->cwnd = c->ssthresh;
    }
}

static bool is_duplicate(const struct tcp_connection *c, const struct recovery_ack *ack)
{
    return c->snd_una == ack->prior_una && !ack->window_changed && !ack->has_data && c->snd_una != c->snd_nxt;
}

static void count_duplicate(struct tcp_connection *c)
{
    c->dup_acks = (uint8_t)(c->dup_acks + (c->dup_acks != UINT8_MAX));
}

static void review_begin(const struct tcp_engine *e, const struct tcp_connection *c, struct review *v,
                         const struct recovery_ack *ack)
{
    const struct tcp_recovery *r = c->recovery != 0 ? &e->recoveries[c->recovery] : NULL;

    memset(v, 0, sizeof *v);
    v->ack = ack;
    v->acked = c->snd_una - ack->prior_una;
    v->flight = c->snd_nxt - ack->prior_una;
    v->was_open = c->phase < TCP_PHASE_RECOVERY;
    v->was_recovery = c->phase == TCP_PHASE_RECOVERY;
    v->d.now_us = engine_us(e);
    v->d.min_rtt_us = c->min_rtt_us;
    v->d.timeouts = c->retransmits;
    v->d.echo_age_us = rtt_echo_age_us(e, c, ack->segment);
    v->d.fack = r != NULL ? r->fack : ack->prior_una;
    v->d.recover = r != NULL ? r->recover : ack->prior_una;
}

static void take_sacks(struct tcp_engine *e, struct tcp_connection *c, struct review *v)
{
    const struct tcp_segment *segment = v->ack->segment;

    if (!tcp_has(c, TCP_HAS_SACK)) {
        return;
    }
    v->has_dup = sack_duplicate(c, segment, &v->dup);
    v->d.has_duplicate = v->has_dup;
    e->statistics.dsacks_in += v->has_dup;
    if (sack_has_news(c, segment, v->has_dup) && episode_entry(e, c) != NULL) {
        sack_apply(e, c, segment, v->has_dup, &v->d);
    }
}

/*
 * Without SACK each duplicate ACK tells of a segment that arrived; an ACK of new data covers some of these
 * (RFC 6582 3.2 steps 3 and 5, as pipe).
 */
static void count_arrivals(struct tcp_connection *c, struct tcp_recovery *r, struct review *v)
{
    uint32_t smss = congestion_smss(c);

    if (r == NULL || c->phase != TCP_PHASE_RECOVERY || tcp_has(c, TCP_HAS_SACK)) {
        return;
    }
    if (v->acked != 0) {
        uint32_t known = v->acked > smss ? v->acked - smss : 0;

        known = known < r->sacked ? known : r->sacked;
        r->sacked -= known;
        v->delivered -= known < v->delivered ? known : v->delivered;
    } else if (is_duplicate(c, v->ack)) {
        v->delivered = smss;
        r->sacked += smss;
    }
    episode_count_left(c, r, r->sacked);
}

/* RFC 6582 3.2: the segment at snd_una is lost, by the third duplicate or by a partial ACK. */
static void detect_by_duplicates(struct tcp_engine *e, struct tcp_connection *c, struct tcp_recovery *r,
                                 const struct review *v)
{
    bool is_by_ecn = (r->flags & TCP_RECOVERY_ECN) != 0;
    bool is_third = c->dup_acks >= e->parameters.dup_threshold && !seq_lt(c->snd_una, c->tail_end);
    bool is_partial = c->phase == TCP_PHASE_RECOVERY && v->acked != 0 && !is_by_ecn;

    if (c->phase == TCP_PHASE_LOSS || (!is_third && !is_partial)) {
        return;
    }
    scoreboard_lose_range(e, c, c->snd_una, c->snd_una + congestion_smss(c));
    episode_count_left(c, r, r->sacked);
    if (is_third && is_by_ecn) { /* reduced already; from here on it is a recovery like any other */
        r->flags &= (uint8_t)~TCP_RECOVERY_ECN;
        r->recover = c->snd_nxt;
        episode_bar_fast_retransmit(c, r);
    }
}

static void detect(struct tcp_engine *e, struct tcp_connection *c, struct tcp_recovery *r, struct review *v)
{
    uint32_t lost = r->lost;

    if (tcp_has(c, TCP_HAS_SACK)) {
        v->wait_us = rack_detect(e, c, r);
    } else {
        detect_by_duplicates(e, c, r, v);
    }
    v->is_lossy = r->lost > lost;
}

/* True: a reduction was taken back. */
static bool review_undo(struct tcp_engine *e, struct tcp_connection *c, struct tcp_recovery *r,
                        const struct review *v)
{
    bool is_spurious = v->has_dup && undo_on_duplicate(r, &v->dup);

    if (v->acked != 0 && c->phase >= TCP_PHASE_RECOVERY) {
        is_spurious |= undo_is_eifel(c, r, v->ack->segment);
    }
    if (is_spurious) {
        undo_apply(e, c, r);
    }
    return is_spurious;
}

static void review_frto(struct tcp_engine *e, struct tcp_connection *c, struct tcp_recovery *r,
                        const struct review *v)
{
    bool is_dup = v->d.sacked != 0 || is_duplicate(c, v->ack);
    enum frto_verdict verdict = frto_on_ack(c, r, v->acked != 0, is_dup, &v->d);
    uint32_t most = FRTO_GENUINE_SEGMENTS * congestion_smss(c);

    if (verdict == FRTO_SPURIOUS) {
        undo_apply(e, c, r);
    } else if (verdict == FRTO_GENUINE) {
        r->frto = 0;
        c->cwnd = c->cwnd < most ? c->cwnd : most;
    }
}

/* OPEN or DISORDER: is it time for an episode? */
static void review_open(struct tcp_engine *e, struct tcp_connection *c, struct tcp_recovery *r,
                        struct review *v)
{
    bool is_ece = v->was_open && tcp_has(c, TCP_HAS_ECN) && (v->ack->segment->control & TCP_ECE) != 0;

    if (r->lost != 0) {
        episode_begin(e, c, r, CONGESTION_LOSS);
        v->has_begun = true;
    } else if (is_ece && !tcp_has(c, TCP_CWR_PENDING)) {
        episode_begin(e, c, r, CONGESTION_ECN);
        v->has_begun = true;
    } else {
        c->phase = r->sacked != 0 || c->dup_acks != 0 ? TCP_PHASE_DISORDER : TCP_PHASE_OPEN;
    }
}

/* A partial ACK sends the next hole, whatever the window says (RFC 6582 3.2 step 5). */
static void allow_hole(const struct tcp_engine *e, struct tcp_connection *c)
{
    uint32_t least = recovery_pipe(e, c) + congestion_smss(c);

    c->cwnd = c->cwnd > least ? c->cwnd : least;
}

/*
 * The ACK that ends a recovery counts for what it delivers: the rest PRR has counted. What is acknowledged after a
 * timeout may have arrived long ago.
 */
static void review_growth(struct tcp_engine *e, struct tcp_connection *c, const struct review *v)
{
    if (v->acked != 0) {
        grow(e, c, v->was_recovery ? v->delivered : v->acked, v->was_open ? v->d.delivered - v->d.sacked : 0,
             v->rtt_us);
    }
}

static void review_phase(struct tcp_engine *e, struct tcp_connection *c, struct tcp_recovery *r,
                         struct review *v)
{
    bool is_undone = review_undo(e, c, r, v);

    if (!is_undone && c->phase == TCP_PHASE_LOSS && r->frto != 0) {
        review_frto(e, c, r, v);
    }
    if (c->phase >= TCP_PHASE_RECOVERY && episode_is_over(e, c, r)) {
        episode_end(c, r);
    }
    detect(e, c, r, v);
    if (c->phase < TCP_PHASE_RECOVERY) {
        review_open(e, c, r, v);
    }
    if (c->phase == TCP_PHASE_RECOVERY) {
        prr_on_ack(e, c, r, v->has_begun ? 0 : v->delivered, v->acked != 0 && !v->is_lossy);
        if (v->acked != 0 && v->is_lossy && !tcp_has(c, TCP_HAS_SACK)) {
            allow_hole(e, c);
        }
    } else {
        review_growth(e, c, v);
    }
}

/* No entry: nothing is out of order, or the pool is empty and the timeout is all there is. */
static void review_without_entry(struct tcp_engine *e, struct tcp_connection *c, const struct review *v)
{
    if (c->phase >= TCP_PHASE_RECOVERY && episode_is_over(e, c, NULL)) {
        episode_end(c, NULL);
    }
    if (v->was_open) {
        c->phase = c->dup_acks != 0 ? TCP_PHASE_DISORDER : TCP_PHASE_OPEN;
        if (tcp_has(c, TCP_HAS_ECN) && (v->ack->segment->control & TCP_ECE) != 0) {
            reduce_without_entry(e, c);
        }
    }
    review_growth(e, c, v);
}

static bool needs_entry(const struct tcp_engine *e, const struct tcp_connection *c, const struct review *v)
{
    bool is_ece = tcp_has(c, TCP_HAS_ECN) && (v->ack->segment->control & TCP_ECE) != 0;

    return is_ece
           || (!tcp_has(c, TCP_HAS_SACK) && c->dup_acks >= e->parameters.dup_threshold
               && !seq_lt(c->snd_una, c->tail_end));
}

/* What the ACK delivers, and what that says of the round-trip time. */
static void review_delivery(struct tcp_engine *e, struct tcp_connection *c, struct review *v)
{
    if (v->acked != 0) {
        scoreboard_advance(e, c, &v->d);
        note_progress(e, c);
    }
    take_sacks(e, c, v);
    if (v->acked == 0 && (v->d.sacked != 0 || (!tcp_has(c, TCP_HAS_SACK) && is_duplicate(c, v->ack)))) {
        count_duplicate(c);
    }
    v->delivered = v->d.delivered;
    v->rtt_us = rtt_on_ack(e, c, v->ack->segment, &v->d, v->flight);
}

static void on_any_ack(struct tcp_engine *e, struct tcp_connection *c, const struct recovery_ack *ack)
{
    struct tcp_recovery *r;
    struct review v;
    bool is_of_probe;

    review_begin(e, c, &v, ack);
    review_delivery(e, c, &v);
    is_of_probe = v.has_dup && tail_probe_is_duplicate(c, &v.dup);
    if (tail_probe_on_ack(c, ack, v.has_dup ? &v.dup : NULL) && c->phase < TCP_PHASE_RECOVERY) {
        congestion_reduce(e, c, CONGESTION_LOSS);
        c->cwnd = c->ssthresh;
    }
    r = needs_entry(e, c, &v) ? episode_entry(e, c) : engine_recovery(e, c);
    if (v.has_dup && !is_of_probe) {
        rack_on_dsack(c, r);
    }
    if (r == NULL) {
        review_without_entry(e, c, &v);
    } else {
        rack_update(c, r, &v.d);
        count_arrivals(c, r, &v);
        review_phase(e, c, r, &v);
        episode_release_if_done(e, c, r);
    }
    if (v.acked != 0 || v.has_begun) {
        xmit_timer_restart(e, c, tcp_flight(c), v.wait_us);
    } else {
        xmit_timer_keep(e, c, v.wait_us);
    }
}

/* New data acknowledged in order, nothing lost, nothing out of order: by far the most frequent ACK. */
static void on_plain_ack(struct tcp_engine *e, struct tcp_connection *c, const struct recovery_ack *ack)
{
    struct delivery d = {.now_us = engine_us(e), .min_rtt_us = c->min_rtt_us};
    uint32_t flight = c->snd_nxt - ack->prior_una, rtt;

    d.echo_age_us = UINT32_MAX;
    d.fack = ack->prior_una;
    d.recover = ack->prior_una;
    scoreboard_advance(e, c, &d);
    note_progress(e, c);
    rtt = rtt_on_ack(e, c, ack->segment, &d, flight);
    if (tail_probe_on_ack(c, ack, NULL)) {
        congestion_reduce(e, c, CONGESTION_LOSS);
        c->cwnd = c->ssthresh;
    } else {
        grow(e, c, d.delivered, d.delivered, rtt);
    }
    xmit_timer_restart(e, c, tcp_flight(c), 0);
}

void recovery_on_ack(struct tcp_engine *e, struct tcp_connection *c, const struct recovery_ack *ack)
{
    if (c->recovery == 0 && c->phase == TCP_PHASE_OPEN && c->snd_una != ack->prior_una
        && ack->segment->sacks == 0 && (ack->segment->control & TCP_ECE) == 0) {
        on_plain_ack(e, c, ack);
    } else {
        on_any_ack(e, c, ack);
    }
}
