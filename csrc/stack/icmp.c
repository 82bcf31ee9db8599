/* ICMP and ICMPv6 messages received: echo, and errors on their way to the transports. */
#include "stack/icmp.h"

#include "base/bits.h"
#include "stack/extension.h"
#include "stack/header.h"
#include "stack/hop.h"
#include "stack/nd.h"
#include "stack/network.h"
#include "stack/state.h"

#include <stdlib.h>

enum {
    MESSAGE_MAX = 65536,
    HEADER_LEN = 8,
    ICMP4_ECHO_REPLY = 0,
    ICMP4_UNREACHABLE = 3,
    ICMP4_QUENCH = 4,
    ICMP4_ECHO = 8,
    ICMP4_TIME_EXCEEDED = 11,
    ICMP4_PARAMETER = 12,
    ICMP4_CODE_PROTOCOL = 2,
    ICMP4_CODE_PORT = 3,
    ICMP4_CODE_TOO_BIG = 4,
    ICMP6_UNREACHABLE = 1,
    ICMP6_TOO_BIG = 2,
    ICMP6_TIME_EXCEEDED = 3,
    ICMP6_PARAMETER = 4,
    ICMP6_CODE_PORT = 4,
    ICMP6_CODE_NEXT_HEADER = 1,
    ICMP6_ECHO = 128,
    ICMP6_ECHO_REPLY = 129
};
static const uint64_t PATH_MTU_NS = 600000000000ull; /* 10 minutes (RFC 8201 4) */

int icmp_create(struct vnic_stack *s)
{
    s->icmp.message = malloc(MESSAGE_MAX);
    return s->icmp.message != NULL ? VNIC_OK : VNIC_ENOMEM;
}

void icmp_destroy(struct vnic_stack *s)
{
    free(s->icmp.message);
    s->icmp.message = NULL;
}

/* -- echo ------------------------------------------------------------------------------------------------ */

/* RFC 1122 3.2.2.6, RFC 4443 4.2: the same data, from the address that was asked. */
static void answer_echo(struct vnic_stack *s, const struct packet *packet, uint8_t type)
{
    const struct vnic_address any = {.is_ipv6 = packet->source.is_ipv6};
    const uint32_t mask = hop_mask(&packet->source, packet->interface);
    struct vnic_address source = packet->is_multicast ? any : packet->destination;
    struct ip_out ip = {
        .source = &source,
        .destination = &packet->source,
        .l4_len = packet->l4_len,
        .proto = packet->proto,
        .tos = (uint8_t)(packet->tos & ~3u),
        .may_fragment = true,
    };
    struct hop hop;

    memcpy(s->icmp.message, packet->l4, packet->l4_len);
    s->icmp.message[0] = type;
    if (hop_find(s, &source, &packet->source, mask, &hop) == VNIC_OK
        && hop_send(s, &hop, &ip, s->icmp.message) == VNIC_OK) {
        s->statistics.icmp_out++;
    }
}

/* -- errors ---------------------------------------------------------------------------------------------- */

static uint32_t slot_of(const struct vnic_stack *s, const struct vnic_address *address)
{
    return (uint32_t)secret_hash(s, address->bytes, 16, SECRET_PATH_MTU) % ICMP_PATHS;
}

uint32_t icmp_path_mtu(const struct vnic_stack *s, const struct vnic_address *destination, uint32_t mtu)
{
    const struct icmp_path_mtu *path = &s->icmp.paths[slot_of(s, destination)];
    const bool is_known =
        path->mtu != 0 && path->expires_ns > s->now_ns && address_is_equal(&path->destination, destination);

    return is_known ? bits_min32(mtu, path->mtu) : mtu;
}

void icmp_note_path_mtu(struct vnic_stack *s, const struct vnic_address *destination, uint32_t mtu)
{
    s->icmp.paths[slot_of(s, destination)] = (struct icmp_path_mtu){
        .destination = *destination, .mtu = mtu, .expires_ns = s->now_ns + PATH_MTU_NS};
}

/* The flow of a quoted datagram. */
struct quote {
    struct vnic_address local;
    struct vnic_endpoint remote;
    const uint8_t *l4; /* 8 bytes at least */
    uint8_t proto;
};

static bool parse_quote_ipv4(struct quote *q, const uint8_t *ip, uint32_t len)
{
    const uint32_t header_len = len >= WIRE_IPV4_LEN ? (ip[0] & 15u) * 4 : 0;

    if (header_len < WIRE_IPV4_LEN || ip[0] >> 4 != 4 || len < header_len + HEADER_LEN
        || (be16_load(ip + 6) & 0x1fff) != 0) {
        return false;
    }
    q->local = address_ipv4(ip + 12);
    q->remote.address = address_ipv4(ip + 16);
    q->proto = ip[9];
    q->l4 = ip + header_len;
    return true;
}

static bool parse_quote_ipv6(struct quote *q, const uint8_t *ip, uint32_t len)
{
    uint32_t offset;

    if (len < WIRE_IPV6_LEN || ip[0] >> 4 != 6 || !extension_find_transport(ip, len, &q->proto, &offset)
        || len - offset < HEADER_LEN) {
        return false;
    }
    q->local = address_ipv6(ip + 8);
    q->remote.address = address_ipv6(ip + 24);
    q->l4 = ip + offset;
    return true;
}

static void tell_tcp(struct vnic_stack *s, const struct quote *q, const struct icmp_report *report)
{
    const struct icmp_quote quote = {
        .local = q->local,
        .remote = q->remote.address,
        .local_port = be16_load(q->l4),
        .remote_port = be16_load(q->l4 + 2),
        .seq = be32_load(q->l4 + 4),
        .kind = report->kind,
        .mtu = report->mtu,
    };

    sockets_on_icmp(s, &quote);
}

static bool tell_udp(struct vnic_stack *s, struct quote *q, const struct icmp_report *report)
{
    q->remote.port = be16_load(q->l4 + 2);
    return udp_on_error(s, SOCKET_UDP, &q->local, be16_load(q->l4), &q->remote, report->result);
}

static bool tell_echo(struct vnic_stack *s, const struct quote *q, const struct icmp_report *report)
{
    return udp_on_error(s, SOCKET_ICMP, &q->local, be16_load(q->l4 + 4), &q->remote, report->result);
}

void icmp_deliver(struct vnic_stack *s, bool is_ipv6, const uint8_t *quote, uint32_t len,
                  const struct icmp_report *report)
{
    struct quote q = {.proto = 0};
    bool is_ours = false;

    if (is_ipv6 ? !parse_quote_ipv6(&q, quote, len) : !parse_quote_ipv4(&q, quote, len)) {
        return;
    }
    if (interface_mask_of(s, &q.local) == 0) {
        return; /* we did not send that */
    }
    if (q.proto == WIRE_PROTO_TCP) {
        tell_tcp(s, &q, report);
    } else if (q.proto == WIRE_PROTO_UDP) {
        is_ours = tell_udp(s, &q, report);
    } else if (q.proto == (is_ipv6 ? PROTO_ICMP6 : PROTO_ICMP)
               && q.l4[0] == (is_ipv6 ? ICMP6_ECHO : ICMP4_ECHO)) {
        is_ours = tell_echo(s, &q, report);
    }
    if (is_ours && report->kind == TCP_ICMP_TOO_BIG) {
        icmp_note_path_mtu(s, &q.remote.address, report->mtu);
    }
}

/* RFC 1191 7: what a router that does not tell its MTU may have. */
static uint32_t plateau_below(uint32_t total)
{
    static const uint16_t plateaus[] = {32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68};
    uint32_t i = 0;

    while (i + 1 < sizeof(plateaus) / sizeof(plateaus[0]) && plateaus[i] >= total) {
        i++;
    }
    return plateaus[i];
}

static struct icmp_report judge_unreachable(const uint8_t *l4, uint32_t len)
{
    const uint32_t mtu = be16_load(l4 + 6);

    switch (l4[1]) {
    case ICMP4_CODE_PROTOCOL:
    case ICMP4_CODE_PORT:
        return (struct icmp_report){.kind = TCP_ICMP_HARD, .result = VNIC_STACK_ECONNREFUSED};
    case ICMP4_CODE_TOO_BIG:
        return (struct icmp_report){
            .kind = TCP_ICMP_TOO_BIG,
            .mtu = mtu != 0 || len < HEADER_LEN + 4 ? mtu : plateau_below(be16_load(l4 + HEADER_LEN + 2)),
        };
    default:
        return (struct icmp_report){.kind = TCP_ICMP_SOFT, .result = VNIC_STACK_EHOSTUNREACH};
    }
}

static void take_error(struct vnic_stack *s, const struct packet *packet, struct icmp_report report)
{
    icmp_deliver(s, packet->source.is_ipv6 != 0, packet->l4 + HEADER_LEN, packet->l4_len - HEADER_LEN,
                 &report);
}

/* A message that was not addressed to us alone proves nothing (RFC 5927). */
void icmp_receive(struct vnic_stack *s, const struct packet *packet)
{
    s->statistics.icmp_in++;
    if (packet->l4_len < HEADER_LEN || csum_fold(s->csum->add(0, packet->l4, packet->l4_len)) != 0xffff) {
        s->statistics.icmp_bad++;
        return;
    }
    if (packet->is_multicast) {
        return; /* RFC 1122 3.2.2.6: an echo request to all need not be answered */
    }
    switch (packet->l4[0]) {
    case ICMP4_ECHO:
        answer_echo(s, packet, ICMP4_ECHO_REPLY);
        break;
    case ICMP4_ECHO_REPLY:
        udp_receive_echo(s, packet);
        break;
    case ICMP4_UNREACHABLE:
        take_error(s, packet, judge_unreachable(packet->l4, packet->l4_len));
        break;
    case ICMP4_QUENCH:
        take_error(s, packet, (struct icmp_report){.kind = TCP_ICMP_QUENCH});
        break;
    case ICMP4_TIME_EXCEEDED:
    case ICMP4_PARAMETER:
        take_error(s, packet, (struct icmp_report){.kind = TCP_ICMP_SOFT, .result = VNIC_STACK_EHOSTUNREACH});
        break;
    default:
        break;
    }
}

bool icmp6_is_good(const struct vnic_stack *s, const struct packet *packet)
{
    const uint64_t sum = header_pseudo(&packet->source, &packet->destination, PROTO_ICMP6, packet->l4_len);

    return packet->l4_len >= HEADER_LEN
           && csum_fold(csum_reduce(sum) + csum_reduce(s->csum->add(0, packet->l4, packet->l4_len)))
                  == 0xffff;
}

/* RFC 4443 3.1: what says that the other end is not there, and what may pass. */
static struct icmp_report judge_error6(const uint8_t *l4)
{
    const bool is_hard = (l4[0] == ICMP6_UNREACHABLE && l4[1] == ICMP6_CODE_PORT)
                         || (l4[0] == ICMP6_PARAMETER && l4[1] == ICMP6_CODE_NEXT_HEADER);

    if (l4[0] == ICMP6_TOO_BIG) {
        return (struct icmp_report){.kind = TCP_ICMP_TOO_BIG, .mtu = be32_load(l4 + 4)};
    }
    return is_hard ? (struct icmp_report){.kind = TCP_ICMP_HARD, .result = VNIC_STACK_ECONNREFUSED}
                   : (struct icmp_report){.kind = TCP_ICMP_SOFT, .result = VNIC_STACK_EHOSTUNREACH};
}

static void take_error6(struct vnic_stack *s, const struct packet *packet)
{
    const struct icmp_report report = judge_error6(packet->l4);

    if (report.kind == TCP_ICMP_TOO_BIG && report.mtu < IPV6_MIN_MTU) {
        s->statistics.icmp_bad++; /* RFC 8201 4 */
        return;
    }
    if (!packet->is_multicast) {
        take_error(s, packet, report);
    }
}

void icmp6_receive(struct vnic_stack *s, const struct packet *packet)
{
    const bool is_unspecified = address_is_any(&packet->source);

    s->statistics.icmp_in++;
    if (!icmp6_is_good(s, packet)) {
        s->statistics.icmp_bad++;
        return;
    }
    switch (packet->l4[0]) {
    case ICMP6_UNREACHABLE:
    case ICMP6_TOO_BIG:
    case ICMP6_TIME_EXCEEDED:
    case ICMP6_PARAMETER:
        take_error6(s, packet);
        break;
    case ICMP6_ECHO:
        if (!is_unspecified) {
            answer_echo(s, packet, ICMP6_ECHO_REPLY);
        }
        break;
    case ICMP6_ECHO_REPLY:
        if (!packet->is_multicast) {
            udp_receive_echo(s, packet);
        }
        break;
    case ND_ROUTER_SOLICITATION:
    case ND_ROUTER_ADVERTISEMENT:
    case ND_NEIGHBOUR_SOLICITATION:
    case ND_NEIGHBOUR_ADVERTISEMENT:
    case ND_REDIRECT:
        nd_receive(s, packet);
        break;
    default:
        break;
    }
}
