/* Connections that wait for a neighbour: a list each, emptied when it is resolved or fails. */
#include "stack/park.h"

#include "stack/network.h"
#include "stack/outcome.h"
#include "stack/path.h"
#include "stack/state.h"

void park_enter(struct vnic_stack *s, struct socket *socket)
{
    struct sockets *sockets = &s->sockets;
    struct socket_rest *rest = socket_rest(sockets, socket);
    uint32_t *first = &sockets->parked[socket->path.neighbour];

    rest->parked_prev = 0;
    rest->parked_next = *first;
    if (*first != 0) {
        sockets->rest[*first].parked_prev = socket_index(sockets, socket);
    }
    *first = socket_index(sockets, socket);
    socket_set(socket, SOCKET_PARKED);
}

void park_leave(struct vnic_stack *s, struct socket *socket)
{
    struct sockets *sockets = &s->sockets;
    const struct socket_rest *rest = socket_rest(sockets, socket);

    if (!socket_has(socket, SOCKET_PARKED)) {
        return;
    }
    socket_clear(socket, SOCKET_PARKED);
    if (rest->parked_prev != 0) {
        sockets->rest[rest->parked_prev].parked_next = rest->parked_next;
    } else {
        sockets->parked[socket->path.neighbour] = rest->parked_next;
    }
    if (rest->parked_next != 0) {
        sockets->rest[rest->parked_next].parked_prev = rest->parked_prev;
    }
}

/* RFC 9293 3.9.2.2 and RFC 5461: only an attempt to connect fails. */
static void park_fail(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c)
{
    if (c->state == TCP_STATE_SYN_SENT) {
        outcome_abort(s, socket, c, VNIC_STACK_EHOSTUNREACH);
    } else {
        path_void(s, socket, c);
    }
}

void sockets_on_neighbour(struct vnic_stack *s, uint32_t neighbour, bool is_reachable)
{
    uint32_t index = s->sockets.parked[neighbour];

    offload_on_neighbour(s);
    while (index != 0) {
        struct socket *socket = &s->sockets.list[index];

        index = s->sockets.rest[index].parked_next;
        park_leave(s, socket);
        if (is_reachable) {
            socket_schedule(s, socket);
        } else {
            park_fail(s, socket, socket_connection(s, socket));
        }
    }
}
