/* persist.c: the timer of zero window probes, from the window's closing to its opening. */
#include "tcp/persist.h"

#include "tcp/ending.h"
#include "tcp/recovery.h"
#include "tcp/window.h"

void persist_start(struct tcp_engine *e, struct tcp_connection *c)
{
    if (persist_is_on(c) || tcp_has(c, TCP_PROBE_PENDING)) {
        return;
    }
    if (tcp_flight(c) != 0 || window_unsent(c) != 0) {
        c->backoff = 0;
        c->probes = 0;
        timer_set_xmit(e, c, TCP_XMIT_PERSIST, recovery_rto_us(e, c));
    }
}

/* While the window stays closed the intervals keep growing, also when the peer took a probe's byte. */
static void persist_go_on(struct tcp_engine *e, struct tcp_connection *c, uint8_t backoff)
{
    if (tcp_flight(c) == 0 && window_unsent(c) == 0) {
        timer_stop(e, c, TCP_TIMER_XMIT);
    } else if (persist_is_on(c)) {
        c->backoff = backoff;
    } else {
        c->flags &= ~(uint32_t)TCP_PROBE_PENDING;
        persist_start(e, c);
    }
}

/* Open: what probes carried in vain is sent again at once, not after a timeout. */
static void persist_end(struct tcp_engine *e, struct tcp_connection *c, struct tcp_result *result)
{
    result->events |= TCP_EVENT_WINDOW;
    c->snd_probed = 0;
    c->flags &= ~(uint32_t)TCP_PROBE_PENDING;
    if (persist_is_on(c)) {
        timer_stop(e, c, TCP_TIMER_XMIT);
        c->backoff = 0;
    }
    if (tcp_flight(c) != 0) {
        c->flags |= TCP_PROBE_PENDING;
        recovery_arm(e, c);
    }
}

void persist_follow(struct tcp_engine *e, struct tcp_connection *c, struct tcp_result *result,
                    uint32_t prior_wnd, uint8_t backoff)
{
    if (c->snd_wnd != 0) {
        persist_end(e, c, result);
    } else if (prior_wnd != 0) {
        timer_stop(e, c, TCP_TIMER_XMIT);
        c->flags &= ~(uint32_t)(TCP_PROBE_PENDING | TCP_TAIL_PENDING);
        persist_start(e, c);
    } else {
        persist_go_on(e, c, backoff);
    }
}

/* MUST-37: while the peer answers the connection stays; only probes without answer count. */
static bool persist_is_hopeless(const struct tcp_engine *e, const struct tcp_connection *c)
{
    const bool is_long = engine_ms(e) - c->retrans_ms >= ending_limit_ms(e, c);

    if (ending_tries(e, c) != 0) {
        return c->probes >= ending_tries(e, c);
    }
    return is_long && c->probes != 0 && (c->user_timeout_ms != 0 || c->probes >= e->config.r1);
}

void persist_expired(struct tcp_engine *e, struct tcp_connection *c, struct tcp_result *result)
{
    if (persist_is_hopeless(e, c)) {
        ending_give_up(e, c, result, TCP_REASON_TIMEOUT, false);
        return;
    }
    if (c->probes == 0) {
        c->retrans_ms = engine_ms(e);
    }
    c->probes = (uint8_t)(c->probes + (c->probes != UINT8_MAX));
    c->backoff = (uint8_t)(c->backoff + (c->backoff < 31));
    c->flags |= TCP_PROBE_PENDING;
}

void persist_on_probe(struct tcp_engine *e, struct tcp_connection *c)
{
    uint32_t interval_us = recovery_rto_us(e, c);

    if (c->user_timeout_ms != 0) {
        interval_us = ending_cut_us(e, c, c->user_timeout_ms, interval_us);
    }
    timer_set_xmit(e, c, TCP_XMIT_PERSIST, interval_us);
}
