/* emit.c: writes what every segment of a connection carries, and notes that it was said. */
#include "tcp/emit.h"

#include "tcp/reassembly.h"
#include "tcp/timer.h"
#include "tcp/window.h"
#include "wire/seq.h"

enum {
    TIMESTAMP_LEN = 12,
    SACK_LEN = 4,
    SACK_BLOCK_LEN = 8,
    BLOCKS_WITH_TIMESTAMP = 3,
    PAYLOAD_LEAST = 16 /* blocks are left out rather than sending less */
};

static uint32_t timestamp_len(const struct tcp_connection *c)
{
    return tcp_has(c, TCP_HAS_TIMESTAMPS) ? TIMESTAMP_LEN : 0;
}

/* SACK blocks that the next segment has (ACK-06), by counting what is held. */
static uint32_t emit_blocks(const struct tcp_engine *e, const struct tcp_connection *c)
{
    const uint32_t most = tcp_has(c, TCP_HAS_TIMESTAMPS) ? BLOCKS_WITH_TIMESTAMP : TCP_SACK_BLOCKS;
    uint32_t count = 0;

    if (!tcp_has(c, TCP_HAS_SACK)) {
        return 0;
    }
    for (uint32_t i = c->ranges; i != 0 && count < most; i = e->nodes[i].next) {
        count++;
    }
    return count;
}

/* The same for a segment with data: none when they would leave no room for it. */
static uint32_t emit_data_blocks(const struct tcp_engine *e, const struct tcp_connection *c)
{
    const uint32_t count = c->ranges != 0 ? emit_blocks(e, c) : 0;
    const uint32_t others = timestamp_len(c) + SACK_LEN + PAYLOAD_LEAST;

    return others + count * SACK_BLOCK_LEN <= c->snd_mss ? count : 0;
}

uint32_t emit_payload_limit(const struct tcp_engine *e, const struct tcp_connection *c)
{
    const uint32_t blocks = emit_data_blocks(e, c);
    const uint32_t options = timestamp_len(c) + (blocks != 0 ? SACK_LEN + blocks * SACK_BLOCK_LEN : 0);

    return c->snd_mss > options ? c->snd_mss - options : 1;
}

/* An edge that only scaling drew left is still the old one to the peer (RFC 7323 2.4). */
uint32_t emit_empty_seq(const struct tcp_connection *c)
{
    const uint32_t edge = c->snd_una + c->snd_wnd, next = c->snd_nxt - c->snd_probed;

    return seq_diff(edge, next) < 1 << c->snd_wscale ? next : edge;
}

static void emit_timestamp(const struct tcp_engine *e, const struct tcp_connection *c,
                           struct tcp_segment *out)
{
    if (tcp_has(c, TCP_HAS_TIMESTAMPS)) {
        out->options |= TCP_OPT_TIMESTAMP;
        out->ts_val = engine_ms(e) + c->ts_offset;
        out->ts_ecr = c->ts_recent;
    }
}

/* The right edge moves with what is said of it, and never left. */
static void emit_window(struct tcp_connection *c, struct tcp_segment *out)
{
    const uint32_t window = tcp_receive_window(c);

    out->wnd = (uint16_t)(window >> c->rcv_wscale);
    c->rcv_adv = seq_max(c->rcv_adv, c->rcv_nxt + window);
}

/* The pointer is an offset of 16 bits: what lies beyond is said again later. */
static void emit_urgent(const struct tcp_connection *c, struct tcp_segment *out)
{
    if (tcp_has(c, TCP_URGENT_SENDING) && seq_lt(out->seq, c->snd_up)) {
        out->control |= TCP_URG;
        out->urgent = (uint16_t)bits_min32(c->snd_up - out->seq, UINT16_MAX);
    }
}

/* The peer has heard of everything now. Duplicate ACKs that are owed (no SACK) stay due one by one. */
static void emit_note_ack(struct tcp_engine *e, struct tcp_connection *c)
{
    c->rcv_acked = c->rcv_nxt;
    c->flags &= ~(uint32_t)(TCP_ACK_NOW | TCP_WINDOW_UPDATE);
    if (c->ack_owed != 0) {
        c->ack_owed--;
        c->flags |= TCP_ACK_NOW;
    }
    timer_stop(e, c, TCP_TIMER_DELACK);
}

void emit_start(struct tcp_engine *e, struct tcp_connection *c, struct tcp_segment *out, uint32_t seq)
{
    *out = (struct tcp_segment){.seq = seq, .ack = c->rcv_nxt, .control = TCP_ACK};
    emit_timestamp(e, c, out);
    if (c->ranges != 0 && tcp_has(c, TCP_HAS_SACK)) {
        const bool is_reporting = tcp_has(c, TCP_DSACK_PENDING);
        out->sacks = (uint8_t)reassembly_blocks(e, c, out->sack, emit_blocks(e, c));
        e->statistics.dsacks_out += is_reporting && !tcp_has(c, TCP_DSACK_PENDING);
    }
    if (tcp_has(c, TCP_ECE_PENDING)) {
        out->control |= TCP_ECE;
    }
    emit_urgent(c, out);
    emit_window(c, out);
    emit_note_ack(e, c);
}

static void emit_syn_options(const struct tcp_connection *c, struct tcp_segment *out)
{
    out->options |= TCP_OPT_MSS;
    out->mss = c->rcv_mss;
    if (tcp_has(c, TCP_HAS_WSCALE)) {
        out->options |= TCP_OPT_WSCALE;
        out->wscale = c->rcv_wscale;
    }
    if (tcp_has(c, TCP_HAS_SACK)) {
        out->options |= TCP_OPT_SACK_PERMITTED;
    }
}

void emit_syn(struct tcp_engine *e, struct tcp_connection *c, struct tcp_segment *out)
{
    const bool is_answer = c->state == TCP_STATE_SYN_RECEIVED;
    const uint32_t window = window_of_syn(c);

    *out = (struct tcp_segment){.seq = c->snd_una, .control = TCP_SYN, .wnd = (uint16_t)window};
    emit_syn_options(c, out);
    emit_timestamp(e, c, out);
    if (tcp_has(c, TCP_HAS_ECN)) {
        out->control |= is_answer ? TCP_ECE : TCP_ECE | TCP_CWR;
    }
    if (is_answer) {
        out->ack = c->rcv_nxt;
        out->control |= TCP_ACK;
        c->rcv_acked = c->rcv_nxt;
        c->flags &= ~(uint32_t)TCP_ACK_NOW;
    }
    c->rcv_adv = seq_max(c->rcv_adv, c->rcv_nxt + window);
}

void emit_reset(const struct tcp_engine *e, const struct tcp_connection *c, struct tcp_segment *rst)
{
    *rst = (struct tcp_segment){.seq = emit_empty_seq(c), .ack = c->rcv_nxt, .control = TCP_RST | TCP_ACK};
    emit_timestamp(e, c, rst);
}
