/* plain_frame.c: the shapes of plain frames, and which frames are plain. */
#include "nic/plain_frame.h"

#define PLAIN_MIN (WIRE_ETH_LEN + WIRE_IPV6_LEN) /* frames shorter than this are not looked at */

/* EtherType, version and IHL, total length; fragment bits and protocol. */
#define BITS_IPV4 0x0000FFFF00FFFFFFu, 0xFF00FF3Fu
/* EtherType, version, payload length; next header. */
#define BITS_IPV6 0xFFFF000000F0FFFFu, 0x000000FFu

const struct plain_shape plain_shapes[SCALE_KINDS] = {
#define SHAPE(ip, l4, l4_at, addresses_at, offset_bits)                                                      \
    {l4_at,                                                                                                  \
     addresses_at,                                                                                           \
     WIRE_PROTO_##l4,                                                                                        \
     (l4_at) + 12,                                                                                           \
     offset_bits,                                                                                            \
     BITS_##ip,                                                                                              \
     RX_COMPLETION_##ip##_MASK | RX_COMPLETION_##l4##_MASK                                                   \
         | (uint64_t)WIRE_ETH_LEN << RX_COMPLETION_L3_OFFSET_SHIFT                                           \
         | (uint64_t)(l4_at) << RX_COMPLETION_L4_OFFSET_SHIFT | RX_COMPLETION_SOP_MASK                       \
         | RX_COMPLETION_EOP_MASK}
    [SCALE_TCP_IPV4] = SHAPE(IPV4, TCP, 34, 26, 0xF0),
    [SCALE_UDP_IPV4] = SHAPE(IPV4, UDP, 34, 26, 0),
    [SCALE_TCP_IPV6] = SHAPE(IPV6, TCP, 54, 22, 0xF0),
    [SCALE_UDP_IPV6] = SHAPE(IPV6, UDP, 54, 22, 0),
#undef SHAPE
};

static bool plain_has_transport(struct plain_frame *f, uint8_t proto, enum scale_kind tcp)
{
    if (proto == WIRE_PROTO_TCP && f->l4_len >= WIRE_TCP_LEN) {
        uint32_t header = (f->bytes[plain_shapes[tcp].offset_at] >> 4) * 4u;
        f->kind = (uint8_t)tcp;
        return header >= WIRE_TCP_LEN && header <= f->l4_len;
    }
    f->kind = (uint8_t)(tcp + 1);
    return proto == WIRE_PROTO_UDP && f->l4_len >= WIRE_UDP_LEN;
}

bool plain_parse(struct plain_frame *f)
{
    const uint8_t *ip = f->bytes + WIRE_ETH_LEN;
    if (f->len < PLAIN_MIN) {
        return false;
    }
    uint32_t ethertype = be16_load(f->bytes + 12);
    if (ethertype == WIRE_ETHERTYPE_IPV4) {
        f->l4_len =
            be16_load(ip + 2) - (uint32_t)WIRE_IPV4_LEN; /* far beyond the frame when it is negative */
        return ip[0] == 0x45 && (be16_load(ip + 6) & 0x3FFFu) == 0
               && f->l4_len <= f->len - WIRE_ETH_LEN - WIRE_IPV4_LEN
               && plain_has_transport(f, ip[9], SCALE_TCP_IPV4);
    }
    f->l4_len = be16_load(ip + 4);
    return ethertype == WIRE_ETHERTYPE_IPV6 && ip[0] >> 4 == 6
           && f->l4_len <= f->len - WIRE_ETH_LEN - WIRE_IPV6_LEN
           && plain_has_transport(f, ip[6], SCALE_TCP_IPV6);
}
