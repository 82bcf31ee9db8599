/* kept_tcp.c: what a target does to the TCP engine, and what comes of it. */
#include <string.h>

#include "kept.h"
#include "tcp/handoff.h"
#include "tcp/image.h"
#include "tcp/offload_state.h"

enum { IMAGE_MOST = 1 << 17, EDITS = 6 };

typedef tcp_engine engine_t;
typedef struct tcp_connection connection_t;
typedef struct tcp_segment segment_t;
typedef struct tcp_result result_t;

/* A function of the engine with another in front of it. */
#define DECLARED(type, name, ...)                                                                            \
    type __real_tcp_##name(__VA_ARGS__);                                                                     \
    type __wrap_tcp_##name(__VA_ARGS__)
#define WITH_CONNECTION engine_t *e, connection_t *c, uint64_t now_ns

DECLARED(size_t, save, engine_t *e, const connection_t *c, uint64_t now_ns, uint8_t *out, size_t capacity);
DECLARED(size_t, header_write, const segment_t *s, uint16_t source, uint16_t destination, uint8_t *out);

/* -- what is told --------------------------------------------------------------------------------------------- */

static void say_segment(const segment_t *s)
{
    uint8_t header[TCP_HEADER_MAX];

    kept_bytes(header, __real_tcp_header_write(s, 1, 2, header));
    kept_word((uint64_t)s->len << 8 | s->ecn);
}

static void say_result(const result_t *r)
{
    kept_word((uint64_t)r->events << 32 | r->reason);
    kept_word((uint64_t)r->acked << 32 | r->delivered);
    if ((r->events & TCP_EVENT_DATA) != 0) {
        kept_word((uint64_t)r->seq << 32 | r->skip);
        kept_word(r->len);
    }
}

/* All that the engine knows of it, and when it next has to do something. */
static void say_connection(engine_t *e, const connection_t *c)
{
    static uint8_t image[IMAGE_MOST];

    if (c == NULL || c->state == TCP_STATE_CLOSED) {
        kept_word(c == NULL ? 0 : 1);
        return;
    }
    kept_bytes(image, __real_tcp_save(e, c, tcp_engine_now(e), image, sizeof image));
    kept_word(tcp_connection_deadline(e, c));
    kept_word((uint64_t)tcp_pipe(e, c) << 32 | tcp_receive_window(c));
}

static uint64_t state_of(const engine_t *e)
{
    const uint64_t *counter = (const uint64_t *)(const void *)tcp_engine_statistics(e);
    uint64_t state = (uint64_t)tcp_connections_used(e) << 32 | tcp_nodes_left(e);

    for (size_t i = 0; i < sizeof(struct tcp_statistics) / sizeof *counter; i++) {
        state = (state ^ counter[i]) * 0x100000001B3ull;
    }
    return state;
}

static void told(engine_t *e, const connection_t *c, const char *call, uint64_t answer)
{
    if (kept_leave()) {
        say_connection(e, c);
        kept_tell(call, answer, state_of(e));
    }
}

static void told_result(engine_t *e, const connection_t *c, const char *call, const result_t *r)
{
    say_result(r);
    told(e, c, call, r->events);
}

/* -- life ----------------------------------------------------------------------------------------------------- */

DECLARED(connection_t *, connect, engine_t *e, uint64_t now_ns, const struct tcp_open *open);
connection_t *__wrap_tcp_connect(engine_t *e, uint64_t now_ns, const struct tcp_open *open)
{
    kept_enter();
    connection_t *c = __real_tcp_connect(e, now_ns, open);
    told(e, c, "tcp_connect", c != NULL);
    return c;
}

DECLARED(connection_t *, accept, engine_t *e, uint64_t now_ns, const struct tcp_open *open,
         const segment_t *syn);
connection_t *__wrap_tcp_accept(engine_t *e, uint64_t now_ns, const struct tcp_open *open,
                                const segment_t *syn)
{
    kept_enter();
    connection_t *c = __real_tcp_accept(e, now_ns, open, syn);
    told(e, c, "tcp_accept", c != NULL);
    return c;
}

DECLARED(connection_t *, accept_cookie, engine_t *e, uint64_t now_ns, const struct tcp_open *open,
         const segment_t *syn, const segment_t *ack);
connection_t *__wrap_tcp_accept_cookie(engine_t *e, uint64_t now_ns, const struct tcp_open *open,
                                       const segment_t *syn, const segment_t *ack)
{
    kept_enter();
    connection_t *c = __real_tcp_accept_cookie(e, now_ns, open, syn, ack);
    told(e, c, "tcp_accept_cookie", c != NULL);
    return c;
}

DECLARED(void, release, engine_t *e, connection_t *c);
void __wrap_tcp_release(engine_t *e, connection_t *c)
{
    kept_enter();
    __real_tcp_release(e, c);
    told(e, NULL, "tcp_release", 0);
}

DECLARED(void, shutdown, WITH_CONNECTION, result_t *r);
void __wrap_tcp_shutdown(WITH_CONNECTION, result_t *r)
{
    kept_enter();
    __real_tcp_shutdown(e, c, now_ns, r);
    told_result(e, c, "tcp_shutdown", r);
}

DECLARED(bool, close, WITH_CONNECTION, result_t *r, segment_t *rst);
bool __wrap_tcp_close(WITH_CONNECTION, result_t *r, segment_t *rst)
{
    kept_enter();
    const bool is_reset = __real_tcp_close(e, c, now_ns, r, rst);
    if (is_reset) {
        say_segment(rst);
    }
    told_result(e, c, "tcp_close", r);
    return is_reset;
}

DECLARED(bool, abort, WITH_CONNECTION, segment_t *rst);
bool __wrap_tcp_abort(WITH_CONNECTION, segment_t *rst)
{
    kept_enter();
    const bool is_reset = __real_tcp_abort(e, c, now_ns, rst);
    if (is_reset) {
        say_segment(rst);
    }
    told(e, c, "tcp_abort", is_reset);
    return is_reset;
}

/* -- segments and time ---------------------------------------------------------------------------------------- */

DECLARED(void, input, WITH_CONNECTION, const segment_t *s, result_t *r);
void __wrap_tcp_input(WITH_CONNECTION, const segment_t *s, result_t *r)
{
    kept_enter();
    __real_tcp_input(e, c, now_ns, s, r);
    told_result(e, c, "tcp_input", r);
}

DECLARED(bool, output, WITH_CONNECTION, uint32_t max_len, segment_t *out);
bool __wrap_tcp_output(WITH_CONNECTION, uint32_t max_len, segment_t *out)
{
    kept_enter();
    const bool is_sent = __real_tcp_output(e, c, now_ns, max_len, out);
    if (is_sent) {
        say_segment(out);
        kept_word(out->mss);
    }
    told(e, c, "tcp_output", is_sent);
    return is_sent;
}

DECLARED(void, timeout, WITH_CONNECTION, result_t *r);
void __wrap_tcp_timeout(WITH_CONNECTION, result_t *r)
{
    kept_enter();
    __real_tcp_timeout(e, c, now_ns, r);
    told_result(e, c, "tcp_timeout", r);
}

DECLARED(connection_t *, expired, engine_t *e, uint64_t now_ns);
connection_t *__wrap_tcp_expired(engine_t *e, uint64_t now_ns)
{
    kept_enter();
    connection_t *c = __real_tcp_expired(e, now_ns);
    told(e, c, "tcp_expired", c != NULL ? tcp_index(e, c) : 0);
    return c;
}

DECLARED(uint64_t, deadline, engine_t *e);
uint64_t __wrap_tcp_deadline(engine_t *e)
{
    kept_enter();
    const uint64_t deadline = __real_tcp_deadline(e);
    told(e, NULL, "tcp_deadline", deadline);
    return deadline;
}

DECLARED(bool, reset_for, const segment_t *s, segment_t *rst);
bool __wrap_tcp_reset_for(const segment_t *s, segment_t *rst)
{
    const bool is_reset = __real_tcp_reset_for(s, rst);
    if (is_reset) {
        say_segment(rst);
    }
    return is_reset;
}

DECLARED(bool, may_reopen, const connection_t *c, const segment_t *syn);
bool __wrap_tcp_may_reopen(const connection_t *c, const segment_t *syn)
{
    const bool may = __real_tcp_may_reopen(c, syn);
    kept_word(may);
    return may;
}

DECLARED(int, header_parse, segment_t *s, const uint8_t *bytes, size_t len);
int __wrap_tcp_header_parse(segment_t *s, const uint8_t *bytes, size_t len)
{
    const int result = __real_tcp_header_parse(s, bytes, len);
    kept_word((uint64_t)result);
    if (result == 0) {
        say_segment(s);
        kept_word((uint64_t)s->options << 32 | (uint64_t)s->wscale << 24 | (uint64_t)s->sacks << 16 | s->mss);
        kept_word((uint64_t)s->ts_val << 32 | s->ts_ecr);
        kept_word((uint64_t)s->user_timeout << 16 | s->urgent);
    }
    return result;
}

size_t __wrap_tcp_header_write(const segment_t *s, uint16_t source, uint16_t destination, uint8_t *out)
{
    const size_t len = __real_tcp_header_write(s, source, destination, out);
    kept_bytes(out, len);
    return len;
}

/* -- the user ------------------------------------------------------------------------------------------------- */

DECLARED(void, queue, WITH_CONNECTION, uint32_t bytes, bool push, result_t *r);
void __wrap_tcp_queue(WITH_CONNECTION, uint32_t bytes, bool push, result_t *r)
{
    kept_enter();
    __real_tcp_queue(e, c, now_ns, bytes, push, r);
    told_result(e, c, "tcp_queue", r);
}

DECLARED(void, queue_urgent, WITH_CONNECTION, result_t *r);
void __wrap_tcp_queue_urgent(WITH_CONNECTION, result_t *r)
{
    kept_enter();
    __real_tcp_queue_urgent(e, c, now_ns, r);
    told_result(e, c, "tcp_queue_urgent", r);
}

DECLARED(void, consume, WITH_CONNECTION, uint32_t bytes, result_t *r);
void __wrap_tcp_consume(WITH_CONNECTION, uint32_t bytes, result_t *r)
{
    kept_enter();
    __real_tcp_consume(e, c, now_ns, bytes, r);
    told_result(e, c, "tcp_consume", r);
}

DECLARED(void, set_receive_buffer, WITH_CONNECTION, uint32_t bytes, result_t *r);
void __wrap_tcp_set_receive_buffer(WITH_CONNECTION, uint32_t bytes, result_t *r)
{
    kept_enter();
    __real_tcp_set_receive_buffer(e, c, now_ns, bytes, r);
    told_result(e, c, "tcp_set_receive_buffer", r);
}

DECLARED(void, set_options, WITH_CONNECTION, uint32_t flags, uint32_t time, uint32_t interval, uint32_t limit,
         uint32_t user_timeout, result_t *r);
void __wrap_tcp_set_options(WITH_CONNECTION, uint32_t flags, uint32_t time, uint32_t interval, uint32_t limit,
                            uint32_t user_timeout, result_t *r)
{
    kept_enter();
    __real_tcp_set_options(e, c, now_ns, flags, time, interval, limit, user_timeout, r);
    told_result(e, c, "tcp_set_options", r);
}

DECLARED(void, icmp, WITH_CONNECTION, uint32_t kind, uint32_t seq, uint32_t mtu, result_t *r);
void __wrap_tcp_icmp(WITH_CONNECTION, uint32_t kind, uint32_t seq, uint32_t mtu, result_t *r)
{
    kept_enter();
    __real_tcp_icmp(e, c, now_ns, kind, seq, mtu, r);
    told_result(e, c, "tcp_icmp", r);
}

DECLARED(void, drop_ranges, engine_t *e, connection_t *c);
void __wrap_tcp_drop_ranges(engine_t *e, connection_t *c)
{
    kept_enter();
    __real_tcp_drop_ranges(e, c);
    told(e, c, "tcp_drop_ranges", 0);
}

/* -- the border ----------------------------------------------------------------------------------------------- */

DECLARED(bool, freeze, WITH_CONNECTION, segment_t *out);
bool __wrap_tcp_freeze(WITH_CONNECTION, segment_t *out)
{
    kept_enter();
    const bool is_first = __real_tcp_freeze(e, c, now_ns, out);
    if (is_first) {
        say_segment(out);
    }
    told(e, c, "tcp_freeze", is_first);
    return is_first;
}

DECLARED(void, thaw, WITH_CONNECTION, result_t *r);
void __wrap_tcp_thaw(WITH_CONNECTION, result_t *r)
{
    kept_enter();
    __real_tcp_thaw(e, c, now_ns, r);
    told_result(e, c, "tcp_thaw", r);
}

DECLARED(int, load, engine_t *e, uint64_t now_ns, const uint8_t *bytes, size_t len, connection_t **c);
/* A connection of an image that is nearly right: refused, or taken and let go. */
static uint8_t edited[IMAGE_MOST];

static void load_told(void *opaque, size_t len)
{
    engine_t *e = opaque;
    connection_t *c = NULL;
    const int result = __real_tcp_load(e, tcp_engine_now(e), edited, len, &c);

    kept_word((uint64_t)(int64_t)result);
    if (result == TCP_LOAD_OK) {
        say_connection(e, c);
        __real_tcp_release(e, c);
    }
}

size_t __wrap_tcp_save(engine_t *e, const connection_t *c, uint64_t now_ns, uint8_t *out, size_t capacity)
{
    kept_enter();
    const size_t len = __real_tcp_save(e, c, now_ns, out, capacity);
    kept_bytes(out, len);
    if (len != 0 && len <= sizeof edited) {
        memcpy(edited, out, len);
        kept_edit(edited, len, EDITS, load_told, e);
    }
    told(e, c, "tcp_save", len);
    return len;
}

int __wrap_tcp_load(engine_t *e, uint64_t now_ns, const uint8_t *bytes, size_t len, connection_t **c)
{
    kept_enter();
    const int result = __real_tcp_load(e, now_ns, bytes, len, c);
    told(e, result == TCP_LOAD_OK ? *c : NULL, "tcp_load", (uint64_t)result);
    return result;
}

DECLARED(int, to_offload, engine_t *e, const connection_t *c, uint64_t now_ns, uint32_t ticks,
         struct tcp_offload_state *state);
int __wrap_tcp_to_offload(engine_t *e, const connection_t *c, uint64_t now_ns, uint32_t ticks,
                          struct tcp_offload_state *state)
{
    kept_enter();
    const int result = __real_tcp_to_offload(e, c, now_ns, ticks, state);
    if (result == TCP_OFFLOAD_OK) {
        kept_bytes(state, sizeof *state);
    }
    told(e, c, "tcp_to_offload", (uint64_t)result);
    return result;
}

DECLARED(int, from_offload, engine_t *e, uint64_t now_ns, const struct tcp_offload_taker *taker,
         const struct tcp_offload_state *state, connection_t **c);
int __wrap_tcp_from_offload(engine_t *e, uint64_t now_ns, const struct tcp_offload_taker *taker,
                            const struct tcp_offload_state *state, connection_t **c)
{
    kept_enter();
    const int result = __real_tcp_from_offload(e, now_ns, taker, state, c);
    told(e, result == TCP_OFFLOAD_OK ? *c : NULL, "tcp_from_offload", (uint64_t)result);
    return result;
}
