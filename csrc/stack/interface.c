/* Which addresses are ours, which source fits a destination, and what an interface may carry. */
#include "stack/interface.h"

#include "base/bits.h"
#include "stack/autoconf.h"
#include "stack/network.h"
#include "stack/state.h"

enum { MS = 1000000 };
static const uint64_t RENEW_NS = 7200ull * 1000 * MS;

struct interface_address *interface_find(struct vnic_stack *s, uint32_t interface,
                                         const struct vnic_address *address)
{
    struct interface *i = &s->interfaces.list[interface];

    for (uint32_t k = 0; k < i->address_count; k++) {
        if (address_is_equal(&i->addresses[k].address, address)) {
            return &i->addresses[k];
        }
    }
    return NULL;
}

static bool is_usable(const struct interface_address *entry)
{
    return entry->state == VNIC_ADDRESS_PREFERRED || entry->state == VNIC_ADDRESS_DEPRECATED;
}

bool interface_has(const struct vnic_stack *s, uint32_t interface, const struct vnic_address *address)
{
    const struct interface *i = &s->interfaces.list[interface];

    for (uint32_t k = 0; k < i->address_count; k++) {
        if (address_is_equal(&i->addresses[k].address, address)) {
            return is_usable(&i->addresses[k]);
        }
    }
    return false;
}

uint32_t interface_mask_of(const struct vnic_stack *s, const struct vnic_address *address)
{
    uint32_t mask = 0;

    for (uint32_t i = 0; i < s->interfaces.count; i++) {
        mask |= interface_has(s, i, address) ? 1u << i : 0;
    }
    return mask;
}

bool interface_is_broadcast(const struct vnic_stack *s, uint32_t interface,
                            const struct vnic_address *address)
{
    const struct interface *i = &s->interfaces.list[interface];

    if (address->is_ipv6) {
        return false;
    }
    for (uint32_t k = 0; k < i->address_count; k++) {
        const struct interface_address *entry = &i->addresses[k];

        if (!entry->address.is_ipv6
            && address_is_subnet_broadcast(address, &entry->address, entry->prefix_len)) {
            return true;
        }
    }
    return address_is_broadcast(address);
}

bool interface_is_member(const struct vnic_stack *s, uint32_t interface, const struct vnic_address *group)
{
    static const uint8_t all_hosts[4] = {224, 0, 0, 1};
    const struct interface *i = &s->interfaces.list[interface];
    struct vnic_address node = *group;

    if (!group->is_ipv6) {
        return memcmp(group->bytes, all_hosts, 4) == 0;
    }
    if (node.bytes[1] == 1) {
        node.bytes[1] = 2; /* ff01::1, interface-local */
    }
    if (address_is_equal(&node, &address_all_nodes)) {
        return true;
    }
    for (uint32_t k = 0; k < i->address_count; k++) {
        const struct vnic_address own = address_solicited_node(&i->addresses[k].address);

        if (i->addresses[k].address.is_ipv6 && address_is_equal(&own, group)) {
            return true;
        }
    }
    return false;
}

static bool takes_ipv6_mac(const struct interface *i, const uint8_t mac[6])
{
    for (uint32_t k = 0; k < i->address_count; k++) {
        const struct interface_address *entry = &i->addresses[k];

        if (entry->address.is_ipv6 && mac[2] == 0xff && memcmp(mac + 3, entry->address.bytes + 13, 3) == 0) {
            return true;
        }
    }
    return memcmp(mac + 2, "\0\0\0\1", 4) == 0;
}

bool interface_takes_mac(const struct vnic_stack *s, uint32_t interface, const uint8_t mac[6])
{
    const struct interface *i = &s->interfaces.list[interface];

    if (memcmp(mac, i->config.mac, 6) == 0 || memcmp(mac, "\xff\xff\xff\xff\xff\xff", 6) == 0
        || memcmp(mac, "\x01\x00\x5e\x00\x00\x01", 6) == 0) {
        return true;
    }
    return mac[0] == 0x33 && mac[1] == 0x33 && takes_ipv6_mac(i, mac);
}

/* RFC 6724 3.1, without site-local: link-local, or global. */
static uint32_t scope_of(const struct vnic_address *address)
{
    if (address_is_multicast(address)) {
        return address->bytes[1] & 15;
    }
    return address_is_link_local(address) ? 2 : 14;
}

/* RFC 6724 5: whether a is the better source. */
static bool is_better_ipv6(const struct interface_address *a, const struct interface_address *b,
                           const struct vnic_address *destination)
{
    const uint32_t scope_a = scope_of(&a->address), scope_b = scope_of(&b->address);
    const uint32_t scope = scope_of(destination);

    if (address_is_equal(&a->address, destination) || address_is_equal(&b->address, destination)) {
        return address_is_equal(&a->address, destination);
    }
    if (scope_a != scope_b) {
        return scope_a < scope_b ? scope_a >= scope : scope_b < scope;
    }
    if (a->state != b->state) {
        return a->state == VNIC_ADDRESS_PREFERRED;
    }
    return address_common_bits(&a->address, destination) > address_common_bits(&b->address, destination);
}

static bool is_better(const struct interface_address *a, const struct interface_address *b,
                      const struct vnic_address *destination, const struct vnic_address *next_hop)
{
    if (destination->is_ipv6) {
        return is_better_ipv6(a, b, destination);
    }
    if (address_is_equal(&a->address, destination) || address_is_equal(&b->address, destination)) {
        return address_is_equal(&a->address, destination);
    }
    return address_is_in(next_hop, &a->address, a->prefix_len)
           && !address_is_in(next_hop, &b->address, b->prefix_len);
}

bool interface_choose_source(const struct vnic_stack *s, uint32_t interface,
                             const struct vnic_address *destination, const struct vnic_address *next_hop,
                             struct vnic_address *source)
{
    const struct interface *i = &s->interfaces.list[interface];
    const struct interface_address *best = NULL;

    for (uint32_t k = 0; k < i->address_count; k++) {
        const struct interface_address *entry = &i->addresses[k];

        if (is_usable(entry) && entry->address.is_ipv6 == destination->is_ipv6
            && (best == NULL || is_better(entry, best, destination, next_hop))) {
            best = entry;
        }
    }
    if (best != NULL) {
        *source = best->address;
    }
    return best != NULL;
}

uint32_t interface_mtu(const struct vnic_stack *s, uint32_t interface, bool is_ipv6)
{
    const struct interface *i = &s->interfaces.list[interface];

    return is_ipv6 ? i->ipv6_mtu : i->config.mtu;
}

uint64_t interface_reachable_ns(struct vnic_stack *s, uint32_t interface)
{
    struct interface *i = &s->interfaces.list[interface];

    if (s->now_ns >= i->reachable_renew_ns) {
        i->reachable_ns = i->reachable_base_ns / 2 + i->reachable_base_ns / 1024 * (secret_random(s) % 1025);
        i->reachable_renew_ns = s->now_ns + RENEW_NS;
    }
    return i->reachable_ns;
}

void interface_wake_at(struct vnic_stack *s, uint64_t at_ns)
{
    s->interfaces.deadline_ns = bits_min64(s->interfaces.deadline_ns, at_ns);
}

static struct route connected_route(uint32_t interface, const struct interface_address *entry)
{
    return (struct route){
        .prefix = address_prefix(&entry->address, entry->prefix_len),
        .gateway = {.is_ipv6 = entry->address.is_ipv6},
        .expires_ns = UINT64_MAX,
        .prefix_len = entry->prefix_len,
        .interface = (uint8_t)interface,
        .origin = ROUTE_CONNECTED,
    };
}

int interface_add_address(struct vnic_stack *s, uint32_t interface, const struct interface_address *address)
{
    struct interface *i = &s->interfaces.list[interface];
    struct interface_address *entry = interface_find(s, interface, &address->address);

    if (entry == NULL && i->address_count == INTERFACE_ADDRESSES) {
        return VNIC_ENOSPC;
    }
    if (entry == NULL) {
        entry = &i->addresses[i->address_count++];
        *entry = *address;
        autoconf_start(s, interface, entry);
    }
    entry->preferred_ns = address->preferred_ns;
    entry->valid_ns = address->valid_ns;
    interface_wake_at(s, bits_min64(entry->preferred_ns, entry->valid_ns));
    if (!entry->is_autonomous) {
        const struct route route = connected_route(interface, entry);

        return route_put(s, &route); /* the table has a place for each address */
    }
    return VNIC_OK;
}

void interface_remove_address(struct vnic_stack *s, uint32_t interface, const struct vnic_address *address)
{
    struct interface *i = &s->interfaces.list[interface];
    struct interface_address *entry = interface_find(s, interface, address);
    const uint32_t neighbour = neighbour_find(s, interface, address);

    if (entry == NULL) {
        return;
    }
    memmove(entry, entry + 1, (size_t)(&i->addresses[--i->address_count] - entry) * sizeof(*entry));
    if (neighbour != 0 && s->neighbours.entries[neighbour].is_local) {
        neighbour_forget_local(s, neighbour);
    }
    s->routes.generation++;
}
