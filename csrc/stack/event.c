/* Events of sockets: raising and fetching. */
#include "stack/event.h"

#include "stack/handle.h"
#include "stack/network.h"
#include "stack/state.h"

void event_raise(struct vnic_stack *s, struct socket *socket, uint32_t events)
{
    if (socket_has(socket, SOCKET_LINGERS)) {
        events &= VNIC_EVENT_SENT | VNIC_EVENT_RECEIVED;
    }
    socket->events = (uint16_t)(socket->events | events);
    if (socket->events != 0 && socket_has(socket, SOCKET_OPEN | SOCKET_LINGERS)
        && !socket_has(socket, SOCKET_IN_EVENTS)) {
        socket_set(socket, SOCKET_IN_EVENTS);
        index_ring_push(&s->sockets.events, socket_index(&s->sockets, socket));
    }
}

void event_raise_closed(struct vnic_stack *s, struct socket *socket, int result)
{
    if (!socket_has(socket, SOCKET_OVER)) {
        socket_set(socket, SOCKET_OVER);
        socket->result = (int8_t)result;
        event_raise(s, socket, VNIC_EVENT_CLOSED);
    }
}

void event_raise_other(struct vnic_stack *s, uint32_t place, uint32_t events)
{
    struct other *other = &s->sockets.others[place];

    other->events = (uint16_t)(other->events | events);
    if (other->events != 0 && !other->is_in_events) {
        other->is_in_events = 1;
        index_ring_push(&s->sockets.events, s->config.connections + place);
    }
}

void sockets_raise(struct vnic_stack *s, vnic_socket socket, uint32_t events)
{
    const uint32_t place = handle_other(s, socket);

    if (place != 0) {
        event_raise_other(s, place, events);
    }
}

static bool event_take(struct vnic_stack *s, struct socket *socket, struct vnic_stack_event *out)
{
    socket_clear(socket, SOCKET_IN_EVENTS);
    if (socket->events == 0 || !socket_has(socket, SOCKET_OPEN | SOCKET_LINGERS)) {
        return false;
    }
    *out = (struct vnic_stack_event){
        .socket = socket_handle(s, socket),
        .events = socket->events,
        .result = socket_has(socket, SOCKET_OVER) ? socket->result : VNIC_OK,
    };
    socket->events = 0;
    return true;
}

static bool event_take_other(struct vnic_stack *s, uint32_t place, struct vnic_stack_event *out)
{
    struct other *other = &s->sockets.others[place];

    other->is_in_events = 0;
    if (other->events == 0 || other->kind == SOCKET_NONE) {
        return false;
    }
    *out = (struct vnic_stack_event){.socket = handle_of_other(s, place), .events = other->events};
    other->events = 0;
    return true;
}

int vnic_stack_events(vnic_stack *stack, struct vnic_stack_event *events, uint32_t count)
{
    struct sockets *sockets = &stack->sockets;
    uint32_t taken = 0;

    if (count != 0 && events == NULL) {
        return VNIC_EINVAL;
    }
    while (taken < count && taken < INT32_MAX) {
        const uint32_t index = index_ring_pop(&sockets->events), soon = index_ring_peek(&sockets->events, 2);
        bool is_taken;

        if (index == 0) {
            break;
        }
        if (soon <= stack->config.connections) {
            __builtin_prefetch(&sockets->list[soon], 1);
        }
        is_taken = index <= stack->config.connections
                       ? event_take(stack, &sockets->list[index], &events[taken])
                       : event_take_other(stack, index - stack->config.connections, &events[taken]);
        taken += is_taken ? 1 : 0;
    }
    return (int)taken;
}
