/* IPv6 datagrams received: header, extension headers, addresses, fragments, and who gets them (RFC 8200). */
#include "stack/arrival.h"
#include "stack/extension.h"
#include "stack/fragment.h"
#include "stack/header.h"
#include "stack/icmp.h"
#include "stack/network.h"
#include "stack/state.h"

static bool is_source_good(struct vnic_stack *s, const struct arrival *arrival,
                           const struct vnic_address *source)
{
    if (arrival->is_loop || address_is_any(source)) {
        return true; /* the unspecified address: only for duplicate address detection, see deliver() */
    }
    if (interface_has(s, arrival->interface, source)) {
        s->statistics.address_conflicts++; /* somebody else speaks as us (RFC 4862 5.4.4) */
        return false;
    }
    return address_is_source(source);
}

/* A tentative address receives Neighbor Discovery by its group only (RFC 4862 5.4). */
static bool is_for_us(const struct vnic_stack *s, const struct arrival *arrival, struct packet *packet)
{
    if (address_is_multicast(&packet->destination)) {
        packet->is_multicast = 1;
        return interface_is_member(s, arrival->interface, &packet->destination);
    }
    return interface_has(s, arrival->interface, &packet->destination) && !arrival->is_link_multicast;
}

static void deliver(struct vnic_stack *s, const struct packet *packet, const struct extension_walk *walk)
{
    if (address_is_any(&packet->source) && packet->proto != PROTO_ICMP6) {
        s->statistics.bad_ip++;
        return;
    }
    switch (packet->proto) {
    case WIRE_PROTO_TCP:
        if (!packet->is_multicast) {
            network_to_tcp(s, packet);
        }
        break;
    case WIRE_PROTO_UDP:
        udp_receive(s, packet);
        break;
    case PROTO_ICMP6:
        icmp6_receive(s, packet);
        break;
    case NEXT_NONE:
        break;
    default:
        s->statistics.no_protocol++;
        icmp_send_error(s, packet, ICMP_ERROR_PROTOCOL, walk->next_offset);
        break;
    }
}

/* Bytes of the transport header that a first fragment must hold (RFC 7112). */
static bool has_transport_header(uint8_t next, const uint8_t *l4, uint32_t len)
{
    switch (next) {
    case WIRE_PROTO_TCP:
        return len >= WIRE_TCP_LEN && (l4[12] >> 4) * 4u <= len;
    case WIRE_PROTO_UDP:
        return len >= WIRE_UDP_LEN;
    case PROTO_ICMP6:
        return len >= 4;
    default:
        return true;
    }
}

/* The header chain goes on behind the Fragment header of the first fragment, and ends within it. */
static bool is_chain_whole(const struct extension_walk *at_fragment, const struct packet *packet)
{
    struct extension_walk walk = *at_fragment;

    extension_pass_fragment(&walk, packet->ip);
    switch (extension_run(&walk, packet->ip, packet->ip_len)) {
    case EXTENSION_TRANSPORT:
        return has_transport_header(walk.next, packet->ip + walk.offset, packet->ip_len - walk.offset);
    case EXTENSION_PROBLEM:
        return true; /* told when the datagram is whole */
    default:
        return false;
    }
}

/* RFC 8200 4.5: what a fragment must not be. False: it was refused. */
static bool is_fragment_good(struct vnic_stack *s, const struct extension_walk *walk,
                             const struct packet *packet, const struct fragment_arrival *fragment)
{
    if (!fragment->is_last && fragment->len % 8 != 0) {
        icmp_send_error(s, packet, ICMP_ERROR_PARAMETER, 4);
        return false;
    }
    if (fragment->header_len - IPV6_FRAGMENT_LEN - WIRE_IPV6_LEN + fragment->offset + fragment->len
        > FRAGMENT_MAX_PAYLOAD) {
        icmp_send_error(s, packet, ICMP_ERROR_PARAMETER, walk->offset + 2);
        return false;
    }
    if (fragment->offset == 0 && !is_chain_whole(walk, packet)) {
        icmp_send_error(s, packet, ICMP_ERROR_HEADER_CHAIN, 0);
        return false;
    }
    return true;
}

static void reassemble(struct vnic_stack *s, const struct arrival *arrival, const struct packet *packet,
                       const struct extension_walk *walk)
{
    const uint8_t *header = packet->ip + walk->offset;
    const uint16_t field = be16_load(header + 2);
    const uint32_t data_at = walk->offset + IPV6_FRAGMENT_LEN;
    struct arrival whole = *arrival;
    const struct fragment_arrival fragment = {
        .key = {.source = packet->source,
                .destination = packet->destination,
                .identification = be32_load(header + 4),
                .interface = packet->interface},
        .header = packet->ip,
        .header_len = data_at,
        .data = packet->ip + data_at,
        .len = packet->ip_len - data_at,
        .offset = field & 0xfff8u,
        .is_last = (field & 1) == 0,
        .is_multicast = packet->is_multicast != 0,
        .ecn = packet->ecn,
        .next_header = header[0],
        .next_offset = walk->next_offset,
        .mac = packet->mac,
    };
    uint32_t len;

    if (!is_fragment_good(s, walk, packet, &fragment)) {
        s->statistics.bad_ip++;
        return;
    }
    if (fragment_add(s, &fragment, &len) == FRAGMENT_WHOLE) {
        whole.was_fragment = true;
        whole.l4_is_good = false;
        whole.is_kept = false;
        ipv6_receive(s, &whole, s->fragments.whole, len);
    }
}

/* A whole datagram in one piece that has a Fragment header nevertheless (RFC 6946). */
static bool is_atomic(const uint8_t *fragment_header)
{
    return (be16_load(fragment_header + 2) & 0xfff9) == 0;
}

static void refuse(struct vnic_stack *s, const struct packet *packet, const struct extension_walk *walk,
                   enum extension_verdict verdict)
{
    s->statistics.bad_ip++;
    if (verdict == EXTENSION_PROBLEM) {
        icmp_send_error(s, packet, (enum icmp_error)walk->error, walk->pointer);
    }
}

static void receive_datagram(struct vnic_stack *s, const struct arrival *arrival, struct packet *packet)
{
    struct extension_walk walk = extension_start(packet->ip);
    enum extension_verdict verdict = extension_run(&walk, packet->ip, packet->ip_len);

    if (verdict == EXTENSION_FRAGMENT && !is_atomic(packet->ip + walk.offset)) {
        if (arrival->was_fragment) {
            s->statistics.bad_ip++; /* fragments of fragments */
            return;
        }
        reassemble(s, arrival, packet, &walk);
        return;
    }
    if (verdict == EXTENSION_FRAGMENT) {
        packet->was_fragment = 1;
        extension_pass_fragment(&walk, packet->ip);
        verdict = extension_run(&walk, packet->ip, packet->ip_len);
    }
    if (verdict != EXTENSION_TRANSPORT) {
        refuse(s, packet, &walk, verdict); /* a second Fragment header too */
        return;
    }
    packet->proto = walk.next;
    packet->l4 = packet->ip + walk.offset;
    packet->l4_len = packet->ip_len - walk.offset;
    deliver(s, packet, &walk);
}

static struct packet describe(const struct arrival *arrival, const uint8_t *ip, uint32_t total)
{
    const uint8_t tos = (uint8_t)(be16_load(ip) >> 4);

    return (struct packet){
        .source = address_ipv6(ip + 8),
        .destination = address_ipv6(ip + 24),
        .ecn = tos & 3,
        .ttl = ip[7],
        .tos = tos,
        .interface = arrival->interface,
        .l4_is_good = arrival->l4_is_good,
        .is_kept = arrival->is_kept,
        .was_fragment = arrival->was_fragment,
        .ip = ip,
        .ip_len = total,
        .mac = arrival->mac,
    };
}

void ipv6_receive(struct vnic_stack *s, const struct arrival *arrival, const uint8_t *ip, uint32_t len)
{
    struct packet packet;
    uint32_t total;

    if (s->interfaces.list[arrival->interface].ipv6_mtu == 0) {
        s->statistics.not_for_us++;
        return;
    }
    total = len >= WIRE_IPV6_LEN ? WIRE_IPV6_LEN + (uint32_t)be16_load(ip + 4) : UINT32_MAX;
    if (total > len || ip[0] >> 4 != 6) {
        s->statistics.bad_ip++;
        return;
    }
    packet = describe(arrival, ip, total);
    if (!is_source_good(s, arrival, &packet.source)) {
        s->statistics.bad_ip++;
        return;
    }
    if (!is_for_us(s, arrival, &packet)) {
        s->statistics.not_for_us++;
        return;
    }
    receive_datagram(s, arrival, &packet);
}
