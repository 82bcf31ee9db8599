/* The public calls that set up interfaces, links, addresses, routes and neighbours, and look at them. */
#include "base/bits.h"
#include "stack/autoconf.h"
#include "stack/network.h"
#include "stack/state.h"

enum { MTU_MIN = 576, MTU_MAX = 65535, VLAN_MAX = 4094, TSO_MAX = 65535 };
static const uint64_t REACHABLE_TIME_NS = 30000000000ull; /* RFC 4861 10 */
static const uint64_t RETRANS_TIMER_NS = 1000000000ull;

static bool is_interface_valid(const struct vnic_stack_interface *interface)
{
    static const uint8_t none[6];
    const uint32_t all = VNIC_STACK_TX_CHECKSUM | VNIC_STACK_TSO | VNIC_STACK_TX_VLAN;
    const bool has_tso = (interface->offload & VNIC_STACK_TSO) != 0;

    if ((interface->mac[0] & 1) != 0 || memcmp(interface->mac, none, 6) == 0 || interface->vlan > VLAN_MAX) {
        return false;
    }
    if (interface->mtu < MTU_MIN || interface->mtu > MTU_MAX || (interface->offload & ~all) != 0) {
        return false;
    }
    return !has_tso
           || ((interface->offload & VNIC_STACK_TX_CHECKSUM) != 0 && interface->tso_bytes > 0
               && interface->tso_bytes <= TSO_MAX);
}

static struct interface_address lasting(const struct vnic_address *address, uint32_t prefix_len)
{
    return (struct interface_address){
        .address = *address,
        .prefix_len = (uint8_t)prefix_len,
        .preferred_ns = UINT64_MAX,
        .valid_ns = UINT64_MAX,
        .probe_ns = UINT64_MAX,
    };
}

static int add_link_local(vnic_stack *s, uint32_t index, const uint8_t mac[6])
{
    static const uint8_t prefix[8] = {0xfe, 0x80};
    const struct vnic_address address = address_eui64(prefix, mac);
    const struct interface_address entry = lasting(&address, 64);

    return interface_add_address(s, index, &entry);
}

int vnic_stack_add_interface(vnic_stack *s, const struct vnic_stack_interface *interface)
{
    const uint32_t index = s->interfaces.count;
    struct interface *i;
    int result;

    if (interface == NULL || !is_interface_valid(interface)) {
        return VNIC_EINVAL;
    }
    if (index >= bits_min32(s->config.interfaces, INTERFACES_MAX)) {
        return VNIC_ENOSPC;
    }
    i = &s->interfaces.list[index];
    *i = (struct interface){
        .config = *interface,
        .hop_limit = 64,
        .ipv6_mtu = interface->mtu >= IPV6_MIN_MTU ? interface->mtu : 0,
        .reachable_base_ns = REACHABLE_TIME_NS,
        .retrans_ns = RETRANS_TIMER_NS,
    };
    s->interfaces.count++;
    result = i->ipv6_mtu != 0 ? add_link_local(s, index, interface->mac) : VNIC_OK;
    return result == VNIC_OK ? (int)index : result;
}

int vnic_stack_set_link(vnic_stack *s, uint32_t interface, int is_up)
{
    struct interface *i;

    if (interface >= s->interfaces.count) {
        return VNIC_EINVAL;
    }
    i = &s->interfaces.list[interface];
    if (i->is_up == (is_up != 0)) {
        return VNIC_OK;
    }
    i->is_up = is_up != 0;
    s->routes.generation++;
    if (i->is_up) {
        autoconf_start_interface(s, interface);
        return VNIC_OK;
    }
    outbox_flush(s, interface);
    fragments_flush(s, interface);
    neighbours_flush(s, interface);
    return VNIC_OK;
}

/* Of a family that the interface carries, and one that a host may have. */
static bool is_host_address(const vnic_stack *s, uint32_t interface, const struct vnic_address *address,
                            uint32_t prefix_len)
{
    if (interface >= s->interfaces.count || prefix_len > (address->is_ipv6 ? 128u : 32u)) {
        return false;
    }
    if (address->is_ipv6 && s->interfaces.list[interface].ipv6_mtu == 0) {
        return false;
    }
    return address_is_source(address) && !address_is_subnet_broadcast(address, address, prefix_len);
}

int vnic_stack_add_address(vnic_stack *s, uint32_t interface, const struct vnic_address *address,
                           uint32_t prefix_len)
{
    struct vnic_address clean;
    struct interface_address entry;

    if (address == NULL) {
        return VNIC_EINVAL;
    }
    clean = address_clean(address);
    entry = lasting(&clean, prefix_len);
    if (!is_host_address(s, interface, &clean, prefix_len)) {
        return VNIC_EINVAL;
    }
    return interface_add_address(s, interface, &entry);
}

int vnic_stack_address(vnic_stack *s, uint32_t i, struct vnic_interface_address *out)
{
    uint32_t interface = 0;
    const struct interface_address *entry;

    while (interface < s->interfaces.count && i >= s->interfaces.list[interface].address_count) {
        i -= s->interfaces.list[interface++].address_count;
    }
    if (interface == s->interfaces.count || out == NULL) {
        return out != NULL ? VNIC_ENOENT : VNIC_EINVAL;
    }
    entry = &s->interfaces.list[interface].addresses[i];
    *out = (struct vnic_interface_address){
        .address = entry->address,
        .prefix_len = entry->prefix_len,
        .interface = interface,
        .state = entry->state,
        .is_autonomous = entry->is_autonomous,
    };
    return VNIC_OK;
}

int vnic_stack_add_route(vnic_stack *s, const struct vnic_address *prefix, uint32_t prefix_len,
                         const struct vnic_address *gateway, uint32_t interface, uint32_t metric)
{
    struct vnic_address network, next;

    if (prefix == NULL || gateway == NULL) {
        return VNIC_EINVAL;
    }
    network = address_clean(prefix);
    next = address_clean(gateway);
    if (interface >= s->interfaces.count || prefix_len > (network.is_ipv6 ? 128u : 32u)
        || network.is_ipv6 != next.is_ipv6 || address_is_multicast(&network)) {
        return VNIC_EINVAL;
    }
    if (!address_is_any(&next) && !address_is_source(&next)) {
        return VNIC_EINVAL;
    }
    return route_put(s, &(struct route){
                            .prefix = address_prefix(&network, prefix_len),
                            .gateway = next,
                            .expires_ns = UINT64_MAX,
                            .metric = metric,
                            .prefix_len = (uint8_t)prefix_len,
                            .interface = (uint8_t)interface,
                            .origin = ROUTE_STATIC,
                        });
}

int vnic_stack_remove_route(vnic_stack *s, const struct vnic_address *prefix, uint32_t prefix_len,
                            uint32_t interface)
{
    struct vnic_address clean, network;

    if (prefix == NULL || interface >= s->interfaces.count || prefix_len > (prefix->is_ipv6 ? 128u : 32u)) {
        return VNIC_EINVAL;
    }
    clean = address_clean(prefix);
    network = address_prefix(&clean, prefix_len);
    return route_remove(s, &network, prefix_len, interface, ROUTE_STATIC, NULL);
}

int vnic_stack_add_neighbour(vnic_stack *s, uint32_t interface, const struct vnic_address *address,
                             const uint8_t mac[6])
{
    struct vnic_address clean;
    uint32_t index;

    if (address == NULL || mac == NULL) {
        return VNIC_EINVAL;
    }
    clean = address_clean(address);
    if (interface >= s->interfaces.count || !address_is_source(&clean) || (mac[0] & 1) != 0) {
        return VNIC_EINVAL;
    }
    index = neighbour_get(s, interface, &clean);
    if (index == 0) {
        return VNIC_ENOSPC;
    }
    neighbour_set_permanent(s, index, mac, false);
    return VNIC_OK;
}

int vnic_stack_neighbour(vnic_stack *s, uint32_t i, struct vnic_neighbour *out)
{
    for (uint32_t k = 1; k < s->neighbours.pool.fresh; k++) {
        const struct neighbour *n = &s->neighbours.entries[k];

        if (n->is_used && out != NULL && i-- == 0) {
            *out = (struct vnic_neighbour){
                .address = n->address,
                .state = neighbour_state(s, k),
                .is_router = n->is_router,
                .interface = n->interface,
                .confirmed_ns = n->confirmed_ns,
            };
            memcpy(out->mac, n->mac, 6);
            return VNIC_OK;
        }
    }
    return VNIC_ENOENT;
}
