/* keepalive.c: probes a peer that was silent for long, and gives up when it stays so. */
#include "tcp/keepalive.h"

#include "base/bits.h"
#include "tcp/challenge.h"
#include "tcp/ending.h"
#include "tcp/timer.h"
#include "tcp/window.h"

static uint32_t keepalive_time_ms(const struct tcp_connection *c)
{
    return c->keep_time_ms != 0 ? bits_min32(c->keep_time_ms, INT32_MAX) : (uint32_t)KEEPALIVE_TIME_MS;
}

static uint32_t keepalive_interval_ms(const struct tcp_connection *c)
{
    if (c->keep_interval_ms != 0) {
        return bits_min32(c->keep_interval_ms, INT32_MAX);
    }
    return c->profile == TCP_PROFILE_CHIMNEY ? KEEPALIVE_CHIMNEY_INTERVAL_MS : KEEPALIVE_INTERVAL_MS;
}

static uint32_t keepalive_limit(const struct tcp_connection *c)
{
    if (c->keep_limit != 0) {
        return bits_max32(c->keep_limit, KEEPALIVE_LEAST);
    }
    return c->profile == TCP_PROFILE_CHIMNEY ? KEEPALIVE_CHIMNEY_LIMIT : KEEPALIVE_LIMIT;
}

void keepalive_start(struct tcp_engine *e, struct tcp_connection *c)
{
    if (!keepalive_owns_timer(c)) {
        return;
    }
    if (tcp_has(c, TCP_KEEPALIVE)) {
        timer_set_keep(e, c, keepalive_time_ms(c));
    } else {
        timer_stop(e, c, TCP_TIMER_KEEP);
    }
}

/* MUST-26, MUST-27: only when neither data nor an ACK came within the interval, and nothing else probes the peer. */
static bool keepalive_is_early(struct tcp_engine *e, struct tcp_connection *c)
{
    const uint32_t idle_ms = engine_ms(e) - c->heard_ms, time_ms = keepalive_time_ms(c);

    if (tcp_flight(c) != 0 || window_unsent(c) != 0 || timer_is_set(c, TCP_TIMER_XMIT)) {
        timer_set_keep(e, c, time_ms);
        return true;
    }
    if (c->probes == 0 && idle_ms < time_ms && !challenge_is_mitigating(c)) {
        timer_set_keep(e, c, time_ms - idle_ms);
        return true;
    }
    return false;
}

void keepalive_expired(struct tcp_engine *e, struct tcp_connection *c, struct tcp_result *result)
{
    if (keepalive_is_early(e, c)) {
        return;
    }
    if (c->probes >= keepalive_limit(c)) {
        ending_give_up(e, c, result, TCP_REASON_KEEPALIVE, true);
        return;
    }
    c->probes++;
    c->flags |= TCP_PROBE_PENDING;
    timer_set_keep(e, c, keepalive_interval_ms(c));
}

void keepalive_hasten(struct tcp_engine *e, struct tcp_connection *c)
{
    const uint32_t left_ms = c->t_keep_ms - engine_ms(e);

    if (!timer_is_set(c, TCP_TIMER_KEEP) || (int32_t)left_ms > KEEPALIVE_HASTE_MS) {
        timer_set_keep(e, c, KEEPALIVE_HASTE_MS);
    }
}

void keepalive_relax(struct tcp_engine *e, struct tcp_connection *c)
{
    c->probes = 0;
    keepalive_start(e, c);
}
