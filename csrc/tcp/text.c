/* text.c: payload and FIN: what is in order is delivered, what is not is held, and when the ACK leaves. */
#include "tcp/arrival.h"
#include "tcp/ending.h"
#include "tcp/reassembly.h"
#include "tcp/timer.h"
#include "tcp/window.h"
#include "wire/seq.h"

/* The least that counts as full-sized before the peer has shown larger ones. */
enum { TEXT_MSS_LEAST = 536, TEXT_TIMESTAMP_LEN = 12 };

static void text_store(struct arrival *a, uint32_t seq, uint32_t len)
{
    if (len != 0) {
        a->result->events |= TCP_EVENT_DATA;
        a->result->seq = seq;
        a->result->skip = seq - a->text;
        a->result->len = len;
    }
}

static void text_deliver(struct arrival *a, uint32_t bytes)
{
    if (bytes != 0) {
        a->c->rcv_unread += bytes;
        a->result->delivered += bytes;
        a->result->events |= TCP_EVENT_READABLE | TCP_EVENT_CONFIRMED;
    }
}

/* Packets that were merged on the way here do not raise what counts as one. */
static void text_learn_size(struct tcp_connection *c, uint32_t len)
{
    uint32_t most;

    if (len > c->rcv_mss) {
        most = c->mss_limit - (tcp_has(c, TCP_HAS_TIMESTAMPS) ? TEXT_TIMESTAMP_LEN : 0U);
        c->rcv_mss = (uint16_t)bits_min32(len, bits_max32(most, TEXT_MSS_LEAST));
    }
}

/* ACK-01, ACK-02: of so many full-sized segments, or after a while. */
static void text_delay_ack(struct tcp_engine *e, struct tcp_connection *c, uint32_t len)
{
    const struct tcp_engine_parameters *p = &e->parameters;

    text_learn_size(c, len);
    if (c->rcv_nxt - c->rcv_acked >= p->ack_every * c->rcv_mss || p->ack_every == 1 || p->delack_us == 0) {
        c->flags |= TCP_ACK_NOW;
    } else if (!timer_is_set(c, TCP_TIMER_DELACK)) {
        timer_set_delack(e, c, p->delack_us);
    }
}

void text_append(struct arrival *a)
{
    struct tcp_connection *c = a->c;

    c->rcv_nxt += a->len;
    text_store(a, a->seq, a->len);
    text_deliver(a, a->len);
    text_delay_ack(a->e, c, a->len);
    if (arrival_has(a, TCP_PSH)) {
        a->result->events |= TCP_EVENT_PUSH;
    }
}

/* Bytes that are held already, in an in-order segment that reaches them, are not stored again. */
static uint32_t text_new_part(struct arrival *a)
{
    struct reassembly_fit fit;

    if (a->len == 0) {
        return 0;
    }
    fit = reassembly_fit_in_order(a->e, a->c, a->seq, a->seq + a->len);
    if (fit.is_duplicate) {
        a->e->statistics.duplicates++;
        reassembly_report_duplicate(a->e, a->c, fit.dup.left, fit.dup.right);
    }
    return fit.is_kept ? fit.right - fit.left : 0;
}

/* The peer claims data behind its FIN: that data never was. */
static void text_drop_beyond_fin(struct arrival *a)
{
    if (!reassembly_is_empty(a->e, a->c)) {
        tcp_drop_ranges(a->e, a->c);
        a->result->events |= TCP_EVENT_DROP_RANGES;
    }
}

/*
 * In order ends at `next`. Is that the FIN's place? One that came early is the last number held (TCP_FIN_SEEN); else
 * it is behind this segment's text. Returns RCV.NXT.
 */
static uint32_t text_reach_fin(struct arrival *a, uint32_t next, bool *is_fin)
{
    struct tcp_connection *c = a->c;

    if (tcp_has(c, TCP_FIN_SEEN) && reassembly_is_empty(a->e, c)) {
        *is_fin = true;
        return next;
    }
    *is_fin = a->has_fin && next == a->seq + a->len;
    if (*is_fin) {
        text_drop_beyond_fin(a);
    }
    return next + *is_fin;
}

/* Seventh and eighth check for a segment that continues what is in order. */
static bool text_in_order(struct arrival *a)
{
    struct tcp_connection *c = a->c;
    const uint32_t stored = text_new_part(a), first = c->rcv_nxt;
    const uint32_t end = reassembly_advance(a->e, c, first + stored);
    bool is_fin;

    c->rcv_nxt = text_reach_fin(a, end, &is_fin);
    text_store(a, a->seq, stored);
    text_deliver(a, c->rcv_nxt - first - is_fin);
    c->ack_owed = 0;
    c->flags |= TCP_ACK_NOW; /* it fills a gap or ends with FIN (RFC 5681 4.2, ACK-10) */
    if (is_fin || (arrival_has(a, TCP_PSH) && end == a->seq + a->len)) {
        a->result->events |= TCP_EVENT_PUSH;
    }
    if (is_fin) {
        c->flags = (c->flags & ~(uint32_t)TCP_FIN_SEEN) | TCP_FIN_RECEIVED;
        a->result->events |= TCP_EVENT_FIN;
    }
    return is_fin;
}

/* One beyond the last number held. */
static uint32_t text_held_end(const struct tcp_engine *e, const struct tcp_connection *c)
{
    uint32_t i = reassembly_first(e, c), end = c->rcv_nxt;

    for (; i != 0; i = e->nodes[i].next) {
        end = e->nodes[i].right;
    }
    return end;
}

/* Nothing lies behind a FIN: of a contradiction the first claim stands. */
static void text_respect_fin(struct arrival *a)
{
    const uint32_t end = text_held_end(a->e, a->c);

    if (tcp_has(a->c, TCP_FIN_SEEN)) {
        const uint32_t room = seq_lt(a->seq, end - 1) ? end - 1 - a->seq : 0;
        a->has_fin = a->has_fin && a->len == room && seq_le(a->seq, end - 1);
        a->len = bits_min32(a->len, room);
    } else {
        a->has_fin = a->has_fin && seq_ge(a->seq + a->len, end);
    }
}

/* Without SACK the peer counts duplicate ACKs: it gets one for each segment (RFC 5681 4.2), and no more (ACK-04), though
 * what was cut off from this one asks for an ACK too. */
static void text_owe_ack(const struct arrival *a)
{
    struct tcp_connection *c = a->c;

    if (a->is_ack_due && !tcp_has(c, TCP_HAS_SACK) && c->ack_owed < UINT8_MAX) {
        c->ack_owed++;
    }
    c->flags |= TCP_ACK_NOW;
}

/*
 * CH-15: what a target can hold out of order is bounded, and used up: first this connection gives up what it holds;
 * one that holds nothing is taken back by the host, which has more memory.
 */
static void text_is_short(struct arrival *a)
{
    struct tcp_connection *c = a->c;

    if (c->profile != TCP_PROFILE_CHIMNEY) {
        return;
    }
    if (c->ranges == 0) {
        ending_upload(c, a->result, TCP_REASON_UPLOAD_RESOURCES);
    } else {
        tcp_drop_ranges(a->e, c);
        a->result->events |= TCP_EVENT_DROP_RANGES;
    }
}

/* SEG-12: held until what is missing comes; a FIN takes one number of the range (SACK reports it). */
static void text_out_of_order(struct arrival *a)
{
    struct tcp_connection *c = a->c;
    struct reassembly_fit fit;
    uint32_t end, fin;

    a->e->statistics.out_of_order++;
    text_owe_ack(a);
    text_respect_fin(a);
    end = a->seq + a->len + a->has_fin;
    fit = reassembly_add(a->e, c, a->seq, end);
    if (fit.is_duplicate) {
        a->e->statistics.duplicates++;
        reassembly_report_duplicate(a->e, c, fit.dup.left, fit.dup.right);
    }
    if (fit.is_kept) {
        fin = a->has_fin && fit.right == end;
        text_store(a, fit.left, fit.right - fit.left - fin);
        c->flags |= fin ? TCP_FIN_SEEN : 0;
    } else if (fit.is_short) {
        text_is_short(a);
    }
}

/* RFC 9293 3.6: a user who closed will never read it. */
static bool text_has_no_reader(struct arrival *a)
{
    struct tcp_connection *c = a->c;

    if (a->len == 0 || !tcp_has(c, TCP_CLOSED_BY_USER)) {
        return false;
    }
    if (c->profile == TCP_PROFILE_CHIMNEY) {
        ending_upload(c, a->result, TCP_REASON_UPLOAD_RESOURCES);
        return true;
    }
    a->e->statistics.aborted++;
    ending_close(a->e, c, a->result, TCP_REASON_DATA_AFTER_CLOSE);
    a->result->events |= TCP_EVENT_REPLY_RST;
    return true;
}

bool text_arrives(struct arrival *a)
{
    struct tcp_connection *c = a->c;

    if ((a->len == 0 && !a->has_fin) || tcp_has(c, TCP_FIN_RECEIVED) || text_has_no_reader(a)) {
        return false;
    }
    if (a->seq != c->rcv_nxt) {
        text_out_of_order(a);
        return false;
    }
    if (c->ranges == 0 && !a->has_fin) {
        text_append(a);
        return false;
    }
    return text_in_order(a);
}
