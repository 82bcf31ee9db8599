/* Undo: a reduction that turns out to have been for nothing is taken back (RFC 3522, 3708, 4015, 5682). */
#include "tcp/undo.h"

#include "tcp/congestion.h"
#include "tcp/recovery.h"
#include "wire/seq.h"

#include <string.h>

void undo_save(const struct tcp_connection *c, struct tcp_recovery *r)
{
    const uint8_t fresh = TCP_RECOVERY_RETRANSMITTED | TCP_RECOVERY_WAS_HYSTART | TCP_RECOVERY_WAS_CSS;

    r->flags = (uint8_t)((r->flags & ~fresh) | TCP_RECOVERY_CAN_UNDO);
    r->flags |= tcp_has(c, TCP_HYSTART) ? TCP_RECOVERY_WAS_HYSTART : 0;
    r->flags |= tcp_has(c, TCP_HYSTART_CSS) ? TCP_RECOVERY_WAS_CSS : 0;
    r->prior_cwnd = c->cwnd;
    r->prior_ssthresh = c->ssthresh;
    r->undo_una = c->snd_una;
    r->undo_bytes = 0;
    memcpy(r->cc_saved, c->cc, sizeof r->cc_saved);
}

void undo_on_retransmission(const struct tcp_engine *e, const struct tcp_connection *c,
                            struct tcp_recovery *r, uint32_t len)
{
    if ((r->flags & TCP_RECOVERY_CAN_UNDO) == 0) {
        return;
    }
    r->undo_bytes += len;
    if ((r->flags & TCP_RECOVERY_RETRANSMITTED) == 0) {
        r->flags |= TCP_RECOVERY_RETRANSMITTED;
        r->retrans_ts = engine_ms(e) + c->ts_offset;
    }
}

bool undo_is_eifel(const struct tcp_connection *c, const struct tcp_recovery *r,
                   const struct tcp_segment *segment)
{
    const uint8_t needed = TCP_RECOVERY_CAN_UNDO | TCP_RECOVERY_RETRANSMITTED;

    return tcp_has(c, TCP_HAS_TIMESTAMPS) && (segment->options & TCP_OPT_TIMESTAMP) != 0
           && (r->flags & needed) == needed && seq_lt(segment->ts_ecr, r->retrans_ts);
}

bool undo_on_duplicate(struct tcp_recovery *r, const struct tcp_block *dup)
{
    uint32_t len = dup->right - dup->left;

    if ((r->flags & TCP_RECOVERY_CAN_UNDO) == 0 || r->undo_bytes == 0 || seq_lt(dup->left, r->undo_una)
        || seq_gt(dup->right, r->recover)) {
        return false;
    }
    r->undo_bytes -= len < r->undo_bytes ? len : r->undo_bytes;
    return r->undo_bytes == 0;
}

static void restore_control(struct tcp_connection *c, const struct tcp_recovery *r)
{
    memcpy(c->cc, r->cc_saved, sizeof c->cc);
    c->flags &= ~(uint32_t)(TCP_HYSTART | TCP_HYSTART_CSS);
    c->flags |= (r->flags & TCP_RECOVERY_WAS_HYSTART) != 0 ? TCP_HYSTART : 0;
    c->flags |= (r->flags & TCP_RECOVERY_WAS_CSS) != 0 ? TCP_HYSTART_CSS : 0;
}

/*
 * RFC 4015 3.2: no burst after a timeout; slow start up to where the window was. A recovery kept the network full, so
 * its window comes back at once.
 */
static void restore_window(const struct tcp_engine *e, struct tcp_connection *c, const struct tcp_recovery *r)
{
    uint32_t careful = recovery_pipe(e, c) + e->config.initial_segments * congestion_smss(c);
    bool is_reached = c->phase != TCP_PHASE_LOSS || careful >= r->prior_cwnd;
    uint32_t window = is_reached ? r->prior_cwnd : careful;

    c->ssthresh = r->prior_ssthresh;
    if (!is_reached && c->ssthresh < r->prior_cwnd) {
        c->ssthresh = r->prior_cwnd;
    }
    c->cwnd = c->cwnd > window ? c->cwnd : window;
}

void undo_apply(struct tcp_engine *e, struct tcp_connection *c, struct tcp_recovery *r)
{
    scoreboard_restore(e, c);
    restore_window(e, c, r);
    restore_control(c, r);
    e->statistics.undone++;
    if (c->phase == TCP_PHASE_LOSS) {
        e->statistics.spurious_timeouts++;
        c->backoff = 0;
    }
    if (tcp_has(c, TCP_HAS_SACK)) {
        c->flags |= TCP_REORDERING_SEEN; /* a late segment was taken for a lost one */
    }
    r->frto = 0;
    r->flags &= (uint8_t)~(TCP_RECOVERY_CAN_UNDO | TCP_RECOVERY_RETRANSMITTED);
    r->sacked = tcp_has(c, TCP_HAS_SACK) ? r->sacked : 0;
    c->phase = r->sacked != 0 ? TCP_PHASE_DISORDER : TCP_PHASE_OPEN;
    c->dup_acks = 0;
}

/* A full segment of new data can go out, whatever Nagle says, and the scoreboard can tell it from what was lost. */
static bool has_new_data(const struct tcp_connection *c)
{
    uint32_t smss = congestion_smss(c);

    return c->run_marks == 0 && seq_diff(c->snd_nxt, c->snd_end) >= (int32_t)smss
           && seq_diff(c->snd_nxt, c->snd_una + c->snd_wnd) >= (int32_t)smss;
}

enum frto_verdict frto_on_ack(const struct tcp_connection *c, struct tcp_recovery *r, bool is_advance,
                              bool is_duplicate, const struct delivery *d)
{
    if (!is_advance && !is_duplicate) { /* the peer's own data, or its window */
        return FRTO_UNDECIDED;
    }
    if (r->frto == 2) { /* step 3 */
        return d->has_original ? FRTO_SPURIOUS : FRTO_GENUINE;
    }
    if (!is_advance && !d->has_original) { /* step 2a */
        return FRTO_GENUINE;
    }
    if (!is_advance) { /* a late SACK: the head is still missing, nothing is said of it */
        return FRTO_UNDECIDED;
    }
    if (!has_new_data(c)) {
        return FRTO_GENUINE;
    }
    r->frto = 2; /* step 2b */
    return FRTO_UNDECIDED;
}
