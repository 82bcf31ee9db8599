/* What routers advertise: themselves, prefixes, MTU and times (RFC 4861 6.3.4, RFC 4862 5.5.3). */
#include "base/bits.h"
#include "stack/autoconf.h"
#include "stack/nd.h"
#include "stack/neighbour.h"
#include "stack/network.h"
#include "stack/state.h"

enum {
    HEADER_LEN = 16,
    PREFIX_OPTION_LEN = 4, /* in units of 8 bytes */
    FLAG_ON_LINK = 0x80,
    FLAG_AUTONOMOUS = 0x40,
    MAX_REACHABLE_MS = 3600000,
    MAX_RETRANS_MS = 60000,
    AUTONOMOUS_MAX = 8 /* addresses of an interface from prefixes */
};
static const uint64_t SECOND_NS = 1000000000;
static const uint64_t TWO_HOURS_S = 7200;

static uint64_t end_of(const struct vnic_stack *s, uint32_t seconds)
{
    return seconds == UINT32_MAX ? UINT64_MAX : s->now_ns + seconds * SECOND_NS;
}

/* Puts, renews, or with lifetime 0 removes, a route that a router gave. */
static void advertise_route(struct vnic_stack *s, uint32_t interface, const struct vnic_address *prefix,
                            uint32_t prefix_len, const struct vnic_address *gateway, uint32_t seconds)
{
    const struct route route = {
        .prefix = address_prefix(prefix, prefix_len),
        .gateway = *gateway,
        .expires_ns = end_of(s, seconds),
        .metric = 1024,
        .prefix_len = (uint8_t)prefix_len,
        .interface = (uint8_t)interface,
        .origin = ROUTE_ADVERTISED,
    };

    if (seconds == 0) {
        route_remove(s, &route.prefix, prefix_len, interface, ROUTE_ADVERTISED, gateway);
    } else if (route_put(s, &route) == VNIC_OK) {
        interface_wake_at(s, route.expires_ns);
    }
}

void router_left(struct vnic_stack *s, uint32_t interface, const struct vnic_address *address)
{
    const struct vnic_address any = {.is_ipv6 = 1};

    route_remove(s, &any, 0, interface, ROUTE_ADVERTISED, address);
}

static void learn_router(struct vnic_stack *s, const struct packet *packet)
{
    const uint8_t *mac =
        nd_find_address(packet->l4 + HEADER_LEN, packet->l4_len - HEADER_LEN, ND_SOURCE_ADDRESS);
    const uint32_t index = mac != NULL ? neighbour_get_free(s, packet->interface, &packet->source)
                                       : neighbour_find(s, packet->interface, &packet->source);

    if (index == 0) {
        return;
    }
    s->neighbours.entries[index].is_router = 1;
    if (mac != NULL) {
        neighbour_learn(s, index, mac, false, true);
    }
}

/* 0 in a field means that the router does not say. */
static void take_times(struct vnic_stack *s, const struct packet *packet)
{
    struct interface *i = &s->interfaces.list[packet->interface];
    const uint32_t reachable_ms = be32_load(packet->l4 + 8);
    const uint32_t retrans_ms = be32_load(packet->l4 + 12);

    if (packet->l4[4] != 0) {
        i->hop_limit = packet->l4[4];
    }
    if (reachable_ms > 0 && reachable_ms <= MAX_REACHABLE_MS
        && reachable_ms * 1000000ull != i->reachable_base_ns) {
        i->reachable_base_ns = reachable_ms * 1000000ull;
        i->reachable_renew_ns = 0;
    }
    if (retrans_ms > 0) {
        i->retrans_ns = bits_min32(bits_max32(retrans_ms, 100), MAX_RETRANS_MS) * 1000000ull;
    }
}

static void take_mtu(struct vnic_stack *s, uint32_t interface, const uint8_t *option)
{
    struct interface *i = &s->interfaces.list[interface];
    const uint32_t mtu = be32_load(option + 4);

    if (option[1] == 1 && mtu >= IPV6_MIN_MTU && mtu <= i->config.mtu && mtu != i->ipv6_mtu) {
        i->ipv6_mtu = mtu;
        s->routes.generation++;
    }
}

static uint32_t count_autonomous(const struct interface *i)
{
    uint32_t count = 0;

    for (uint32_t k = 0; k < i->address_count; k++) {
        count += i->addresses[k].is_autonomous ? 1 : 0;
    }
    return count;
}

/* RFC 4862 5.5.3 e): a router may not shorten an address's life below two hours. */
static uint64_t new_valid_end(const struct vnic_stack *s, const struct interface_address *entry,
                              uint32_t valid_s)
{
    const uint64_t offered_ns = end_of(s, valid_s);
    const uint64_t floor_ns = s->now_ns + TWO_HOURS_S * SECOND_NS;

    if (offered_ns > floor_ns || offered_ns > entry->valid_ns) {
        return offered_ns;
    }
    return bits_min64(entry->valid_ns, floor_ns);
}

static void take_autonomous(struct vnic_stack *s, uint32_t interface, const uint8_t *option, uint32_t valid_s,
                            uint32_t preferred_s)
{
    const struct interface *i = &s->interfaces.list[interface];
    const struct vnic_address address = address_eui64(option + 16, i->config.mac);
    struct interface_address *entry = interface_find(s, interface, &address);
    const struct interface_address fresh = {
        .address = address,
        .prefix_len = 64,
        .is_autonomous = true,
        .preferred_ns = end_of(s, preferred_s),
        .valid_ns = end_of(s, valid_s),
        .probe_ns = UINT64_MAX,
    };

    if (entry == NULL) {
        if (valid_s > 0 && count_autonomous(i) < AUTONOMOUS_MAX) {
            (void)interface_add_address(s, interface, &fresh); /* a full list keeps what it has */
        }
        return;
    }
    if (!entry->is_autonomous) {
        return;
    }
    entry->valid_ns = new_valid_end(s, entry, valid_s);
    entry->preferred_ns = fresh.preferred_ns;
    if (entry->state == VNIC_ADDRESS_DEPRECATED && preferred_s > 0) {
        entry->state = VNIC_ADDRESS_PREFERRED;
    }
    interface_wake_at(s, bits_min64(entry->valid_ns, entry->preferred_ns));
}

static void take_prefix(struct vnic_stack *s, uint32_t interface, const uint8_t *option)
{
    const struct vnic_address prefix = address_ipv6(option + 16);
    const struct vnic_address on_link = {.is_ipv6 = 1};
    const uint32_t valid_s = be32_load(option + 4);
    const uint32_t preferred_s = be32_load(option + 8);
    const uint8_t prefix_len = option[2];

    if (prefix_len > 128 || address_is_link_local(&prefix) || address_is_multicast(&prefix)) {
        return;
    }
    if ((option[3] & FLAG_ON_LINK) != 0 && prefix_len > 0) {
        advertise_route(s, interface, &prefix, prefix_len, &on_link, valid_s);
    }
    if ((option[3] & FLAG_AUTONOMOUS) != 0 && prefix_len == 64 && preferred_s <= valid_s
        && address_is_source(&prefix)) {
        take_autonomous(s, interface, option, valid_s, preferred_s);
    }
}

void router_advertised(struct vnic_stack *s, const struct packet *packet)
{
    const struct vnic_address any = {.is_ipv6 = 1};
    const uint8_t *options = packet->l4 + HEADER_LEN;
    const uint32_t len = packet->l4_len - HEADER_LEN;
    const uint8_t *option;
    uint32_t at = 0;
    int type;

    autoconf_on_router(s, packet->interface);
    advertise_route(s, packet->interface, &any, 0, &packet->source, be16_load(packet->l4 + 6));
    take_times(s, packet);
    learn_router(s, packet);
    while ((type = nd_next_option(options, len, &at, &option)) > 0) {
        if (type == ND_PREFIX && option[1] == PREFIX_OPTION_LEN) {
            take_prefix(s, packet->interface, option);
        } else if (type == ND_MTU) {
            take_mtu(s, packet->interface, option);
        }
    }
}
