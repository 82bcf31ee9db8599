/* ICMP errors that we send: when they may be sent, how often, and what they quote. */
#include "base/bits.h"
#include "stack/extension.h"
#include "stack/header.h"
#include "stack/hop.h"
#include "stack/icmp.h"
#include "stack/nd.h"
#include "stack/network.h"
#include "stack/state.h"

enum {
    HEADER_LEN = 8,
    IPV4_QUOTE_TOTAL = 576, /* RFC 1812 4.3.2.3: as much as fits into so long a datagram */
    ALL_BURST = 50,
    HOST_BURST = 10,
    COST_SPREAD = 3
};
static const uint64_t ALL_PERIOD_NS = 1000000;    /* 1000 a second, to all hosts together, ... */
static const uint64_t HOST_PERIOD_NS = 100000000; /* ... and 10 to one (RFC 4443 2.4 f) */

struct code {
    uint8_t type, code;
    bool has_pointer;
};

static const struct code codes_ipv4[ICMP_ERRORS] = {
    [ICMP_ERROR_PORT] = {3, 3, false},
    [ICMP_ERROR_PROTOCOL] = {3, 2, false},
    [ICMP_ERROR_PARAMETER] = {12, 0, true},
    [ICMP_ERROR_REASSEMBLY] = {11, 1, false},
};

static const struct code codes_ipv6[ICMP_ERRORS] = {
    [ICMP_ERROR_PORT] = {1, 4, false},         [ICMP_ERROR_PROTOCOL] = {4, 1, true},
    [ICMP_ERROR_PARAMETER] = {4, 0, true},     [ICMP_ERROR_OPTION] = {4, 2, true},
    [ICMP_ERROR_OPTION_ALWAYS] = {4, 2, true}, [ICMP_ERROR_HEADER_CHAIN] = {4, 3, true},
    [ICMP_ERROR_REASSEMBLY] = {3, 1, false},
};

/* RFC 1122 3.2.2: of a later fragment, of an ICMP message that is no query. */
static bool is_about_error_ipv4(const uint8_t *ip, uint32_t len)
{
    const uint32_t header_len = (ip[0] & 15u) * 4;
    const uint8_t type = len > header_len ? ip[header_len] : 0;

    if ((be16_load(ip + 6) & 0x1fff) != 0) {
        return true;
    }
    return ip[9] == PROTO_ICMP && type != 8 && type != 0 && type != 13 && type != 14;
}

/* RFC 4443 2.4 e): of an ICMPv6 error, of a redirect. What cannot be told counts as none. */
static bool is_about_error_ipv6(const uint8_t *ip, uint32_t len)
{
    uint32_t offset;
    uint8_t next;

    if (!extension_find_transport(ip, len, &next, &offset) || next != PROTO_ICMP6 || offset >= len) {
        return false;
    }
    return ip[offset] < 128 || ip[offset] == ND_REDIRECT;
}

static bool may_report(const struct packet *packet, enum icmp_error error)
{
    const bool is_ipv6 = packet->source.is_ipv6 != 0;

    if ((packet->is_multicast && error != ICMP_ERROR_OPTION_ALWAYS) || !address_is_source(&packet->source)) {
        return false;
    }
    return is_ipv6 ? !is_about_error_ipv6(packet->ip, packet->ip_len)
                   : !is_about_error_ipv4(packet->ip, packet->ip_len);
}

/*
 * Two buckets. That of all hosts empties by a random amount, so that what one host still gets does not tell
 * it what others got.
 */
static bool take_token(struct vnic_stack *s, const struct vnic_address *destination)
{
    const uint32_t slot = (uint32_t)secret_hash(s, destination->bytes, 16, SECRET_ICMP_LIMIT) % ICMP_HOSTS;
    struct icmp *icmp = &s->icmp;

    if (!limit_take(&icmp->hosts[slot], s->now_ns, HOST_PERIOD_NS, HOST_BURST, 1)
        || !limit_take(&icmp->errors, s->now_ns, ALL_PERIOD_NS, ALL_BURST,
                       1 + secret_random(s) % COST_SPREAD)) {
        s->statistics.icmp_limited++;
        return false;
    }
    return true;
}

static uint32_t build(struct vnic_stack *s, const struct packet *packet, enum icmp_error error, uint32_t at)
{
    const bool is_ipv6 = packet->source.is_ipv6 != 0;
    const struct code *code = is_ipv6 ? &codes_ipv6[error] : &codes_ipv4[error];
    const uint32_t limit = is_ipv6 ? IPV6_MIN_MTU - WIRE_IPV6_LEN : IPV4_QUOTE_TOTAL - WIRE_IPV4_LEN;
    const uint32_t quoted = bits_min32(packet->ip_len, limit - HEADER_LEN);
    uint8_t *message = s->icmp.message;

    memset(message, 0, HEADER_LEN);
    message[0] = code->type;
    message[1] = code->code;
    if (code->has_pointer && is_ipv6) {
        be32_store(message + 4, at);
    } else if (code->has_pointer) {
        message[4] = (uint8_t)at;
    }
    memcpy(message + HEADER_LEN, packet->ip, quoted);
    return HEADER_LEN + quoted;
}

void icmp_send_error(struct vnic_stack *s, const struct packet *packet, enum icmp_error error, uint32_t at)
{
    const struct vnic_address any = {.is_ipv6 = packet->source.is_ipv6};
    const uint32_t mask = hop_mask(&packet->source, packet->interface);
    struct vnic_address source = packet->is_multicast ? any : packet->destination;
    struct ip_out ip = {
        .source = &source,
        .destination = &packet->source,
        .proto = packet->source.is_ipv6 ? PROTO_ICMP6 : PROTO_ICMP,
        .may_fragment = true,
    };
    struct hop hop;

    if (!may_report(packet, error) || !take_token(s, &packet->source)) {
        return;
    }
    ip.l4_len = build(s, packet, error, at);
    if (hop_find(s, &source, &packet->source, mask, &hop) == VNIC_OK
        && hop_send(s, &hop, &ip, s->icmp.message) == VNIC_OK) {
        s->statistics.icmp_out++;
    }
}
