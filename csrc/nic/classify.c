/* classify.c: classification of a received frame. */
#include "nic/classify.h"

#include <string.h>

#include "base/bytes.h"
#include "nic/scale.h"
#include "wire/rss.h"
#include "wire/verify.h"

static void classify_strip(const struct vnic *card, struct packet *p, struct rx_class *c)
{
    uint8_t *frame = card->rx_buffer.bytes + p->offset;
    if (!card_is_set(card, REG_MAC_RX_CTRL, MAC_RX_CTRL_VLAN_STRIP_MASK)
        || p->len < WIRE_ETH_LEN + WIRE_VLAN_LEN || be16_load(frame + 12) != WIRE_ETHERTYPE_VLAN) {
        return;
    }
    c->is_stripped = true;
    c->vlan_tci = be16_load(frame + 14);
    memmove(frame + WIRE_VLAN_LEN, frame, 12);
    p->offset += WIRE_VLAN_LEN;
    p->len -= WIRE_VLAN_LEN;
}

/* [RX-7] UDP without a checksum is not verified. */
static uint8_t classify_verdict(uint8_t result)
{
    switch (result) {
    case VERIFY_GOOD:
        return CSUM_RESULT_GOOD;
    case VERIFY_BAD:
        return CSUM_RESULT_BAD;
    default:
        return CSUM_RESULT_NONE;
    }
}

void classify_verify(const struct vnic *card, const uint8_t *frame, struct rx_class *c)
{
    if (card_is_set(card, REG_MAC_RX_CTRL, MAC_RX_CTRL_CSUM_MASK)) {
        struct verify_verdict v = verify_frame(&c->frame, frame, card->scratch.csum);
        c->ip_csum = classify_verdict(v.ip);
        c->l4_csum = classify_verdict(v.l4);
    }
}

static void classify_hash(const struct vnic *card, const uint8_t *frame, struct rx_class *c)
{
    const struct rss *rss = &card->state.rss;
    uint8_t input[RSS_INPUT_MAX];
    uint32_t len = 0;
    if (rss->is_active) {
        c->hash_type = rss_input(&c->frame, frame, rss->types, input, &len);
    }
    if (c->hash_type != 0) {
        c->hash = toeplitz_hash(&card->scratch.toeplitz, input, len);
    }
    c->pair = scale_pair(card, c->hash, c->hash_type);
}

void classify_parse(const struct vnic *card, struct packet *p, struct rx_class *c)
{
    classify_strip(card, p, c);
    wire_parse(&c->frame, card->rx_buffer.bytes + p->offset, p->len);
}

void classify_judge(const struct vnic *card, const struct packet *p, struct rx_class *c)
{
    const uint8_t *frame = card->rx_buffer.bytes + p->offset;
    classify_verify(card, frame, c);
    classify_hash(card, frame, c);
}

void classify_foresee(const struct vnic *card, const uint8_t *frame, uint32_t len, struct rx_class *c)
{
    *c = (struct rx_class){.hash_type = 0};
    wire_parse(&c->frame, frame, len);
    classify_hash(card, frame, c);
}

/* [RX-8] Split behind the transport header, else the IP header; not when there is none or the buffer is
 * too small. */
uint32_t classify_split(const struct vnic *card, const struct rx_class *c, uint32_t hdr_buffer)
{
    bool is_on = card_is_set(card, REG_MAC_RX_CTRL, MAC_RX_CTRL_HEADER_SPLIT_MASK);
    bool is_split = is_on && c->frame.l3 != WIRE_L3_NONE && c->frame.header_end <= hdr_buffer;
    return is_split ? c->frame.header_end : 0;
}

static uint64_t classify_flags(const struct rx_class *c, uint32_t hdr_len)
{
    const struct wire_frame *f = &c->frame;
    return (uint64_t)c->is_stripped << RX_COMPLETION_VLAN_SHIFT
           | (uint64_t)(hdr_len != 0) << RX_COMPLETION_SPLIT_SHIFT
           | (uint64_t)c->ip_csum << RX_COMPLETION_IP_CSUM_SHIFT
           | (uint64_t)c->l4_csum << RX_COMPLETION_L4_CSUM_SHIFT
           | (uint64_t)(f->l3 == WIRE_L3_IPV4) << RX_COMPLETION_IPV4_SHIFT
           | (uint64_t)(f->l3 == WIRE_L3_IPV6) << RX_COMPLETION_IPV6_SHIFT
           | (uint64_t)(f->l4 == WIRE_L4_TCP) << RX_COMPLETION_TCP_SHIFT
           | (uint64_t)(f->l4 == WIRE_L4_UDP) << RX_COMPLETION_UDP_SHIFT
           | (uint64_t)((f->flags & WIRE_FRAGMENT) != 0) << RX_COMPLETION_FRAGMENT_SHIFT;
}

void classify_words(const struct rx_class *c, uint32_t len, uint32_t hdr_len, uint64_t words[3])
{
    const struct wire_frame *f = &c->frame;
    bool has_l4 = f->l4 == WIRE_L4_TCP || f->l4 == WIRE_L4_UDP;
    uint64_t l3_offset = f->l3 != WIRE_L3_NONE ? f->l2_len : 0;
    uint64_t l4_offset = has_l4 ? f->l4_offset : 0;
    words[0] = c->hash;
    words[1] = (uint64_t)len << RX_COMPLETION_FRAME_LEN_SHIFT
               | (uint64_t)(c->hash_type >> 8) << RX_COMPLETION_HASH_TYPE_SHIFT
               | (uint64_t)c->vlan_tci << RX_COMPLETION_VLAN_TCI_SHIFT;
    words[2] = classify_flags(c, hdr_len) | l3_offset << RX_COMPLETION_L3_OFFSET_SHIFT
               | l4_offset << RX_COMPLETION_L4_OFFSET_SHIFT;
}

void classify_count(struct vnic *card, const struct rx_class *c)
{
    if (card->state.rss.is_active) {
        card_count(card, c->hash_type ? STAT(RX_HASHED) : STAT(RX_UNHASHED));
    }
    if (c->ip_csum == CSUM_RESULT_BAD) {
        card_count(card, STAT(RX_IP_CSUM_BAD));
    }
    if (c->l4_csum == CSUM_RESULT_BAD) {
        card_count(card, STAT(RX_L4_CSUM_BAD));
    } else if (c->l4_csum == CSUM_RESULT_GOOD) {
        card_count(card, STAT(RX_CSUM_GOOD));
    }
}
