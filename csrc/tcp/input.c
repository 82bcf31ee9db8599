/* input.c: a segment meets its connection: the predicted ones at once, all others state by state. */
#include "tcp/arrival.h"
#include "tcp/challenge.h"
#include "tcp/ending.h"
#include "tcp/output.h"
#include "wire/seq.h"

/* Flags of which none is set when a segment of bulk data or its pure ACK can take the short way. */
enum {
    INPUT_UNUSUAL = TCP_FROZEN | TCP_CLOSED_BY_USER | TCP_NOTIFIED_R1 | TCP_URGENT_SENDING | TCP_PROBE_PENDING
    | TCP_TAIL_PENDING
};

/* Eighth check: the peer's FIN is in order. TIME_WAIT is not left by it. */
static void input_take_fin(struct arrival *a)
{
    struct tcp_connection *c = a->c;

    switch (c->state) {
    case TCP_STATE_ESTABLISHED:
        c->state = TCP_STATE_CLOSE_WAIT;
        break;
    case TCP_STATE_FIN_WAIT_1:
        c->state = TCP_STATE_CLOSING;
        break;
    case TCP_STATE_FIN_WAIT_2:
        ending_enter_time_wait(a->e, c, a->result);
        break;
    default:
        break;
    }
}

void input_after_ack(struct arrival *a)
{
    if (urgent_arrives(a) && text_arrives(a)) {
        input_take_fin(a);
    }
}

static void input_established(struct arrival *a)
{
    if (acceptance_check(a) && ack_arrives(a)) {
        input_after_ack(a);
    }
}

static void input_fin_wait_1(struct arrival *a)
{
    if (!acceptance_check(a) || !ack_arrives(a)) {
        return;
    }
    if (ack_covers_fin(a->c)) {
        ending_enter_fin_wait_2(a->e, a->c);
    }
    input_after_ack(a);
}

/* CHIMNEY starts the timer again: the guide's rule for a target. */
static void input_fin_wait_2(struct arrival *a)
{
    if (!acceptance_check(a) || !ack_arrives(a)) {
        return;
    }
    if (a->c->profile == TCP_PROFILE_CHIMNEY) {
        ending_enter_fin_wait_2(a->e, a->c);
    }
    input_after_ack(a);
}

/* The peer sends no more: neither text nor a second FIN nor urgent data means anything. */
static void input_close_wait(struct arrival *a)
{
    if (acceptance_check(a)) {
        ack_arrives(a);
    }
}

static void input_closing(struct arrival *a)
{
    if (acceptance_check(a) && ack_arrives(a) && ack_covers_fin(a->c)) {
        ending_enter_time_wait(a->e, a->c, a->result);
    }
}

static void input_last_ack(struct arrival *a)
{
    if (acceptance_check(a) && ack_arrives(a) && ack_covers_fin(a->c)) {
        ending_close(a->e, a->c, a->result, TCP_REASON_CLOSED);
    }
}

/* Only a FIN that was sent again matters, and that lies left of the window: acceptance.c sees to it. */
static void input_time_wait(struct arrival *a)
{
    if (acceptance_check(a)) {
        ack_arrives(a);
    }
}

/* RFC 9293 3.10.7.1: the connection is gone. */
static void input_closed(struct arrival *a)
{
    if (!arrival_has(a, TCP_RST)) {
        a->result->events |= TCP_EVENT_REPLY_RST;
    }
}

typedef void input_state(struct arrival *a);

static input_state *const input_states[TCP_STATES] = {
    [TCP_STATE_CLOSED] = input_closed,
    [TCP_STATE_SYN_SENT] = handshake_syn_sent,
    [TCP_STATE_SYN_RECEIVED] = handshake_syn_received,
    [TCP_STATE_ESTABLISHED] = input_established,
    [TCP_STATE_FIN_WAIT_1] = input_fin_wait_1,
    [TCP_STATE_FIN_WAIT_2] = input_fin_wait_2,
    [TCP_STATE_CLOSE_WAIT] = input_close_wait,
    [TCP_STATE_CLOSING] = input_closing,
    [TCP_STATE_LAST_ACK] = input_last_ack,
    [TCP_STATE_TIME_WAIT] = input_time_wait,
};

void input_finish(struct arrival *a)
{
    if (output_is_due(a->e, a->c)) {
        a->result->events |= TCP_EVENT_OUTPUT;
    }
}

/* The numbers of a segment that can take the short way: next in order, acknowledging what is in flight or nothing. */
static bool input_has_plain_numbers(const struct tcp_connection *c, const struct tcp_segment *segment)
{
    const uint32_t acked = segment->ack - c->snd_una;

    return segment->seq == c->rcv_nxt && acked <= tcp_flight(c) && segment->len <= c->rcv_adv - c->rcv_nxt
           && (acked | segment->len) != 0;
}

/* Nothing but the agreed timestamp, and that is no older than the last. */
static bool input_has_plain_options(const struct tcp_connection *c, const struct tcp_segment *segment)
{
    const uint8_t agreed = tcp_has(c, TCP_HAS_TIMESTAMPS) ? TCP_OPT_TIMESTAMP : 0;

    return segment->options == agreed && segment->sacks == 0
           && (agreed == 0 || (int32_t)(segment->ts_val - c->ts_recent) >= 0);
}

/*
 * Header prediction: in ESTABLISHED, and nothing is out of order, lost, closed or marked. It does what the full way
 * does with such a segment, without the questions whose answers are known.
 */
static bool input_is_predicted(const struct tcp_connection *c, const struct tcp_segment *segment)
{
    return c->state == TCP_STATE_ESTABLISHED && (segment->control & ~(unsigned)TCP_PSH) == TCP_ACK
           && input_has_plain_numbers(c, segment) && input_has_plain_options(c, segment)
           && (c->flags & (uint32_t)INPUT_UNUSUAL) == 0 && (c->ranges | c->phase | segment->refused) == 0
           && segment->ecn != TCP_CE && (c->profile & c->challenges) == 0;
}

static void input_predicted(struct arrival *a)
{
    struct tcp_connection *c = a->c;

    c->heard_ms = engine_ms(a->e);
    c->probes = 0;
    if (tcp_has(c, TCP_HAS_TIMESTAMPS) && c->rcv_nxt == c->rcv_acked) {
        c->ts_recent = a->segment->ts_val;
        c->ts_recent_ms = c->heard_ms;
    }
    ack_take(a);
    if (a->len != 0) {
        text_append(a);
    }
}

void tcp_input(tcp_engine *engine, struct tcp_connection *c, uint64_t now_ns,
               const struct tcp_segment *segment, struct tcp_result *result)
{
    const uint32_t text = segment->seq + ((segment->control & TCP_SYN) != 0);
    struct arrival a = {
        .e = engine,
        .c = c,
        .segment = segment,
        .result = result,
        .text = text,
        .seq = text,
        .len = segment->len,
        .has_fin = (segment->control & TCP_FIN) != 0,
    };

    engine_at(engine, now_ns);
    *result = (struct tcp_result){0};
    engine->statistics.segments_in++;
    engine->statistics.bytes_in += segment->len;
    if (input_is_predicted(c, segment)) {
        input_predicted(&a);
    } else if (!tcp_has(c, TCP_FROZEN)) {
        engine->statistics.bad_options += (segment->options & TCP_OPT_MALFORMED) != 0;
        input_states[c->state](&a);
    }
    input_finish(&a);
}
