/* The RSS rules of NDIS: enabled types against what the frame is. */
#include "wire/rss.h"

#include <string.h>

/* The address type and the two transport types of one IP version; plain or _EX. */
struct rss_family {
    uint32_t tcp, udp, address;
};

static const struct rss_family family_ipv4 = {RSS_TYPE_TCP_IPV4, RSS_TYPE_UDP_IPV4, RSS_TYPE_IPV4};
static const struct rss_family family_ipv6 = {RSS_TYPE_TCP_IPV6, RSS_TYPE_UDP_IPV6, RSS_TYPE_IPV6};
static const struct rss_family family_ipv6_ex = {RSS_TYPE_TCP_IPV6_EX, RSS_TYPE_UDP_IPV6_EX,
                                                 RSS_TYPE_IPV6_EX};

static uint32_t transport_type(const struct rss_family *family, const struct wire_frame *f)
{
    if (f->l4 == WIRE_L4_TCP) {
        return family->tcp;
    }
    return f->l4 == WIRE_L4_UDP ? family->udp : RSS_TYPE_NONE;
}

/* One of the two when enabled: _EX for frames that carry its addresses, or when it stands alone. */
static uint32_t choose_ipv6(uint32_t enabled, uint32_t plain, uint32_t ex, bool has_ex_address)
{
    if ((enabled & ex) != 0 && (has_ex_address || (enabled & plain) == 0)) {
        return ex;
    }
    return enabled & plain;
}

static uint32_t input_ipv4(const struct wire_frame *f, const uint8_t *frame, uint32_t enabled, uint8_t *input,
                           uint32_t *len)
{
    const uint32_t transport = enabled & transport_type(&family_ipv4, f);

    if (transport == 0 && (enabled & RSS_TYPE_IPV4) == 0) {
        return RSS_TYPE_NONE;
    }
    memcpy(input, frame + f->l2_len + 12, 8);
    *len = 8;
    if (transport != 0) {
        memcpy(input + 8, frame + f->l4_offset, 4);
        *len = 12;
        return transport;
    }
    return RSS_TYPE_IPV4;
}

static bool is_ex(uint32_t type)
{
    return (type & (RSS_TYPE_IPV6_EX | RSS_TYPE_TCP_IPV6_EX | RSS_TYPE_UDP_IPV6_EX)) != 0;
}

static uint32_t input_ipv6(const struct wire_frame *f, const uint8_t *frame, uint32_t enabled, uint8_t *input,
                           uint32_t *len)
{
    const bool has_ex_address = (f->home_address | f->routing_address) != 0;
    uint32_t source = f->l2_len + 8U;
    uint32_t destination = f->l2_len + 24U;
    const uint32_t transport = choose_ipv6(enabled, transport_type(&family_ipv6, f),
                                           transport_type(&family_ipv6_ex, f), has_ex_address);
    uint32_t type = transport;

    if (type == RSS_TYPE_NONE) {
        type = choose_ipv6(enabled, RSS_TYPE_IPV6, RSS_TYPE_IPV6_EX, has_ex_address);
    }
    if (type == RSS_TYPE_NONE || (f->flags & WIRE_UNSKIPPABLE) != 0) {
        return RSS_TYPE_NONE; /* headers that cannot be skipped over: no hash at all */
    }
    if (is_ex(type)) {
        source = f->home_address != 0 ? f->home_address : source;
        destination = f->routing_address != 0 ? f->routing_address : destination;
    }
    memcpy(input, frame + source, 16);
    memcpy(input + 16, frame + destination, 16);
    *len = 32;
    if (transport != RSS_TYPE_NONE) {
        memcpy(input + 32, frame + f->l4_offset, 4);
        *len = 36;
    }
    return type;
}

uint32_t rss_input(const struct wire_frame *f, const uint8_t *frame, uint32_t enabled_types,
                   uint8_t input[RSS_INPUT_MAX], uint32_t *len)
{
    *len = 0;
    if (f->l3 == WIRE_L3_IPV4) {
        return input_ipv4(f, frame, enabled_types, input, len);
    }
    if (f->l3 == WIRE_L3_IPV6) {
        return input_ipv6(f, frame, enabled_types, input, len);
    }
    return RSS_TYPE_NONE;
}
