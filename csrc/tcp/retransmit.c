/* What to send: again, or new, and how much of it now (NextSeg of RFC 6675, and the windows). */
#include "tcp/congestion.h"
#include "tcp/recovery.h"
#include "tcp/scoreboard.h"
#include "tcp/tail_probe.h"
#include "tcp/undo.h"
#include "tcp/xmit_timer.h"
#include "wire/seq.h"

/* New data that the peer's window lets out. */
static uint32_t unsent(const struct tcp_connection *c)
{
    uint32_t end = c->snd_end + tcp_has(c, TCP_FIN_QUEUED);
    uint32_t edge = c->snd_una + c->snd_wnd;
    int32_t left = seq_diff(c->snd_nxt, seq_min(end, edge));

    return left > 0 ? (uint32_t)left : 0;
}

/* Without SACK, before recovery: each duplicate ACK below the threshold says that a segment left (RFC 3042). */
static uint32_t duplicates_out(const struct tcp_engine *e, const struct tcp_connection *c, uint32_t flight)
{
    const uint32_t threshold = e->parameters.dup_threshold;
    uint32_t segments = c->dup_acks < threshold ? c->dup_acks : threshold - 1;
    uint32_t bytes = segments * congestion_smss(c);

    return bytes < flight ? bytes : flight;
}

uint32_t recovery_pipe(const struct tcp_engine *e, const struct tcp_connection *c)
{
    uint32_t flight = tcp_flight(c);

    if (c->recovery != 0) {
        const struct tcp_recovery *r = &e->recoveries[c->recovery];
        uint32_t gone = r->sacked + r->lost;

        if (c->phase < TCP_PHASE_RECOVERY && !tcp_has(c, TCP_HAS_SACK)) {
            gone += duplicates_out(e, c, flight);
        }
        return gone < flight ? flight - gone : 0;
    }
    if (c->phase == TCP_PHASE_OPEN) {
        return flight;
    }
    if (c->phase == TCP_PHASE_DISORDER) {
        return tcp_has(c, TCP_HAS_SACK) ? flight : flight - duplicates_out(e, c, flight);
    }
    return flight - scoreboard_count(e, c, SCOREBOARD_LOST);
}

static uint32_t free_window(const struct tcp_engine *e, const struct tcp_connection *c)
{
    uint32_t pipe = recovery_pipe(e, c);

    return c->cwnd > pipe ? c->cwnd - pipe : 0;
}

/* NextSeg rule 3: below the highest SACKed number, sent once, not known to be lost. */
static bool next_hole(const struct tcp_engine *e, const struct tcp_connection *c, struct tcp_block *out)
{
    uint32_t sacked = e->recoveries[c->recovery].sacked;

    for (uint32_t index = runs_first(e, c); index != 0 && sacked != 0; index = runs_next(e, c, index)) {
        const struct tcp_node *run = &e->nodes[index];

        if (run->marks == SCOREBOARD_SACKED) {
            sacked -= run->right - run->left;
        } else if ((run->marks & (SCOREBOARD_SACKED | SCOREBOARD_RETRANSMITTED)) == 0) {
            *out = (struct tcp_block){run->left, run->right};
            return true;
        }
    }
    return false;
}

/* NextSeg rule 4, once a recovery: the last segment, when it is not SACKed and was not sent again. */
static bool rescue(struct tcp_engine *e, struct tcp_connection *c, uint32_t max_len, struct tcp_block *out)
{
    struct tcp_recovery *r = engine_recovery(e, c);
    struct tcp_block last = {c->run_seq, c->snd_nxt};
    uint32_t marks = c->run_marks;

    if ((r->flags & TCP_RECOVERY_RESCUED) != 0 && seq_le(c->snd_una, r->rescue)) {
        return false;
    }
    if (last.left == last.right && c->runs != 0) {
        last = (struct tcp_block){e->nodes[c->runs].left, e->nodes[c->runs].right};
        marks = e->nodes[c->runs].marks;
    }
    if (last.left == last.right || (marks & (SCOREBOARD_SACKED | SCOREBOARD_RETRANSMITTED)) != 0) {
        return false;
    }
    *out =
        (struct tcp_block){last.right - last.left > max_len ? last.right - max_len : last.left, last.right};
    r->flags |= TCP_RECOVERY_RESCUED;
    r->rescue = r->recover;
    return true;
}

/* NextSeg: rule 1, and without new data (rule 2) rules 3 and 4. */
static bool next_segment(struct tcp_engine *e, struct tcp_connection *c, uint32_t max_len, uint32_t room,
                         struct tcp_block *out)
{
    const struct tcp_recovery *r = c->recovery != 0 ? &e->recoveries[c->recovery] : NULL;

    if (r == NULL || r->lost != 0) {
        return scoreboard_first_lost(e, c, out);
    }
    if (c->phase != TCP_PHASE_RECOVERY || r->sacked == 0 || !tcp_has(c, TCP_HAS_SACK) || unsent(c) != 0
        || room < congestion_smss(c)) {
        return false;
    }
    return next_hole(e, c, out) || rescue(e, c, max_len, out);
}

static bool retransmit_probe(const struct tcp_engine *e, const struct tcp_connection *c, uint32_t max_len,
                             struct tcp_block *range)
{
    if (tail_probe_is_new(c) || (c->recovery != 0 && e->recoveries[c->recovery].sacked != 0)) {
        return false; /* what was SACKed since is no tail any more */
    }
    *range = tail_probe_range(c, max_len);
    return range->left != range->right;
}

/* As much of it as there is room for, in full segments: a congestion window must not make small ones. */
static uint32_t whole_segments(const struct tcp_connection *c, uint32_t room, uint32_t wanted)
{
    uint32_t smss = congestion_smss(c);

    if (room >= wanted) {
        return wanted;
    }
    if (room < 2 * smss) {
        return room < smss ? 0 : smss;
    }
    return room - room % smss;
}

bool recovery_retransmit(struct tcp_engine *e, struct tcp_connection *c, uint32_t max_len,
                         struct tcp_block *range)
{
    const struct tcp_recovery *r;
    uint32_t room, len;

    if (tcp_has(c, TCP_TAIL_PENDING)) {
        return retransmit_probe(e, c, max_len, range);
    }
    if (c->phase < TCP_PHASE_RECOVERY) {
        return false;
    }
    r = engine_recovery(e, c);
    room = free_window(e, c);
    if ((r != NULL && frto_holds(r)) || room == 0 || !next_segment(e, c, max_len, room, range)) {
        return false;
    }
    len = range->right - range->left;
    len = whole_segments(c, room, len < max_len ? len : max_len);
    range->right = range->left + len;
    return len != 0;
}

/* cwnd is used up, once what waits has gone (RFC 7661 4.1): only then may it grow. */
static void set_limited(struct tcp_connection *c, bool is_limited)
{
    c->flags &= ~(uint32_t)TCP_CWND_LIMITED;
    c->flags |= is_limited ? TCP_CWND_LIMITED : 0;
}

/* None while nodes are so short that new data would count as lost with the newest run: that is sent again first. */
static uint32_t room_for_new(const struct tcp_engine *e, const struct tcp_connection *c)
{
    return (c->run_marks & SCOREBOARD_LOST) == 0 ? free_window(e, c) : 0;
}

uint32_t recovery_room(struct tcp_engine *e, struct tcp_connection *c)
{
    uint32_t room = room_for_new(e, c);
    uint32_t wanted = unsent(c), smss = congestion_smss(c);

    set_limited(c, room < wanted + smss);
    if (room < wanted) {
        room = whole_segments(c, room, wanted);
    }
    return tcp_has(c, TCP_TAIL_PENDING) && room < smss ? smss : room;
}

void recovery_on_limited(struct tcp_engine *e, struct tcp_connection *c, bool by_cwnd)
{
    set_limited(c, by_cwnd || free_window(e, c) < congestion_smss(c));
}

static void on_new_data(struct tcp_engine *e, struct tcp_connection *c, uint32_t seq, uint32_t len)
{
    if (c->snd_una == c->snd_nxt) {
        c->retrans_ms = engine_ms(e);
    }
    scoreboard_sent(e, c, seq, len);
}

/* The first segment of a flight starts the timer, and so does the first sent again. */
static void time_sent(struct tcp_engine *e, struct tcp_connection *c, uint32_t seq, uint32_t len,
                      bool is_retransmission)
{
    uint32_t flight = tcp_flight(c);

    if ((c->armed & TCP_TIMER_XMIT) == 0) {
        xmit_timer_restart(e, c, is_retransmission ? flight : flight + len, 0);
    } else if (is_retransmission && seq == c->snd_una) {
        xmit_timer_on_head(e, c);
    } else if (!is_retransmission && flight <= congestion_smss(c)) {
        xmit_timer_hasten_probe(e, c, flight + len);
    }
}

void recovery_on_sent(struct tcp_engine *e, struct tcp_connection *c, uint32_t seq, uint32_t len,
                      bool is_retransmission)
{
    if (is_retransmission) {
        scoreboard_resent(e, c, seq, seq + len);
    } else {
        on_new_data(e, c, seq, len);
    }
    if (c->recovery != 0 && c->phase >= TCP_PHASE_RECOVERY) {
        struct tcp_recovery *r = engine_recovery(e, c);

        r->prr_out += len;
        if (is_retransmission) {
            undo_on_retransmission(e, c, r, len);
        }
    }
    if (tcp_has(c, TCP_TAIL_PENDING)) {
        tail_probe_sent(c, is_retransmission ? c->snd_nxt : seq + len, is_retransmission);
    }
    time_sent(e, c, seq, len, is_retransmission);
}
