/* IPv4 datagrams received: header, options, addresses, fragments, who gets them (RFC 791, RFC 1122). */
#include "stack/arrival.h"
#include "stack/fragment.h"
#include "stack/header.h"
#include "stack/icmp.h"
#include "stack/network.h"
#include "stack/state.h"

enum { OPTION_END = 0, OPTION_NOP = 1, OPTION_LOOSE_ROUTE = 0x83, OPTION_STRICT_ROUTE = 0x89 };

/* The header is whole, its lengths and its sum are right; *total is the datagram's length. */
static bool is_header_good(const struct arrival *arrival, const uint8_t *ip, uint32_t len, uint32_t *total)
{
    uint32_t header_len;

    if (len < WIRE_IPV4_LEN || ip[0] >> 4 != 4) {
        return false;
    }
    header_len = (ip[0] & 15u) * 4;
    *total = be16_load(ip + 2);
    if (header_len < WIRE_IPV4_LEN || *total < header_len || *total > len) {
        return false;
    }
    return arrival->ip_is_good || csum_fold(csum_add(0, ip, header_len)) == 0xffff;
}

enum option_verdict { OPTIONS_FINE, OPTIONS_ROUTED, OPTIONS_BROKEN };

/* Options are skipped by their length; source routes are refused (RFC 7126 4.3, 4.4). */
static enum option_verdict judge_options(const uint8_t *ip, uint32_t header_len, uint32_t *at)
{
    *at = WIRE_IPV4_LEN;
    while (*at < header_len && ip[*at] != OPTION_END) {
        const uint8_t type = ip[*at];

        if (type == OPTION_NOP) {
            ++*at;
            continue;
        }
        if (header_len - *at < 2 || ip[*at + 1] < 2 || ip[*at + 1] > header_len - *at) {
            return OPTIONS_BROKEN;
        }
        if (type == OPTION_LOOSE_ROUTE || type == OPTION_STRICT_ROUTE) {
            return OPTIONS_ROUTED;
        }
        *at += ip[*at + 1];
    }
    return OPTIONS_FINE;
}

/* RFC 1122 3.2.1.3: one host, not us, and no broadcast of our subnets. */
static bool is_source_good(const struct vnic_stack *s, const struct arrival *arrival,
                           const struct vnic_address *source)
{
    if (arrival->is_loop) {
        return true;
    }
    return address_is_source(source) && !interface_has(s, arrival->interface, source)
           && !interface_is_broadcast(s, arrival->interface, source);
}

/*
 * Strong host model (RFC 1122 3.3.4.2): an address of the interface it came in on. A group in a unicast frame
 * is taken, a unicast datagram in a broadcast frame is not (RFC 1122 3.3.6).
 */
static bool is_for_us(const struct vnic_stack *s, const struct arrival *arrival, struct packet *packet)
{
    if (interface_has(s, arrival->interface, &packet->destination)) {
        packet->is_multicast = 0;
        return !arrival->is_link_multicast;
    }
    packet->is_multicast = 1;
    return interface_is_broadcast(s, arrival->interface, &packet->destination)
           || interface_is_member(s, arrival->interface, &packet->destination);
}

static void deliver(struct vnic_stack *s, const struct packet *packet)
{
    switch (packet->proto) {
    case WIRE_PROTO_TCP:
        if (!packet->is_multicast) { /* RFC 9293 MUST-57 */
            network_to_tcp(s, packet);
        }
        break;
    case WIRE_PROTO_UDP:
        udp_receive(s, packet);
        break;
    case PROTO_ICMP:
        icmp_receive(s, packet);
        break;
    default:
        s->statistics.no_protocol++;
        icmp_send_error(s, packet, ICMP_ERROR_PROTOCOL, 9);
        break;
    }
}

static void reassemble(struct vnic_stack *s, const struct arrival *arrival, const struct packet *packet,
                       uint16_t field)
{
    struct arrival whole = *arrival;
    const struct fragment_arrival fragment = {
        .key = {.source = packet->source,
                .destination = packet->destination,
                .identification = be16_load(packet->ip + 4),
                .proto = packet->proto,
                .interface = packet->interface},
        .header = packet->ip,
        .header_len = packet->ip_len - packet->l4_len,
        .data = packet->l4,
        .len = packet->l4_len,
        .offset = (field & 0x1fffu) * 8,
        .is_last = (field & IPV4_MORE_FRAGMENTS) == 0,
        .is_multicast = packet->is_multicast != 0,
        .ecn = packet->ecn,
        .mac = packet->mac,
    };
    uint32_t len;

    if (fragment_add(s, &fragment, &len) == FRAGMENT_WHOLE) {
        whole.was_fragment = true;
        whole.ip_is_good = true;
        whole.l4_is_good = false;
        whole.is_kept = false;
        ipv4_receive(s, &whole, s->fragments.whole, len);
    }
}

static struct packet describe(const struct arrival *arrival, const uint8_t *ip, uint32_t total)
{
    const uint32_t header_len = (ip[0] & 15u) * 4;

    return (struct packet){
        .source = address_ipv4(ip + 12),
        .destination = address_ipv4(ip + 16),
        .l4 = ip + header_len,
        .l4_len = total - header_len,
        .proto = ip[9],
        .ecn = ip[1] & 3,
        .ttl = ip[8],
        .tos = ip[1],
        .interface = arrival->interface,
        .l4_is_good = arrival->l4_is_good,
        .is_kept = arrival->is_kept,
        .was_fragment = arrival->was_fragment,
        .ip = ip,
        .ip_len = total,
        .mac = arrival->mac,
    };
}

void ipv4_receive(struct vnic_stack *s, const struct arrival *arrival, const uint8_t *ip, uint32_t len)
{
    struct packet packet;
    uint32_t total, at;
    uint16_t field;

    if (!is_header_good(arrival, ip, len, &total)) {
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
    switch (judge_options(ip, total - packet.l4_len, &at)) {
    case OPTIONS_BROKEN:
        icmp_send_error(s, &packet, ICMP_ERROR_PARAMETER, at);
        s->statistics.bad_ip++;
        return;
    case OPTIONS_ROUTED:
        s->statistics.bad_ip++;
        return;
    default:
        break;
    }
    field = be16_load(ip + 6);
    if ((field & 0x3fff) != 0) {
        reassemble(s, arrival, &packet, field);
    } else {
        deliver(s, &packet);
    }
}
