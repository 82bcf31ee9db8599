/* A received frame on its way up to its datagram. */
#ifndef VNIC_STACK_ARRIVAL_H
#define VNIC_STACK_ARRIVAL_H

#include "stack/interface.h"
#include "stack/packet.h"

struct arrival {
    const uint8_t *mac; /* source address of the frame */
    uint8_t interface;
    bool is_link_multicast; /* or broadcast */
    bool is_loop;           /* from ourselves */
    bool ip_is_good, l4_is_good; /* verified below */
    bool is_kept; /* the bytes stay until copies of them are done */
    bool was_fragment;
};

struct vnic_stack;

/* An IPv4 or IPv6 datagram from its header on, with the padding of the frame. */
void ipv4_receive(struct vnic_stack *s, const struct arrival *arrival, const uint8_t *ip, uint32_t len);
void ipv6_receive(struct vnic_stack *s, const struct arrival *arrival, const uint8_t *ip, uint32_t len);

#endif
