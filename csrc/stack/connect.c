/* Active opens: addresses, a port, a path, and a SYN to be sent. */
#include "stack/hop.h"
#include "stack/isn.h"
#include "stack/network.h"
#include "stack/socket.h"
#include "stack/state.h"

static bool connect_is_valid(const struct vnic_endpoint *local, const struct vnic_endpoint *remote)
{
    if (remote == NULL || remote->address.is_ipv6 > 1 || remote->port == 0 || address_is_any(&remote->address)
        || address_is_multicast(&remote->address) || address_is_broadcast(&remote->address)) {
        return false;
    }
    return local == NULL || local->address.is_ipv6 == remote->address.is_ipv6;
}

/* The tuple's port, chosen when it is 0; an enum vnic_stack_result. */
static int connect_choose_port(struct vnic_stack *s, struct tuple *tuple)
{
    if (tuple->local_port == 0) {
        tuple->local_port = port_choose(s, tuple);
        return tuple->local_port != 0 ? VNIC_OK : VNIC_STACK_EADDRNOTAVAIL;
    }
    return lookup_find(s, tuple) == 0 ? VNIC_OK : VNIC_STACK_EADDRINUSE;
}

static vnic_socket connect_start(struct vnic_stack *s, const struct tuple *tuple, const struct path *path)
{
    struct socket_options options;
    struct tcp_connection *c;
    struct socket *socket;
    struct tcp_open open;

    socket_default_options(s, &options);
    socket_open_from(s, &options, tuple, path, &open);
    open.flags |= s->config.ecn == 1 ? TCP_HAS_ECN : 0;
    c = tcp_connect(s->tcp, s->now_ns, &open);
    if (c == NULL) {
        return VNIC_STACK_ENOBUFS;
    }
    socket = socket_start(s, c, path, &options);
    socket_set(socket, SOCKET_OPEN);
    socket_schedule(s, socket);
    return socket_handle(s, socket);
}

vnic_socket vnic_tcp_connect(vnic_stack *stack, const struct vnic_endpoint *local,
                             const struct vnic_endpoint *remote)
{
    struct vnic_address source, destination;
    struct tuple tuple;
    struct path path;
    vnic_socket socket;
    int result;

    if (!connect_is_valid(local, remote)) {
        return VNIC_EINVAL;
    }
    destination = address_clean(&remote->address);
    source = local != NULL ? address_clean(&local->address)
                           : (struct vnic_address){.is_ipv6 = destination.is_ipv6};
    result = network_find_path(stack, &source, &destination, HOP_ANY_INTERFACE, &path);
    if (result != VNIC_OK) {
        return result;
    }
    tuple = tuple_of(&source, local != NULL ? local->port : 0, &destination, remote->port, path.interface);
    result = connect_choose_port(stack, &tuple);
    socket = result == VNIC_OK ? connect_start(stack, &tuple, &path) : result;
    if (socket < 0) {
        network_drop_path(stack, &path);
    }
    return socket;
}
