/* Interfaces: link, Ethernet address, tag, and IP addresses with their states and lifetimes. */
#ifndef VNIC_STACK_INTERFACE_H
#define VNIC_STACK_INTERFACE_H

#include "stack/address.h"

enum { INTERFACES_MAX = 8, INTERFACE_ADDRESSES = 16, INTERFACE_NONE = 255, IPV6_MIN_MTU = 1280 };

/* What is done to a new address before it is ours. */
struct interface_address {
    struct vnic_address address;
    uint8_t prefix_len;
    uint8_t state;       /* enum vnic_address_state */
    uint8_t probes_left;
    bool is_autonomous;  /* RFC 4862 5.5 */
    uint64_t probe_ns;   /* the next probe, or the end of the wait after the last; UINT64_MAX: none */
    uint64_t preferred_ns, valid_ns; /* ends of its lifetimes; UINT64_MAX: never */
};

struct interface {
    struct vnic_stack_interface config;
    bool is_up;
    uint8_t hop_limit;        /* default, also from routers */
    uint8_t solicitations_left;
    uint32_t ipv6_mtu;
    uint32_t address_count;
    uint64_t reachable_base_ns, reachable_ns; /* RFC 4861 6.3.2: BaseReachableTime, ReachableTime */
    uint64_t reachable_renew_ns;
    uint64_t retrans_ns;      /* RetransTimer */
    uint64_t solicit_ns;      /* next router solicitation */
    uint64_t defended_ns;     /* last defence of an address; 0: never (RFC 5227 2.4) */
    struct interface_address addresses[INTERFACE_ADDRESSES];
};

struct interfaces {
    uint32_t count;
    uint64_t deadline_ns; /* not later than the first timer of addresses, routers and routes */
    struct interface list[INTERFACES_MAX];
};

struct vnic_stack;

/* The entry of one of our addresses, in any state, or NULL. */
struct interface_address *interface_find(struct vnic_stack *s, uint32_t interface,
                                         const struct vnic_address *address);
/* Ours to receive for and to send from: PREFERRED or DEPRECATED. */
bool interface_has(const struct vnic_stack *s, uint32_t interface, const struct vnic_address *address);
/* A bit for each interface that has it. */
uint32_t interface_mask_of(const struct vnic_stack *s, const struct vnic_address *address);
/* The limited broadcast, or that of a subnet of this interface. */
bool interface_is_broadcast(const struct vnic_stack *s, uint32_t interface,
                            const struct vnic_address *address);
/* Groups that we are in: 224.0.0.1, ff01::1, ff02::1 and the solicited-node groups of our addresses. */
bool interface_is_member(const struct vnic_stack *s, uint32_t interface, const struct vnic_address *group);
/* Destination address of a frame: ours, broadcast, or a group of ours. */
bool interface_takes_mac(const struct vnic_stack *s, uint32_t interface, const uint8_t mac[6]);

/*
 * The source for a destination whose next hop is on this interface (RFC 6724 5, rules 1, 2, 3 and 8; IPv4:
 * the subnet of the next hop, else the first). False without one.
 */
bool interface_choose_source(const struct vnic_stack *s, uint32_t interface,
                             const struct vnic_address *destination, const struct vnic_address *next_hop,
                             struct vnic_address *source);

uint32_t interface_mtu(const struct vnic_stack *s, uint32_t interface, bool is_ipv6);
/* ReachableTime, random between 0.5 and 1.5 times its base, drawn again after 2 hours (RFC 4861 6.3.2). */
uint64_t interface_reachable_ns(struct vnic_stack *s, uint32_t interface);

/* VNIC_OK, VNIC_ENOSPC. An address that exists only gets new lifetimes. */
int interface_add_address(struct vnic_stack *s, uint32_t interface, const struct interface_address *address);
void interface_remove_address(struct vnic_stack *s, uint32_t interface, const struct vnic_address *address);

/* The time of a timer; interfaces_run_timers() comes no later. */
void interface_wake_at(struct vnic_stack *s, uint64_t at_ns);
void interfaces_run_timers(struct vnic_stack *s);

#endif
