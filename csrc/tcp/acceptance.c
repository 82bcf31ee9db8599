/* acceptance.c: the first to fourth check of a segment in a synchronized state, and what is cut off from it. */
#include "tcp/arrival.h"
#include "tcp/challenge.h"
#include "tcp/ending.h"
#include "tcp/reassembly.h"
#include "tcp/window.h"
#include "wire/seq.h"

/* RFC 7323 5.5: a TS.Recent older than 24 days says nothing. */
enum { TIMESTAMP_VALID_MS = 24 * 24 * 3600 * 1000 };

static uint32_t sequence_length(const struct tcp_segment *segment)
{
    return segment->len + ((segment->control & TCP_SYN) != 0) + ((segment->control & TCP_FIN) != 0);
}

/* RFC 9293 3.4: the four cases. */
static bool is_in_window(const struct tcp_connection *c, uint32_t seq, uint32_t len)
{
    const uint32_t window = window_offered(c);

    if (window == 0) {
        return len == 0 && seq == c->rcv_nxt;
    }
    return seq - c->rcv_nxt < window || (len != 0 && seq + len - 1 - c->rcv_nxt < window);
}

/* MUST-66: with a window of zero the ACK and URG of what would be the next segment still count. */
static bool is_at_closed_window(const struct tcp_connection *c, uint32_t seq)
{
    return window_offered(c) == 0 && seq == c->rcv_nxt;
}

static bool timestamp_is_old(const struct arrival *a)
{
    const struct tcp_connection *c = a->c;

    return (int32_t)(a->segment->ts_val - c->ts_recent) < 0
           && engine_ms(a->e) - c->ts_recent_ms < TIMESTAMP_VALID_MS;
}

/* RFC 7323 4.3: what to echo. */
static void acceptance_note_timestamp(struct arrival *a)
{
    struct tcp_connection *c = a->c;

    if (tcp_has(c, TCP_HAS_TIMESTAMPS) && (a->segment->options & TCP_OPT_TIMESTAMP) != 0
        && seq_le(a->segment->seq, c->rcv_acked) && !timestamp_is_old(a)) {
        c->ts_recent = a->segment->ts_val;
        c->ts_recent_ms = engine_ms(a->e);
    }
}

/* RFC 2883 4: bytes that were here before are reported. */
static void report_old_bytes(struct arrival *a)
{
    const uint32_t end = a->text + a->segment->len;

    if (a->segment->len != 0 && seq_lt(a->text, a->c->rcv_nxt)) {
        a->e->statistics.duplicates++;
        reassembly_report_duplicate(a->e, a->c, a->text, seq_min(end, a->c->rcv_nxt));
    }
}

/*
 * Not acceptable: an ACK says where we are. Empty segments could answer each other for ever, so these are counted;
 * a keepalive probe is known by its number (KA-03) and always answered.
 */
static bool acceptance_refuse(struct arrival *a)
{
    struct tcp_connection *c = a->c;

    report_old_bytes(a);
    if (c->state == TCP_STATE_TIME_WAIT && arrival_has(a, TCP_FIN)
        && a->text + a->segment->len + 1 == c->rcv_nxt) {
        ending_restart_time_wait(a->e, c);
    }
    if (sequence_length(a->segment) == 0 && a->segment->seq != c->rcv_nxt - 1) {
        challenge_send(a->e, c);
    } else {
        c->flags |= TCP_ACK_NOW;
    }
    return false;
}

/*
 * RFC 9293 3.10.7.4, second check, with RFC 5961 3.2: only the very next number resets. In TIME_WAIT a RST is
 * ignored (RFC 1337 3).
 */
static bool reset_arrives(struct arrival *a)
{
    struct tcp_connection *c = a->c;
    const uint32_t seq = a->segment->seq;

    if (c->state == TCP_STATE_TIME_WAIT) {
        return false;
    }
    if (seq == c->rcv_nxt) {
        a->e->statistics.resets_in++;
        ending_close(a->e, c, a->result,
                     c->state == TCP_STATE_SYN_RECEIVED ? TCP_REASON_REFUSED : TCP_REASON_RESET);
    } else if (seq - c->rcv_nxt < window_offered(c)) {
        challenge_rst(a->e, c);
    }
    return false;
}

/* Fourth check, with RFC 5961 4.2: whatever its number; CHIMNEY gives up the connection at the very next one. */
static bool syn_arrives(struct arrival *a)
{
    struct tcp_connection *c = a->c;
    const uint32_t distance = a->segment->seq - c->rcv_nxt;

    if (c->profile != TCP_PROFILE_CHIMNEY || c->state == TCP_STATE_TIME_WAIT) {
        challenge_syn(a->e, c);
    } else if (distance == 0) {
        ending_upload_closed(a->e, c, a->result, TCP_REASON_UPLOAD_SYN);
    } else if (distance < window_offered(c)) {
        challenge_syn(a->e, c);
    } else {
        c->flags |= TCP_ACK_NOW;
    }
    return false;
}

/* RFC 7323 5.3: PAWS, and 3.2: a segment that lacks the option. */
static bool has_good_timestamp(struct arrival *a)
{
    if (!tcp_has(a->c, TCP_HAS_TIMESTAMPS)) {
        return true;
    }
    if ((a->segment->options & TCP_OPT_TIMESTAMP) == 0) {
        return !tcp_has(a->c, TCP_STRICT_TIMESTAMPS);
    }
    if (timestamp_is_old(a)) {
        a->e->statistics.paws_drops++;
        return acceptance_refuse(a);
    }
    return true;
}

/* Keeps what is inside the window: the front was here before, what is beyond the edge is to come again (SEG-06). */
static void arrival_trim(struct arrival *a)
{
    struct tcp_connection *c = a->c;
    const uint32_t old = seq_lt(a->seq, c->rcv_nxt) ? bits_min32(c->rcv_nxt - a->seq, a->len) : 0;
    uint32_t room;

    if (old != 0) {
        report_old_bytes(a);
        c->flags |= TCP_ACK_NOW;
        a->seq += old;
        a->len -= old;
    }
    room = c->rcv_adv - a->seq;
    if (a->len > room || (a->len == room && a->has_fin) || a->segment->refused) {
        a->len = a->segment->refused ? 0 : bits_min32(a->len, room);
        a->has_fin = false;
        c->flags |= TCP_ACK_NOW;
    }
}

void acceptance_note(struct tcp_engine *e, struct tcp_connection *c)
{
    c->heard_ms = engine_ms(e);
    if (challenge_is_mitigating(c)) {
        challenge_end(e, c);
    }
    c->probes = 0;
}

/* What a segment with data needs besides: CE is told back until the peer answers (RFC 3168 6.1.3). */
static void congestion_mark_arrives(struct arrival *a)
{
    if (!tcp_has(a->c, TCP_HAS_ECN) || a->segment->len == 0) {
        return;
    }
    if (arrival_has(a, TCP_CWR)) {
        a->c->flags &= ~(uint32_t)TCP_ECE_PENDING;
    }
    if (a->segment->ecn == TCP_CE) {
        a->e->statistics.ce_in++;
        a->c->flags |= TCP_ECE_PENDING;
    }
}

/* First check: the four cases, and the next number at a closed window: its text will be refused (MUST-66). */
static bool has_good_sequence(struct arrival *a)
{
    const uint32_t seq = a->segment->seq;

    return is_in_window(a->c, seq, sequence_length(a->segment)) || is_at_closed_window(a->c, seq)
           || acceptance_refuse(a);
}

bool acceptance_check(struct arrival *a)
{
    if (arrival_has(a, TCP_RST)) {
        return reset_arrives(a);
    }
    if (arrival_has(a, TCP_SYN)) {
        return syn_arrives(a);
    }
    return has_good_timestamp(a) && has_good_sequence(a) && arrival_has(a, TCP_ACK);
}

void acceptance_take(struct arrival *a)
{
    acceptance_note(a->e, a->c);
    acceptance_note_timestamp(a);
    congestion_mark_arrives(a);
    a->is_ack_due = tcp_has(a->c, TCP_ACK_NOW);
    arrival_trim(a);
}
