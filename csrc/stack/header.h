/* The IP headers of datagrams that leave. */
#ifndef VNIC_STACK_HEADER_H
#define VNIC_STACK_HEADER_H

#include "stack/packet.h"

#include "base/bytes.h"
#include "wire/checksum.h"

enum {
    HEADER_MAX = WIRE_ETH_LEN + WIRE_VLAN_LEN + WIRE_IPV6_LEN,
    IPV4_DONT_FRAGMENT = 0x4000,
    IPV4_MORE_FRAGMENTS = 0x2000,
    IPV6_FRAGMENT_LEN = 8,
    NEXT_HOP_BY_HOP = 0,
    NEXT_ROUTING = 43,
    NEXT_FRAGMENT = 44,
    NEXT_NONE = 59,
    NEXT_DESTINATION = 60,
    PROTO_ICMP = 1,
    PROTO_ICMP6 = 58
};

/* Ethernet header, with the tag unless the link inserts it; returns its length. */
static inline uint32_t header_write_ethernet(uint8_t *out, const struct vnic_stack_interface *config,
                                             const uint8_t *mac, uint16_t ethertype)
{
    memcpy(out, mac, 6);
    memcpy(out + 6, config->mac, 6);
    if (config->vlan == 0 || (config->offload & VNIC_STACK_TX_VLAN) != 0) {
        be16_store(out + 12, ethertype);
        return WIRE_ETH_LEN;
    }
    be32_store(out + 12, (uint32_t)WIRE_ETHERTYPE_VLAN << 16 | config->vlan);
    be16_store(out + 16, ethertype);
    return WIRE_ETH_LEN + WIRE_VLAN_LEN;
}

/*
 * fragment: flags and offset as in the header. In registers first: the sum needs no look back. Returns its
 * length.
 */
static inline uint32_t header_write_ipv4(uint8_t *out, const struct ip_out *ip, uint8_t ttl,
                                         uint32_t payload_len, uint16_t id, uint16_t fragment)
{
    const uint16_t total = (uint16_t)(WIRE_IPV4_LEN + payload_len);
    const uint64_t first = 0x45u | (uint64_t)ip->tos << 8 | csum_of16(total) << 16 | csum_of16(id) << 32
                           | csum_of16(fragment) << 48;
    const uint32_t second = ttl | (uint32_t)ip->proto << 8;
    const uint32_t source = le32_load(ip->source->bytes);
    const uint32_t destination = le32_load(ip->destination->bytes);
    const uint64_t sum = csum_reduce(first) + second + source + destination;

    le64_store(out, first);
    le32_store(out + 8, second | (uint32_t)csum_of16(csum_field(sum)) << 16);
    le32_store(out + 12, source);
    le32_store(out + 16, destination);
    return WIRE_IPV4_LEN;
}

static inline uint32_t header_write_ipv6(uint8_t *out, const struct ip_out *ip, uint8_t ttl,
                                         uint32_t payload_len, uint8_t next)
{
    be32_store(out, 6u << 28 | (uint32_t)ip->tos << 20);
    be16_store(out + 4, (uint16_t)payload_len);
    out[6] = next;
    out[7] = ttl;
    memcpy(out + 8, ip->source->bytes, 16);
    memcpy(out + 24, ip->destination->bytes, 16);
    return WIRE_IPV6_LEN;
}

/* The sum of the pseudo header. */
static inline uint64_t header_pseudo(const struct vnic_address *source,
                                     const struct vnic_address *destination, uint8_t proto, uint32_t len)
{
    uint8_t both[8];

    if (source->is_ipv6) {
        return csum_pseudo_v6(source->bytes, destination->bytes, proto, len);
    }
    memcpy(both, source->bytes, 4);
    memcpy(both + 4, destination->bytes, 4);
    return csum_pseudo_v4(both, proto, len);
}

#endif
