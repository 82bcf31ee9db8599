/* ARP packets: those that came, and ours. */
#include "stack/arp.h"

#include "stack/autoconf.h"
#include "stack/hop.h"
#include "stack/neighbour.h"
#include "stack/network.h"
#include "stack/state.h"

enum {
    ARP_LEN = 28,
    ARP_REQUEST = 1,
    ARP_REPLY = 2,
    ARP_SENDER_MAC = 8,
    ARP_SENDER_IP = 14,
    ARP_TARGET_MAC = 18,
    ARP_TARGET_IP = 24,
    ANSWER_BURST = 100
};
static const uint64_t ANSWER_PERIOD_NS = 1000000; /* at most 1000 a second */

/* Ethernet and IPv4, a request or a reply, from a host that can be answered. */
static bool is_valid(const uint8_t *arp, uint32_t len)
{
    static const uint8_t head[7] = {0, 1, 8, 0, 6, 4, 0};
    static const uint8_t none[6];

    if (len < ARP_LEN || memcmp(arp, head, sizeof(head)) != 0 || arp[7] < ARP_REQUEST || arp[7] > ARP_REPLY) {
        return false;
    }
    return (arp[ARP_SENDER_MAC] & 1) == 0 && memcmp(arp + ARP_SENDER_MAC, none, 6) != 0;
}

static void send(struct vnic_stack *s, uint32_t interface, uint8_t operation, const uint8_t sender[4],
                 const uint8_t target_mac[6], const uint8_t target[4], const uint8_t destination_mac[6])
{
    const struct vnic_stack_interface *config = &s->interfaces.list[interface].config;
    uint8_t frame[WIRE_ETH_LEN + WIRE_VLAN_LEN + ARP_LEN] = {0};
    struct hop hop = {.interface = (uint8_t)interface};
    const uint32_t queued = s->outboxes.list[interface].count;
    const uint32_t index = outbox_has_room(s, queued, 1, sizeof(frame)) ? outbox_new(s, interface) : 0;
    uint8_t *arp;

    if (index == 0) {
        s->statistics.outbox_full++;
        return;
    }
    memcpy(hop.mac, destination_mac, 6);
    arp = frame + hop_write_ethernet(s, &hop, WIRE_ETHERTYPE_ARP, frame);
    memcpy(arp, "\0\1\10\0\6\4\0", 7);
    arp[7] = operation;
    memcpy(arp + ARP_SENDER_MAC, config->mac, 6);
    memcpy(arp + ARP_SENDER_IP, sender, 4);
    memcpy(arp + ARP_TARGET_MAC, target_mac, 6);
    memcpy(arp + ARP_TARGET_IP, target, 4);
    (void)outbox_append(s, index, frame, (uint32_t)(arp - frame) + ARP_LEN); /* there is room */
    s->statistics.arp_out++;
    outbox_put(s, index);
}

static const uint8_t broadcast_mac[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static const uint8_t unknown_mac[6];

void arp_solicit(struct vnic_stack *s, uint32_t neighbour, bool is_unicast)
{
    const struct neighbour *n = &s->neighbours.entries[neighbour];
    struct vnic_address source;

    if (interface_choose_source(s, n->interface, &n->address, &n->address, &source)) {
        send(s, n->interface, ARP_REQUEST, source.bytes, unknown_mac, n->address.bytes,
             is_unicast ? n->mac : broadcast_mac);
    }
}

void arp_probe(struct vnic_stack *s, uint32_t interface, const struct vnic_address *address)
{
    static const uint8_t nobody[4];

    send(s, interface, ARP_REQUEST, nobody, unknown_mac, address->bytes, broadcast_mac);
}

void arp_announce(struct vnic_stack *s, uint32_t interface, const struct vnic_address *address)
{
    send(s, interface, ARP_REQUEST, address->bytes, unknown_mac, address->bytes, broadcast_mac);
}

static void answer(struct vnic_stack *s, const struct arrival *arrival, const uint8_t *arp)
{
    if (limit_take(&s->neighbours.answers, s->now_ns, ANSWER_PERIOD_NS, ANSWER_BURST, 1)) {
        send(s, arrival->interface, ARP_REPLY, arp + ARP_TARGET_IP, arp + ARP_SENDER_MAC, arp + ARP_SENDER_IP,
             arp + ARP_SENDER_MAC);
    }
}

/*
 * RFC 826 merges what a sender says into a table that has it; what it does not have is not added, so that
 * nobody can fill the table. A reply to us while we ask proves reachability; anything else only tells the
 * address.
 */
static void learn(struct vnic_stack *s, const struct arrival *arrival, const uint8_t *arp, bool is_for_us)
{
    const struct vnic_address sender = address_ipv4(arp + ARP_SENDER_IP);
    const uint32_t index = neighbour_find(s, arrival->interface, &sender);
    uint8_t state;

    if (index == 0) {
        return;
    }
    state = neighbour_state(s, index);
    neighbour_learn(s, index, arp + ARP_SENDER_MAC,
                    arp[7] == ARP_REPLY && is_for_us && !arrival->is_link_multicast
                        && (state == VNIC_NEIGHBOUR_INCOMPLETE || state == VNIC_NEIGHBOUR_PROBE),
                    true);
}

/* RFC 5227 2.1.1, 2.4: the same address as sender, or somebody else who probes for what we probe for. */
static bool is_conflict(struct vnic_stack *s, const struct arrival *arrival, const uint8_t *arp)
{
    const struct vnic_address sender = address_ipv4(arp + ARP_SENDER_IP);
    const struct vnic_address target = address_ipv4(arp + ARP_TARGET_IP);
    struct interface_address *entry = interface_find(s, arrival->interface, &sender);

    if (entry == NULL && address_is_any(&sender) && arp[7] == ARP_REQUEST) {
        entry = interface_find(s, arrival->interface, &target);
        entry = entry != NULL && entry->state == VNIC_ADDRESS_TENTATIVE ? entry : NULL;
    }
    if (entry != NULL) {
        autoconf_on_conflict(s, arrival->interface, entry);
    }
    return entry != NULL;
}

void arp_receive(struct vnic_stack *s, const struct arrival *arrival, const uint8_t *arp, uint32_t len)
{
    struct vnic_address target;
    bool is_for_us;

    s->statistics.arp_in++;
    if (!is_valid(arp, len)) {
        s->statistics.bad_frame++;
        return;
    }
    if (memcmp(arp + ARP_SENDER_MAC, s->interfaces.list[arrival->interface].config.mac, 6) == 0
        || is_conflict(s, arrival, arp)) {
        return;
    }
    target = address_ipv4(arp + ARP_TARGET_IP);
    is_for_us = interface_has(s, arrival->interface, &target);
    learn(s, arrival, arp, is_for_us);
    if (arp[7] == ARP_REQUEST && is_for_us) {
        answer(s, arrival, arp);
    }
}
