/* The retransmission timer: which of RTO, probe timeout and reordering timeout comes first, and from when it runs. */
#include "tcp/xmit_timer.h"

#include "tcp/ending.h"
#include "tcp/recovery.h"
#include "tcp/tail_probe.h"
#include "tcp/timer.h"

static bool is_armed_as(const struct tcp_connection *c, uint32_t what)
{
    return timer_is_set(c, TCP_TIMER_XMIT) && c->xmit == what;
}

/* PERSIST and OVERRIDE are others' business; with nothing in flight there is nothing to time. */
static bool may_set(struct tcp_engine *e, struct tcp_connection *c, uint32_t flight)
{
    if (timer_is_set(c, TCP_TIMER_XMIT) && c->xmit > TCP_XMIT_REORDER) {
        return false;
    }
    if (flight == 0) {
        timer_stop(e, c, TCP_TIMER_XMIT);
        return false;
    }
    return true;
}

static uint32_t what_is_left(uint32_t whole, uint32_t elapsed)
{
    return whole > elapsed ? whole - elapsed : 0;
}

/* The RTO has elapsed_us behind it; the earlier of it and what else there is to wait for is armed. */
static void set(struct tcp_engine *e, struct tcp_connection *c, uint32_t flight, uint32_t elapsed_us,
                uint32_t wait_us)
{
    uint32_t left = what_is_left(recovery_rto_us(e, c), elapsed_us);
    struct tcp_recovery *r = engine_recovery(e, c);

    if (wait_us != 0 && wait_us < left && r != NULL) {
        r->rto_start_us = engine_us(e) - elapsed_us;
        timer_set_xmit(e, c, TCP_XMIT_REORDER, wait_us);
    } else if (tail_probe_may(e, c)) {
        uint32_t timeout = tail_probe_timeout_us(c, flight);

        timer_set_xmit(e, c, TCP_XMIT_TAIL, timeout < left ? timeout : left);
    } else {
        timer_set_xmit(e, c, TCP_XMIT_RTO, left);
    }
}

/* Since the last progress, to the millisecond: that is when an RTO began whose place the probe timeout took. */
static uint32_t since_progress_us(const struct tcp_engine *e, const struct tcp_connection *c)
{
    uint32_t rto = recovery_rto_us(e, c);
    uint32_t since_ms = engine_ms(e) - c->retrans_ms;

    return since_ms < rto / 1000 ? since_ms * 1000 : rto;
}

/* Since when the RTO runs. */
static uint32_t elapsed_us(const struct tcp_engine *e, const struct tcp_connection *c)
{
    uint32_t rto = recovery_rto_us(e, c);

    if (is_armed_as(c, TCP_XMIT_REORDER) && c->recovery != 0) {
        return engine_us(e) - e->recoveries[c->recovery].rto_start_us;
    }
    if (is_armed_as(c, TCP_XMIT_TAIL)) {
        return since_progress_us(e, c);
    }
    if (is_armed_as(c, TCP_XMIT_RTO)) {
        return what_is_left(rto, c->t_xmit_us - engine_us(e));
    }
    return 0;
}

void xmit_timer_restart(struct tcp_engine *e, struct tcp_connection *c, uint32_t flight, uint32_t wait_us)
{
    if (may_set(e, c, flight)) {
        set(e, c, flight, 0, wait_us);
    }
}

void xmit_timer_keep(struct tcp_engine *e, struct tcp_connection *c, uint32_t wait_us)
{
    bool is_right = is_armed_as(c, TCP_XMIT_RTO) || (is_armed_as(c, TCP_XMIT_TAIL) && tail_probe_may(e, c));

    if ((wait_us != 0 || !is_right) && may_set(e, c, tcp_flight(c))) {
        set(e, c, tcp_flight(c), elapsed_us(e, c), wait_us);
    }
}

void xmit_timer_after_reordering(struct tcp_engine *e, struct tcp_connection *c, uint32_t wait_us)
{
    const struct tcp_recovery *r = engine_recovery(e, c);

    if (may_set(e, c, tcp_flight(c))) {
        set(e, c, tcp_flight(c), r != NULL ? engine_us(e) - r->rto_start_us : 0, wait_us);
    }
}

bool xmit_timer_defer_probe(struct tcp_engine *e, struct tcp_connection *c)
{
    uint32_t elapsed = since_progress_us(e, c);
    uint32_t left = what_is_left(recovery_rto_us(e, c), elapsed);
    uint32_t wait = what_is_left(tail_probe_timeout_us(c, tcp_flight(c)), engine_us(e) - c->run_us);

    if (!tail_probe_may(e, c)) {
        timer_set_xmit(e, c, TCP_XMIT_RTO, left);
        return true;
    }
    if (wait == 0 || left == 0) {
        return false;
    }
    timer_set_xmit(e, c, TCP_XMIT_TAIL, wait < left ? wait : left);
    return true;
}

void xmit_timer_hasten_probe(struct tcp_engine *e, struct tcp_connection *c, uint32_t flight)
{
    if (is_armed_as(c, TCP_XMIT_TAIL)) {
        set(e, c, flight, since_progress_us(e, c), 0);
    }
}

void xmit_timer_cut(struct tcp_engine *e, struct tcp_connection *c)
{
    const uint32_t left_us = c->t_xmit_us - engine_us(e);

    if (c->user_timeout_ms != 0 && (is_armed_as(c, TCP_XMIT_RTO) || is_armed_as(c, TCP_XMIT_PERSIST))
        && (int32_t)left_us > 0) {
        timer_set_xmit(e, c, (enum tcp_xmit)c->xmit, ending_cut_us(e, c, c->user_timeout_ms, left_us));
    }
}

void xmit_timer_on_head(struct tcp_engine *e, struct tcp_connection *c)
{
    struct tcp_recovery *r = engine_recovery(e, c);

    if (is_armed_as(c, TCP_XMIT_REORDER) && r != NULL) {
        r->rto_start_us = engine_us(e);
    } else {
        xmit_timer_restart(e, c, tcp_flight(c), 0);
        xmit_timer_cut(e, c);
    }
}

void xmit_timer_set_rto(struct tcp_engine *e, struct tcp_connection *c)
{
    if (may_set(e, c, tcp_flight(c))) {
        timer_set_xmit(e, c, TCP_XMIT_RTO, recovery_rto_us(e, c));
    }
}
