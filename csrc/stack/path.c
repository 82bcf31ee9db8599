/* The path of a connection: whether what it has to send can leave, and what becomes of it otherwise. */
#include "stack/path.h"

#include "stack/hop.h"
#include "stack/network.h"
#include "stack/outcome.h"
#include "stack/park.h"
#include "stack/segment_out.h"
#include "stack/state.h"

/* Addresses or routes have changed: another path, perhaps over another interface. */
static bool path_renew(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c)
{
    const struct vnic_address remote = connection_remote(c);
    struct vnic_address local = connection_local(c);
    struct tcp_result result = {.events = 0};
    struct path path;

    if (network_find_path(s, &local, &remote, hop_mask(&remote, socket->path.interface), &path) != VNIC_OK) {
        return false;
    }
    network_drop_path(s, &socket->path);
    socket->path = path;
    tcp_icmp(s->tcp, c, s->now_ns, TCP_ICMP_TOO_BIG, c->snd_una, network_path_mtu(s, &path), &result);
    outcome_apply(s, socket, c, &result, NULL);
    return true;
}

void path_void(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c)
{
    uint32_t snd_nxt = c->snd_nxt;
    struct tcp_segment segment;

    while (tcp_output(s->tcp, c, s->now_ns, 0, &segment)) {
        segment_out_count(s, socket, &segment, snd_nxt);
        snd_nxt = c->snd_nxt;
    }
    event_raise(s, socket, VNIC_EVENT_SOFT_ERROR);
}

/* No route, or our address is gone. */
static void path_lose(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c)
{
    if (c->state == TCP_STATE_SYN_SENT) {
        outcome_abort(s, socket, c, VNIC_STACK_EHOSTUNREACH);
    } else {
        path_void(s, socket, c);
    }
}

bool path_is_open(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c)
{
    const uint32_t interface = socket->path.interface;

    park_leave(s, socket); /* a timer brings it here before its neighbour does */
    if (!network_path_is_current(s, &socket->path) && !path_renew(s, socket, c)) {
        path_lose(s, socket, c);
        return false;
    }
    if (socket->path.interface != interface) {
        socket_schedule(s, socket);
        return false;
    }
    if (!network_is_ready(s, &socket->path)) {
        park_enter(s, socket);
        return false;
    }
    return true;
}
