/* Reachability of neighbours: the states of RFC 4861 7.3, driven by use, by news and by time. */
#include "stack/arp.h"
#include "stack/nd.h"
#include "stack/neighbour_entry.h"
#include "stack/network.h"
#include "stack/state.h"

static const uint64_t DELAY_FIRST_PROBE_NS = 5000000000ull; /* RFC 4861 10: DELAY_FIRST_PROBE_TIME */

static struct neighbour *at(struct vnic_stack *s, uint32_t index)
{
    return &s->neighbours.entries[index];
}

static void solicit(struct vnic_stack *s, uint32_t index)
{
    struct neighbour *n = at(s, index);
    const bool is_unicast = n->state == VNIC_NEIGHBOUR_PROBE;

    n->probes++;
    neighbour_set_alarm(s, index, s->now_ns + s->interfaces.list[n->interface].retrans_ns);
    if (n->address.is_ipv6) {
        nd_solicit(s, index, is_unicast);
    } else {
        arp_solicit(s, index, is_unicast);
    }
}

static void enter(struct vnic_stack *s, uint32_t index, uint8_t state)
{
    struct neighbour *n = at(s, index);

    n->state = state;
    n->probes = 0;
    neighbour_cancel_alarm(s, index);
    neighbour_relist(s, index);
}

static void become_reachable(struct vnic_stack *s, uint32_t index)
{
    at(s, index)->confirmed_ns = s->now_ns;
    enter(s, index, VNIC_NEIGHBOUR_REACHABLE);
}

uint8_t neighbour_state(struct vnic_stack *s, uint32_t index)
{
    struct neighbour *n = at(s, index);

    if (n->state == VNIC_NEIGHBOUR_REACHABLE
        && s->now_ns - n->confirmed_ns > interface_reachable_ns(s, n->interface)) {
        n->state = VNIC_NEIGHBOUR_STALE;
    }
    return n->state;
}

bool neighbour_use(struct vnic_stack *s, uint32_t index)
{
    struct neighbour *n = at(s, index);

    switch (neighbour_state(s, index)) {
    case VNIC_NEIGHBOUR_NONE:
        enter(s, index, VNIC_NEIGHBOUR_INCOMPLETE);
        solicit(s, index);
        return false;
    case VNIC_NEIGHBOUR_INCOMPLETE:
        return false;
    case VNIC_NEIGHBOUR_STALE:
        enter(s, index, VNIC_NEIGHBOUR_DELAY);
        neighbour_set_alarm(s, index, s->now_ns + DELAY_FIRST_PROBE_NS);
        return true;
    default:
        if (n->list != NEIGHBOUR_UNLISTED) {
            neighbour_relist(s, index);
        }
        return true;
    }
}

void neighbour_confirm(struct vnic_stack *s, uint32_t index)
{
    switch (neighbour_state(s, index)) {
    case VNIC_NEIGHBOUR_REACHABLE:
        at(s, index)->confirmed_ns = s->now_ns;
        break;
    case VNIC_NEIGHBOUR_STALE:
    case VNIC_NEIGHBOUR_DELAY:
    case VNIC_NEIGHBOUR_PROBE:
        become_reachable(s, index);
        break;
    default:
        break;
    }
}

void neighbour_confirm_since(struct vnic_stack *s, uint32_t index, uint64_t age_ns)
{
    struct neighbour *n = at(s, index);
    const uint64_t proof_ns = s->now_ns - (age_ns < s->now_ns ? age_ns : s->now_ns);

    if (proof_ns > n->confirmed_ns && age_ns <= interface_reachable_ns(s, n->interface)
        && n->state > VNIC_NEIGHBOUR_INCOMPLETE && n->state != VNIC_NEIGHBOUR_PERMANENT) {
        neighbour_confirm(s, index);
        n->confirmed_ns = proof_ns;
    }
}

/* Resolved, or with another address: what waited goes on. */
static void tell_resolved(struct vnic_stack *s, uint32_t index)
{
    neighbour_send_waiting(s, index);
    if (at(s, index)->holds > 0) {
        sockets_on_neighbour(s, index, true);
    }
}

static void resolve(struct vnic_stack *s, uint32_t index, const uint8_t mac[6], bool is_solicited)
{
    memcpy(at(s, index)->mac, mac, 6);
    if (is_solicited) {
        become_reachable(s, index);
    } else {
        enter(s, index, VNIC_NEIGHBOUR_STALE);
    }
    tell_resolved(s, index);
}

/* RFC 4861 7.2.5, for an entry with an address. */
static void update(struct vnic_stack *s, uint32_t index, const uint8_t mac[6], bool is_solicited,
                   bool is_override)
{
    struct neighbour *n = at(s, index);
    const bool is_other = memcmp(n->mac, mac, 6) != 0;

    if (is_other && !is_override) {
        if (n->state == VNIC_NEIGHBOUR_REACHABLE) {
            enter(s, index, VNIC_NEIGHBOUR_STALE);
        }
        return;
    }
    memcpy(n->mac, mac, 6);
    if (is_solicited) {
        become_reachable(s, index);
    } else if (is_other) {
        enter(s, index, VNIC_NEIGHBOUR_STALE);
    }
    if (is_other && n->holds > 0) {
        sockets_on_neighbour(s, index, true);
    }
}

void neighbour_learn(struct vnic_stack *s, uint32_t index, const uint8_t mac[6], bool is_solicited,
                     bool is_override)
{
    switch (neighbour_state(s, index)) {
    case VNIC_NEIGHBOUR_PERMANENT:
        break;
    case VNIC_NEIGHBOUR_NONE:
    case VNIC_NEIGHBOUR_INCOMPLETE:
        resolve(s, index, mac, is_solicited);
        break;
    default:
        update(s, index, mac, is_solicited, is_override);
        break;
    }
}

/* No answer to NEIGHBOUR_PROBES solicitations. */
static void give_up(struct vnic_stack *s, uint32_t index)
{
    s->statistics.neighbours_failed++;
    enter(s, index, VNIC_NEIGHBOUR_NONE);
    neighbour_drop_waiting(s, index);
    if (at(s, index)->holds > 0) {
        sockets_on_neighbour(s, index, false);
    } else {
        neighbour_remove(s, index);
    }
}

static void on_alarm(struct vnic_stack *s, uint32_t index)
{
    struct neighbour *n = at(s, index);

    if (n->state == VNIC_NEIGHBOUR_DELAY) {
        enter(s, index, VNIC_NEIGHBOUR_PROBE);
        solicit(s, index);
    } else if (n->probes >= NEIGHBOUR_PROBES) {
        give_up(s, index);
    } else {
        solicit(s, index);
    }
}

void neighbours_run_timers(struct vnic_stack *s)
{
    uint32_t index;

    while ((index = neighbour_expired(s)) != 0) {
        on_alarm(s, index);
    }
}

void neighbours_flush(struct vnic_stack *s, uint32_t interface)
{
    const uint32_t end = s->neighbours.pool.fresh;

    for (uint32_t index = 1; index < end; index++) {
        struct neighbour *n = at(s, index);

        if (!n->is_used || n->interface != interface || n->state == VNIC_NEIGHBOUR_PERMANENT) {
            continue;
        }
        enter(s, index, VNIC_NEIGHBOUR_NONE);
        neighbour_drop_waiting(s, index);
        if (n->holds > 0) {
            sockets_on_neighbour(s, index, false);
        } else {
            neighbour_remove(s, index);
        }
    }
}
