/* handoff.c: what a connection owes the peer is sent, then it holds still until it is released or thawed. */
#include "tcp/handoff.h"

#include "tcp/output.h"
#include "tcp/timer.h"

#include <string.h>

static bool owes_ack(const struct tcp_connection *c)
{
    return tcp_is_synchronized(c) && !tcp_has(c, TCP_FROZEN)
           && (tcp_has(c, TCP_ACK_NOW | TCP_WINDOW_UPDATE) || timer_is_set(c, TCP_TIMER_DELACK));
}

bool tcp_freeze(tcp_engine *engine, struct tcp_connection *c, uint64_t now_ns, struct tcp_segment *out)
{
    engine_at(engine, now_ns);
    if (owes_ack(c)) {
        c->flags |= TCP_ACK_NOW;
        if (tcp_output(engine, c, now_ns, 0, out)) {
            return true;
        }
    }
    (void)output_is_due(engine, c); /* what waits has a timer, and that one is handed over */
    timer_stop(engine, c, TCP_TIMER_DELACK);
    timer_suspend(engine, c);
    c->flags |= TCP_FROZEN;
    return false;
}

void tcp_thaw(tcp_engine *engine, struct tcp_connection *c, uint64_t now_ns, struct tcp_result *result)
{
    engine_at(engine, now_ns);
    memset(result, 0, sizeof *result);
    c->flags &= ~(uint32_t)TCP_FROZEN;
    timer_resume(engine, c);
    result->events = TCP_EVENT_OUTPUT;
}
