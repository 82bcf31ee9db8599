/* What of connections stays here while they are away: its memory, who is meant by a handle, and news. */
#include "stack/offload.h"

#include "base/bits.h"
#include "base/pages.h"
#include "stack/close.h"
#include "stack/piece.h"
#include "stack/state.h"

#include <stdlib.h>

enum {
    OFFLOAD_HELD = 8192, /* segments that wait, of all connections */
    OFFLOAD_HELD_BYTES = 8 << 20,
    OFFLOAD_BYTES = 1 << 17
};

static uint32_t offload_pieces(const struct vnic_stack *s)
{
    return 2 * s->config.connections + 4096;
}

static bool offload_create_lists(struct vnic_stack *s)
{
    struct offload *o = &s->offload;
    const uint32_t count = s->config.connections;

    o->away = pages_calloc((size_t)count + 1, sizeof(struct away));
    o->pieces = pages_calloc((size_t)offload_pieces(s) + 1, sizeof(struct piece));
    o->paths = pages_calloc((size_t)count + 1, sizeof(struct offload_path));
    o->path_mask = (1u << (bits_log2(count) + 1)) - 1;
    o->path_buckets = calloc((size_t)o->path_mask + 1, sizeof(uint32_t));
    if (o->away == NULL || o->pieces == NULL || o->paths == NULL || o->path_buckets == NULL) {
        return false;
    }
    pool_start(&o->piece_pool, o->pieces, sizeof(struct piece), offload_pieces(s));
    pool_start(&o->path_pool, o->paths, sizeof(struct offload_path), count);
    return true;
}

static bool offload_create_held(struct vnic_stack *s)
{
    struct offload *o = &s->offload;

    o->held = malloc((OFFLOAD_HELD + 1) * sizeof(struct held));
    o->bytes = malloc(OFFLOAD_BYTES);
    if (o->held == NULL || o->bytes == NULL || !chains_create(&o->chains, OFFLOAD_HELD_BYTES)) {
        return false;
    }
    pool_start(&o->held_pool, o->held, sizeof(struct held), OFFLOAD_HELD);
    return true;
}

int offload_create(struct vnic_stack *s)
{
    struct offload *o = &s->offload;
    const uint32_t count = s->config.connections + 1;

    return offload_create_lists(s) && offload_create_held(s) && index_ring_create(&o->news, count)
                   && index_ring_create(&o->starved, count)
               ? VNIC_OK
               : VNIC_ENOMEM;
}

void offload_destroy(struct vnic_stack *s)
{
    struct offload *o = &s->offload;
    const size_t count = (size_t)s->config.connections + 1;

    pages_free(o->away, count, sizeof(struct away));
    pages_free(o->pieces, (size_t)offload_pieces(s) + 1, sizeof(struct piece));
    pages_free(o->paths, count, sizeof(struct offload_path));
    free(o->path_buckets);
    free(o->held);
    free(o->bytes);
    chains_destroy(&o->chains);
    index_ring_destroy(&o->news);
    index_ring_destroy(&o->starved);
}

/* -- who is meant ------------------------------------------------------------------------------------------- */

struct away *offload_away(const struct vnic_stack *s, const struct socket *socket)
{
    return &s->offload.away[socket_index(&s->sockets, socket)];
}

struct socket *offload_socket(struct vnic_stack *s, vnic_socket handle)
{
    const uint32_t index = (uint32_t)handle, generation = (uint32_t)((uint64_t)handle >> 32);
    struct socket *socket = &s->sockets.list[index <= s->config.connections ? index : 0];

    if (index == 0 || index > s->config.connections || generation == 0 || socket->generation != generation) {
        return NULL;
    }
    return socket->offload != 0 || socket_has(socket, SOCKET_OPEN) ? socket : NULL;
}

struct socket *offload_socket_of_target(struct vnic_stack *s, vnic_socket handle, int *result)
{
    struct socket *socket = offload_socket(s, handle);
    const bool has_target = socket != NULL && offload_is_away(socket) && !offload_is_leaving(socket);

    *result = socket == NULL ? VNIC_STACK_EBADF : has_target ? VNIC_OK : VNIC_EINVAL;
    return has_target ? socket : NULL;
}

int vnic_tcp_offload_where(vnic_stack *stack, vnic_socket socket)
{
    const struct socket *held = offload_socket(stack, socket);

    return held != NULL ? held->offload & OFFLOAD_WHERE : VNIC_STACK_EBADF;
}

/* -- news --------------------------------------------------------------------------------------------------- */

/* What a client may hear of this socket now. */
static uint32_t offload_may_hear(const struct socket *socket)
{
    if (offload_is(socket, VNIC_OFFLOAD_OFFLOADED)) {
        return UINT32_MAX;
    }
    return (socket->offload & OFFLOAD_PIECES) != 0 ? VNIC_OFFLOAD_CONSUMED : 0;
}

void offload_raise(struct vnic_stack *s, struct socket *socket, uint32_t events)
{
    struct away *away = offload_away(s, socket);

    events &= offload_may_hear(socket);
    away->news |= events;
    if (events != 0 && (away->flags & AWAY_IN_NEWS) == 0) {
        away->flags |= AWAY_IN_NEWS;
        index_ring_push(&s->offload.news, socket_index(&s->sockets, socket));
    }
}

void offload_starve(struct vnic_stack *s, struct socket *socket)
{
    struct away *away = offload_away(s, socket);

    if ((away->flags & AWAY_STARVED) == 0) {
        away->flags |= AWAY_STARVED;
        index_ring_push(&s->offload.starved, socket_index(&s->sockets, socket));
    }
}

static void offload_feed(struct vnic_stack *s)
{
    const struct pool *pool = &s->sockets.receive_blocks.pool;
    uint32_t index;

    while (pool_left(pool) > pool->capacity / 8 && (index = index_ring_pop(&s->offload.starved)) != 0) {
        s->offload.away[index].flags &= ~(uint32_t)AWAY_STARVED;
        offload_raise(s, &s->sockets.list[index], VNIC_OFFLOAD_CONSUMED);
    }
}

static bool offload_take_news(struct vnic_stack *s, struct socket *socket, struct vnic_offload_news *out)
{
    struct away *away = offload_away(s, socket);
    const uint32_t events = away->news & offload_may_hear(socket);

    away->flags &= ~(uint32_t)AWAY_IN_NEWS;
    away->news = 0;
    *out = (struct vnic_offload_news){.socket = socket_handle(s, socket), .events = events};
    return events != 0;
}

int vnic_stack_offload_news(vnic_stack *stack, struct vnic_offload_news *news, uint32_t count)
{
    uint32_t taken = 0, index;

    if (count != 0 && news == NULL) {
        return VNIC_EINVAL;
    }
    offload_feed(stack);
    offload_route_walk(stack);
    while (taken < count && taken < INT32_MAX && (index = index_ring_pop(&stack->offload.news)) != 0) {
        taken += offload_take_news(stack, &stack->sockets.list[index], &news[taken]) ? 1 : 0;
    }
    return (int)taken;
}

/* -- the slot ----------------------------------------------------------------------------------------------- */

bool offload_may_settle(struct vnic_stack *s, struct socket *socket)
{
    if ((socket->offload & OFFLOAD_PIECES) != 0) {
        piece_forget(s, socket);
    }
    return socket->offload == 0;
}
