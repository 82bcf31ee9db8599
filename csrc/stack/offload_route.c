/* Where the packets of connections go that are away, and who has to hear when that changes. */
#include "base/bits.h"
#include "stack/event.h"
#include "stack/hop.h"
#include "stack/network.h"
#include "stack/state.h"
#include "wire/seq.h"

enum {
    ROUTE_STEPS = 1 << 16, /* connections looked at within a call */
    ROUTE_MTU_LEAST_IPV4 = 68,
    ROUTE_MTU_LEAST_IPV6 = 1280,
    ROUTE_NEIGHBOUR_BITS = 21 /* of a neighbour's name, its place; above it, how often that was used */
};
static const uint64_t ROUTE_MS_NS = 1000000;

/* -- paths: two addresses ----------------------------------------------------------------------------------- */

static uint32_t *path_bucket(const struct vnic_stack *s, const struct vnic_address *local,
                             const struct vnic_address *remote)
{
    uint8_t key[32];

    memcpy(key, local->bytes, 16);
    memcpy(key + 16, remote->bytes, 16);
    return &s->offload
                .path_buckets[secret_hash(s, key, sizeof(key), SOCKETS_SECRET_PATHS) & s->offload.path_mask];
}

static uint32_t path_seek(const struct vnic_stack *s, const struct vnic_address *local,
                          const struct vnic_address *remote)
{
    uint32_t index = *path_bucket(s, local, remote);

    while (index != 0) {
        const struct offload_path *path = &s->offload.paths[index];

        if (address_is_equal(&path->local, local) && address_is_equal(&path->remote, remote)) {
            break;
        }
        index = path->next;
    }
    return index;
}

/* One for each connection at most: there always is one left. */
static uint32_t path_get(struct vnic_stack *s, const struct tcp_connection *c)
{
    const struct vnic_address local = connection_local(c), remote = connection_remote(c);
    uint32_t *bucket = path_bucket(s, &local, &remote);
    uint32_t index = path_seek(s, &local, &remote);

    if (index == 0) {
        index = pool_take(&s->offload.path_pool);
        if (index == 0) {
            return 0;
        }
        s->offload.path_names = s->offload.path_names < INT32_MAX ? s->offload.path_names + 1 : 1;
        s->offload.paths[index] = (struct offload_path){
            .next = *bucket, .name = s->offload.path_names, .local = local, .remote = remote};
        *bucket = index;
    }
    s->offload.paths[index].uses++;
    return index;
}

static void path_put(struct vnic_stack *s, uint32_t index)
{
    struct offload_path *path = &s->offload.paths[index];
    uint32_t *link = path_bucket(s, &path->local, &path->remote);

    if (--path->uses != 0) {
        return;
    }
    while (*link != index) {
        link = &s->offload.paths[*link].next;
    }
    *link = path->next;
    pool_give(&s->offload.path_pool, index);
}

/* -- who is away -------------------------------------------------------------------------------------------- */

static void ring_insert(struct offload *o, uint32_t index)
{
    struct away *away = &o->away[index];

    away->next = o->first != 0 ? o->first : index;
    away->prev = o->first != 0 ? o->away[o->first].prev : index;
    o->away[away->prev].next = index;
    o->away[away->next].prev = index;
    o->first = o->first != 0 ? o->first : index;
    o->count++;
}

static void ring_remove(struct offload *o, uint32_t index)
{
    const struct away *away = &o->away[index];

    o->away[away->prev].next = away->next;
    o->away[away->next].prev = away->prev;
    o->first = o->first != index ? o->first : away->next != index ? away->next : 0;
    o->walk = o->walk != index ? o->walk : away->next != index ? away->next : 0;
    o->count--;
}

/* -- what is known now -------------------------------------------------------------------------------------- */

static uint32_t neighbour_name(const struct vnic_stack *s, uint32_t index)
{
    return (uint32_t)s->neighbours.entries[index].use << ROUTE_NEIGHBOUR_BITS | index;
}

/* The entry of that name; 0: it is gone. */
static uint32_t neighbour_named(const struct vnic_stack *s, uint32_t name)
{
    const uint32_t index = name & ((1u << ROUTE_NEIGHBOUR_BITS) - 1);

    return index != 0 && index < s->neighbours.pool.fresh && s->neighbours.entries[index].is_used
                   && neighbour_name(s, index) == name
               ? index
               : 0;
}

uint32_t offload_route_mtu(const struct vnic_stack *s, const struct socket *socket,
                           const struct tcp_connection *c)
{
    const struct offload_path *path = &s->offload.paths[offload_away(s, socket)->path];
    uint32_t mtu = s->interfaces.list[offload_away(s, socket)->told_interface].config.mtu;

    if (socket->path.neighbour != 0) {
        mtu = network_path_mtu(s, &socket->path);
    }
    mtu = path->mtu != 0 ? bits_min32(mtu, path->mtu) : mtu;
    return c->path_mtu != 0 ? bits_min32(mtu, c->path_mtu) : mtu;
}

static uint32_t reachability_ms(struct vnic_stack *s, uint32_t index)
{
    const struct neighbour *n = &s->neighbours.entries[index];
    const uint8_t state = neighbour_state(s, index);

    if (state == VNIC_NEIGHBOUR_PERMANENT) {
        return 1;
    }
    if (state != VNIC_NEIGHBOUR_REACHABLE) {
        return 0;
    }
    return (uint32_t)bits_max64(1, bits_min64((s->now_ns - n->confirmed_ns) / ROUTE_MS_NS, UINT32_MAX));
}

static void route_of_neighbour(struct vnic_stack *s, uint32_t index, struct vnic_offload_route *out)
{
    const struct neighbour *n = &s->neighbours.entries[index];
    const struct interface *interface = &s->interfaces.list[n->interface];

    out->interface = n->interface;
    out->neighbour = neighbour_name(s, index);
    out->next_hop = n->address;
    memcpy(out->mac, n->mac, sizeof(out->mac));
    out->is_reachable = interface->is_up && n->state > VNIC_NEIGHBOUR_INCOMPLETE;
    out->vlan = interface->config.vlan;
    out->host_reachability_ms = reachability_ms(s, index);
}

static void route_of_socket(struct vnic_stack *s, const struct socket *socket, const struct tcp_connection *c,
                            struct vnic_offload_route *out)
{
    *out = (struct vnic_offload_route){.source = connection_local(c), .destination = connection_remote(c)};
    if (offload_is_away(socket)) {
        out->path = s->offload.paths[offload_away(s, socket)->path].name;
        out->interface = offload_away(s, socket)->told_interface;
        out->path_mtu = offload_route_mtu(s, socket, c);
    } else {
        out->path = s->offload.paths[path_seek(s, &out->source, &out->destination)].name;
        out->path_mtu = network_path_mtu(s, &socket->path);
    }
    if (socket->path.neighbour != 0) {
        route_of_neighbour(s, socket->path.neighbour, out);
    }
}

/* Routes or addresses have changed: another neighbour, perhaps over another interface, or none. */
static void route_renew(struct vnic_stack *s, struct socket *socket, const struct tcp_connection *c)
{
    const struct vnic_address remote = connection_remote(c);
    struct vnic_address local = connection_local(c);
    struct path path;

    if (!socket_has(socket, SOCKET_LISTED) || network_path_is_current(s, &socket->path)) {
        return;
    }
    if (network_find_path(s, &local, &remote, hop_mask(&remote, socket->path.interface), &path) != VNIC_OK) {
        return;
    }
    network_drop_path(s, &socket->path);
    socket->path = path;
    (void)network_is_ready(s, &socket->path); /* its address will be asked for */
}

static bool route_is_open(const struct vnic_stack *s, const struct socket *socket)
{
    return socket_has(socket, SOCKET_LISTED) && network_path_is_current(s, &socket->path);
}

static void route_tell(struct away *away, const struct vnic_offload_route *route)
{
    away->told_neighbour = route->neighbour;
    away->told_mtu = route->path_mtu;
    away->told_interface = (uint8_t)route->interface;
    away->told_reachable = route->is_reachable;
    memcpy(away->told_mac, route->mac, sizeof(away->told_mac));
}

static void route_look(struct vnic_stack *s, struct socket *socket, struct vnic_offload_route *route)
{
    struct tcp_connection *c = socket_connection(s, socket);

    route_renew(s, socket, c);
    route_of_socket(s, socket, c, route);
    route->is_reachable = route->is_reachable != 0 && route_is_open(s, socket);
}

void offload_route_check(struct vnic_stack *s, struct socket *socket)
{
    struct away *away = offload_away(s, socket);
    struct vnic_offload_route route;
    uint32_t events = 0;

    if (!offload_is(socket, VNIC_OFFLOAD_OFFLOADED) || !socket_has(socket, SOCKET_LISTED)) {
        return;
    }
    route_look(s, socket, &route);
    if (route.neighbour != away->told_neighbour || route.path_mtu != away->told_mtu
        || route.interface != away->told_interface) {
        events |= VNIC_OFFLOAD_PATH;
    }
    if (route.is_reachable != away->told_reachable || memcmp(route.mac, away->told_mac, 6) != 0) {
        events |= VNIC_OFFLOAD_NEIGHBOUR;
    }
    route_tell(away, &route);
    offload_raise(s, socket, events);
}

bool offload_route_join(struct vnic_stack *s, struct socket *socket, const struct tcp_connection *c)
{
    struct away *away = offload_away(s, socket);
    const uint32_t path = path_get(s, c);
    struct vnic_offload_route route;

    if (path == 0) {
        return false;
    }
    away->path = path;
    away->told_interface = socket->path.interface;
    if (c->path_mtu != 0 && (s->offload.paths[path].mtu == 0 || s->offload.paths[path].mtu > c->path_mtu)) {
        s->offload.paths[path].mtu = c->path_mtu;
        s->offload.walk_left = s->offload.count + 1;
    }
    ring_insert(&s->offload, socket_index(&s->sockets, socket));
    route_of_socket(s, socket, c, &route);
    route.path_mtu = offload_route_mtu(s, socket, c);
    route_tell(away, &route);
    return true;
}

void offload_route_leave(struct vnic_stack *s, struct socket *socket)
{
    struct away *away = offload_away(s, socket);

    ring_remove(&s->offload, socket_index(&s->sockets, socket));
    path_put(s, away->path);
    away->path = 0;
}

/* -- changes ------------------------------------------------------------------------------------------------ */

void offload_on_neighbour(struct vnic_stack *s)
{
    s->offload.walk_left = s->offload.count;
}

void offload_route_walk(struct vnic_stack *s)
{
    struct offload *o = &s->offload;

    if (o->generation != s->routes.generation) {
        o->generation = s->routes.generation;
        o->walk_left = o->count;
    }
    o->walk_left = bits_min32(o->walk_left, o->count);
    for (uint32_t steps = 0; steps < ROUTE_STEPS && o->walk_left != 0; steps++, o->walk_left--) {
        o->walk = o->walk != 0 ? o->walk : o->first;
        offload_route_check(s, &s->sockets.list[o->walk]);
        o->walk = o->away[o->walk].next;
    }
}

/* RFC 1191 7.1: a router that does not say how much; the engine's own plateaus are for what it sends itself. */
static uint32_t mtu_below(uint32_t mtu, uint32_t told)
{
    static const uint16_t plateaus[] = {32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296};

    for (size_t i = 0; told == 0 && i < sizeof(plateaus) / sizeof(plateaus[0]); i++) {
        told = plateaus[i] < mtu ? plateaus[i] : 0;
    }
    return bits_max32(told, ROUTE_MTU_LEAST_IPV4);
}

/* RFC 5927 4.1, as far as it can be known here: the quoted number is of the send queue. */
static bool is_quote_ours(const struct tcp_connection *c, uint32_t seq)
{
    return c->state != TCP_STATE_CLOSED && seq_gt(c->snd_end + 1, c->snd_una)
           && seq - c->snd_una <= c->snd_end - c->snd_una;
}

void offload_on_icmp(struct vnic_stack *s, struct socket *socket, uint32_t kind, uint32_t seq, uint32_t mtu)
{
    struct tcp_connection *c = socket_connection(s, socket);
    const uint32_t before = offload_route_mtu(s, socket, c);

    if (!is_quote_ours(c, seq)) {
        return;
    }
    if (kind <= TCP_ICMP_HARD) {
        event_raise(s, socket, VNIC_EVENT_SOFT_ERROR);
    }
    if (kind != TCP_ICMP_TOO_BIG || (c->is_ipv6 && mtu < ROUTE_MTU_LEAST_IPV6)) {
        return;
    }
    mtu = c->is_ipv6 ? mtu : mtu_below(before, mtu);
    if (mtu < before) {
        c->path_mtu = (uint16_t)mtu;
        s->offload.paths[offload_away(s, socket)->path].mtu = mtu;
        s->offload.walk_left = s->offload.count;
        offload_route_check(s, socket);
    }
}

/* -- questions ---------------------------------------------------------------------------------------------- */

int vnic_tcp_offload_route(vnic_stack *stack, vnic_socket socket, struct vnic_offload_route *route)
{
    struct socket *held = offload_socket(stack, socket);

    if (route == NULL) {
        return VNIC_EINVAL;
    }
    if (held == NULL) {
        return VNIC_STACK_EBADF;
    }
    if (!offload_is_away(held) && !route_is_open(stack, held)) {
        return VNIC_STACK_EAGAIN;
    }
    route_look(stack, held, route);
    return VNIC_OK;
}

int vnic_stack_offload_query(vnic_stack *stack, uint32_t neighbour, uint32_t nic_ms,
                             struct vnic_offload_route *route)
{
    const uint32_t index = neighbour_named(stack, neighbour);

    if (route == NULL) {
        return VNIC_EINVAL;
    }
    if (index == 0) {
        return VNIC_ENOENT;
    }
    *route = (struct vnic_offload_route){0};
    neighbour_confirm_since(stack, index, (uint64_t)nic_ms * ROUTE_MS_NS);
    route_of_neighbour(stack, index, route);
    (void)neighbour_use(stack, index);
    return VNIC_OK;
}

int vnic_stack_offload_confirm(vnic_stack *stack, uint32_t neighbour, uint32_t nic_ms)
{
    const uint32_t index = neighbour_named(stack, neighbour);

    if (index == 0) {
        return VNIC_ENOENT;
    }
    neighbour_confirm_since(stack, index, (uint64_t)nic_ms * ROUTE_MS_NS);
    return VNIC_OK;
}
