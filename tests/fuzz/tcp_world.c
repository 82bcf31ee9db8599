/* tcp_world.c: what bytes make of a hostile peer and user, and what must hold at the border whatever they do. */
#include "tcp_world.h"

#include <stdlib.h>
#include <string.h>

#include "tcp/state.h"
#include "wire/seq.h"

enum { OUTPUT_MOST = 20000, TIMEOUTS_MOST = 20000, QUEUE_MOST = 1 << 30 };

/* Taken one after the other: an input means the same whatever order a compiler chooses for operands. */
static uint64_t time_take(struct world_bytes *bytes, uint64_t number)
{
    return number << (world_take8(bytes) % 32);
}

void world_start(struct world *w, struct world_bytes *bytes)
{
    struct tcp_engine_config config;

    tcp_engine_defaults(&config, WORLD_CONNECTIONS);
    config.nodes = 4 + world_take8(bytes);
    config.recoveries = 1 + world_take8(bytes) % 4;
    config.ranges_per_connection = 4 + world_take8(bytes) % 16;
    w->engine = tcp_engine_create(&config);
    if (w->engine == NULL) {
        abort();
    }
    w->now_ns = time_take(bytes, world_take32(bytes));
    memset(w->c, 0, sizeof w->c);
    w->said = 0;
    w->is_forged = false;
}

void world_end(struct world *w)
{
    tcp_engine_destroy(w->engine);
}

/* -- what must hold ----------------------------------------------------------------------------------------- */

static const char *check_one(struct world *w, unsigned slot)
{
    const char *wrong = tcp_check(w->engine, w->c[slot]);

    return wrong != NULL ? wrong : ledger_check(&w->ledger[slot], w->engine, w->c[slot]);
}

static const char *check_all(struct world *w)
{
    for (unsigned i = 0; i < WORLD_CONNECTIONS; i++) {
        const char *wrong = w->c[i] != NULL ? check_one(w, i) : NULL;
        if (wrong != NULL) {
            return wrong;
        }
    }
    return NULL;
}

void world_drop(struct world *w, unsigned slot)
{
    tcp_release(w->engine, w->c[slot]);
    w->c[slot] = NULL;
}

/* What an event says of the caller's bytes must be true of what the connection was before. */
static const char *judge_result(const struct tcp_connection *before, const struct tcp_connection *c,
                                const struct tcp_segment *segment, const struct tcp_result *result)
{
    if ((result->events & TCP_EVENT_DATA) != 0) {
        if (result->len == 0 || result->skip > segment->len || result->len > segment->len - result->skip) {
            return "data beyond the segment";
        }
        if (tcp_is_synchronized(before)
            && (seq_lt(result->seq, before->rcv_nxt) || seq_gt(result->seq + result->len, before->rcv_adv))) {
            return "data outside the window";
        }
    }
    if (result->acked > before->snd_end - before->snd_una
        || c->snd_una - before->snd_una > 1 + result->acked) {
        return "more acknowledged than sent";
    }
    if (result->delivered != c->rcv_unread - before->rcv_unread && c->state != TCP_STATE_CLOSED) {
        return "delivered bytes miscounted";
    }
    return NULL;
}

static const char *after(struct world *w, unsigned slot, const struct tcp_result *result)
{
    struct tcp_connection *c = w->c[slot];

    if ((result->events & TCP_EVENT_CLOSED) != 0) {
        if (c->state != TCP_STATE_CLOSED || c->armed != 0) {
            return "closed with a timer or in another state";
        }
        world_drop(w, slot);
    } else if ((result->events & TCP_EVENT_UPLOAD) != 0 && (result->events & TCP_EVENT_TIME_WAIT) == 0) {
        world_drop(w, slot);
    }
    return NULL;
}

static const char *judge_output(const struct tcp_connection *before, const struct tcp_segment *out)
{
    if (out->len != 0
        && (seq_lt(out->seq, before->snd_una) || seq_gt(out->seq + out->len, before->snd_end))) {
        return "sent bytes that are not in the queue";
    }
    if (out->len != 0 && out->mss == 0) {
        return "payload with no size of packets";
    }
    return out->sacks > TCP_SACK_BLOCKS ? "too many SACK blocks" : NULL;
}

static void say(struct world *w, const uint8_t *header, uint32_t header_len, uint32_t len)
{
    for (uint32_t i = 0; i < header_len; i++) {
        w->said = (w->said ^ header[i]) * 0x100000001B3u;
    }
    w->said = (w->said ^ len) * 0x100000001B3u;
}

static const char *pull(struct world *w, unsigned slot, uint32_t max_len, unsigned most)
{
    struct tcp_segment out;
    uint8_t header[TCP_HEADER_MAX];

    for (unsigned n = 0; n < most; n++) {
        const struct tcp_connection before = *w->c[slot];
        memset(&out, 0, sizeof out);
        if (!tcp_output(w->engine, w->c[slot], w->now_ns, max_len, &out)) {
            return NULL;
        }
        const char *wrong = judge_output(&before, &out);
        wrong = wrong != NULL || w->is_forged ? wrong : ledger_output(&before, &out);
        if (wrong != NULL) {
            return wrong;
        }
        const uint32_t header_len = (uint32_t)tcp_header_len(&out);
        if (tcp_header_write(&out, 1, 2, header) != header_len) {
            return "header of another length than announced";
        }
        say(w, header, header_len, out.len);
    }
    return most == OUTPUT_MOST ? "output without end" : NULL;
}

static const char *time_passes(struct world *w)
{
    struct tcp_connection *c;
    struct tcp_result result;

    for (unsigned n = 0; (c = tcp_expired(w->engine, w->now_ns)) != NULL; n++) {
        unsigned slot = 0;
        while (slot < WORLD_CONNECTIONS && w->c[slot] != c) {
            slot++;
        }
        if (slot == WORLD_CONNECTIONS || n == TIMEOUTS_MOST) {
            return slot == WORLD_CONNECTIONS ? "a connection expired that is not there"
                                             : "timeouts without end";
        }
        tcp_timeout(w->engine, c, w->now_ns, &result);
        const char *wrong = after(w, slot, &result);
        if (wrong != NULL) {
            return wrong;
        }
    }
    return tcp_deadline(w->engine) > w->now_ns ? NULL : "time stands still";
}

/* -- the peer's turn ------------------------------------------------------------------------------------------ */

static const char *receive(struct world *w, unsigned slot, const struct tcp_segment *segment)
{
    const struct tcp_connection before = *w->c[slot];
    struct tcp_segment rst;
    struct tcp_result result;

    tcp_input(w->engine, w->c[slot], w->now_ns, segment, &result);
    const char *wrong = judge_result(&before, w->c[slot], segment, &result);
    wrong = wrong != NULL ? wrong : ledger_input(&w->ledger[slot], &before, w->c[slot], &result);
    if (wrong != NULL) {
        return wrong;
    }
    if ((result.events & TCP_EVENT_REPLY_RST) != 0 && !tcp_reset_for(segment, &rst)
        && (segment->control & TCP_RST) == 0) {
        return "no RST for this segment";
    }
    (void)tcp_may_reopen(w->c[slot], segment);
    return after(w, slot, &result);
}

/* Bytes as they come, with numbers that are good in every other. */
static const char *receive_raw(struct world *w, unsigned slot, struct world_bytes *bytes)
{
    uint8_t header[64] = {0};
    const uint32_t kind = world_take8(bytes), len = kind % 61;
    struct tcp_segment s = {0};

    for (uint32_t i = 0; i < len; i++) {
        header[i] = (uint8_t)world_take8(bytes);
    }
    if (tcp_header_parse(&s, header, len) != 0) {
        return NULL;
    }
    if ((kind & 64) == 0) {
        s.seq = w->c[slot]->rcv_nxt;
        s.ack = w->c[slot]->snd_nxt;
        s.control |= TCP_ACK;
    }
    return receive(w, slot, &s);
}

/* -- the user ----------------------------------------------------------------------------------------------- */

void world_open(struct world *w, unsigned slot, struct world_bytes *bytes)
{
    const uint32_t how = world_take8(bytes);
    struct tcp_segment syn, ack;
    struct tcp_open open;

    ledger_open(&w->ledger[slot]);
    peer_open(&open, bytes);
    syn = peer_first(bytes);
    if (w->c[slot] != NULL) {
        world_drop(w, slot);
    }
    if (how % 4 == 0) {
        w->c[slot] = tcp_connect(w->engine, w->now_ns, &open);
    } else if (how % 4 == 1) {
        w->c[slot] = tcp_accept(w->engine, w->now_ns, &open, &syn);
    } else {
        ack = (struct tcp_segment){.control = TCP_ACK, .seq = syn.seq + 1, .ack = open.iss + 1, .wnd = 60000};
        w->c[slot] = tcp_accept_cookie(w->engine, w->now_ns, &open, &syn, &ack);
    }
}

static const char *user_ends(struct world *w, unsigned slot, uint32_t how)
{
    struct tcp_result result = {0};
    struct tcp_segment rst;

    if (how < 2) {
        tcp_shutdown(w->engine, w->c[slot], w->now_ns, &result);
    } else if (how < 5) {
        (void)tcp_close(w->engine, w->c[slot], w->now_ns, &result, &rst);
    } else if (how == 5) {
        (void)tcp_abort(w->engine, w->c[slot], w->now_ns, &rst);
        world_drop(w, slot);
        return NULL;
    } else {
        world_drop(w, slot);
        return NULL;
    }
    return after(w, slot, &result);
}

static void user_queues(struct world *w, unsigned slot, struct world_bytes *bytes)
{
    const struct tcp_connection *c = w->c[slot];
    const uint32_t kind = world_take8(bytes), held = c->snd_end - c->snd_una;
    const uint32_t wanted = world_take16(bytes) << (kind & 7),
                   room = held < QUEUE_MOST ? QUEUE_MOST - held : 0;
    struct tcp_result result;

    if (tcp_has(c, TCP_FIN_QUEUED)) {
        return;
    }
    tcp_queue(w->engine, w->c[slot], w->now_ns, wanted < room ? wanted : room, (kind & 8) != 0, &result);
    if (kind >= 224) {
        tcp_queue_urgent(w->engine, w->c[slot], w->now_ns, &result);
    }
}

static void user_reads(struct world *w, unsigned slot, struct world_bytes *bytes)
{
    const uint32_t unread = w->c[slot]->rcv_unread, wanted = world_take16(bytes);
    struct tcp_result result;

    tcp_consume(w->engine, w->c[slot], w->now_ns, wanted < unread ? wanted : unread, &result);
}

static const char *user_tunes(struct world *w, unsigned slot, struct world_bytes *bytes)
{
    const uint32_t kind = world_take8(bytes);
    struct tcp_connection *c = w->c[slot];
    struct tcp_result result = {0};

    if (kind < 64) {
        tcp_set_receive_buffer(w->engine, c, w->now_ns, world_take16(bytes) << (kind & 7), &result);
    } else if (kind < 96) {
        tcp_drop_ranges(w->engine, c);
        ledger_drop(&w->ledger[slot], c);
    } else if (kind < 160) {
        const uint32_t time = world_take32(bytes), interval = world_take16(bytes), limit = world_take8(bytes);
        tcp_set_options(w->engine, c, w->now_ns, kind & (TCP_NODELAY | TCP_KEEPALIVE), time, interval, limit,
                        world_take32(bytes), &result);
    } else {
        const uint32_t seq = c->snd_una + world_take8(bytes);
        tcp_icmp(w->engine, c, w->now_ns, kind & 3, seq, world_take16(bytes), &result);
    }
    return after(w, slot, &result);
}

/* -- a step ------------------------------------------------------------------------------------------------- */

static const char *act(struct world *w, unsigned slot, uint32_t code, struct world_bytes *bytes)
{
    struct tcp_segment segment;
    uint32_t len;

    switch (code) {
    default:
        segment = peer_segment(w->now_ns, w->c[slot], bytes);
        return receive(w, slot, &segment);
    case 16:
    case 17:
        return receive_raw(w, slot, bytes);
    case 18:
    case 19:
    case 20:
        user_queues(w, slot, bytes);
        return NULL;
    case 21:
    case 22:
        user_reads(w, slot, bytes);
        return NULL;
    case 23:
        return user_ends(w, slot, world_take8(bytes) % 7);
    case 24:
        return user_tunes(w, slot, bytes);
    case 25:
    case 26:
        return world_hand_off(w, slot, bytes);
    case 27:
        len = world_take16(bytes);
        return pull(w, slot, len, world_take8(bytes) % 4);
    case 28:
        w->now_ns += time_take(bytes, world_take16(bytes));
        return time_passes(w);
    case 29:
        w->now_ns = tcp_deadline(w->engine) != UINT64_MAX ? tcp_deadline(w->engine) : w->now_ns;
        return time_passes(w);
    case 30:
        w->now_ns += (uint64_t)world_take8(bytes) * 1000000;
        return time_passes(w);
    case 31:
        world_open(w, slot, bytes);
        return NULL;
    }
}

const char *world_step(struct world *w, struct world_bytes *bytes)
{
    const uint32_t code = world_take8(bytes);
    const unsigned slot = code >> 5 & (WORLD_CONNECTIONS - 1);
    const char *wrong = NULL;

    if (w->c[slot] == NULL) {
        world_open(w, slot, bytes);
    }
    if (w->c[slot] != NULL) {
        wrong = act(w, slot, code & 31, bytes);
    }
    if (wrong == NULL && w->c[slot] != NULL && (code & 128) != 0) {
        wrong = pull(w, slot, 65535, OUTPUT_MOST);
    }
    return wrong != NULL ? wrong : check_all(w);
}

const char *world_finish(struct world *w)
{
    const struct tcp_engine *e = w->engine;

    for (unsigned i = 0; i < WORLD_CONNECTIONS; i++) {
        if (w->c[i] != NULL) {
            world_drop(w, i);
        }
    }
    if (e->connection_pool.used != 0 || e->node_pool.used != 0 || e->recovery_pool.used != 0) {
        return "something leaked from a pool";
    }
    return tcp_deadline(w->engine) == UINT64_MAX ? NULL : "a timer outlived its connection";
}
