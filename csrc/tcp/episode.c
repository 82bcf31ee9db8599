/* An episode: what a loss or a mark of congestion begins, and what the pool holds while it lasts. */
#include "tcp/episode.h"

#include "tcp/prr.h"
#include "tcp/rack.h"
#include "tcp/recovery.h"
#include "tcp/scoreboard.h"
#include "tcp/tail_probe.h"
#include "tcp/undo.h"
#include "wire/seq.h"

#include <string.h>

struct tcp_recovery *episode_entry(struct tcp_engine *e, struct tcp_connection *c)
{
    struct tcp_recovery *r = engine_recovery(e, c);

    if (r != NULL) {
        return r;
    }
    c->recovery = pool_take(&e->recovery_pool);
    if (c->recovery == 0) {
        e->statistics.no_recoveries++;
        return NULL;
    }
    r = engine_recovery(e, c);
    memset(r, 0, sizeof *r);
    r->recover = c->phase < TCP_PHASE_RECOVERY ? c->snd_una : c->snd_nxt;
    r->fack = c->snd_una;
    r->lost = scoreboard_count(e, c, SCOREBOARD_LOST);
    return r;
}

void episode_release(struct tcp_engine *e, struct tcp_connection *c)
{
    if (c->recovery != 0) {
        pool_give(&e->recovery_pool, c->recovery);
        c->recovery = 0;
    }
}

void episode_release_if_done(struct tcp_engine *e, struct tcp_connection *c, const struct tcp_recovery *r)
{
    bool may_undo = (r->flags & TCP_RECOVERY_CAN_UNDO) != 0 && r->undo_bytes != 0
                    && seq_le(c->snd_una, r->recover) && c->snd_una != c->snd_nxt;

    if (c->phase == TCP_PHASE_OPEN && r->sacked == 0 && r->lost == 0 && !may_undo) {
        episode_release(e, c);
    }
}

void episode_count_left(const struct tcp_connection *c, struct tcp_recovery *r, uint32_t bytes)
{
    uint32_t room = tcp_flight(c) - r->lost;

    r->sacked = bytes < room ? bytes : room;
}

void episode_bar_fast_retransmit(struct tcp_connection *c, struct tcp_recovery *r)
{
    if (!tcp_has(c, TCP_HAS_SACK)) {
        c->tail_end = c->snd_nxt + 1;
        episode_count_left(c, r, c->dup_acks * congestion_smss(c));
    }
}

void episode_begin(struct tcp_engine *e, struct tcp_connection *c, struct tcp_recovery *r,
                   enum congestion_signal signal)
{
    r->flags &= (uint8_t)~(TCP_RECOVERY_ECN | TCP_RECOVERY_RESCUED | TCP_RECOVERY_CAN_UNDO);
    if (signal == CONGESTION_LOSS) {
        undo_save(c, r);
        e->statistics.fast_recoveries++;
    } else {
        r->flags |= TCP_RECOVERY_ECN;
    }
    prr_begin(c, r);
    congestion_reduce(e, c, signal);
    tail_probe_forget(c);
    if (signal == CONGESTION_LOSS) {
        episode_bar_fast_retransmit(c, r);
    }
    r->recover = c->snd_nxt;
    c->phase = TCP_PHASE_RECOVERY;
}

/* After ECE, more than recover has to be acknowledged: until then ECE may speak of the same window. */
bool episode_is_over(const struct tcp_engine *e, const struct tcp_connection *c, const struct tcp_recovery *r)
{
    if (r == NULL) {
        return scoreboard_count(e, c, SCOREBOARD_LOST | SCOREBOARD_RETRANSMITTED) == 0;
    }
    if ((r->flags & TCP_RECOVERY_ECN) != 0 && c->snd_una != c->snd_nxt) {
        return seq_gt(c->snd_una, r->recover);
    }
    return seq_ge(c->snd_una, r->recover);
}

/*
 * PRR has filled the network up to ssthresh. Without SACK little may be in flight, and ssthresh would be a burst
 * (RFC 6582 3.2 step 5, full acknowledgment, option 1).
 */
static uint32_t window_after_recovery(const struct tcp_connection *c)
{
    uint32_t smss = congestion_smss(c), flight = tcp_flight(c);
    uint32_t careful = (flight > smss ? flight : smss) + smss;

    return tcp_has(c, TCP_HAS_SACK) || c->ssthresh < careful ? c->ssthresh : careful;
}

void episode_end(struct tcp_connection *c, struct tcp_recovery *r)
{
    if (c->phase == TCP_PHASE_RECOVERY) {
        c->cwnd = window_after_recovery(c);
        rack_on_recovery_end(c);
    }
    c->phase = TCP_PHASE_OPEN;
    c->dup_acks = 0;
    if (r == NULL) {
        return;
    }
    r->frto = 0;
    r->flags &= (uint8_t)~(TCP_RECOVERY_ECN | TCP_RECOVERY_RESCUED);
    r->recover = c->snd_nxt; /* duplicates of this episode are reported until then */
    if (!tcp_has(c, TCP_HAS_SACK)) {
        r->sacked = 0;
    }
}

void episode_begin_resend(struct tcp_connection *c, struct tcp_recovery *r)
{
    c->phase = TCP_PHASE_LOSS;
    c->dup_acks = 0;
    tail_probe_forget(c);
    if (!tcp_has(c, TCP_HAS_SACK)) {
        c->tail_end = c->snd_nxt + 1;
    }
    if (r != NULL) {
        r->recover = c->snd_nxt;
        r->frto = 0;
        r->sacked = tcp_has(c, TCP_HAS_SACK) ? r->sacked : 0;
    }
}
