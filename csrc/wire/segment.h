/* Large send: the headers of the segments that one template and a long payload become (NDIS LSOv1, LSOv2). */
#ifndef VNIC_WIRE_SEGMENT_H
#define VNIC_WIRE_SEGMENT_H

#include "wire/checksum.h"
#include "wire/frame.h"

enum {
    SEGMENT_HEADER_MAX = 256,
    SEGMENT_PAYLOAD_MAX = 256 * 1024,
    SEGMENT_ID_MASK = 0x7fff, /* LSO has the lower half of the IPv4 ID space, the chimney the upper */
};

enum segment_error {
    SEGMENT_OK,
    SEGMENT_BAD_LENGTH, /* header beyond SEGMENT_HEADER_MAX, or payload beyond SEGMENT_PAYLOAD_MAX */
    SEGMENT_BAD_OFFSET, /* L3 and L4 offsets do not leave room for their headers */
    SEGMENT_BAD_IP, /* version, IHL, IPv4 fragment, or the protocol is not TCP */
    SEGMENT_BAD_TCP, /* the data offset does not end where the template ends */
    SEGMENT_BAD_MSS, /* 0, or a segment would not fit an IP datagram */
};

/* One large send. A value: the template is copied, and nothing changes while segments are written. */
struct segment_plan {
    uint64_t seed; /* pseudo-header sum without the length; see the two functions below */
    uint32_t payload_len; /* bytes to send, without headers */
    uint32_t mss; /* payload bytes of every segment but the last */
    uint32_t count; /* segments; 1 when there is no payload */
    uint32_t header_len; /* L2 + L3 + TCP header with options */
    uint32_t l3_offset;
    uint32_t l4_offset;
    bool is_ipv6;
    uint8_t header[SEGMENT_HEADER_MAX];
};

/*
 * Checks a template and fills *plan, with the seed computed from the addresses. The template's IP lengths,
 * IPv4 checksum and TCP checksum are not looked at: they cannot describe the large send.
 */
enum segment_error segment_plan_make(struct segment_plan *plan, const uint8_t *header, uint32_t header_len,
                                     uint32_t l3_offset, uint32_t l4_offset, uint32_t mss,
                                     uint32_t payload_len);

/* The pseudo-header sum of the template's addresses, length left out. */
uint64_t segment_seed_addresses(const struct segment_plan *plan);

/* What the driver left in the TCP checksum field: by NDIS's convention that same sum, not complemented. */
uint64_t segment_seed_field(const struct segment_plan *plan);

/* Where the payload of segment index starts, and its length. index < count. */
static inline uint32_t segment_offset(const struct segment_plan *plan, uint32_t index)
{
    return index * plan->mss;
}

static inline uint32_t segment_len(const struct segment_plan *plan, uint32_t index)
{
    return index + 1 < plan->count ? plan->mss : plan->payload_len - index * plan->mss;
}

/*
 * Writes the header_len bytes of segment index: IPv4 total length, ID and checksum or IPv6 payload length;
 * TCP sequence number, flags (FIN and PSH on the last segment only, CWR on the first only: RFC 3168 6.1.2)
 * and checksum. payload_sum is the sum of the segment's payload, from 0.
 */
void segment_header(const struct segment_plan *plan, uint32_t index, uint64_t payload_sum, uint8_t *out);

#endif
