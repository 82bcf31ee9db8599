/* Handles: who is meant, if anybody. */
#include "stack/handle.h"

#include "stack/network.h"
#include "stack/state.h"

uint32_t handle_generation(struct vnic_stack *s)
{
    struct sockets *sockets = &s->sockets;

    sockets->generation = sockets->generation < SOCKETS_GENERATION_MAX ? sockets->generation + 1 : 1;
    return sockets->generation;
}

static vnic_socket handle_make(uint32_t generation, uint32_t index)
{
    return (vnic_socket)((uint64_t)generation << 32 | index);
}

static uint32_t generation_of(vnic_socket handle)
{
    return (uint32_t)((uint64_t)handle >> 32);
}

vnic_socket socket_handle(const struct vnic_stack *s, const struct socket *socket)
{
    return handle_make(socket->generation, socket_index(&s->sockets, socket));
}

/* What a call for it touches first: of another kind of handle nothing. */
void vnic_stack_prefetch(vnic_stack *stack, vnic_socket socket)
{
    const uint32_t index = (uint32_t)socket;
    const char *c;

    if (index > stack->config.connections) {
        return;
    }
    c = (const char *)&stack->connections[index];
    __builtin_prefetch(&stack->sockets.list[index]);
    __builtin_prefetch(c + 32);
    __builtin_prefetch(c + 96);
    __builtin_prefetch(c + 160);
}

/* The connection's socket that has one of the flags, or NULL. */
static struct socket *socket_with(struct vnic_stack *s, vnic_socket handle, uint32_t flags)
{
    const uint32_t index = (uint32_t)handle;
    struct socket *socket = &s->sockets.list[index <= s->config.connections ? index : 0];

    if (index == 0 || index > s->config.connections || socket->generation != generation_of(handle)) {
        return NULL;
    }
    return socket_has(socket, flags) ? socket : NULL;
}

struct socket *socket_of(struct vnic_stack *s, vnic_socket handle)
{
    return socket_with(s, handle, SOCKET_OPEN);
}

struct socket *socket_of_lingering(struct vnic_stack *s, vnic_socket handle)
{
    return socket_with(s, handle, SOCKET_OPEN | SOCKET_LINGERS);
}

vnic_socket handle_of_other(const struct vnic_stack *s, uint32_t place)
{
    return handle_make(s->sockets.others[place].generation, s->config.connections + place);
}

uint32_t handle_other(const struct vnic_stack *s, vnic_socket handle)
{
    const uint32_t place = (uint32_t)handle - s->config.connections;
    const struct other *other = &s->sockets.others[place <= s->sockets.other_count ? place : 0];

    if ((uint32_t)handle <= s->config.connections || place > s->sockets.other_count) {
        return 0;
    }
    return other->kind != SOCKET_NONE && other->generation == generation_of(handle) ? place : 0;
}

vnic_socket sockets_open_other(struct vnic_stack *s, uint32_t kind, uint32_t index)
{
    const uint32_t place = pool_take(&s->sockets.other_pool);
    struct other *other = &s->sockets.others[place];
    const uint8_t is_in_events = other->is_in_events; /* the place may still stand in the ring */

    if (place == 0) {
        return VNIC_STACK_ENOBUFS;
    }
    *other = (struct other){.generation = handle_generation(s),
                            .index = index,
                            .kind = (uint8_t)kind,
                            .is_in_events = is_in_events};
    return handle_of_other(s, place);
}

void sockets_close_other(struct vnic_stack *s, vnic_socket socket)
{
    const uint32_t place = handle_other(s, socket);

    if (place != 0) {
        s->sockets.others[place].kind = SOCKET_NONE;
        s->sockets.others[place].events = 0;
        pool_give(&s->sockets.other_pool, place);
    }
}

uint32_t sockets_find_other(const struct vnic_stack *s, vnic_socket socket, uint32_t kind)
{
    const uint32_t place = handle_other(s, socket);

    return place != 0 && s->sockets.others[place].kind == kind ? s->sockets.others[place].index : 0;
}

struct listener *socket_listener_of(struct vnic_stack *s, vnic_socket handle)
{
    const uint32_t index = sockets_find_other(s, handle, SOCKET_LISTENER);

    return index != 0 ? &s->sockets.listeners[index] : NULL;
}
