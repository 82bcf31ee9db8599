/* Where a datagram goes next: an interface, and a neighbour or a group on it. */
#ifndef VNIC_STACK_HOP_H
#define VNIC_STACK_HOP_H

#include "stack/interface.h"
#include "stack/packet.h"

struct hop {
    uint32_t neighbour; /* 0: mac is the address, of a group */
    uint8_t interface;
    uint8_t mac[6];
    uint8_t reserved;
};

enum { HOP_ANY_INTERFACE = 0xff }; /* masks have a bit for each interface */

/* Links that lead to a peer met on `interface`: a link-local one is on that link alone (RFC 4007 6). */
static inline uint32_t hop_mask(const struct vnic_address *peer, uint32_t interface)
{
    return address_is_link_local(peer) ? 1u << interface : HOP_ANY_INTERFACE;
}

/*
 * Route, neighbour and source for a destination; a source of zeros is filled in, another must be ours (strong
 * host model, RFC 1122 3.3.4.2: it leaves through an interface that has it). The neighbour is not held.
 */
int hop_find(struct vnic_stack *s, struct vnic_address *source, const struct vnic_address *destination,
             uint32_t mask, struct hop *hop);
/* A group or the broadcast on an interface. */
struct hop hop_to_group(uint32_t interface, const struct vnic_address *group);

/* Ethernet header and tag; returns their length. */
uint32_t hop_write_ethernet(const struct vnic_stack *s, const struct hop *hop, uint16_t ethertype,
                            uint8_t *out);

/*
 * Cuts the datagram as the MTU wants, writes the frames and sends them, or lets them wait for the neighbour.
 */
int hop_send(struct vnic_stack *s, const struct hop *hop, const struct ip_out *ip, const uint8_t *l4);

#endif
