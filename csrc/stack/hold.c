/* Short segments held back, for HOLD_NS at most: data must not be delayed for ever (RFC 9293 MUST-60). */
#include "stack/hold.h"

#include "stack/outcome.h"
#include "stack/state.h"

static const uint64_t HOLD_NS = 200000000;

static void hold_tell(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c, uint32_t bytes,
                      bool is_pushed)
{
    struct tcp_result result = {.events = 0};

    if (bytes != 0) {
        tcp_queue(s->tcp, c, s->now_ns, bytes, is_pushed, &result);
        outcome_apply(s, socket, c, &result, NULL);
    }
}

static void hold_keep(struct vnic_stack *s, struct socket *socket, uint32_t bytes)
{
    struct socket_rest *rest = socket_rest(&s->sockets, socket);

    rest->held = bytes;
    socket_set(socket, SOCKET_HOLDS);
    if (!socket_has(socket, SOCKET_IN_HELD)) {
        /* A socket that is in the ring already keeps its place and its time. */
        socket_set(socket, SOCKET_IN_HELD);
        rest->held_until_ns = s->now_ns + HOLD_NS;
        index_ring_push(&s->sockets.held, socket_index(&s->sockets, socket));
    }
}

void hold_queue(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c, uint32_t bytes,
                bool is_pushed)
{
    const uint32_t held = socket_has(socket, SOCKET_HOLDS) ? socket_rest(&s->sockets, socket)->held : 0;
    const uint32_t all = held + bytes;
    const uint32_t kept = !is_pushed && c->snd_mss != 0 ? all % c->snd_mss : 0;

    socket_clear(socket, SOCKET_HOLDS);
    if (kept != 0) {
        hold_keep(s, socket, kept);
    }
    hold_tell(s, socket, c, all - kept, is_pushed);
}

void hold_release(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c)
{
    if (socket_has(socket, SOCKET_HOLDS)) {
        socket_clear(socket, SOCKET_HOLDS);
        hold_tell(s, socket, c, socket_rest(&s->sockets, socket)->held, true);
    }
}

void hold_run_timers(struct vnic_stack *s)
{
    struct sockets *sockets = &s->sockets;
    uint32_t index;

    while ((index = index_ring_peek(&sockets->held, 0)) != 0
           && sockets->rest[index].held_until_ns <= s->now_ns) {
        struct socket *socket = &sockets->list[index_ring_pop(&sockets->held)];

        socket_clear(socket, SOCKET_IN_HELD);
        hold_release(s, socket, &s->connections[index]);
    }
}

uint64_t hold_deadline(const struct vnic_stack *s)
{
    const uint32_t index = index_ring_peek(&s->sockets.held, 0);

    return index != 0 ? s->sockets.rest[index].held_until_ns : UINT64_MAX;
}
