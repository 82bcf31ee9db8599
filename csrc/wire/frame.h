/* Where the headers of one Ethernet frame lie: the result of parsing any number of untrusted bytes. */
#ifndef VNIC_WIRE_FRAME_H
#define VNIC_WIRE_FRAME_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WIRE_ETH_LEN = 14,
    WIRE_VLAN_LEN = 4,
    WIRE_IPV4_LEN = 20,
    WIRE_IPV6_LEN = 40,
    WIRE_TCP_LEN = 20,
    WIRE_UDP_LEN = 8,
    WIRE_MAX_FRAME = 65597, /* two tags and the largest IPv6 datagram: 14 + 8 + 40 + 65535 */
    WIRE_MAX_EXTENSIONS = 8, /* IPv6 extension headers skipped before the walk gives up */

    WIRE_ETHERTYPE_IPV4 = 0x0800,
    WIRE_ETHERTYPE_ARP = 0x0806,
    WIRE_ETHERTYPE_VLAN = 0x8100,
    WIRE_ETHERTYPE_IPV6 = 0x86dd,
    WIRE_ETHERTYPE_QINQ = 0x88a8,

    WIRE_PROTO_TCP = 6,
    WIRE_PROTO_UDP = 17,
};

enum wire_l3 { WIRE_L3_NONE, WIRE_L3_IPV4, WIRE_L3_IPV6 };

/* NONE: no IP, a fragment, or a transport header that is not whole (see flags). */
enum wire_l4 { WIRE_L4_NONE, WIRE_L4_TCP, WIRE_L4_UDP, WIRE_L4_OTHER };

enum {
    WIRE_VLAN = 1 << 0,           /* at least one tag: vlan_tci is valid */
    WIRE_QINQ = 1 << 1,           /* two tags: inner_tci is valid too */
    WIRE_FRAGMENT = 1 << 2, /* IPv4 MF or offset; IPv6 Fragment header, but not an atomic one (RFC 6946) */
    WIRE_FIRST_FRAGMENT = 1 << 3, /* a fragment at offset 0 */
    WIRE_IP_OPTIONS = 1 << 4, /* IPv4 options or IPv6 extension headers */
    WIRE_ROUTED = 1 << 5, /* Routing header other than type 2 with segments left: destination unknown */
    WIRE_BAD_L2 = 1 << 8, /* shorter than its Ethernet header and tags */
    WIRE_BAD_VERSION = 1 << 9, /* EtherType and IP version disagree */
    WIRE_BAD_IHL = 1 << 10, /* IPv4 IHL < 5, or the IP header does not fit the frame */
    WIRE_BAD_TOTAL = 1 << 11, /* IPv4 total length < header length */
    WIRE_CUT = 1 << 12, /* the IP length reaches beyond the frame; l4_len is clamped */
    WIRE_BAD_L4 = 1 << 13, /* TCP or UDP header not whole, or TCP data offset < 5 or beyond the segment */
    WIRE_UNSKIPPABLE = 1 << 14, /* IPv6 extension headers malformed, cut or more than WIRE_MAX_EXTENSIONS */
};

/*
 * Offsets count from the first byte of the destination address. Whatever the bytes, l2_len <= l4_offset <=
 * header_end <= len and l4_offset + l4_len <= len, so a caller may read what the offsets promise unchecked.
 */
struct wire_frame {
    uint32_t len; /* bytes in the frame, padding included, FCS not */
    uint32_t l4_len; /* bytes from l4_offset to the end of the IP datagram: no Ethernet padding */
    uint32_t flags; /* WIRE_* above */
    uint16_t l2_len; /* Ethernet header with tags: the L3 header starts here */
    uint16_t l4_offset; /* end of the IP header, options and extension headers */
    uint16_t header_end; /* end of the TCP or UDP header, else of the IP header, else of L2 */
    uint16_t ethertype; /* after the tags; below 0x600 it is an 802.3 length */
    uint16_t vlan_tci; /* outer tag */
    uint16_t inner_tci; /* inner tag */
    uint16_t home_address; /* offset of the address in a Home Address option (RFC 6275 6.3); 0: none */
    uint16_t routing_address; /* offset of the address in a type 2 Routing header (RFC 6275 6.4); 0: none */
    uint8_t l3; /* enum wire_l3 */
    uint8_t l4; /* enum wire_l4 */
    uint8_t proto; /* IPv4 protocol or the last IPv6 next header reached */
};

/* The whole parser. wire_parse() below is the same function with a shortcut for plain TCP and UDP. */
void wire_parse_any(struct wire_frame *f, const uint8_t *frame, size_t len);

/* Fills f for an untagged, unfragmented TCP or UDP datagram whose IP header has l4_offset bytes before it. */
static inline bool wire_parse_transport(struct wire_frame *f, const uint8_t *frame, size_t len,
                                        uint16_t ethertype, uint8_t proto, uint16_t l4_offset,
                                        uint32_t l4_len)
{
    uint32_t header_len = WIRE_UDP_LEN;

    if (proto == WIRE_PROTO_TCP) {
        if (l4_len < WIRE_TCP_LEN) {
            return false;
        }
        header_len = (uint32_t)(frame[l4_offset + 12] >> 4) * 4;
        if (header_len < WIRE_TCP_LEN) {
            return false;
        }
    } else if (proto != WIRE_PROTO_UDP) {
        return false;
    }
    if (header_len > l4_len) {
        return false;
    }
    *f = (struct wire_frame){
        .len = (uint32_t)len,
        .l4_len = l4_len,
        .l2_len = WIRE_ETH_LEN,
        .l4_offset = l4_offset,
        .header_end = (uint16_t)(l4_offset + header_len),
        .ethertype = ethertype,
        .l3 = ethertype == WIRE_ETHERTYPE_IPV4 ? WIRE_L3_IPV4 : WIRE_L3_IPV6,
        .l4 = proto == WIRE_PROTO_TCP ? WIRE_L4_TCP : WIRE_L4_UDP,
        .proto = proto,
    };
    return true;
}

/* The common shapes, Ethernet / IPv4 or IPv6 without options / TCP or UDP; false: ask wire_parse_any. */
static inline bool wire_parse_plain(struct wire_frame *f, const uint8_t *frame, size_t len)
{
    const uint8_t *ip = frame + WIRE_ETH_LEN;

    if (len < WIRE_ETH_LEN + WIRE_IPV6_LEN || len > WIRE_MAX_FRAME) {
        return false;
    }
    if (be16_load(frame + 12) == WIRE_ETHERTYPE_IPV4) {
        const uint32_t total = be16_load(ip + 2);

        if (ip[0] != 0x45 || (be16_load(ip + 6) & 0x3fff) != 0 || total < WIRE_IPV4_LEN
            || total > len - WIRE_ETH_LEN) {
            return false;
        }
        return wire_parse_transport(f, frame, len, WIRE_ETHERTYPE_IPV4, ip[9], WIRE_ETH_LEN + WIRE_IPV4_LEN,
                                    total - WIRE_IPV4_LEN);
    }
    if (be16_load(frame + 12) == WIRE_ETHERTYPE_IPV6) {
        const uint32_t payload = be16_load(ip + 4);

        if (ip[0] >> 4 != 6 || payload > len - WIRE_ETH_LEN - WIRE_IPV6_LEN) {
            return false;
        }
        return wire_parse_transport(f, frame, len, WIRE_ETHERTYPE_IPV6, ip[6], WIRE_ETH_LEN + WIRE_IPV6_LEN,
                                    payload);
    }
    return false;
}

/* Parses any bytes; never reads beyond len. Of a longer frame the first WIRE_MAX_FRAME bytes count. */
static inline void wire_parse(struct wire_frame *f, const uint8_t *frame, size_t len)
{
    if (!wire_parse_plain(f, frame, len)) {
        wire_parse_any(f, frame, len);
    }
}

#endif
