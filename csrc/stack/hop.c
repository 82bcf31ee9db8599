/* The next hop of a datagram, and its way into frames: headers, checksum, fragments. */
#include "stack/hop.h"

#include "base/bits.h"
#include "stack/header.h"
#include "stack/network.h"
#include "stack/state.h"

/* -- where to -------------------------------------------------------------------------------------------- */

/*
 * Groups and the limited broadcast have no route: over the interface of the source, else the first that is
 * up.
 */
static uint32_t group_interface(const struct vnic_stack *s, const struct vnic_address *destination,
                                uint32_t mask)
{
    const struct route *route = route_find(s, destination, mask);

    if (route != NULL) {
        return route->interface;
    }
    for (uint32_t i = 0; i < s->interfaces.count; i++) {
        if ((mask >> i & 1) != 0 && s->interfaces.list[i].is_up) {
            return i;
        }
    }
    return INTERFACE_NONE;
}

struct hop hop_to_group(uint32_t interface, const struct vnic_address *group)
{
    struct hop hop = {.interface = (uint8_t)interface};

    address_multicast_mac(group, hop.mac);
    return hop;
}

static int find_group(struct vnic_stack *s, struct vnic_address *source,
                      const struct vnic_address *destination, uint32_t mask, struct hop *hop)
{
    const uint32_t interface = group_interface(s, destination, mask);

    if (interface == INTERFACE_NONE) {
        return VNIC_STACK_EHOSTUNREACH;
    }
    *hop = hop_to_group(interface, destination);
    if (address_is_any(source) && !interface_choose_source(s, interface, destination, destination, source)) {
        return VNIC_STACK_EADDRNOTAVAIL;
    }
    return VNIC_OK;
}

/* A neighbour that is ourselves has our own Ethernet address, permanently. */
static int find_local(struct vnic_stack *s, struct vnic_address *source,
                      const struct vnic_address *destination, uint32_t mask, struct hop *hop)
{
    const uint32_t interface = bits_ctz(mask);
    const uint32_t neighbour = neighbour_get(s, interface, destination);

    if (neighbour == 0) {
        return VNIC_STACK_ENOBUFS;
    }
    if (address_is_any(source)) {
        *source = *destination;
    }
    neighbour_set_permanent(s, neighbour, s->interfaces.list[interface].config.mac, true);
    *hop = (struct hop){.neighbour = neighbour, .interface = (uint8_t)interface};
    return VNIC_OK;
}

static int find_route(struct vnic_stack *s, struct vnic_address *source,
                      const struct vnic_address *destination, uint32_t mask, struct hop *hop)
{
    const struct route *route = route_find(s, destination, mask);
    const struct vnic_address *next;

    if (route == NULL) {
        return VNIC_STACK_EHOSTUNREACH;
    }
    next = address_is_any(&route->gateway) ? destination : &route->gateway;
    if (address_is_any(source) && !interface_choose_source(s, route->interface, destination, next, source)) {
        return VNIC_STACK_EADDRNOTAVAIL;
    }
    if (interface_is_broadcast(s, route->interface, destination)) {
        *hop = hop_to_group(route->interface, destination);
        return VNIC_OK;
    }
    *hop = (struct hop){.neighbour = neighbour_get(s, route->interface, next), .interface = route->interface};
    return hop->neighbour != 0 ? VNIC_OK : VNIC_STACK_ENOBUFS;
}

int hop_find(struct vnic_stack *s, struct vnic_address *source, const struct vnic_address *destination,
             uint32_t mask, struct hop *hop)
{
    const uint32_t local = interface_mask_of(s, destination);

    source->is_ipv6 = destination->is_ipv6;
    if (!address_is_any(source)) {
        mask &= interface_mask_of(s, source);
        if (mask == 0) {
            return VNIC_STACK_EADDRNOTAVAIL;
        }
    }
    if (address_is_multicast(destination) || address_is_broadcast(destination)) {
        return find_group(s, source, destination, mask, hop);
    }
    if (local != 0) {
        return find_local(s, source, destination, local, hop);
    }
    return address_is_source(destination) ? find_route(s, source, destination, mask, hop)
                                          : VNIC_STACK_EHOSTUNREACH;
}

/* -- frames ---------------------------------------------------------------------------------------------- */

uint32_t hop_write_ethernet(const struct vnic_stack *s, const struct hop *hop, uint16_t ethertype,
                            uint8_t *out)
{
    const uint8_t *mac = hop->neighbour != 0 ? s->neighbours.entries[hop->neighbour].mac : hop->mac;

    return header_write_ethernet(out, &s->interfaces.list[hop->interface].config, mac, ethertype);
}

/* What a datagram is made of: headers once, then pieces of l4 with the checksum put in. */
struct cut {
    const struct ip_out *ip;
    const uint8_t *l4;
    uint32_t checksum_at; /* in l4; l4_len: none */
    uint8_t checksum[2];
    bool is_offloaded;
    uint32_t identification;
    uint32_t payload_max; /* l4 bytes in a frame */
};

static uint32_t checksum_offset(const struct ip_out *ip)
{
    switch (ip->proto) {
    case WIRE_PROTO_TCP:
        return 16;
    case WIRE_PROTO_UDP:
        return 6;
    case PROTO_ICMP:
    case PROTO_ICMP6:
        return 2;
    default:
        return ip->l4_len;
    }
}

/* Left to the link below, or in software; ICMP and what is cut always in software. */
static void find_checksum(const struct vnic_stack *s, const struct hop *hop, struct cut *cut)
{
    const struct ip_out *ip = cut->ip;
    const bool has_offload =
        (s->interfaces.list[hop->interface].config.offload & VNIC_STACK_TX_CHECKSUM) != 0;
    const bool is_transport = ip->proto == WIRE_PROTO_TCP || ip->proto == WIRE_PROTO_UDP;
    uint64_t sum =
        ip->proto == PROTO_ICMP ? 0 : header_pseudo(ip->source, ip->destination, ip->proto, ip->l4_len);

    cut->checksum_at = checksum_offset(ip);
    if (cut->checksum_at + 2 > ip->l4_len) {
        cut->checksum_at = ip->l4_len;
        return;
    }
    cut->is_offloaded = has_offload && is_transport && ip->l4_len <= cut->payload_max;
    if (cut->is_offloaded) {
        be16_store(cut->checksum, csum_fold(sum));
        return;
    }
    sum = csum_reduce(sum) + csum_reduce(s->csum->add(0, cut->l4, ip->l4_len));
    sum = csum_without16(sum, be16_load(cut->l4 + cut->checksum_at));
    be16_store(cut->checksum, ip->proto == WIRE_PROTO_UDP ? csum_field_udp(sum) : csum_field(sum));
}

/* RFC 6864 4.1, RFC 7739: unpredictable, and not repeated soon for the same addresses. */
static uint32_t identification(struct vnic_stack *s, const struct ip_out *ip)
{
    uint8_t key[33];
    uint64_t hash;

    memcpy(key, ip->source->bytes, 16);
    memcpy(key + 16, ip->destination->bytes, 16);
    key[32] = ip->proto;
    hash = secret_hash(s, key, sizeof(key), SECRET_IDENTIFICATION);
    return (uint32_t)hash + s->secret.identifications[(hash >> 32) % SECRET_COUNTERS]++;
}

static uint32_t write_headers(struct vnic_stack *s, const struct hop *hop, const struct cut *cut,
                              uint32_t offset, uint32_t len, uint8_t *out)
{
    const struct ip_out *ip = cut->ip;
    const bool is_cut = ip->l4_len > cut->payload_max;
    const bool is_last = offset + len == ip->l4_len;
    uint32_t at =
        hop_write_ethernet(s, hop, ip->source->is_ipv6 ? WIRE_ETHERTYPE_IPV6 : WIRE_ETHERTYPE_IPV4, out);

    if (!ip->source->is_ipv6) {
        const uint16_t flags = ip->may_fragment ? 0 : IPV4_DONT_FRAGMENT;
        const uint16_t more = is_last ? 0 : IPV4_MORE_FRAGMENTS;

        return at
               + header_write_ipv4(out + at, ip, ip->ttl, len, (uint16_t)cut->identification,
                                   (uint16_t)(flags | more | offset / 8));
    }
    at += header_write_ipv6(out + at, ip, ip->ttl, len + (is_cut ? IPV6_FRAGMENT_LEN : 0),
                            is_cut ? NEXT_FRAGMENT : ip->proto);
    if (is_cut) {
        out[at] = ip->proto;
        out[at + 1] = 0;
        be16_store(out + at + 2, (uint16_t)(offset | (is_last ? 0 : 1)));
        be32_store(out + at + 4, cut->identification);
        at += IPV6_FRAGMENT_LEN;
    }
    return at;
}

/* Bytes offset to offset + len of l4, with the checksum in its place. */
static bool append_l4(struct vnic_stack *s, uint32_t frame, const struct cut *cut, uint32_t offset,
                      uint32_t len)
{
    const uint32_t field = cut->checksum_at;
    const uint32_t end = offset + len;

    if (field >= cut->ip->l4_len || field < offset || field >= end) {
        return outbox_append(s, frame, cut->l4 + offset, len);
    }
    return outbox_append(s, frame, cut->l4 + offset, field - offset)
           && outbox_append(s, frame, cut->checksum, 2)
           && outbox_append(s, frame, cut->l4 + field + 2, end - field - 2);
}

static uint32_t write_frame(struct vnic_stack *s, const struct hop *hop, const struct cut *cut,
                            uint32_t offset, uint32_t len)
{
    const uint32_t frame = outbox_new(s, hop->interface);
    struct outbox_frame *f = outbox_at(s, frame);
    uint8_t headers[HEADER_MAX + IPV6_FRAGMENT_LEN];
    uint32_t header_len;

    if (frame == 0) {
        return 0;
    }
    header_len = write_headers(s, hop, cut, offset, len, headers);
    f->is_ipv6 = cut->ip->source->is_ipv6;
    f->is_tcp = cut->ip->proto == WIRE_PROTO_TCP;
    f->is_more = offset + len < cut->ip->l4_len;
    if (cut->is_offloaded) {
        f->checksum_start = (uint16_t)header_len;
        f->checksum_offset = (uint16_t)cut->checksum_at;
    }
    if (!outbox_append(s, frame, headers, header_len) || !append_l4(s, frame, cut, offset, len)) {
        outbox_discard(s, frame);
        return 0;
    }
    return frame;
}

static void discard_list(struct vnic_stack *s, uint32_t frame)
{
    while (frame != 0) {
        const uint32_t next = outbox_at(s, frame)->next;

        outbox_discard(s, frame);
        frame = next;
    }
}

/* All frames as a list; 0 when there is no room for all. */
static uint32_t write_frames(struct vnic_stack *s, const struct hop *hop, const struct cut *cut)
{
    uint32_t first = 0, last = 0, offset = 0;

    do {
        const uint32_t len = bits_min32(cut->payload_max, cut->ip->l4_len - offset);
        const uint32_t frame = write_frame(s, hop, cut, offset, len);

        if (frame == 0) {
            discard_list(s, first);
            return 0;
        }
        *(first == 0 ? &first : &outbox_at(s, last)->next) = frame;
        last = frame;
        offset += len;
    } while (offset < cut->ip->l4_len);
    return first;
}

static bool is_local(const struct vnic_stack *s, const struct hop *hop)
{
    return hop->neighbour != 0 && s->neighbours.entries[hop->neighbour].is_local != 0;
}

static void put_list(struct vnic_stack *s, const struct hop *hop, uint32_t frame)
{
    while (frame != 0) {
        const uint32_t next = outbox_at(s, frame)->next;

        if (is_local(s, hop)) {
            outbox_put_loop(s, frame);
        } else {
            outbox_put(s, frame);
        }
        frame = next;
    }
}

/* l4 bytes that a frame carries: all, or a multiple of 8 when it must be cut; 0: it may not. */
static uint32_t payload_max(const struct vnic_stack *s, const struct hop *hop, const struct ip_out *ip)
{
    const bool is_ipv6 = ip->source->is_ipv6 != 0;
    const uint32_t header_len = is_ipv6 ? WIRE_IPV6_LEN : WIRE_IPV4_LEN;
    const uint32_t mtu = interface_mtu(s, hop->interface, is_ipv6);
    const uint32_t path = ip->may_fragment && is_ipv6 ? icmp_path_mtu(s, ip->destination, mtu) : mtu;

    if (header_len + ip->l4_len <= path) {
        return ip->l4_len;
    }
    if (!ip->may_fragment) {
        return 0;
    }
    return (path - header_len - (is_ipv6 ? IPV6_FRAGMENT_LEN : 0)) & ~7u;
}

/* The frames that stand where these would go: for the link, for a neighbour, or for ourselves. */
static uint32_t count_queued(const struct vnic_stack *s, const struct hop *hop, bool is_ready)
{
    if (!is_ready) {
        return s->outboxes.waiting;
    }
    return is_local(s, hop) ? s->outboxes.loop.count : s->outboxes.list[hop->interface].count;
}

/* VNIC_OK, or EAGAIN when frames that will leave are in the way, or ENOBUFS. */
static int find_room(const struct vnic_stack *s, const struct hop *hop, const struct cut *cut, bool is_ready)
{
    const uint32_t len = cut->ip->l4_len;
    const uint32_t frames = len > cut->payload_max ? (len + cut->payload_max - 1) / cut->payload_max : 1;

    if (outbox_has_room(s, count_queued(s, hop, is_ready), frames, len)) {
        return VNIC_OK;
    }
    return is_ready && s->outboxes.list[hop->interface].count > 0 ? VNIC_STACK_EAGAIN : VNIC_STACK_ENOBUFS;
}

/* Writes the frames of a datagram for which there is room, and lets them go or wait. */
static int send_frames(struct vnic_stack *s, const struct hop *hop, struct cut *cut, const struct ip_out *ip,
                       bool is_ready)
{
    uint32_t frames;

    find_checksum(s, hop, cut);
    if (ip->l4_len > cut->payload_max || (ip->may_fragment && !ip->source->is_ipv6)) {
        cut->identification = identification(s, ip);
    }
    frames = write_frames(s, hop, cut);
    if (frames == 0) {
        s->statistics.outbox_full++;
        return VNIC_STACK_ENOBUFS;
    }
    if (is_ready) {
        put_list(s, hop, frames);
    } else {
        neighbour_wait(s, hop->neighbour, frames);
    }
    return VNIC_OK;
}

int hop_send(struct vnic_stack *s, const struct hop *hop, const struct ip_out *ip, const uint8_t *l4)
{
    struct ip_out out = *ip;
    struct cut cut = {.ip = &out, .l4 = l4, .payload_max = payload_max(s, hop, ip)};
    bool is_ready;
    int result;

    if (out.ttl == 0) {
        out.ttl = address_is_multicast(ip->destination) ? 1 : s->interfaces.list[hop->interface].hop_limit;
    }
    if (cut.payload_max == 0 && ip->l4_len > 0) {
        return VNIC_STACK_EMSGSIZE;
    }
    is_ready = hop->neighbour == 0 || neighbour_use(s, hop->neighbour);
    result = find_room(s, hop, &cut, is_ready);
    if (result != VNIC_OK) {
        s->statistics.outbox_full++;
        return result;
    }
    return send_frames(s, hop, &cut, &out, is_ready);
}
