/* invariant.c: what must hold of a connection between any two calls; for tests, and for images of strangers. */
#include "tcp/keepalive.h"
#include "tcp/output.h"
#include "tcp/reassembly.h"
#include "tcp/recovery.h"
#include "tcp/scoreboard.h"
#include "tcp/timer.h"
#include "tcp/window.h"
#include "wire/seq.h"

static const char *check_sender(const struct tcp_connection *c)
{
    const bool is_fin_sent = tcp_has(c, TCP_FIN_SENT);
    const uint32_t last = c->snd_end + is_fin_sent;

    if (seq_gt(c->snd_una, c->snd_nxt)) {
        return "UNA beyond NXT";
    }
    if (seq_gt(c->snd_nxt, last) || (is_fin_sent && c->snd_nxt != last)) {
        return "NXT beyond what was queued";
    }
    return is_fin_sent && !tcp_has(c, TCP_FIN_QUEUED) ? "a FIN was sent that nobody queued" : NULL;
}

static const char *check_receiver(const struct tcp_connection *c)
{
    if (c->state == TCP_STATE_SYN_SENT) {
        return NULL;
    }
    if (seq_lt(c->rcv_adv, c->rcv_nxt)) {
        return "right edge left of RCV.NXT";
    }
    return seq_gt(c->rcv_acked, c->rcv_nxt) ? "acknowledged what was not received" : NULL;
}

/* FIN_QUEUED, FIN_SENT, FIN_RECEIVED and the state tell one story. */
static const char *check_state(const struct tcp_connection *c)
{
    const bool has_queued = tcp_has(c, TCP_FIN_QUEUED), has_received = tcp_has(c, TCP_FIN_RECEIVED);
    const uint8_t state = c->state;

    if (!tcp_is_synchronized(c)) {
        return has_received ? "FIN in a handshake" : NULL;
    }
    if (has_queued == (state == TCP_STATE_ESTABLISHED || state == TCP_STATE_CLOSE_WAIT)) {
        return "our FIN contradicts the state";
    }
    if (has_received == (state >= TCP_STATE_ESTABLISHED && state <= TCP_STATE_FIN_WAIT_2)) {
        return "the peer's FIN contradicts the state";
    }
    if ((state == TCP_STATE_FIN_WAIT_2 || state == TCP_STATE_TIME_WAIT)
        && (!tcp_has(c, TCP_FIN_SENT) || tcp_flight(c) != 0)) {
        return "our FIN is not acknowledged";
    }
    return NULL;
}

static const char *check_ranges(const struct tcp_engine *e, const struct tcp_connection *c)
{
    uint32_t left = c->rcv_nxt, count = 0;

    for (uint32_t i = reassembly_first(e, c); i != 0; i = e->nodes[i].next) {
        const struct tcp_node *node = &e->nodes[i];
        if (!seq_lt(left, node->left) || !seq_lt(node->left, node->right)
            || seq_gt(node->right, c->rcv_adv)) {
            return "ranges out of order, touching, empty or beyond the edge";
        }
        left = node->right;
        count++;
    }
    if (tcp_has(c, TCP_FIN_SEEN) && count == 0) {
        return "a FIN was seen that nothing holds";
    }
    return count > e->config.ranges_per_connection ? "too many ranges" : NULL;
}

/* Liveness: whatever waits, something ends the wait. */
static const char *check_sender_lives(const struct tcp_engine *e, const struct tcp_connection *c)
{
    if (timer_is_set(c, TCP_TIMER_XMIT) || tcp_has(c, TCP_PROBE_PENDING | TCP_TAIL_PENDING)) {
        return NULL;
    }
    if (tcp_flight(c) != 0) {
        return "data in flight without a timer";
    }
    return window_unsent(c) != 0 && !output_has_something(e, c) ? "data withheld without a timer" : NULL;
}

static const char *check_others_live(const struct tcp_connection *c)
{
    const bool needs_keep = c->state == TCP_STATE_TIME_WAIT
                            || (c->state == TCP_STATE_FIN_WAIT_2 && tcp_has(c, TCP_CLOSED_BY_USER))
                            || (keepalive_owns_timer(c) && tcp_has(c, TCP_KEEPALIVE));

    if (needs_keep && !timer_is_set(c, TCP_TIMER_KEEP)) {
        return "keepalive, FIN_WAIT_2 or TIME_WAIT without a timer";
    }
    if (tcp_is_synchronized(c) && c->rcv_nxt != c->rcv_acked && !tcp_has(c, TCP_ACK_NOW)
        && !timer_is_set(c, TCP_TIMER_DELACK)) {
        return "an ACK is owed without a timer";
    }
    return NULL;
}

static const char *check_live(const struct tcp_engine *e, const struct tcp_connection *c)
{
    const char *wrong;

    if (tcp_has(c, TCP_FROZEN)) {
        return NULL;
    }
    if (c->armed != 0 && !wheel_is_filed(c) && timer_deadline(e, c) > e->now_ns) {
        return "a timer is armed and nothing will fire it";
    }
    wrong = check_sender_lives(e, c);
    return wrong != NULL ? wrong : check_others_live(c);
}

static const char *check_pools(const struct tcp_engine *e)
{
    const struct pool *pools[] = {&e->connection_pool, &e->node_pool, &e->recovery_pool};

    for (unsigned i = 0; i < 3; i++) {
        if (pools[i]->used > pools[i]->capacity || pools[i]->fresh > pools[i]->capacity + 1) {
            return "a pool gave out more than it has";
        }
    }
    return NULL;
}

static const char *check_first(const char *const *wrong, unsigned count)
{
    unsigned i = 0;

    while (i < count && wrong[i] == NULL) {
        i++;
    }
    return i < count ? wrong[i] : NULL;
}

/* All but liveness. */
static const char *check_open(const struct tcp_engine *e, const struct tcp_connection *c)
{
    const char *const wrong[] = {
        check_sender(c),    check_receiver(c),
        check_state(c),     scoreboard_check(e, c),
        check_ranges(e, c), recovery_pipe(e, c) > tcp_flight(c) ? "pipe beyond what is in flight" : NULL,
    };

    return check_first(wrong, sizeof wrong / sizeof wrong[0]);
}

const char *tcp_check_structure(const tcp_engine *engine, const struct tcp_connection *c)
{
    if (c->state >= TCP_STATES) {
        return "no such state";
    }
    if (c->state == TCP_STATE_CLOSED) {
        return c->armed != 0 ? "a timer is armed in CLOSED" : check_pools(engine);
    }
    return check_pools(engine) != NULL ? check_pools(engine) : check_open(engine, c);
}

const char *tcp_check(const tcp_engine *engine, const struct tcp_connection *c)
{
    const char *wrong = tcp_check_structure(engine, c);

    return wrong != NULL || c->state == TCP_STATE_CLOSED ? wrong : check_live(engine, c);
}
