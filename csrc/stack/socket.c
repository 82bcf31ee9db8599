/* Sockets: their arrays, and the life of one from the connection's start to the return of its slot. */
#include "stack/socket.h"

#include "base/bits.h"
#include "base/pages.h"
#include "stack/buffer.h"
#include "stack/handle.h"
#include "stack/isn.h"
#include "stack/network.h"
#include "stack/offload.h"
#include "stack/park.h"
#include "stack/state.h"

#include <stdlib.h>

enum {
    SOCKET_KEEP_TIME_MS = 7200000, /* RFC 9293 MUST-28 */
    SOCKET_KEEP_INTERVAL_MS = 75000,
    SOCKET_KEEP_LIMIT = 9,
    WINDOW_SHIFT_MAX = 14
};

static bool socket_create_list(struct vnic_stack *s)
{
    const size_t count = (size_t)s->config.connections + 1;

    s->sockets.list = pages_calloc(count, sizeof(struct socket));
    s->sockets.rest = pages_calloc(count, sizeof(struct socket_rest));
    return s->sockets.list != NULL && s->sockets.rest != NULL;
}

static bool socket_create_others(struct vnic_stack *s)
{
    struct sockets *sockets = &s->sockets;

    sockets->other_count = s->config.listeners + s->config.udp_sockets + SOCKETS_ICMP_MAX;
    sockets->others = calloc((size_t)sockets->other_count + 1, sizeof(struct other));
    sockets->listeners = calloc((size_t)s->config.listeners + 1, sizeof(struct listener));
    if (sockets->others == NULL || sockets->listeners == NULL) {
        return false;
    }
    pool_start(&sockets->other_pool, sockets->others, sizeof(struct other), sockets->other_count);
    pool_start(&sockets->listener_pool, sockets->listeners, sizeof(struct listener), s->config.listeners);
    return true;
}

/* Pieces of the user's memory that all sockets together hold. */
static uint32_t socket_buffers(const struct vnic_stack *s)
{
    return 2 * s->config.connections + 4096;
}

static bool socket_create_buffers(struct vnic_stack *s)
{
    struct sockets *sockets = &s->sockets;
    const uint32_t buffers = socket_buffers(s);
    const uint32_t copies = s->config.connections / 4 + 1024;

    sockets->buffers = pages_calloc((size_t)buffers + 1, sizeof(struct buffer));
    sockets->copies = calloc((size_t)copies + 1, sizeof(struct copy));
    if (sockets->buffers == NULL || sockets->copies == NULL) {
        return false;
    }
    pool_start(&sockets->buffer_pool, sockets->buffers, sizeof(struct buffer), buffers);
    pool_start(&sockets->copy_pool, sockets->copies, sizeof(struct copy), copies);
    return (sockets->is_send_lent || blocks_create(&sockets->send_blocks, s->config.buffer_bytes / 2))
           && blocks_create(&sockets->receive_blocks, s->config.buffer_bytes / 2);
}

static bool socket_create_rings(struct vnic_stack *s)
{
    struct sockets *sockets = &s->sockets;
    const uint32_t count = s->config.connections + 1;

    for (uint32_t i = 0; i < s->config.interfaces; i++) {
        if (!index_ring_create(&sockets->output[i], count)) {
            return false;
        }
    }
    sockets->parked = calloc((size_t)s->config.neighbours + 1, sizeof(uint32_t));
    return sockets->parked != NULL && index_ring_create(&sockets->starved, count)
           && index_ring_create(&sockets->held, count)
           && index_ring_create(&sockets->events, count + sockets->other_count);
}

int sockets_create(struct vnic_stack *s)
{
    return socket_create_list(s) && socket_create_others(s) && socket_create_buffers(s)
                   && socket_create_rings(s) && lookup_create(s) && offload_create(s) == VNIC_OK
               ? VNIC_OK
               : VNIC_ENOMEM;
}

void sockets_destroy(struct vnic_stack *s)
{
    struct sockets *sockets = &s->sockets;

    pages_free(sockets->list, (size_t)s->config.connections + 1, sizeof(struct socket));
    pages_free(sockets->rest, (size_t)s->config.connections + 1, sizeof(struct socket_rest));
    free(sockets->others);
    free(sockets->listeners);
    pages_free(sockets->buffers, (size_t)socket_buffers(s) + 1, sizeof(struct buffer));
    free(sockets->copies);
    free(sockets->parked);
    if (!sockets->is_send_lent) {
        blocks_destroy(&sockets->send_blocks);
    }
    blocks_destroy(&sockets->receive_blocks);
    for (uint32_t i = 0; i < INTERFACES_MAX; i++) {
        index_ring_destroy(&sockets->output[i]);
    }
    index_ring_destroy(&sockets->starved);
    index_ring_destroy(&sockets->held);
    index_ring_destroy(&sockets->events);
    lookup_destroy(s);
    offload_destroy(s);
}

struct socket *socket_start(struct vnic_stack *s, struct tcp_connection *c, const struct path *path,
                            const struct socket_options *options)
{
    const uint32_t index = tcp_index(s->tcp, c);
    struct socket *socket = &s->sockets.list[index];
    const struct tuple tuple = tuple_of_connection(c, path->interface);

    *socket = (struct socket){
        .generation = handle_generation(s),
        .flags = (uint16_t)((socket->flags & SOCKET_IN_RINGS) | SOCKET_LISTED),
        .path = *path,
        .send_buffer = options->send_buffer,
    };
    s->sockets.rest[index] = (struct socket_rest){
        .held_until_ns = s->sockets.rest[index].held_until_ns,
        .sent_mark = c->snd_end,
    };
    lookup_insert(s, &tuple, index);
    s->statistics.connections++;
    s->statistics.connections_peak = bits_max64(s->statistics.connections_peak, s->statistics.connections);
    return socket;
}

void socket_unlist(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c)
{
    if (socket_has(socket, SOCKET_LISTED)) {
        const struct tuple tuple = tuple_of_connection(c, socket->path.interface);

        lookup_remove(s, &tuple, socket_index(&s->sockets, socket));
        park_leave(s, socket);
        network_drop_path(s, &socket->path);
        socket_clear(socket, SOCKET_LISTED);
    }
}

void socket_settle(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c)
{
    if (c->state != TCP_STATE_CLOSED
        || socket_has(socket, SOCKET_OPEN | SOCKET_LINGERS | SOCKET_READY | SOCKET_COPIES)) {
        return;
    }
    if (socket->offload != 0 && !offload_may_settle(s, socket)) {
        return;
    }
    socket_unlist(s, socket, c);
    blocks_release_all(&s->sockets.send_blocks, &socket->send);
    blocks_release_all(&s->sockets.receive_blocks, &socket->receive);
    socket->flags &= SOCKET_IN_RINGS;
    socket->events = 0;
    socket->generation = 0;
    tcp_release(s->tcp, c);
    s->statistics.connections--;
}

void socket_schedule(struct vnic_stack *s, struct socket *socket)
{
    if ((socket->flags & (SOCKET_IN_OUTPUT | SOCKET_LISTED)) == SOCKET_LISTED) {
        socket_set(socket, SOCKET_IN_OUTPUT);
        index_ring_push(&s->sockets.output[socket->path.interface], socket_index(&s->sockets, socket));
    }
}

void socket_default_options(const struct vnic_stack *s, struct socket_options *options)
{
    *options = (struct socket_options){
        .keep_time_ms = SOCKET_KEEP_TIME_MS,
        .keep_interval_ms = SOCKET_KEEP_INTERVAL_MS,
        .keep_limit = SOCKET_KEEP_LIMIT,
        .send_buffer = s->config.send_buffer,
        .receive_buffer = s->config.receive_buffer,
        .congestion = (uint8_t)s->config.congestion,
    };
}

/* The least shift with which the whole buffer can be offered (RFC 7323 2.3). */
static uint8_t socket_window_shift(uint32_t receive_buffer)
{
    uint8_t shift = 0;

    while (shift < WINDOW_SHIFT_MAX && receive_buffer >> shift > UINT16_MAX) {
        shift++;
    }
    return shift;
}

void socket_open_from(struct vnic_stack *s, const struct socket_options *options, const struct tuple *tuple,
                      const struct path *path, struct tcp_open *open)
{
    const struct isn isn = isn_choose(s, tuple);

    *open = (struct tcp_open){
        .local_port = tuple->local_port,
        .remote_port = tuple->remote_port,
        .vlan = s->interfaces.list[path->interface].config.vlan,
        .is_ipv6 = tuple->is_ipv6,
        .profile = TCP_PROFILE_RFC,
        .congestion = options->congestion,
        .ttl = options->ttl,
        .tos = options->tos,
        .rcv_wscale = socket_window_shift(options->receive_buffer),
        .flags = options->flags | TCP_HAS_TIMESTAMPS | TCP_HAS_SACK | TCP_HAS_WSCALE,
        .iss = isn.iss,
        .ts_offset = isn.ts_offset,
        .mtu = network_path_mtu(s, path),
        .rcv_buf = options->receive_buffer,
        .keep_time_ms = options->keep_time_ms,
        .keep_interval_ms = options->keep_interval_ms,
        .user_timeout_ms = options->user_timeout_ms,
        .keep_limit = options->keep_limit,
    };
    memcpy(open->local, tuple->local, sizeof(open->local));
    memcpy(open->remote, tuple->remote, sizeof(open->remote));
}
