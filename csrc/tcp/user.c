/* user.c: the user queues, consumes, and changes what may be changed while a connection lives. */
#include "tcp/ending.h"
#include "tcp/keepalive.h"
#include "tcp/output.h"
#include "tcp/reassembly.h"
#include "tcp/urgent.h"
#include "tcp/window.h"

enum { USER_QUEUE_MAX = 1 << 30 };

static void user_start(struct tcp_engine *e, uint64_t now_ns, struct tcp_result *result)
{
    engine_at(e, now_ns);
    *result = (struct tcp_result){0};
}

static void user_finish(struct tcp_engine *e, struct tcp_connection *c, struct tcp_result *result)
{
    if (output_is_due(e, c)) {
        result->events |= TCP_EVENT_OUTPUT;
    }
}

/* More than fits, or after shutdown: the caller's mistake, and nothing is queued. */
static bool user_may_queue(const struct tcp_connection *c, uint32_t bytes)
{
    return c->state != TCP_STATE_CLOSED && !tcp_has(c, TCP_FIN_QUEUED)
           && bytes <= USER_QUEUE_MAX - bits_min32(c->snd_end - c->snd_una, USER_QUEUE_MAX);
}

void tcp_queue(tcp_engine *engine, struct tcp_connection *c, uint64_t now_ns, uint32_t bytes, bool push,
               struct tcp_result *result)
{
    user_start(engine, now_ns, result);
    if (!user_may_queue(c, bytes)) {
        return;
    }
    c->snd_end += bytes;
    if (push && c->snd_nxt != c->snd_end) {
        c->flags |= TCP_PUSH;
    }
    user_finish(engine, c, result);
}

void tcp_queue_urgent(tcp_engine *engine, struct tcp_connection *c, uint64_t now_ns,
                      struct tcp_result *result)
{
    user_start(engine, now_ns, result);
    urgent_queue(c);
    user_finish(engine, c, result);
}

static bool user_reads(const struct tcp_connection *c)
{
    return tcp_is_synchronized(c) && !tcp_has(c, TCP_FIN_RECEIVED | TCP_FROZEN);
}

void tcp_consume(tcp_engine *engine, struct tcp_connection *c, uint64_t now_ns, uint32_t bytes,
                 struct tcp_result *result)
{
    user_start(engine, now_ns, result);
    c->rcv_unread -= bits_min32(bytes, c->rcv_unread);
    urgent_on_consume(c);
    if (user_reads(c) && window_is_update_due(c)) {
        c->flags |= TCP_WINDOW_UPDATE;
        result->events |= TCP_EVENT_OUTPUT;
    }
}

void tcp_set_receive_buffer(tcp_engine *engine, struct tcp_connection *c, uint64_t now_ns, uint32_t bytes,
                            struct tcp_result *result)
{
    user_start(engine, now_ns, result);
    c->rcv_buf = bits_max32(bits_min32(bytes, WINDOW_BUFFER_MAX), 1U << c->rcv_wscale);
    if (user_reads(c) && window_is_update_due(c)) {
        c->flags |= TCP_WINDOW_UPDATE;
        result->events |= TCP_EVENT_OUTPUT;
    }
}

void tcp_drop_ranges(tcp_engine *engine, struct tcp_connection *c)
{
    reassembly_drop(engine, c);
    c->flags &= ~(uint32_t)TCP_FIN_SEEN;
    c->ack_owed = 0;
}

void tcp_set_options(tcp_engine *engine, struct tcp_connection *c, uint64_t now_ns, uint32_t flags,
                     uint32_t keep_time_ms, uint32_t keep_interval_ms, uint32_t keep_limit,
                     uint32_t user_timeout_ms, struct tcp_result *result)
{
    const uint32_t changeable = TCP_NODELAY | TCP_KEEPALIVE;

    user_start(engine, now_ns, result);
    if (c->state == TCP_STATE_CLOSED) {
        return;
    }
    c->flags = (c->flags & ~changeable) | (flags & changeable);
    c->keep_time_ms = bits_min32(keep_time_ms, INT32_MAX);
    c->keep_interval_ms = bits_min32(keep_interval_ms, INT32_MAX);
    c->keep_limit = (uint8_t)bits_min32(keep_limit, UINT8_MAX);
    c->user_timeout_ms = user_timeout_ms;
    keepalive_start(engine, c);
    user_finish(engine, c, result);
}
