/* output.c: the next segment of a connection: again, new, a probe, or an ACK. */
#include "tcp/output.h"

#include "tcp/emit.h"
#include "tcp/ending.h"
#include "tcp/path_probe.h"
#include "tcp/persist.h"
#include "tcp/recovery.h"
#include "tcp/timer.h"
#include "tcp/window.h"
#include "wire/seq.h"

/* -- whether ------------------------------------------------------------------------------------------------ */

static bool output_has_syn(const struct tcp_connection *c)
{
    return tcp_flight(c) == 0 || tcp_has(c, TCP_PROBE_PENDING)
           || (c->state == TCP_STATE_SYN_RECEIVED && tcp_has(c, TCP_ACK_NOW));
}

/* New data or FIN, by the window. */
static bool output_has_new(const struct tcp_engine *e, const struct tcp_connection *c)
{
    if (window_unsent(c) == 0) {
        return false;
    }
    return window_allows_fin(c, 0) || window_allow(c, emit_payload_limit(e, c), 0) != 0;
}

bool output_has_something(const struct tcp_engine *e, const struct tcp_connection *c)
{
    if (c->state == TCP_STATE_CLOSED || tcp_has(c, TCP_FROZEN)) {
        return false;
    }
    if (!tcp_is_synchronized(c)) {
        return output_has_syn(c);
    }
    return tcp_has(c, TCP_ACK_NOW | TCP_WINDOW_UPDATE | TCP_PROBE_PENDING | TCP_TAIL_PENDING)
           || (c->phase != TCP_PHASE_OPEN && tcp_flight(c) != 0) || output_has_new(e, c);
}

/* With something in flight an ACK or the retransmission timer ends the wait; otherwise nothing would. */
static void output_wait(struct tcp_engine *e, struct tcp_connection *c)
{
    if (window_unsent(c) == 0 || tcp_flight(c) != 0 || timer_is_set(c, TCP_TIMER_XMIT)
        || !tcp_is_synchronized(c) || tcp_has(c, TCP_FROZEN)) {
        return;
    }
    if (c->snd_wnd == 0) {
        persist_start(e, c);
    } else {
        timer_set_xmit(e, c, TCP_XMIT_OVERRIDE, e->parameters.override_us);
    }
}

bool output_is_due(struct tcp_engine *e, struct tcp_connection *c)
{
    if (output_has_something(e, c)) {
        return true;
    }
    output_wait(e, c);
    return false;
}

/* -- what --------------------------------------------------------------------------------------------------- */

/* SYN or SYN,ACK: the first time, after a timeout, or because the peer asked again. */
static bool output_syn(struct tcp_engine *e, struct tcp_connection *c, struct tcp_segment *out)
{
    const bool is_again = tcp_flight(c) != 0;
    const uint32_t limit_ms = c->user_timeout_ms != 0 ? c->user_timeout_ms : e->config.syn_r2_ms;

    emit_syn(e, c, out);
    recovery_on_sent(e, c, c->snd_una, 1, is_again);
    c->snd_nxt = c->snd_una + 1;
    c->flags &= ~(uint32_t)TCP_PROBE_PENDING;
    if (!is_again) {
        c->retrans_ms = engine_ms(e);
    }
    timer_set_xmit(e, c, TCP_XMIT_RTO, ending_cut_us(e, c, limit_ms, recovery_rto_us(e, c)));
    return true;
}

static bool output_handshake(struct tcp_engine *e, struct tcp_connection *c, struct tcp_segment *out)
{
    if (tcp_flight(c) == 0 || tcp_has(c, TCP_PROBE_PENDING)) {
        return output_syn(e, c, out);
    }
    if (c->state == TCP_STATE_SYN_RECEIVED && tcp_has(c, TCP_ACK_NOW)) {
        emit_start(e, c, out, c->snd_nxt);
        return true;
    }
    return false;
}

/* left .. right once more; a FIN is its last number. Neither ECT nor CWR (RFC 3168 6.1.5). */
static bool output_range(struct tcp_engine *e, struct tcp_connection *c, const struct tcp_block *range,
                         struct tcp_segment *out)
{
    const bool has_fin = tcp_has(c, TCP_FIN_SENT) && range->right == c->snd_nxt;
    const uint16_t mss = (uint16_t)emit_payload_limit(e, c);

    path_probe_on_loss(c, range->left);
    emit_start(e, c, out, range->left);
    out->mss = mss;
    out->len = range->right - range->left - has_fin;
    out->control |= has_fin ? TCP_FIN : 0;
    out->control |= out->len != 0 && range->right - has_fin == c->snd_end ? TCP_PSH : 0;
    recovery_on_sent(e, c, range->left, range->right - range->left, true);
    return true;
}

/* SHLD-16: nothing beyond what the peer takes now. */
static bool output_cut_to_window(const struct tcp_connection *c, struct tcp_block *range)
{
    const uint32_t edge = c->snd_una + c->snd_wnd;

    range->right = seq_min(range->right, edge);
    return seq_lt(range->left, range->right);
}

static void output_count_again(struct tcp_engine *e, const struct tcp_segment *out)
{
    e->statistics.retransmits++;
    e->statistics.retransmitted_bytes += out->len;
}

static bool output_again(struct tcp_engine *e, struct tcp_connection *c, struct tcp_segment *out)
{
    struct tcp_block range;

    if (!recovery_retransmit(e, c, emit_payload_limit(e, c), &range) || !output_cut_to_window(c, &range)
        || !output_range(e, c, &range, out)) {
        return false;
    }
    output_count_again(e, out);
    return true;
}

/* The window opened: what probes carried while it was closed was refused. */
static bool output_probed(struct tcp_engine *e, struct tcp_connection *c, struct tcp_segment *out)
{
    const uint32_t len = bits_min32(tcp_flight(c), emit_payload_limit(e, c));
    struct tcp_block range = {c->snd_una, c->snd_una + len};

    c->flags &= ~(uint32_t)TCP_PROBE_PENDING;
    if (!output_cut_to_window(c, &range)) {
        return false;
    }
    output_range(e, c, &range, out);
    output_count_again(e, out);
    return true;
}

/* Bytes of new data that leave in the next segment; 0: none, and congestion control knows if it was the reason. */
static uint32_t output_new_len(struct tcp_engine *e, struct tcp_connection *c, uint32_t mss, uint32_t max_len)
{
    uint32_t len, room;

    if (tcp_has(c, TCP_CWR_PENDING | TCP_URGENT_SENDING | TCP_TAIL_PENDING)) {
        max_len = 0; /* what only one packet may carry */
    }
    len = window_allow(c, mss, max_len);
    if (tcp_has(c, TCP_TAIL_PENDING) && len == 0) {
        len = bits_min32(bits_min32(c->snd_end - c->snd_nxt, window_usable(c)), mss);
    }
    if (len == 0) {
        return 0;
    }
    if (tcp_flight(c) == 0) {
        recovery_on_restart(e, c);
    }
    room = recovery_room(e, c);
    if (room >= len) {
        return len;
    }
    recovery_on_limited(e, c, true);
    return room > mss ? room - room % mss : room >= mss ? mss : 0;
}

/* ECT and CWR only here (RFC 3168 6.1.2); PSH where the queue ends. */
static void output_mark_new(struct tcp_connection *c, uint32_t len, struct tcp_segment *out)
{
    if (len == 0) {
        return;
    }
    if (tcp_has(c, TCP_HAS_ECN)) {
        out->ecn = TCP_ECT_0;
        if (tcp_has(c, TCP_CWR_PENDING)) {
            out->control |= TCP_CWR;
            c->flags &= ~(uint32_t)TCP_CWR_PENDING;
        }
    }
    if (c->snd_nxt + len == c->snd_end && tcp_has(c, TCP_PUSH)) {
        out->control |= TCP_PSH;
        c->flags &= ~(uint32_t)TCP_PUSH;
    }
}

/* len bytes of new data, and FIN behind the last. */
static void output_advance(struct tcp_engine *e, struct tcp_connection *c, uint32_t len, bool has_fin,
                           struct tcp_segment *out)
{
    out->len = len;
    e->statistics.bytes_out += len;
    if (tcp_flight(c) == 0) {
        timer_stop(e, c, TCP_TIMER_XMIT); /* the wait for the window is over */
    }
    recovery_on_sent(e, c, c->snd_nxt, len + has_fin, false);
    c->snd_nxt += len + has_fin;
    if (has_fin) {
        out->control |= TCP_FIN;
        c->flags |= TCP_FIN_SENT;
    }
    c->flags &= ~(uint32_t)(TCP_OVERRIDE | TCP_PROBE_PENDING);
}

/* One packet larger than the path is known to carry, if it is time for that. */
static uint32_t output_probe_len(struct tcp_engine *e, struct tcp_connection *c, uint32_t mss)
{
    const uint32_t len = c->path_mtu != 0 ? path_probe_len(e, c, mss) : 0;

    if (len != 0) {
        path_probe_on_sent(c, len, mss);
    }
    return len;
}

static bool output_new(struct tcp_engine *e, struct tcp_connection *c, uint32_t max_len,
                       struct tcp_segment *out)
{
    uint32_t mss, len;
    bool has_fin;

    if (window_unsent(c) == 0) {
        return false;
    }
    mss = emit_payload_limit(e, c);
    len = output_probe_len(e, c, mss);
    if (len != 0) {
        mss = len;
    } else {
        len = output_new_len(e, c, mss, max_len);
    }
    has_fin = window_allows_fin(c, len);
    if (len == 0 && !has_fin) {
        return false;
    }
    emit_start(e, c, out, c->snd_nxt);
    out->mss = (uint16_t)mss;
    output_mark_new(c, len, out);
    output_advance(e, c, len, has_fin, out);
    e->statistics.segments_out += len > mss ? (len - 1) / mss : 0;
    return true;
}

/* WIN-05: the next byte, or the first one that is not acknowledged; or the FIN in its place. Never ECT. */
static void output_window_probe(struct tcp_engine *e, struct tcp_connection *c, struct tcp_segment *out)
{
    const struct tcp_block first = {c->snd_una, c->snd_una + 1};
    const uint16_t mss = (uint16_t)emit_payload_limit(e, c);
    bool has_fin;

    e->statistics.window_probes++;
    if (tcp_flight(c) != 0) {
        output_range(e, c, &first, out);
    } else {
        has_fin = c->snd_nxt == c->snd_end;
        emit_start(e, c, out, c->snd_nxt);
        out->mss = mss;
        out->mss = (uint16_t)emit_payload_limit(e, c);
        output_advance(e, c, !has_fin, has_fin, out);
        c->snd_probed = 1;
    }
    persist_on_probe(e, c);
}

/* SHLD-12: NXT-1 and no data makes a peer that lives say where it is. */
static void output_keepalive(struct tcp_engine *e, struct tcp_connection *c, struct tcp_segment *out)
{
    e->statistics.keepalive_probes++;
    emit_start(e, c, out, c->snd_nxt - 1);
}

static bool output_probe(struct tcp_engine *e, struct tcp_connection *c, struct tcp_segment *out)
{
    c->flags &= ~(uint32_t)TCP_PROBE_PENDING;
    if (c->snd_wnd == 0 && (tcp_flight(c) != 0 || window_unsent(c) != 0)) {
        output_window_probe(e, c, out);
        return true;
    }
    if (tcp_flight(c) != 0) {
        return false;
    }
    output_keepalive(e, c, out);
    return true;
}

static bool output_ack(struct tcp_engine *e, struct tcp_connection *c, struct tcp_segment *out)
{
    if (!tcp_has(c, TCP_ACK_NOW | TCP_WINDOW_UPDATE)) {
        return false;
    }
    emit_start(e, c, out, emit_empty_seq(c));
    return true;
}

/* In this order: what the peer lacks first, then what it does not know of, then what only makes it answer. */
static bool output_synchronized(struct tcp_engine *e, struct tcp_connection *c, uint32_t max_len,
                                struct tcp_segment *out)
{
    if (tcp_has(c, TCP_PROBE_PENDING) && tcp_flight(c) != 0 && c->snd_wnd != 0 && output_probed(e, c, out)) {
        return true;
    }
    if ((c->phase != TCP_PHASE_OPEN || c->recovery != 0 || tcp_has(c, TCP_TAIL_PENDING))
        && output_again(e, c, out)) {
        return true;
    }
    if (output_new(e, c, max_len, out)) {
        return true;
    }
    return (tcp_has(c, TCP_PROBE_PENDING) && output_probe(e, c, out)) || output_ack(e, c, out);
}

/* All is said for now. */
static void output_rest(struct tcp_engine *e, struct tcp_connection *c)
{
    c->flags &= ~(uint32_t)TCP_TAIL_PENDING;
    if (window_unsent(c) == 0 && tcp_is_synchronized(c)) {
        recovery_on_limited(e, c, false);
    }
}

bool tcp_output(tcp_engine *engine, struct tcp_connection *c, uint64_t now_ns, uint32_t max_len,
                struct tcp_segment *out)
{
    bool is_sent;

    engine_at(engine, now_ns);
    if (c->state == TCP_STATE_CLOSED || tcp_has(c, TCP_FROZEN)) {
        return false;
    }
    is_sent = tcp_is_synchronized(c) ? output_synchronized(engine, c, max_len, out)
                                     : output_handshake(engine, c, out);
    if (is_sent) {
        engine->statistics.segments_out++;
    } else {
        output_rest(engine, c);
    }
    output_wait(engine, c);
    return is_sent;
}
