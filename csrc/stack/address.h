/* IP addresses as values: comparison, prefixes and the kinds that the RFCs set apart. */
#ifndef VNIC_STACK_ADDRESS_H
#define VNIC_STACK_ADDRESS_H

#include "vnic/vnic_stack.h"

#include <stdbool.h>
#include <string.h>

/* Inside the stack an address is clean: reserved bytes, and those behind an IPv4 address, are zero. */
static inline struct vnic_address address_ipv4(const uint8_t bytes[4])
{
    struct vnic_address address = {.is_ipv6 = 0};

    memcpy(address.bytes, bytes, 4);
    return address;
}

static inline struct vnic_address address_ipv6(const uint8_t bytes[16])
{
    struct vnic_address address = {.is_ipv6 = 1};

    memcpy(address.bytes, bytes, 16);
    return address;
}

/* What the user gave, clean. */
static inline struct vnic_address address_clean(const struct vnic_address *address)
{
    return address->is_ipv6 ? address_ipv6(address->bytes) : address_ipv4(address->bytes);
}

static inline bool address_is_equal(const struct vnic_address *a, const struct vnic_address *b)
{
    return a->is_ipv6 == b->is_ipv6 && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

/* 0.0.0.0 or :: */
bool address_is_any(const struct vnic_address *address);
/* 224.0.0.0/4 or ff00::/8; the limited broadcast is none of them. */
bool address_is_multicast(const struct vnic_address *address);
/* 255.255.255.255 */
bool address_is_broadcast(const struct vnic_address *address);
/* fe80::/10; no IPv4 address is. */
bool address_is_link_local(const struct vnic_address *address);
/* 127.0.0.0/8 or ::1 */
bool address_is_loopback(const struct vnic_address *address);
/* May stand in the source field of a datagram that wants an answer (RFC 1122 3.2.1.3, RFC 4291 2). */
bool address_is_source(const struct vnic_address *address);

/* The same bits up to prefix_len, and the same family. */
bool address_is_in(const struct vnic_address *address, const struct vnic_address *prefix,
                   uint32_t prefix_len);
/* Leading bits that both have. */
uint32_t address_common_bits(const struct vnic_address *a, const struct vnic_address *b);
/* Bits behind prefix_len cleared. */
struct vnic_address address_prefix(const struct vnic_address *address, uint32_t prefix_len);
/* The last address of an IPv4 prefix of at most 30 bits. */
bool address_is_subnet_broadcast(const struct vnic_address *address, const struct vnic_address *member,
                                 uint32_t prefix_len);

/* ff02::1:ffXX:XXXX (RFC 4291 2.7.1). */
struct vnic_address address_solicited_node(const struct vnic_address *address);
/* A prefix with the modified EUI-64 of a MAC address (RFC 4291 App. A). */
struct vnic_address address_eui64(const uint8_t prefix[8], const uint8_t mac[6]);
extern const struct vnic_address address_all_nodes, address_all_routers;

/* The Ethernet address of a multicast or broadcast address (RFC 1112 6.4, RFC 2464 7). */
void address_multicast_mac(const struct vnic_address *address, uint8_t mac[6]);

#endif
