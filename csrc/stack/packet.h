/* A received IP datagram on its way through the stack, and the IP header of one that leaves. */
#ifndef VNIC_STACK_PACKET_H
#define VNIC_STACK_PACKET_H

#include "vnic/vnic_stack.h"
#include "wire/frame.h"

#include <stdbool.h>

/* A whole, verified datagram for one of our addresses: reassembled when it came in fragments. */
struct packet {
    struct vnic_address source, destination;
    const uint8_t *l4;    /* transport header and payload */
    uint32_t l4_len;
    uint8_t proto;
    uint8_t ecn, ttl, tos;
    uint8_t interface;
    uint8_t is_multicast; /* broadcast or multicast on either layer: never answered by RST or an ICMP error */
    uint8_t l4_is_good; /* checksum verified below */
    uint8_t is_kept; /* the bytes stay until copies of them are done */
    uint8_t was_fragment; /* came with a Fragment header, or in pieces */
    const uint8_t
        *ip; /* IP header as received, for ICMP errors; ip_len bytes from it belong to the datagram */
    uint32_t ip_len;
    const uint8_t *mac; /* source address of the frame */
};

/* Where a flow leaves: found once, kept with the connection, renewed when `generation` is not the stack's. */
struct path {
    uint32_t neighbour; /* index in the neighbour cache, held (neighbour_hold) */
    uint32_t generation; /* of addresses and routes when it was found */
    uint8_t interface;
    uint8_t reserved[3];
};

/* What differs from datagram to datagram. */
struct ip_out {
    const struct vnic_address *source, *destination;
    uint32_t l4_len;
    uint8_t proto, ttl, tos; /* tos with its ECN bits */
    bool may_fragment; /* DF clear; else DF and, in IPv4, an identification that only TSO uses */
};

#endif
