/* UDP and echo datagrams: received into sockets, sent from them. */
#include "base/bits.h"
#include "stack/header.h"
#include "stack/hop.h"
#include "stack/network.h"
#include "stack/state.h"
#include "stack/udp_socket.h"

static struct udp_socket *at(const struct vnic_stack *s, uint32_t index)
{
    return &s->udp.sockets[index];
}

/* -- received -------------------------------------------------------------------------------------------- */

static bool has_room(const struct vnic_stack *s, const struct udp_socket *socket, uint32_t len)
{
    return socket->count < UDP_QUEUE_DATAGRAMS && socket->bytes + len <= UDP_QUEUE_BYTES
           && pool_left(&s->udp.datagrams_pool) > 0 && chains_have_room(&s->udp.chains, len);
}

static void enqueue(struct vnic_stack *s, uint32_t index, const struct vnic_endpoint *remote,
                    const uint8_t *bytes, uint32_t len)
{
    struct udp *u = &s->udp;
    struct udp_socket *socket = at(s, index);
    uint32_t datagram;

    if (!has_room(s, socket, len)) {
        s->statistics.udp_dropped++;
        return;
    }
    datagram = pool_take(&u->datagrams_pool);
    u->datagrams[datagram] = (struct udp_datagram){.remote = *remote};
    (void)chain_append(&u->chains, &u->datagrams[datagram].chain, bytes, len); /* there is room */
    *(socket->count == 0 ? &socket->first : &u->datagrams[socket->last].next) = datagram;
    socket->last = datagram;
    socket->count++;
    socket->bytes += len;
    sockets_raise(s, socket->handle, VNIC_EVENT_READABLE);
}

/* RFC 768, RFC 8200 8.1: *len is the UDP length. */
static bool is_good(const struct vnic_stack *s, const struct packet *packet, uint32_t *len)
{
    uint64_t sum;

    if (packet->l4_len < WIRE_UDP_LEN) {
        return false;
    }
    *len = be16_load(packet->l4 + 4);
    if (*len < WIRE_UDP_LEN || *len > packet->l4_len) {
        return false;
    }
    if (be16_load(packet->l4 + 6) == 0) {
        return !packet->source.is_ipv6;
    }
    sum = header_pseudo(&packet->source, &packet->destination, WIRE_PROTO_UDP, *len);
    return packet->l4_is_good
           || csum_fold(csum_reduce(sum) + csum_reduce(s->csum->add(0, packet->l4, *len))) == 0xffff;
}

void udp_receive(struct vnic_stack *s, const struct packet *packet)
{
    struct vnic_endpoint remote = {.address = packet->source};
    uint32_t len, index;

    s->statistics.udp_in++;
    if (!is_good(s, packet, &len)) {
        s->statistics.bad_l4_checksum++;
        return;
    }
    remote.port = be16_load(packet->l4);
    index = udp_find(s, SOCKET_UDP, &packet->destination, be16_load(packet->l4 + 2));
    if (index != 0) {
        enqueue(s, index, &remote, packet->l4 + WIRE_UDP_LEN, len - WIRE_UDP_LEN);
    } else {
        network_port_unreachable(s, packet); /* which knows that groups get none */
    }
}

void udp_receive_echo(struct vnic_stack *s, const struct packet *packet)
{
    const struct vnic_endpoint remote = {.address = packet->source};
    const uint32_t index = udp_find(s, SOCKET_ICMP, &packet->destination, be16_load(packet->l4 + 4));

    if (index != 0) {
        enqueue(s, index, &remote, packet->l4, packet->l4_len);
    }
}

bool udp_on_error(struct vnic_stack *s, uint32_t kind, const struct vnic_address *local, uint16_t port,
                  const struct vnic_endpoint *remote, int32_t result)
{
    const uint32_t index = udp_find(s, kind, local, port);
    struct udp_socket *socket = at(s, index);

    if (index == 0) {
        return false;
    }
    if (result != VNIC_OK) {
        socket->error = result;
        socket->error_remote = *remote;
        sockets_raise(s, socket->handle, VNIC_EVENT_SOFT_ERROR);
    }
    return true;
}

void udp_on_room(struct vnic_stack *s)
{
    for (uint32_t index = 1; index < s->udp.sockets_pool.fresh; index++) {
        struct udp_socket *socket = at(s, index);

        if (socket->kind != SOCKET_NONE && socket->wants_room) {
            socket->wants_room = false;
            sockets_raise(s, socket->handle, VNIC_EVENT_WRITABLE);
        }
    }
}

/* -- the user's calls ------------------------------------------------------------------------------------ */

static uint32_t find_handle(const struct vnic_stack *s, vnic_socket socket)
{
    const uint32_t index = sockets_find_other(s, socket, SOCKET_UDP);

    return index != 0 ? index : sockets_find_other(s, socket, SOCKET_ICMP);
}

/* The message to send, in the buffer for messages; its length, or a reason. */
static int64_t write_udp(struct vnic_stack *s, const struct udp_socket *socket,
                         const struct vnic_endpoint *remote, const void *data, uint32_t len)
{
    uint8_t *message = s->icmp.message;
    const uint32_t limit =
        FRAGMENT_MAX_PAYLOAD - WIRE_UDP_LEN - (remote->address.is_ipv6 ? 0u : WIRE_IPV4_LEN);

    if (remote->port == 0) {
        return VNIC_EINVAL;
    }
    if (len > limit) {
        return VNIC_STACK_EMSGSIZE;
    }
    be16_store(message, socket->port);
    be16_store(message + 2, remote->port);
    be16_store(message + 4, (uint16_t)(WIRE_UDP_LEN + len));
    be16_store(message + 6, 0);
    if (len > 0) {
        memcpy(message + WIRE_UDP_LEN, data, len);
    }
    return WIRE_UDP_LEN + len;
}

/* Only echo requests; the identifier is the socket's. */
static int64_t write_echo(struct vnic_stack *s, const struct udp_socket *socket, const void *data,
                          uint32_t len)
{
    uint8_t *message = s->icmp.message;
    const uint32_t limit = FRAGMENT_MAX_PAYLOAD - (socket->local.is_ipv6 ? 0u : WIRE_IPV4_LEN);

    if (len > limit) {
        return VNIC_STACK_EMSGSIZE;
    }
    if (len < 8 || memcmp(data, socket->local.is_ipv6 ? "\200" : "\10", 2) != 0) {
        return VNIC_EINVAL;
    }
    memcpy(message, data, len);
    be16_store(message + 4, socket->port);
    return len;
}

/* The message leaves; EAGAIN has the socket told when there is room. */
static int64_t send_message(struct vnic_stack *s, struct udp_socket *socket, const struct vnic_address *to,
                            uint32_t len)
{
    const bool is_udp = socket->kind == SOCKET_UDP;
    const struct ip_out ip = {
        .source = &socket->local,
        .destination = to,
        .l4_len = len,
        .proto = is_udp        ? WIRE_PROTO_UDP
                 : to->is_ipv6 ? PROTO_ICMP6
                               : PROTO_ICMP,
        .ttl = socket->ttl,
        .tos = socket->tos,
        .may_fragment = true,
    };
    const int result = network_send(s, &ip, HOP_ANY_INTERFACE, s->icmp.message);

    if (result == VNIC_STACK_EAGAIN) {
        socket->wants_room = s->outboxes.is_wanted = true;
    } else if (result == VNIC_OK) {
        *(is_udp ? &s->statistics.udp_out : &s->statistics.icmp_out) += 1;
    }
    return result;
}

int64_t vnic_udp_send(vnic_stack *s, vnic_socket handle, const struct vnic_endpoint *remote, const void *data,
                      uint32_t len)
{
    const uint32_t index = find_handle(s, handle);
    struct udp_socket *socket = at(s, index);
    struct vnic_endpoint to;
    int64_t result;

    if (index == 0) {
        return VNIC_STACK_EBADF;
    }
    if (remote == NULL || (data == NULL && len > 0)) {
        return VNIC_EINVAL;
    }
    to = (struct vnic_endpoint){.address = address_clean(&remote->address), .port = remote->port};
    if (to.address.is_ipv6 != socket->local.is_ipv6) {
        return VNIC_EINVAL;
    }
    result =
        socket->kind == SOCKET_UDP ? write_udp(s, socket, &to, data, len) : write_echo(s, socket, data, len);
    if (result >= 0) {
        result = send_message(s, socket, &to.address, (uint32_t)result);
    }
    return result == VNIC_OK ? (int64_t)len : result;
}

/* What an ICMP error said is told before the next datagram, once. */
static int64_t take_error(struct udp_socket *socket, struct vnic_endpoint *remote)
{
    const int32_t error = socket->error;

    if (remote != NULL) {
        *remote = socket->error_remote;
    }
    socket->error = VNIC_OK;
    return error;
}

int64_t vnic_udp_receive(vnic_stack *s, vnic_socket handle, struct vnic_endpoint *remote, void *out,
                         uint32_t len)
{
    const uint32_t index = find_handle(s, handle);
    struct udp_socket *socket = at(s, index);
    const struct udp_datagram *d;
    int64_t whole;

    if (index == 0) {
        return VNIC_STACK_EBADF;
    }
    if (out == NULL && len > 0) {
        return VNIC_EINVAL;
    }
    if (socket->error != VNIC_OK) {
        return take_error(socket, remote);
    }
    if (socket->count == 0) {
        return VNIC_STACK_EAGAIN;
    }
    d = &s->udp.datagrams[socket->first];
    whole = d->chain.len;
    chain_read(&s->udp.chains, &d->chain, 0, out, bits_min32(len, d->chain.len));
    if (remote != NULL) {
        *remote = d->remote;
    }
    udp_drop_first(s, socket);
    return whole;
}
