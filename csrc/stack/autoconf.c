/* Duplicate address detection, lifetimes of addresses, and router solicitations. */
#include "stack/autoconf.h"

#include "base/bits.h"
#include "stack/arp.h"
#include "stack/nd.h"
#include "stack/network.h"
#include "stack/state.h"

enum { SECOND_NS = 1000000000 };
static const uint64_t SOLICIT_INTERVAL_NS = 4ull * SECOND_NS; /* RTR_SOLICITATION_INTERVAL */
static const uint64_t DEFEND_INTERVAL_NS = 10ull * SECOND_NS; /* RFC 5227 1.1, DEFEND_INTERVAL */

/* A delay below a second, so that hosts that start together do not speak together (RFC 4861 6.3.7). */
static uint64_t random_delay(struct vnic_stack *s)
{
    return (uint64_t)(secret_random(s) % 1000) * (SECOND_NS / 1000);
}

static void be_ours(struct vnic_stack *s, struct interface_address *entry)
{
    entry->state = entry->preferred_ns <= s->now_ns ? VNIC_ADDRESS_DEPRECATED : VNIC_ADDRESS_PREFERRED;
    entry->probe_ns = UINT64_MAX;
    s->routes.generation++;
}

void autoconf_start(struct vnic_stack *s, uint32_t interface, struct interface_address *entry)
{
    if (s->config.address_probes == 0) {
        be_ours(s, entry);
        return;
    }
    entry->state = VNIC_ADDRESS_TENTATIVE;
    entry->probe_ns = UINT64_MAX;
    if (s->interfaces.list[interface].is_up) {
        entry->probes_left = (uint8_t)bits_min32(s->config.address_probes, 16);
        entry->probe_ns = s->now_ns + (entry->is_autonomous ? random_delay(s) : 0);
        interface_wake_at(s, entry->probe_ns);
    }
}

void autoconf_start_interface(struct vnic_stack *s, uint32_t interface)
{
    struct interface *i = &s->interfaces.list[interface];

    for (uint32_t k = 0; k < i->address_count; k++) {
        if (s->config.address_probes > 0) {
            autoconf_start(s, interface, &i->addresses[k]);
        }
    }
    if (i->ipv6_mtu != 0 && s->config.router_solicitations > 0) {
        i->solicitations_left = (uint8_t)s->config.router_solicitations;
        i->solicit_ns = s->now_ns + random_delay(s);
        interface_wake_at(s, i->solicit_ns);
    }
}

void autoconf_on_router(struct vnic_stack *s, uint32_t interface)
{
    s->interfaces.list[interface].solicitations_left = 0;
}

/* RFC 5227 2.4 (b): defend it once in a while, keep it. */
static void defend(struct vnic_stack *s, uint32_t interface, const struct vnic_address *address)
{
    struct interface *i = &s->interfaces.list[interface];

    if (i->defended_ns == 0 || s->now_ns - i->defended_ns >= DEFEND_INTERVAL_NS) {
        i->defended_ns = bits_max64(s->now_ns, 1);
        arp_announce(s, interface, address);
    }
}

void autoconf_on_conflict(struct vnic_stack *s, uint32_t interface, struct interface_address *entry)
{
    s->statistics.address_conflicts++;
    if (entry->state == VNIC_ADDRESS_TENTATIVE) {
        entry->state = VNIC_ADDRESS_DUPLICATE;
        entry->probe_ns = UINT64_MAX;
    } else if (!entry->address.is_ipv6 && entry->state != VNIC_ADDRESS_DUPLICATE) {
        defend(s, interface, &entry->address);
    }
}

static void probe(struct vnic_stack *s, uint32_t interface, struct interface_address *entry)
{
    if (entry->probes_left == 0) {
        be_ours(s, entry);
        if (!entry->address.is_ipv6) {
            arp_announce(s, interface, &entry->address);
        }
        return;
    }
    entry->probes_left--;
    entry->probe_ns = s->now_ns + SECOND_NS;
    if (entry->address.is_ipv6) {
        nd_probe(s, interface, &entry->address);
    } else {
        arp_probe(s, interface, &entry->address);
    }
}

/* RFC 4862 5.5.4; false: its valid lifetime is over. */
static bool age_address(struct vnic_stack *s, uint32_t interface, struct interface_address *entry)
{
    if (entry->valid_ns <= s->now_ns) {
        return false;
    }
    if (entry->state == VNIC_ADDRESS_TENTATIVE && entry->probe_ns <= s->now_ns) {
        probe(s, interface, entry);
    }
    if (entry->state == VNIC_ADDRESS_PREFERRED && entry->preferred_ns <= s->now_ns) {
        entry->state = VNIC_ADDRESS_DEPRECATED;
    }
    if (entry->state == VNIC_ADDRESS_TENTATIVE) {
        interface_wake_at(s, entry->probe_ns);
    }
    if (entry->state == VNIC_ADDRESS_PREFERRED) {
        interface_wake_at(s, entry->preferred_ns);
    }
    interface_wake_at(s, entry->valid_ns);
    return true;
}

static void age_addresses(struct vnic_stack *s, uint32_t interface)
{
    struct interface *i = &s->interfaces.list[interface];

    for (uint32_t k = i->address_count; k-- > 0;) {
        if (!age_address(s, interface, &i->addresses[k])) {
            const struct vnic_address address = i->addresses[k].address;

            interface_remove_address(s, interface, &address);
        }
    }
}

static void solicit_routers(struct vnic_stack *s, uint32_t interface)
{
    struct interface *i = &s->interfaces.list[interface];

    if (i->solicitations_left == 0 || !i->is_up) {
        return;
    }
    if (i->solicit_ns <= s->now_ns) {
        i->solicitations_left--;
        i->solicit_ns = s->now_ns + SOLICIT_INTERVAL_NS;
        nd_solicit_router(s, interface);
    }
    if (i->solicitations_left > 0) {
        interface_wake_at(s, i->solicit_ns);
    }
}

void interfaces_run_timers(struct vnic_stack *s)
{
    if (s->now_ns < s->interfaces.deadline_ns) {
        return;
    }
    s->interfaces.deadline_ns = UINT64_MAX;
    for (uint32_t i = 0; i < s->interfaces.count; i++) {
        age_addresses(s, i);
        solicit_routers(s, i);
    }
    interface_wake_at(s, routes_expire(s));
}
