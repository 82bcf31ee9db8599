/* offload_update.c: the host changes the CACHED values of a connection that runs here. */
#include "tcp/challenge.h"
#include "tcp/keepalive.h"
#include "tcp/offload_admit.h"
#include "tcp/offload_ticks.h"
#include "tcp/output.h"
#include "tcp/timer.h"
#include "tcp/window.h"
#include "tcp/xmit_timer.h"

enum {
    VLAN_ID_MASK = 0xFFF,
    VLAN_PRIORITY_SHIFT = 13,
    FLAGS_KNOWN = TCP_CONNECTION_KEEP_ALIVE_ENABLED | TCP_CONNECTION_NAGLING_ENABLED
        | TCP_CONNECTION_KEEP_ALIVE_RESTART | TCP_CONNECTION_MAX_RT_RESTART | TCP_CONNECTION_UPDATE_RCV_WND
};

static bool is_update_sound(const struct tcp_offload_cached *cached, uint32_t rate)
{
    return ticks_is_rate(rate) && (cached->Flags & ~(unsigned)FLAGS_KNOWN) == 0 && cached->UserPriority <= 7
           && cached->InitialRcvWnd <= OFFLOAD_SPAN_MAX;
}

static bool asks(const struct tcp_offload_cached *cached, unsigned flag)
{
    return (cached->Flags & flag) != 0;
}

static void update_header(struct tcp_connection *c, const struct tcp_offload_cached *cached)
{
    c->ttl = cached->TtlOrHopLimit;
    c->tos = cached->TosOrTrafficClass;
    c->vlan = (uint16_t)((c->vlan & VLAN_ID_MASK) | (unsigned)cached->UserPriority << VLAN_PRIORITY_SHIFT);
    c->flags &= ~(uint32_t)TCP_NODELAY;
    c->flags |= asks(cached, TCP_CONNECTION_NAGLING_ENABLED) ? 0 : (uint32_t)TCP_NODELAY;
}

/* The timers of a frozen or closed connection stay as they are. */
static bool has_timers(const struct tcp_connection *c)
{
    return c->state != TCP_STATE_CLOSED && !tcp_has(c, TCP_FROZEN);
}

static void update_keepalive(struct tcp_engine *e, struct tcp_connection *c,
                             const struct tcp_offload_cached *cached, uint32_t rate)
{
    const uint32_t time_ms = ticks_of(cached->KaTimeout, TICKS_MS, rate);
    const uint32_t interval_ms = ticks_of(cached->KaInterval, TICKS_MS, rate);
    const bool is_asked = asks(cached, TCP_CONNECTION_KEEP_ALIVE_RESTART);
    const bool with_max_rt = asks(cached, TCP_CONNECTION_MAX_RT_RESTART);
    const bool resets_count = is_asked || (with_max_rt && c->keep_limit != cached->KaProbeCount);
    const bool is_on = asks(cached, TCP_CONNECTION_KEEP_ALIVE_ENABLED);
    const bool restarts =
        is_asked || is_on != tcp_has(c, TCP_KEEPALIVE)
        || (with_max_rt && (c->keep_time_ms != time_ms || c->keep_interval_ms != interval_ms));

    c->flags &= ~(uint32_t)TCP_KEEPALIVE;
    c->flags |= is_on ? (uint32_t)TCP_KEEPALIVE : 0;
    c->keep_limit = cached->KaProbeCount;
    c->keep_time_ms = time_ms;
    c->keep_interval_ms = interval_ms;
    if (resets_count && keepalive_owns_timer(c)
        && c->snd_wnd != 0) { /* of a closed window they are persist's */
        c->probes = 0;
    }
    if (restarts && has_timers(c) && (is_on || !challenge_is_mitigating(c))) {
        c->heard_ms = is_asked ? engine_ms(e) : c->heard_ms; /* idle time starts anew, too */
        keepalive_start(e, c);
    }
}

static void update_patience(struct tcp_engine *e, struct tcp_connection *c,
                            const struct tcp_offload_cached *cached, uint32_t rate)
{
    const bool is_endless = cached->MaxRT == UINT32_MAX;

    c->user_timeout_ms = is_endless ? UINT32_MAX : ticks_of(cached->MaxRT, TICKS_MS, rate);
    if (asks(cached, TCP_CONNECTION_MAX_RT_RESTART)) {
        c->retrans_ms = engine_ms(e);
    }
    if (has_timers(c)) { /* the one that runs does not outlast the new limit */
        xmit_timer_cut(e, c);
    }
}

static void update_window(struct tcp_connection *c, const struct tcp_offload_cached *cached)
{
    if (!asks(cached, TCP_CONNECTION_UPDATE_RCV_WND)) {
        return;
    }
    c->rcv_buf = bits_max32(cached->InitialRcvWnd, 1U << c->rcv_wscale);
    if (tcp_is_synchronized(c) && has_timers(c) && !tcp_has(c, TCP_FIN_RECEIVED)
        && tcp_receive_window(c) != window_offered(c)) {
        c->flags |= TCP_WINDOW_UPDATE;
    }
}

int tcp_offload_update(tcp_engine *engine, struct tcp_connection *c, uint64_t now_ns,
                       uint32_t ticks_per_second, const struct tcp_offload_cached *cached,
                       struct tcp_result *result)
{
    *result = (struct tcp_result){0};
    if (!is_update_sound(cached, ticks_per_second)) {
        return TCP_OFFLOAD_VALUE;
    }
    engine_at(engine, now_ns);
    update_header(c, cached);
    update_keepalive(engine, c, cached, ticks_per_second);
    update_patience(engine, c, cached, ticks_per_second);
    update_window(c, cached);
    if (output_is_due(engine, c)) {
        result->events |= TCP_EVENT_OUTPUT;
    }
    return TCP_OFFLOAD_OK;
}
