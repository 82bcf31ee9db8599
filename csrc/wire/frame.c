/* The whole frame parser: tags, IPv4 options, IPv6 extension headers, fragments and every malformed shape. */
#include "wire/frame.h"

#include "base/bits.h"

enum {
    NEXT_HOP_BY_HOP = 0,
    NEXT_ROUTING = 43,
    NEXT_FRAGMENT = 44,
    NEXT_AUTHENTICATION = 51,
    NEXT_DESTINATION = 60,
    NEXT_MOBILITY = 135,

    OPTION_PAD1 = 0,
    OPTION_HOME_ADDRESS = 0xc9,
    HOME_ADDRESS_LEN = 16,
    ROUTING_TYPE2 = 2,
    ROUTING_TYPE2_EXT_LEN = 2, /* RFC 6275 6.4.1: always 2, one address */
};

static bool is_tag(uint16_t ethertype)
{
    return ethertype == WIRE_ETHERTYPE_VLAN || ethertype == WIRE_ETHERTYPE_QINQ;
}

/* Nothing above L2 until a later layer proves otherwise. */
static void end_at(struct wire_frame *f, uint32_t offset)
{
    f->l4_offset = (uint16_t)offset;
    f->header_end = (uint16_t)offset;
    f->l4_len = f->len - offset;
}

static bool take_tag(struct wire_frame *f, const uint8_t *frame, uint16_t *tci)
{
    if (f->len < (uint32_t)f->l2_len + WIRE_VLAN_LEN) {
        f->flags |= WIRE_BAD_L2;
        return false;
    }
    *tci = be16_load(frame + f->l2_len);
    f->ethertype = be16_load(frame + f->l2_len + 2);
    f->l2_len = (uint16_t)(f->l2_len + WIRE_VLAN_LEN);
    return true;
}

/* IEEE 802.1Q: one tag, or two with an S-tag (or a second C-tag) outside. A third is not looked into. */
static bool parse_l2(struct wire_frame *f, const uint8_t *frame)
{
    if (f->len < WIRE_ETH_LEN) {
        f->l2_len = (uint16_t)f->len;
        f->flags |= WIRE_BAD_L2;
        return false;
    }
    f->l2_len = WIRE_ETH_LEN;
    f->ethertype = be16_load(frame + 12);
    if (!is_tag(f->ethertype)) {
        return true;
    }
    if (!take_tag(f, frame, &f->vlan_tci)) {
        return false;
    }
    f->flags |= WIRE_VLAN;
    if (!is_tag(f->ethertype)) {
        return true;
    }
    if (!take_tag(f, frame, &f->inner_tci)) {
        return false;
    }
    f->flags |= WIRE_QINQ;
    return true;
}

/* RFC 9293 3.1, [SEG-02]: the data offset is at least 5 and lies within the segment. */
static bool parse_tcp(struct wire_frame *f, const uint8_t *l4)
{
    uint32_t header_len;

    if (f->l4_len < WIRE_TCP_LEN) {
        return false;
    }
    header_len = (uint32_t)(l4[12] >> 4) * 4;
    if (header_len < WIRE_TCP_LEN || header_len > f->l4_len) {
        return false;
    }
    f->header_end = (uint16_t)(f->l4_offset + header_len);
    f->l4 = WIRE_L4_TCP;
    return true;
}

static bool parse_udp(struct wire_frame *f)
{
    if (f->l4_len < WIRE_UDP_LEN) {
        return false;
    }
    f->header_end = (uint16_t)(f->l4_offset + WIRE_UDP_LEN);
    f->l4 = WIRE_L4_UDP;
    return true;
}

static void parse_l4(struct wire_frame *f, const uint8_t *frame)
{
    bool is_whole = true;

    if ((f->flags & WIRE_FRAGMENT) != 0) {
        return; /* even the first fragment's ports say nothing about the rest: [INV-54] */
    }
    if (f->proto == WIRE_PROTO_TCP) {
        is_whole = parse_tcp(f, frame + f->l4_offset);
    } else if (f->proto == WIRE_PROTO_UDP) {
        is_whole = parse_udp(f);
    } else {
        f->l4 = WIRE_L4_OTHER;
    }
    if (!is_whole) {
        f->flags |= WIRE_BAD_L4;
    }
}

/* Sets l4_offset and l4_len for headers of header_len bytes in a datagram of ip_len, cut to the frame. */
static void place_l4(struct wire_frame *f, uint32_t header_len, uint32_t ip_len)
{
    const uint32_t available = f->len - f->l2_len;

    if (ip_len > available) {
        f->flags |= WIRE_CUT;
        ip_len = available;
    }
    end_at(f, f->l2_len + header_len);
    f->l4_len = ip_len - header_len;
}

static void parse_ipv4(struct wire_frame *f, const uint8_t *frame)
{
    const uint8_t *ip = frame + f->l2_len;
    const uint32_t available = f->len - f->l2_len;
    uint32_t header_len;
    uint16_t fragment;

    if (available < WIRE_IPV4_LEN) {
        f->flags |= WIRE_BAD_IHL;
        return;
    }
    if (ip[0] >> 4 != 4) {
        f->flags |= WIRE_BAD_VERSION;
        return;
    }
    header_len = (uint32_t)(ip[0] & 15) * 4;
    if (header_len < WIRE_IPV4_LEN || header_len > available) {
        f->flags |= WIRE_BAD_IHL;
        return;
    }
    if (be16_load(ip + 2) < header_len) {
        f->flags |= WIRE_BAD_TOTAL;
        return;
    }
    f->l3 = WIRE_L3_IPV4;
    f->proto = ip[9];
    f->flags |= header_len > WIRE_IPV4_LEN ? WIRE_IP_OPTIONS : 0;
    fragment = be16_load(ip + 6);
    if ((fragment & 0x3fff) != 0) {
        f->flags |= WIRE_FRAGMENT | ((fragment & 0x1fff) == 0 ? WIRE_FIRST_FRAGMENT : 0);
    }
    place_l4(f, header_len, be16_load(ip + 2));
    parse_l4(f, frame);
}

/* Bytes of the extension header at ext, or 0 when what is left cannot hold it. */
static uint32_t extension_len(uint8_t next, const uint8_t *ext, uint32_t left)
{
    uint32_t len = 8;

    if (left < len) {
        return 0;
    }
    if (next == NEXT_AUTHENTICATION) {
        len = ((uint32_t)ext[1] + 2) * 4; /* RFC 4302 2.2: in 4-byte words, minus 2 */
    } else if (next != NEXT_FRAGMENT) {
        len = ((uint32_t)ext[1] + 1) * 8;
    }
    return len <= left ? len : 0;
}

static bool is_extension(uint8_t next)
{
    return next == NEXT_HOP_BY_HOP || next == NEXT_ROUTING || next == NEXT_FRAGMENT
           || next == NEXT_AUTHENTICATION || next == NEXT_DESTINATION || next == NEXT_MOBILITY;
}

/* The first Home Address option of the first Destination Options header that has one. */
static void find_home_address(struct wire_frame *f, const uint8_t *frame, uint32_t ext_offset,
                              uint32_t ext_len)
{
    const uint32_t end = ext_offset + ext_len;
    uint32_t at = ext_offset + 2;

    while (f->home_address == 0 && at < end) {
        if (frame[at] == OPTION_PAD1) {
            at += 1;
            continue;
        }
        if (end - at < 2 || end - at - 2 < frame[at + 1]) {
            return; /* a malformed option list hides no address, but the header is still skippable */
        }
        if (frame[at] == OPTION_HOME_ADDRESS && frame[at + 1] == HOME_ADDRESS_LEN) {
            f->home_address = (uint16_t)(at + 2);
        }
        at += 2U + frame[at + 1];
    }
}

static void note_routing(struct wire_frame *f, const uint8_t *frame, uint32_t ext_offset)
{
    const uint8_t *ext = frame + ext_offset;
    const uint8_t segments_left = ext[3];

    if (segments_left == 0) {
        return; /* used up: the destination of the IPv6 header is the final one */
    }
    if (ext[2] != ROUTING_TYPE2) {
        f->flags |= WIRE_ROUTED;
    } else if (ext[1] == ROUTING_TYPE2_EXT_LEN && segments_left == 1 && f->routing_address == 0) {
        f->routing_address = (uint16_t)(ext_offset + 8);
    }
}

static void note_extension(struct wire_frame *f, const uint8_t *frame, uint32_t ext_offset, uint32_t ext_len)
{
    const uint16_t fragment = be16_load(frame + ext_offset + 2);

    switch (f->proto) {
    case NEXT_DESTINATION:
        find_home_address(f, frame, ext_offset, ext_len);
        break;
    case NEXT_ROUTING:
        note_routing(f, frame, ext_offset);
        break;
    case NEXT_FRAGMENT:
        if ((fragment & 0xfff9) != 0) {
            f->flags |= WIRE_FRAGMENT | ((fragment & 0xfff8) == 0 ? WIRE_FIRST_FRAGMENT : 0);
        }
        break;
    default:
        break;
    }
}

/* Moves l4_offset past the extension headers; false when one of them cannot be skipped. */
static bool skip_extensions(struct wire_frame *f, const uint8_t *frame)
{
    for (unsigned count = 0; is_extension(f->proto); count++) {
        const uint32_t offset = f->l4_offset;
        const uint32_t len = extension_len(f->proto, frame + offset, f->l4_len);

        if (len == 0 || count == WIRE_MAX_EXTENSIONS) {
            return false;
        }
        f->flags |= WIRE_IP_OPTIONS;
        note_extension(f, frame, offset, len);
        f->proto = frame[offset];
        f->l4_offset = (uint16_t)(offset + len);
        f->header_end = f->l4_offset;
        f->l4_len -= len;
        if ((f->flags & WIRE_FRAGMENT) != 0) {
            return true; /* what follows in a later fragment is payload, whatever its first byte says */
        }
    }
    return true;
}

static void parse_ipv6(struct wire_frame *f, const uint8_t *frame)
{
    const uint8_t *ip = frame + f->l2_len;

    if (f->len - f->l2_len < WIRE_IPV6_LEN) {
        f->flags |= WIRE_BAD_IHL;
        return;
    }
    if (ip[0] >> 4 != 6) {
        f->flags |= WIRE_BAD_VERSION;
        return;
    }
    f->l3 = WIRE_L3_IPV6;
    f->proto = ip[6];
    place_l4(f, WIRE_IPV6_LEN, WIRE_IPV6_LEN + (uint32_t)be16_load(ip + 4));
    if (!skip_extensions(f, frame)) {
        f->flags |= WIRE_UNSKIPPABLE;
        return;
    }
    parse_l4(f, frame);
}

void wire_parse_any(struct wire_frame *f, const uint8_t *frame, size_t len)
{
    bool is_l2_whole;

    *f = (struct wire_frame){.len = (uint32_t)bits_min64(len, WIRE_MAX_FRAME)};
    is_l2_whole = parse_l2(f, frame);
    end_at(f, f->l2_len);
    if (is_l2_whole && f->ethertype == WIRE_ETHERTYPE_IPV4) {
        parse_ipv4(f, frame);
    } else if (is_l2_whole && f->ethertype == WIRE_ETHERTYPE_IPV6) {
        parse_ipv6(f, frame);
    }
}
