/* timeout.c: what an expired timer of a connection means. */
#include "tcp/ending.h"
#include "tcp/keepalive.h"
#include "tcp/output.h"
#include "tcp/path_probe.h"
#include "tcp/persist.h"
#include "tcp/recovery.h"
#include "tcp/timer.h"
#include "tcp/xmit_timer.h"

/* RFC 9293 MUST-20: R1 tells the user, once; a target: that it doubts the neighbour. */
static void timeout_count(struct tcp_engine *e, struct tcp_connection *c, struct tcp_result *result)
{
    if (c->retransmits >= e->parameters.doubt && !tcp_has(c, TCP_NOTIFIED_R1)) {
        c->flags |= TCP_NOTIFIED_R1;
        result->events |= TCP_EVENT_R1;
    }
}

/* MUST-23: R2 of a SYN. c->probes: ICMP said that the peer cannot be reached. */
static bool timeout_ends_handshake(struct tcp_engine *e, struct tcp_connection *c, struct tcp_result *result)
{
    const uint32_t limit_ms = c->user_timeout_ms != 0 ? c->user_timeout_ms : e->config.syn_r2_ms;

    if (engine_ms(e) - c->retrans_ms < limit_ms) {
        return false;
    }
    e->statistics.aborted++;
    ending_close(e, c, result, c->probes != 0 ? TCP_REASON_UNREACHABLE : TCP_REASON_TIMEOUT);
    return true;
}

/* RFC 3168 6.1.1.1: some hosts drop what asks for ECN. */
static void timeout_syn(struct tcp_engine *e, struct tcp_connection *c, struct tcp_result *result)
{
    if (timeout_ends_handshake(e, c, result)) {
        return;
    }
    e->statistics.timeouts++;
    c->retransmits = (uint8_t)(c->retransmits + (c->retransmits != UINT8_MAX));
    c->backoff = (uint8_t)(c->backoff + (c->backoff < 31));
    if (c->retransmits >= 2) {
        c->flags &= ~(uint32_t)TCP_HAS_ECN;
    }
    c->flags |= TCP_PROBE_PENDING;
    timeout_count(e, c, result);
}

/* MUST-21: R2 is a time, but never so few tries that R1 is not reached. A user timeout stands for itself. */
static bool timeout_is_hopeless(const struct tcp_engine *e, const struct tcp_connection *c)
{
    const uint32_t tries = c->user_timeout_ms != 0 ? 1 : e->config.r1;

    if (ending_tries(e, c) != 0) {
        return c->retransmits >= ending_tries(e, c);
    }
    return c->retransmits >= tries && engine_ms(e) - c->retrans_ms >= ending_limit_ms(e, c);
}

static void timeout_rto(struct tcp_engine *e, struct tcp_connection *c, struct tcp_result *result)
{
    if (timeout_is_hopeless(e, c)) {
        ending_give_up(e, c, result, TCP_REASON_TIMEOUT, false);
        return;
    }
    recovery_on_timeout(e, c, TCP_XMIT_RTO);
    path_probe_on_timeout(e, c, result);
    timeout_count(e, c, result);
    xmit_timer_cut(e, c);
}

static void timeout_xmit(struct tcp_engine *e, struct tcp_connection *c, struct tcp_result *result)
{
    switch (c->xmit) {
    case TCP_XMIT_RTO:
        if (tcp_is_synchronized(c)) {
            timeout_rto(e, c, result);
        } else {
            timeout_syn(e, c, result);
        }
        break;
    case TCP_XMIT_PERSIST:
        persist_expired(e, c, result);
        break;
    case TCP_XMIT_OVERRIDE:
        c->flags |= TCP_OVERRIDE;
        break;
    default:
        recovery_on_timeout(e, c, (enum tcp_xmit)c->xmit);
        break;
    }
}

static void timeout_keep(struct tcp_engine *e, struct tcp_connection *c, struct tcp_result *result)
{
    if (c->state == TCP_STATE_TIME_WAIT) {
        ending_close(e, c, result, TCP_REASON_CLOSED);
    } else if (keepalive_owns_timer(c)) {
        keepalive_expired(e, c, result);
    } else {
        ending_give_up(e, c, result, TCP_REASON_TIMEOUT, true);
    }
}

static bool timeout_is_over(const struct tcp_connection *c)
{
    return c->state == TCP_STATE_CLOSED || tcp_has(c, TCP_FROZEN);
}

/* The timers of a frozen connection stay as they are: they travel with it. */
void tcp_timeout(tcp_engine *engine, struct tcp_connection *c, uint64_t now_ns, struct tcp_result *result)
{
    uint32_t expired;

    engine_at(engine, now_ns);
    *result = (struct tcp_result){0};
    if (timeout_is_over(c)) {
        return;
    }
    expired = timer_take_expired(engine, c);
    if ((expired & TCP_TIMER_DELACK) != 0) {
        c->flags |= TCP_ACK_NOW;
    }
    if ((expired & TCP_TIMER_XMIT) != 0) {
        timeout_xmit(engine, c, result);
    }
    if ((expired & TCP_TIMER_KEEP) != 0 && !timeout_is_over(c)) {
        timeout_keep(engine, c, result);
    }
    if (output_is_due(engine, c)) {
        result->events |= TCP_EVENT_OUTPUT;
    }
}
