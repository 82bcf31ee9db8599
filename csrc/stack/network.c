/* The IP half as a whole: frames in, paths and headers for the transports, timers. */
#include "stack/network.h"

#include "base/bits.h"
#include "stack/arp.h"
#include "stack/arrival.h"
#include "stack/header.h"
#include "stack/hop.h"
#include "stack/neighbour.h"
#include "stack/state.h"

int network_create(struct vnic_stack *s)
{
    int (*const parts[])(struct vnic_stack *) = {routes_create,    neighbours_create, outboxes_create,
                                                 fragments_create, icmp_create,       udp_create};

    s->interfaces.deadline_ns = UINT64_MAX;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        const int result = parts[i](s);

        if (result != VNIC_OK) {
            network_destroy(s);
            return result;
        }
    }
    return VNIC_OK;
}

void network_destroy(struct vnic_stack *s)
{
    routes_destroy(s);
    neighbours_destroy(s);
    outboxes_destroy(s);
    fragments_destroy(s);
    icmp_destroy(s);
    udp_destroy(s);
}

/* -- frames in ------------------------------------------------------------------------------------------- */

/* The tag of the interface and no other (IEEE 802.1Q); the length of the header, 0 when it is not for us. */
static uint32_t pass_ethernet(const struct vnic_stack *s, uint32_t interface, const uint8_t *frame,
                              uint32_t len)
{
    const struct vnic_stack_interface *config = &s->interfaces.list[interface].config;
    const bool is_tagged = be16_load(frame + 12) == WIRE_ETHERTYPE_VLAN;

    if (is_tagged != (config->vlan != 0)) {
        return 0;
    }
    if (is_tagged
        && (len < WIRE_ETH_LEN + WIRE_VLAN_LEN || (be16_load(frame + 14) & 0xfff) != config->vlan)) {
        return 0;
    }
    return is_tagged ? WIRE_ETH_LEN + WIRE_VLAN_LEN : WIRE_ETH_LEN;
}

static void receive_payload(struct vnic_stack *s, const struct arrival *arrival, uint16_t ethertype,
                            const uint8_t *payload, uint32_t len)
{
    switch (ethertype) {
    case WIRE_ETHERTYPE_IPV4:
        ipv4_receive(s, arrival, payload, len);
        break;
    case WIRE_ETHERTYPE_IPV6:
        ipv6_receive(s, arrival, payload, len);
        break;
    case WIRE_ETHERTYPE_ARP:
        arp_receive(s, arrival, payload, len);
        break;
    default:
        s->statistics.no_protocol++;
        break;
    }
}

static void receive_frame(struct vnic_stack *s, uint32_t interface, const uint8_t *frame, uint32_t len,
                          uint32_t flags, bool is_loop)
{
    const struct arrival arrival = {
        .mac = frame + 6,
        .interface = (uint8_t)interface,
        .is_link_multicast = (frame[0] & 1) != 0,
        .is_loop = is_loop,
        .ip_is_good = (flags & VNIC_STACK_RX_IP_GOOD) != 0,
        .l4_is_good = (flags & VNIC_STACK_RX_L4_GOOD) != 0,
        .is_kept = (flags & VNIC_STACK_RX_KEPT) != 0,
    };
    const uint32_t at = pass_ethernet(s, interface, frame, len);

    if (at == 0 || !interface_takes_mac(s, interface, frame)) {
        s->statistics.not_for_us++;
        return;
    }
    receive_payload(s, &arrival, be16_load(frame + at - 2), frame + at, len - at);
}

void network_receive(struct vnic_stack *s, uint32_t interface, const uint8_t *frame, uint32_t len,
                     uint32_t flags)
{
    if (len < WIRE_ETH_LEN || len > WIRE_MAX_FRAME || (frame[6] & 1) != 0) {
        s->statistics.bad_frame++;
        return;
    }
    if (s->interfaces.list[interface].is_up) {
        receive_frame(s, interface, frame, len, flags, false);
    } else {
        s->statistics.not_for_us++;
    }
}

/* -- to ourselves ---------------------------------------------------------------------------------------- */

bool network_is_local(const struct vnic_stack *s, const struct path *path)
{
    return s->neighbours.entries[path->neighbour].is_local != 0;
}

void network_loop(struct vnic_stack *s, uint32_t interface, const uint8_t *frame, uint32_t len)
{
    const uint32_t index = outbox_new(s, interface);

    if (index == 0 || !outbox_append(s, index, frame, len)) {
        s->statistics.outbox_full++;
        if (index != 0) {
            outbox_discard(s, index);
        }
        return;
    }
    outbox_put_loop(s, index);
}

static void receive_loop(struct vnic_stack *s, uint32_t index)
{
    const struct outbox_frame *f = outbox_at(s, index);
    const uint32_t interface = f->interface;
    const uint32_t len = f->chain.len;

    /* Not the buffer of ICMP messages: an echo request is answered from where it lies. */
    chain_read(&s->outboxes.chains, &f->chain, 0, s->outboxes.looped, len);
    outbox_discard(s, index);
    receive_frame(s, interface, s->outboxes.looped, len, VNIC_STACK_RX_L4_GOOD | VNIC_STACK_RX_IP_GOOD, true);
}

void network_run_loop(struct vnic_stack *s)
{
    /* As many as wait now: two sockets that talk to each other come again with the next call. */
    for (uint32_t count = s->outboxes.loop.count; count > 0; count--) {
        receive_loop(s, outbox_take_loop(s));
    }
}

/* -- time ------------------------------------------------------------------------------------------------ */

void network_run_timers(struct vnic_stack *s)
{
    interfaces_run_timers(s);
    neighbours_run_timers(s);
    fragments_run_timers(s);
    network_run_loop(s);
}

uint64_t network_deadline(const struct vnic_stack *s)
{
    const uint64_t link_ns = bits_min64(s->interfaces.deadline_ns, neighbours_deadline(s));

    if (s->outboxes.loop.count > 0) {
        return s->now_ns;
    }
    return bits_min64(link_ns, fragments_deadline(s));
}

/* -- paths of connections -------------------------------------------------------------------------------- */

int network_find_path(struct vnic_stack *s, struct vnic_address *source,
                      const struct vnic_address *destination, uint32_t mask, struct path *path)
{
    struct hop hop;
    int result;

    if (address_is_multicast(destination) || address_is_broadcast(destination)) {
        return VNIC_STACK_EHOSTUNREACH;
    }
    result = hop_find(s, source, destination, mask, &hop);
    if (result != VNIC_OK || hop.neighbour == 0) {
        return result != VNIC_OK ? result : VNIC_STACK_EHOSTUNREACH; /* a subnet's broadcast */
    }
    neighbour_hold(s, hop.neighbour);
    *path = (struct path){
        .neighbour = hop.neighbour, .generation = s->routes.generation, .interface = hop.interface};
    return VNIC_OK;
}

void network_drop_path(struct vnic_stack *s, struct path *path)
{
    if (path->neighbour != 0) {
        neighbour_release(s, path->neighbour);
        *path = (struct path){.neighbour = 0};
    }
}

uint32_t network_path_mtu(const struct vnic_stack *s, const struct path *path)
{
    return interface_mtu(s, path->interface, s->neighbours.entries[path->neighbour].address.is_ipv6 != 0);
}

bool network_path_is_current(const struct vnic_stack *s, const struct path *path)
{
    return path->generation == s->routes.generation;
}

/*
 * The answer of nearly all calls, without a look at the clock of the interface: proven, and not so long ago.
 */
static inline bool is_fresh(const struct vnic_stack *s, const struct neighbour *n)
{
    const struct interface *i = &s->interfaces.list[n->interface];

    return n->state == VNIC_NEIGHBOUR_REACHABLE && s->now_ns - n->confirmed_ns <= i->reachable_ns
           && s->now_ns < i->reachable_renew_ns;
}

bool network_is_ready(struct vnic_stack *s, const struct path *path)
{
    return is_fresh(s, &s->neighbours.entries[path->neighbour]) || neighbour_use(s, path->neighbour);
}

void network_confirm(struct vnic_stack *s, const struct path *path)
{
    struct neighbour *n = &s->neighbours.entries[path->neighbour];

    if (is_fresh(s, n)) {
        n->confirmed_ns = s->now_ns;
    } else {
        neighbour_confirm(s, path->neighbour);
    }
}

uint32_t network_write_header(struct vnic_stack *s, const struct path *path, const struct ip_out *ip,
                              uint8_t *out)
{
    const struct interface *i = &s->interfaces.list[path->interface];
    const uint8_t *mac = s->neighbours.entries[path->neighbour].mac;
    const uint8_t ttl = ip->ttl != 0 ? ip->ttl : i->hop_limit;
    uint32_t at;

    if (ip->source->is_ipv6) {
        at = header_write_ethernet(out, &i->config, mac, WIRE_ETHERTYPE_IPV6);
        return at + header_write_ipv6(out + at, ip, ttl, ip->l4_len, ip->proto);
    }
    at = header_write_ethernet(out, &i->config, mac, WIRE_ETHERTYPE_IPV4);
    return at
           + header_write_ipv4(out + at, ip, ttl, ip->l4_len, 0, ip->may_fragment ? 0 : IPV4_DONT_FRAGMENT);
}

int network_send(struct vnic_stack *s, const struct ip_out *ip, uint32_t mask, const uint8_t *l4)
{
    struct vnic_address source = *ip->source;
    struct ip_out out = *ip;
    struct hop hop;
    int result = hop_find(s, &source, ip->destination, mask, &hop);

    out.source = &source;
    if (result == VNIC_OK) {
        result = hop_send(s, &hop, &out, l4);
    }
    s->statistics.no_route += result == VNIC_STACK_EHOSTUNREACH ? 1 : 0;
    return result;
}

void network_port_unreachable(struct vnic_stack *s, const struct packet *packet)
{
    s->statistics.no_port++;
    icmp_send_error(s, packet, ICMP_ERROR_PORT, 0);
}
