/* Neighbor Discovery between hosts: solicitations and advertisements (RFC 4861 7, RFC 4862 5.4). */
#include "stack/nd.h"

#include "stack/autoconf.h"
#include "stack/header.h"
#include "stack/hop.h"
#include "stack/neighbour.h"
#include "stack/network.h"
#include "stack/state.h"

enum {
    MESSAGE_LEN = 24, /* of solicitations and advertisements, without options */
    TARGET = 8,
    OPTION_LEN = 8,
    FLAGS = 4,
    FLAG_ROUTER = 0x80,
    FLAG_SOLICITED = 0x40,
    FLAG_OVERRIDE = 0x20,
    HOP_LIMIT = 255,
    ANSWER_BURST = 100
};
static const uint64_t ANSWER_PERIOD_NS = 1000000; /* at most 1000 a second */

/* -- options --------------------------------------------------------------------------------------------- */

int nd_next_option(const uint8_t *options, uint32_t len, uint32_t *at, const uint8_t **option)
{
    const uint32_t left = len - *at;
    uint32_t option_len;

    if (left == 0) {
        return 0;
    }
    if (left < OPTION_LEN || options[*at + 1] == 0 || options[*at + 1] * 8u > left) {
        return -1;
    }
    *option = options + *at;
    option_len = options[*at + 1] * 8u;
    *at += option_len;
    return (*option)[0] != 0 ? (*option)[0] : 256; /* type 0 is reserved: unknown */
}

/* RFC 4861 7.1: every option has a length, and together they fill the message. */
static bool are_options_valid(const uint8_t *options, uint32_t len)
{
    const uint8_t *option;
    uint32_t at = 0;
    int type;

    while ((type = nd_next_option(options, len, &at, &option)) > 0) {
        if ((type == ND_SOURCE_ADDRESS || type == ND_TARGET_ADDRESS) && (option[2] & 1) != 0) {
            return false; /* a group is no neighbour */
        }
    }
    return type == 0;
}

const uint8_t *nd_find_address(const uint8_t *options, uint32_t len, int type)
{
    const uint8_t *option;
    uint32_t at = 0;
    int found;

    while ((found = nd_next_option(options, len, &at, &option)) > 0) {
        if (found == type && option[1] == 1) {
            return option + 2;
        }
    }
    return NULL;
}

/* -- ours ------------------------------------------------------------------------------------------------ */

static uint32_t put_address_option(const struct vnic_stack *s, uint32_t interface, uint8_t type, uint8_t *out)
{
    out[0] = type;
    out[1] = 1;
    memcpy(out + 2, s->interfaces.list[interface].config.mac, 6);
    return OPTION_LEN;
}

static void send(struct vnic_stack *s, const struct hop *hop, const struct vnic_address *source,
                 const struct vnic_address *destination, const uint8_t *message, uint32_t len)
{
    const struct ip_out ip = {
        .source = source, .destination = destination, .l4_len = len, .proto = PROTO_ICMP6, .ttl = HOP_LIMIT};

    if (hop_send(s, hop, &ip, message) == VNIC_OK) {
        s->statistics.nd_out++;
    }
}

static uint32_t start_message(uint8_t *message, uint8_t type, const struct vnic_address *target)
{
    memset(message, 0, TARGET);
    message[0] = type;
    memcpy(message + TARGET, target->bytes, 16);
    return MESSAGE_LEN;
}

void nd_solicit(struct vnic_stack *s, uint32_t neighbour, bool is_unicast)
{
    const struct neighbour *n = &s->neighbours.entries[neighbour];
    const struct vnic_address target = n->address;
    const struct vnic_address destination = is_unicast ? target : address_solicited_node(&target);
    struct hop hop = hop_to_group(n->interface, &destination);
    uint8_t message[MESSAGE_LEN + OPTION_LEN];
    struct vnic_address source;
    uint32_t len;

    if (!interface_choose_source(s, n->interface, &target, &target, &source)) {
        return;
    }
    if (is_unicast) {
        memcpy(hop.mac, n->mac, 6);
    }
    len = start_message(message, ND_NEIGHBOUR_SOLICITATION, &target);
    len += put_address_option(s, n->interface, ND_SOURCE_ADDRESS, message + len);
    send(s, &hop, &source, &destination, message, len);
}

void nd_probe(struct vnic_stack *s, uint32_t interface, const struct vnic_address *address)
{
    const struct vnic_address unspecified = {.is_ipv6 = 1};
    const struct vnic_address group = address_solicited_node(address);
    const struct hop hop = hop_to_group(interface, &group);
    uint8_t message[MESSAGE_LEN];

    start_message(message, ND_NEIGHBOUR_SOLICITATION, address);
    send(s, &hop, &unspecified, &group, message, MESSAGE_LEN);
}

void nd_solicit_router(struct vnic_stack *s, uint32_t interface)
{
    const struct hop hop = hop_to_group(interface, &address_all_routers);
    uint8_t message[8 + OPTION_LEN] = {ND_ROUTER_SOLICITATION};
    struct vnic_address source = {.is_ipv6 = 1};
    uint32_t len = 8;

    if (interface_choose_source(s, interface, &address_all_routers, &address_all_routers, &source)) {
        len += put_address_option(s, interface, ND_SOURCE_ADDRESS, message + len);
    }
    send(s, &hop, &source, &address_all_routers, message, len);
}

/*
 * RFC 4861 7.2.4: to the asker, or to all when it has no address yet. An asker that has no entry, since none
 * was free, is answered where its frame came from.
 */
static void advertise(struct vnic_stack *s, const struct packet *packet, const struct vnic_address *target)
{
    const bool is_probe = address_is_any(&packet->source);
    const struct vnic_address destination = is_probe ? address_all_nodes : packet->source;
    struct hop hop = hop_to_group(packet->interface, &destination);
    uint8_t message[MESSAGE_LEN + OPTION_LEN];
    uint32_t len;

    if (!limit_take(&s->neighbours.answers, s->now_ns, ANSWER_PERIOD_NS, ANSWER_BURST, 1)) {
        return;
    }
    if (!is_probe) {
        hop.neighbour = neighbour_find(s, packet->interface, &destination);
        memcpy(hop.mac, packet->mac, sizeof(hop.mac));
    }
    len = start_message(message, ND_NEIGHBOUR_ADVERTISEMENT, target);
    message[FLAGS] = (uint8_t)(FLAG_OVERRIDE | (is_probe ? 0 : FLAG_SOLICITED));
    len += put_address_option(s, packet->interface, ND_TARGET_ADDRESS, message + len);
    send(s, &hop, target, &destination, message, len);
}

/* -- received -------------------------------------------------------------------------------------------- */

/* RFC 4861 7.1.1, 7.1.2 beyond what all messages share. */
static bool is_message_valid(const struct packet *packet)
{
    const struct vnic_address target = address_ipv6(packet->l4 + TARGET);
    const uint8_t *options = packet->l4 + MESSAGE_LEN;
    const uint32_t options_len = packet->l4_len - MESSAGE_LEN;

    if (address_is_multicast(&target) || !are_options_valid(options, options_len)) {
        return false;
    }
    if (packet->l4[0] == ND_NEIGHBOUR_ADVERTISEMENT) {
        return !address_is_multicast(&packet->destination) || (packet->l4[FLAGS] & FLAG_SOLICITED) == 0;
    }
    if (address_is_any(&packet->source)) {
        const struct vnic_address group = address_solicited_node(&target);

        return address_is_equal(&packet->destination, &group)
               && nd_find_address(options, options_len, ND_SOURCE_ADDRESS) == NULL;
    }
    return true;
}

/* RFC 4861 7.2.3: who asks will be answered, so it is worth an entry, if one is free. */
static void learn_asker(struct vnic_stack *s, const struct packet *packet)
{
    const uint8_t *mac =
        nd_find_address(packet->l4 + MESSAGE_LEN, packet->l4_len - MESSAGE_LEN, ND_SOURCE_ADDRESS);
    uint32_t index;

    if (mac == NULL) {
        return;
    }
    index = neighbour_get_free(s, packet->interface, &packet->source);
    if (index != 0) {
        neighbour_learn(s, index, mac, false, true);
    }
}

static void solicited(struct vnic_stack *s, const struct packet *packet)
{
    const struct vnic_address target = address_ipv6(packet->l4 + TARGET);
    struct interface_address *entry = interface_find(s, packet->interface, &target);

    if (entry == NULL || entry->state == VNIC_ADDRESS_DUPLICATE) {
        return;
    }
    if (entry->state == VNIC_ADDRESS_TENTATIVE) {
        if (address_is_any(&packet->source)) {
            autoconf_on_conflict(s, packet->interface, entry); /* RFC 4862 5.4.3: both want it */
        }
        return;
    }
    if (!address_is_any(&packet->source)) {
        learn_asker(s, packet);
    }
    advertise(s, packet, &target);
}

static void note_router_flag(struct vnic_stack *s, uint32_t index, bool is_router)
{
    struct neighbour *n = &s->neighbours.entries[index];
    const bool was_router = n->is_router != 0;

    n->is_router = is_router;
    if (was_router && !is_router) {
        router_left(s, n->interface, &n->address);
    }
}

/* RFC 4861 7.2.5 */
static void advertised(struct vnic_stack *s, const struct packet *packet)
{
    const struct vnic_address target = address_ipv6(packet->l4 + TARGET);
    const uint8_t *mac =
        nd_find_address(packet->l4 + MESSAGE_LEN, packet->l4_len - MESSAGE_LEN, ND_TARGET_ADDRESS);
    struct interface_address *entry = interface_find(s, packet->interface, &target);
    const uint32_t index = neighbour_find(s, packet->interface, &target);
    const uint8_t flags = packet->l4[FLAGS];

    if (entry != NULL) {
        autoconf_on_conflict(s, packet->interface, entry);
        return;
    }
    if (index == 0) {
        return; /* nobody asked */
    }
    note_router_flag(s, index, (flags & FLAG_ROUTER) != 0);
    if (mac != NULL) {
        neighbour_learn(s, index, mac, (flags & FLAG_SOLICITED) != 0, (flags & FLAG_OVERRIDE) != 0);
    } else if ((flags & FLAG_SOLICITED) != 0) {
        neighbour_confirm(s, index);
    }
}

/* RFC 4861 6.1.2 */
static bool is_router_message_valid(const struct packet *packet)
{
    return packet->l4_len >= 16 && address_is_link_local(&packet->source)
           && are_options_valid(packet->l4 + 16, packet->l4_len - 16);
}

/* RFC 4861 6.1, 7.1: from this link, of code 0; RFC 6980: never in fragments. */
static bool is_valid(const struct packet *packet)
{
    if (packet->ttl != HOP_LIMIT || packet->l4[1] != 0 || packet->was_fragment) {
        return false;
    }
    switch (packet->l4[0]) {
    case ND_NEIGHBOUR_SOLICITATION:
    case ND_NEIGHBOUR_ADVERTISEMENT:
        return packet->l4_len >= MESSAGE_LEN && is_message_valid(packet);
    case ND_ROUTER_ADVERTISEMENT:
        return is_router_message_valid(packet);
    default:
        return true; /* Redirects are valid or not, and not followed; router solicitations are for routers */
    }
}

void nd_receive(struct vnic_stack *s, const struct packet *packet)
{
    s->statistics.nd_in++;
    if (!is_valid(packet)) {
        s->statistics.nd_bad++;
        return;
    }
    switch (packet->l4[0]) {
    case ND_NEIGHBOUR_SOLICITATION:
        solicited(s, packet);
        break;
    case ND_NEIGHBOUR_ADVERTISEMENT:
        advertised(s, packet);
        break;
    case ND_ROUTER_ADVERTISEMENT:
        router_advertised(s, packet);
        break;
    default:
        break;
    }
}
