/* ending.c: the ways out of a connection. */
#include "tcp/ending.h"

#include "tcp/reassembly.h"
#include "tcp/recovery.h"
#include "tcp/timer.h"

enum {
    TIMERS_ALL = TCP_TIMER_XMIT | TCP_TIMER_DELACK | TCP_TIMER_KEEP,
    FLAGS_PENDING = TCP_ACK_NOW | TCP_WINDOW_UPDATE | TCP_PROBE_PENDING | TCP_TAIL_PENDING | TCP_OVERRIDE
};

void ending_close(struct tcp_engine *e, struct tcp_connection *c, struct tcp_result *result, uint32_t reason)
{
    timer_stop(e, c, TIMERS_ALL);
    reassembly_drop(e, c);
    recovery_release(e, c);
    c->flags &= ~((uint32_t)FLAGS_PENDING | TCP_FIN_SEEN);
    c->state = TCP_STATE_CLOSED;
    result->events |= TCP_EVENT_CLOSED;
    result->reason = reason;
}

void ending_upload(struct tcp_connection *c, struct tcp_result *result, uint32_t reason)
{
    c->flags |= TCP_FROZEN;
    result->events |= TCP_EVENT_UPLOAD;
    result->reason = reason;
}

void ending_upload_closed(struct tcp_engine *e, struct tcp_connection *c, struct tcp_result *result,
                          uint32_t reason)
{
    timer_stop(e, c, TIMERS_ALL);
    c->flags &= ~(uint32_t)FLAGS_PENDING;
    c->state = TCP_STATE_CLOSED;
    ending_upload(c, result, reason);
}

void ending_give_up(struct tcp_engine *e, struct tcp_connection *c, struct tcp_result *result,
                    uint32_t reason, bool is_closed)
{
    if (c->profile != TCP_PROFILE_CHIMNEY) {
        e->statistics.aborted++;
        ending_close(e, c, result, reason);
    } else if (is_closed) {
        ending_upload_closed(e, c, result, TCP_REASON_UPLOAD_TIMEOUT);
    } else {
        ending_upload(c, result, TCP_REASON_UPLOAD_TIMEOUT);
    }
}

/* Only where nobody reads any more: a half-closed connection may rest here for ever (RFC 9293 3.6). */
void ending_enter_fin_wait_2(struct tcp_engine *e, struct tcp_connection *c)
{
    c->state = TCP_STATE_FIN_WAIT_2;
    if (tcp_has(c, TCP_CLOSED_BY_USER)) {
        timer_set_keep(e, c, e->config.fin_wait_2_ms);
    }
}

void ending_restart_time_wait(struct tcp_engine *e, struct tcp_connection *c)
{
    timer_set_keep(e, c, 2 * e->config.msl_ms);
}

/* RFC 9293 3.10.7.4: "turn off the other timers", but an ACK that is due still leaves. */
void ending_enter_time_wait(struct tcp_engine *e, struct tcp_connection *c, struct tcp_result *result)
{
    c->state = TCP_STATE_TIME_WAIT;
    timer_stop(e, c, TCP_TIMER_XMIT);
    recovery_release(e, c);
    ending_restart_time_wait(e, c);
    result->events |= TCP_EVENT_TIME_WAIT;
    if (c->profile == TCP_PROFILE_CHIMNEY) {
        result->events |= TCP_EVENT_UPLOAD;
        result->reason = TCP_REASON_UPLOAD_TIME_WAIT;
    }
}

uint32_t ending_limit_ms(const struct tcp_engine *e, const struct tcp_connection *c)
{
    return c->user_timeout_ms != 0 ? c->user_timeout_ms : e->config.r2_ms;
}

uint32_t ending_cut_us(const struct tcp_engine *e, const struct tcp_connection *c, uint32_t limit_ms,
                       uint32_t delay_us)
{
    const uint32_t spent_ms = engine_ms(e) - c->retrans_ms;
    const uint32_t left_ms = spent_ms < limit_ms ? limit_ms - spent_ms : 1;

    return left_ms <= delay_us / 1000 ? left_ms * 1000 : delay_us;
}
