/* Neighbor Discovery (RFC 4861): solicitations, advertisements, routers. */
#ifndef VNIC_STACK_ND_H
#define VNIC_STACK_ND_H

#include "stack/packet.h"

enum {
    ND_ROUTER_SOLICITATION = 133,
    ND_ROUTER_ADVERTISEMENT = 134,
    ND_NEIGHBOUR_SOLICITATION = 135,
    ND_NEIGHBOUR_ADVERTISEMENT = 136,
    ND_REDIRECT = 137,

    ND_SOURCE_ADDRESS = 1, /* options: link-layer addresses, ... */
    ND_TARGET_ADDRESS = 2,
    ND_PREFIX = 3,
    ND_MTU = 5
};

struct vnic_stack;

/* A message of the types above with a good checksum. */
void nd_receive(struct vnic_stack *s, const struct packet *packet);
/* Asks for a neighbour: at its solicited-node group, or itself when is_unicast. */
void nd_solicit(struct vnic_stack *s, uint32_t neighbour, bool is_unicast);
/* Duplicate address detection (RFC 4862 5.4.2). */
void nd_probe(struct vnic_stack *s, uint32_t interface, const struct vnic_address *address);
void nd_solicit_router(struct vnic_stack *s, uint32_t interface);

/* Walks options: sets *at to the next one; 0 at the end, -1 when one is malformed, else its type. */
int nd_next_option(const uint8_t *options, uint32_t len, uint32_t *at, const uint8_t **option);
/* The Ethernet address in an option of that type: NULL without one. The options were validated. */
const uint8_t *nd_find_address(const uint8_t *options, uint32_t len, int type);

/* A valid router advertisement: router.c. */
void router_advertised(struct vnic_stack *s, const struct packet *packet);
/* It said that it is no router any more. */
void router_left(struct vnic_stack *s, uint32_t interface, const struct vnic_address *address);

#endif
