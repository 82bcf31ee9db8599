/* Segmentation arithmetic: checking a template, and the fields in which a segment's header differs. */
#include "wire/segment.h"

enum {
    IPV4_TOTAL = 2,
    IPV4_ID = 4,
    IPV4_FRAGMENT = 6,
    IPV4_PROTO = 9,
    IPV4_CHECKSUM = 10,
    IPV4_ADDRESSES = 12,
    IPV6_PAYLOAD = 4,
    IPV6_NEXT = 6,
    IPV6_SOURCE = 8,
    IPV6_DESTINATION = 24,
    TCP_SEQ = 4,
    TCP_DATA_OFFSET = 12,
    TCP_FLAGS = 13,
    TCP_CHECKSUM = 16,
    TCP_FIN = 0x01,
    TCP_PSH = 0x08,
    TCP_CWR = 0x80,
    IP_DATAGRAM_MAX = 65535,
};

static enum segment_error check_ipv4(const uint8_t *ip, uint32_t ip_len)
{
    if (ip[0] >> 4 != 4 || (uint32_t)(ip[0] & 15) * 4 != ip_len || ip_len < WIRE_IPV4_LEN
        || ip[IPV4_PROTO] != WIRE_PROTO_TCP || (be16_load(ip + IPV4_FRAGMENT) & 0x3fff) != 0) {
        return SEGMENT_BAD_IP;
    }
    return SEGMENT_OK;
}

/* With extension headers the driver's L4 offset is trusted; without, the next header must be TCP. */
static enum segment_error check_ipv6(const uint8_t *ip, uint32_t ip_len)
{
    if (ip_len < WIRE_IPV6_LEN) {
        return SEGMENT_BAD_OFFSET;
    }
    if (ip_len % 8 != 0 || (ip_len == WIRE_IPV6_LEN) != (ip[IPV6_NEXT] == WIRE_PROTO_TCP)) {
        return SEGMENT_BAD_IP;
    }
    return SEGMENT_OK;
}

/* IPv4 counts its own header in the total length, IPv6 only what follows the fixed header. */
static uint32_t ip_len_field(const struct segment_plan *plan, uint32_t payload_len)
{
    const uint32_t ip_header = plan->is_ipv6 ? WIRE_IPV6_LEN : 0;

    return plan->header_len - plan->l3_offset - ip_header + payload_len;
}

/* Offsets lie in the template and the fixed headers fit between them. */
static bool offsets_fit(uint32_t header_len, uint32_t l3_offset, uint32_t l4_offset)
{
    return l3_offset >= WIRE_ETH_LEN && l3_offset <= l4_offset && l4_offset - l3_offset >= WIRE_IPV4_LEN
           && l4_offset <= header_len && header_len - l4_offset >= WIRE_TCP_LEN;
}

enum segment_error segment_plan_make(struct segment_plan *plan, const uint8_t *header, uint32_t header_len,
                                     uint32_t l3_offset, uint32_t l4_offset, uint32_t mss,
                                     uint32_t payload_len)
{
    enum segment_error error;

    if (header_len > SEGMENT_HEADER_MAX || payload_len > SEGMENT_PAYLOAD_MAX) {
        return SEGMENT_BAD_LENGTH;
    }
    if (!offsets_fit(header_len, l3_offset, l4_offset)) {
        return SEGMENT_BAD_OFFSET;
    }
    *plan = (struct segment_plan){
        .payload_len = payload_len,
        .mss = mss,
        .header_len = header_len,
        .l3_offset = l3_offset,
        .l4_offset = l4_offset,
        .is_ipv6 = header[l3_offset] >> 4 == 6,
    };
    memcpy(plan->header, header, header_len);
    error = plan->is_ipv6 ? check_ipv6(header + l3_offset, l4_offset - l3_offset)
                          : check_ipv4(header + l3_offset, l4_offset - l3_offset);
    if (error != SEGMENT_OK) {
        return error;
    }
    if ((uint32_t)(header[l4_offset + TCP_DATA_OFFSET] >> 4) * 4 != header_len - l4_offset) {
        return SEGMENT_BAD_TCP;
    }
    if (mss == 0 || mss > IP_DATAGRAM_MAX || ip_len_field(plan, mss) > IP_DATAGRAM_MAX) {
        return SEGMENT_BAD_MSS;
    }
    plan->count = payload_len > 0 ? (payload_len - 1) / mss + 1 : 1;
    plan->seed = segment_seed_addresses(plan);
    return SEGMENT_OK;
}

uint64_t segment_seed_addresses(const struct segment_plan *plan)
{
    const uint8_t *ip = plan->header + plan->l3_offset;

    if (plan->is_ipv6) {
        return csum_pseudo_v6(ip + IPV6_SOURCE, ip + IPV6_DESTINATION, WIRE_PROTO_TCP, 0);
    }
    return csum_pseudo_v4(ip + IPV4_ADDRESSES, WIRE_PROTO_TCP, 0);
}

uint64_t segment_seed_field(const struct segment_plan *plan)
{
    return csum_of16(be16_load(plan->header + plan->l4_offset + TCP_CHECKSUM));
}

static void write_ipv4(const struct segment_plan *plan, uint32_t index, uint8_t *ip)
{
    const uint16_t id = (uint16_t)((be16_load(ip + IPV4_ID) + index) & SEGMENT_ID_MASK);

    be16_store(ip + IPV4_TOTAL, (uint16_t)ip_len_field(plan, segment_len(plan, index)));
    be16_store(ip + IPV4_ID, id);
    be16_store(ip + IPV4_CHECKSUM, 0);
    be16_store(ip + IPV4_CHECKSUM, csum_field(csum_add(0, ip, plan->l4_offset - plan->l3_offset)));
}

static void write_tcp(const struct segment_plan *plan, uint32_t index, uint64_t payload_sum, uint8_t *tcp)
{
    const uint32_t tcp_len = plan->header_len - plan->l4_offset;
    const uint64_t pseudo = plan->seed + csum_of16((uint16_t)(tcp_len + segment_len(plan, index)));

    be32_store(tcp + TCP_SEQ, be32_load(tcp + TCP_SEQ) + segment_offset(plan, index));
    if (index + 1 < plan->count) {
        tcp[TCP_FLAGS] = (uint8_t)(tcp[TCP_FLAGS] & ~(TCP_FIN | TCP_PSH));
    }
    if (index > 0) {
        tcp[TCP_FLAGS] = (uint8_t)(tcp[TCP_FLAGS] & ~TCP_CWR);
    }
    be16_store(tcp + TCP_CHECKSUM, 0);
    be16_store(tcp + TCP_CHECKSUM, csum_field(csum_add(pseudo + csum_reduce(payload_sum), tcp, tcp_len)));
}

void segment_header(const struct segment_plan *plan, uint32_t index, uint64_t payload_sum, uint8_t *out)
{
    memcpy(out, plan->header, plan->header_len);
    if (plan->is_ipv6) {
        be16_store(out + plan->l3_offset + IPV6_PAYLOAD,
                   (uint16_t)ip_len_field(plan, segment_len(plan, index)));
    } else {
        write_ipv4(plan, index, out + plan->l3_offset);
    }
    write_tcp(plan, index, payload_sum, out + plan->l4_offset);
}
