/* The routing table: longest prefix first, then the lowest metric. */
#ifndef VNIC_STACK_ROUTE_H
#define VNIC_STACK_ROUTE_H

#include "stack/address.h"

enum route_origin { ROUTE_STATIC, ROUTE_CONNECTED, ROUTE_ADVERTISED };

enum { ROUTE_ADVERTISED_MAX = 12 }; /* of one interface: routers and on-link prefixes together */

struct route {
    struct vnic_address prefix, gateway; /* gateway all zeros: on-link */
    uint64_t expires_ns;
    uint32_t metric;
    uint8_t prefix_len, interface, origin; /* enum route_origin */
    uint8_t reserved;
};

/* Sorted so that the first that matches is the best. */
struct routes {
    struct route *entries;
    uint32_t count, capacity;
    uint32_t statics, statics_max;
    uint32_t generation; /* grows with every change of routes, addresses and links: struct path */
};

struct vnic_stack;

int routes_create(struct vnic_stack *s);
void routes_destroy(struct vnic_stack *s);

/* The best route over one of the interfaces of the mask whose link is up; NULL without one. */
const struct route *route_find(const struct vnic_stack *s, const struct vnic_address *destination,
                               uint32_t mask);
/* VNIC_OK or VNIC_ENOSPC. One with the same prefix, interface, origin and gateway is replaced. */
int route_put(struct vnic_stack *s, const struct route *route);
/* VNIC_OK or VNIC_ENOENT. gateway NULL: whatever it is. */
int route_remove(struct vnic_stack *s, const struct vnic_address *prefix, uint32_t prefix_len,
                 uint32_t interface, enum route_origin origin, const struct vnic_address *gateway);
/* Removes what is over; the time of the next, UINT64_MAX for none. */
uint64_t routes_expire(struct vnic_stack *s);

#endif
