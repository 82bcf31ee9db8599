/* Datagram sockets: ports and identifiers, opening and closing. */
#include "stack/udp_socket.h"

#include "base/bits.h"
#include "stack/network.h"
#include "stack/state.h"

#include <stdlib.h>

enum { DATAGRAMS_PER_SOCKET = 64, BYTES_PER_SOCKET = 32768, BYTES_MIN = 2 * UDP_QUEUE_BYTES };

int udp_create(struct vnic_stack *s)
{
    struct udp *u = &s->udp;
    const uint32_t sockets = s->config.udp_sockets + SOCKETS_ICMP_MAX;
    const uint64_t datagrams = (uint64_t)sockets * DATAGRAMS_PER_SOCKET;
    const uint64_t bytes = bits_max64((uint64_t)s->config.udp_sockets * BYTES_PER_SOCKET, BYTES_MIN);

    u->sockets = malloc((size_t)(sockets + 1) * sizeof(*u->sockets));
    u->datagrams = malloc((size_t)(datagrams + 1) * sizeof(*u->datagrams));
    if (u->sockets == NULL || u->datagrams == NULL || datagrams >= UINT32_MAX
        || !chains_create(&u->chains, bytes)) {
        return VNIC_ENOMEM;
    }
    pool_start(&u->sockets_pool, u->sockets, sizeof(*u->sockets), sockets);
    pool_start(&u->datagrams_pool, u->datagrams, sizeof(*u->datagrams), (uint32_t)datagrams);
    return VNIC_OK;
}

void udp_destroy(struct vnic_stack *s)
{
    free(s->udp.sockets);
    free(s->udp.datagrams);
    chains_destroy(&s->udp.chains);
}

/* -- lookup ---------------------------------------------------------------------------------------------- */

static struct udp_socket *at(const struct vnic_stack *s, uint32_t index)
{
    return &s->udp.sockets[index];
}

static bool is_any_or(const struct vnic_address *bound, const struct vnic_address *local)
{
    return bound->is_ipv6 == local->is_ipv6 && (address_is_any(bound) || address_is_equal(bound, local));
}

/* A port has one that fits: see is_free(). */
uint32_t udp_find(const struct vnic_stack *s, uint32_t kind, const struct vnic_address *local, uint16_t port)
{
    uint32_t best = 0;

    for (uint32_t index = s->udp.buckets[port % UDP_BUCKETS]; index != 0; index = at(s, index)->next) {
        const struct udp_socket *socket = at(s, index);

        if (socket->kind == kind && socket->port == port && is_any_or(&socket->local, local)) {
            best = index;
        }
    }
    return best;
}

/* No other socket gets what this one would get. */
static bool is_free(const struct vnic_stack *s, uint32_t kind, const struct vnic_address *local,
                    uint16_t port)
{
    for (uint32_t index = s->udp.buckets[port % UDP_BUCKETS]; index != 0; index = at(s, index)->next) {
        const struct udp_socket *socket = at(s, index);

        if (socket->kind == kind && socket->port == port
            && (is_any_or(&socket->local, local) || is_any_or(local, &socket->local))) {
            return false;
        }
    }
    return true;
}

/* -- opening and closing --------------------------------------------------------------------------------- */

/* RFC 6056 3.3.1: from a random place on; 0: all are taken. */
static uint16_t choose_port(struct vnic_stack *s, uint32_t kind, const struct vnic_address *local)
{
    const uint32_t first = kind == SOCKET_UDP ? 49152 : 1;
    const uint32_t range = 65536 - first;
    const uint32_t start = secret_random(s);

    for (uint32_t i = 0; i < range; i++) {
        const uint16_t port = (uint16_t)(first + (start + i) % range);

        if (is_free(s, kind, local, port)) {
            return port;
        }
    }
    return 0;
}

static vnic_socket open_socket(struct vnic_stack *s, uint32_t kind, const struct vnic_address *local,
                               uint16_t port)
{
    uint32_t *bucket = &s->udp.buckets[port % UDP_BUCKETS];
    const uint32_t index = pool_take(&s->udp.sockets_pool);
    vnic_socket handle;

    if (index == 0) {
        return VNIC_STACK_ENOBUFS;
    }
    at(s, index)->kind = SOCKET_NONE;
    handle = sockets_open_other(s, kind, index);
    if (handle <= 0) {
        pool_give(&s->udp.sockets_pool, index);
        return handle < 0 ? handle : VNIC_STACK_ENOBUFS;
    }
    *at(s, index) =
        (struct udp_socket){.next = *bucket, .kind = kind, .handle = handle, .local = *local, .port = port};
    *bucket = index;
    s->udp.open[kind == SOCKET_ICMP]++;
    return handle;
}

vnic_socket vnic_udp_bind(vnic_stack *s, const struct vnic_endpoint *local)
{
    struct vnic_address address;
    uint16_t port;

    if (local == NULL) {
        return VNIC_EINVAL;
    }
    address = address_clean(&local->address);
    port = local->port != 0 ? local->port : choose_port(s, SOCKET_UDP, &address);
    if (!address_is_any(&address) && interface_mask_of(s, &address) == 0) {
        return VNIC_STACK_EADDRNOTAVAIL;
    }
    if (port == 0 || !is_free(s, SOCKET_UDP, &address, port)) {
        return VNIC_STACK_EADDRINUSE;
    }
    return s->udp.open[0] < s->config.udp_sockets ? open_socket(s, SOCKET_UDP, &address, port)
                                                  : VNIC_STACK_ENOBUFS;
}

vnic_socket vnic_icmp_open(vnic_stack *s, int is_ipv6)
{
    const struct vnic_address any = {.is_ipv6 = is_ipv6 != 0};

    if (s->udp.open[1] == SOCKETS_ICMP_MAX) {
        return VNIC_STACK_ENOBUFS;
    }
    return open_socket(s, SOCKET_ICMP, &any, choose_port(s, SOCKET_ICMP, &any));
}

void udp_drop_first(struct vnic_stack *s, struct udp_socket *socket)
{
    const uint32_t index = socket->first;
    struct udp_datagram *d = &s->udp.datagrams[index];

    socket->first = d->next;
    socket->count--;
    socket->bytes -= d->chain.len;
    chain_free(&s->udp.chains, &d->chain);
    pool_give(&s->udp.datagrams_pool, index);
}

void network_close_socket(struct vnic_stack *s, uint32_t kind, uint32_t index)
{
    struct udp_socket *socket = at(s, index);
    uint32_t *link = &s->udp.buckets[socket->port % UDP_BUCKETS];

    while (socket->count > 0) {
        udp_drop_first(s, socket);
    }
    while (*link != index) {
        link = &at(s, *link)->next;
    }
    *link = socket->next;
    s->udp.open[kind == SOCKET_ICMP]--;
    sockets_close_other(s, socket->handle);
    socket->kind = SOCKET_NONE;
    pool_give(&s->udp.sockets_pool, index);
}

int network_set_option(struct vnic_stack *s, uint32_t kind, uint32_t index, uint32_t option, uint32_t value)
{
    (void)kind;
    if (value > 255 || (option == VNIC_OPTION_TTL && value == 0)) {
        return VNIC_EINVAL;
    }
    switch (option) {
    case VNIC_OPTION_TTL:
        at(s, index)->ttl = (uint8_t)value;
        return VNIC_OK;
    case VNIC_OPTION_TOS:
        at(s, index)->tos = (uint8_t)value;
        return VNIC_OK;
    default:
        return VNIC_EINVAL;
    }
}
