/* burst_receive.c: plain TCP and UDP frames of one buffer each, hashed together and delivered one after the other. */
#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "nic/burst.h"
#include "nic/classify.h"
#include "nic/completion.h"
#include "nic/copy_small.h"
#include "nic/filter.h"
#include "nic/receive.h"
#include "nic/scale.h"
#include "wire/rss.h"
#include "wire/verify.h"

#define BURST_MAX 32u
#define CSUM_INLINE_MAX 256u /* bytes up to which a sum by hand beats a call */

/* What a plain frame is; everything else takes the engine's own steps. */
static const struct plain_shape {
    uint8_t l4_offset, addresses; /* offsets; the hash input starts at the addresses and is in one piece */
    uint8_t addresses_len;
    uint64_t flags;               /* of the completion */
} shape_of[SCALE_KINDS] = {
#define SHAPE(ip, l4, l4_at, addr_at, addr_len)                                                                       \
    {l4_at, addr_at, addr_len,                                                                                        \
     RX_COMPLETION_##ip##_MASK | RX_COMPLETION_##l4##_MASK | (uint64_t)WIRE_ETH_LEN << RX_COMPLETION_L3_OFFSET_SHIFT | \
         (uint64_t)(l4_at) << RX_COMPLETION_L4_OFFSET_SHIFT | RX_COMPLETION_SOP_MASK | RX_COMPLETION_EOP_MASK}
    [SCALE_TCP_IPV4] = SHAPE(IPV4, TCP, 34, 26, 8),
    [SCALE_UDP_IPV4] = SHAPE(IPV4, UDP, 34, 26, 8),
    [SCALE_TCP_IPV6] = SHAPE(IPV6, TCP, 54, 22, 32),
    [SCALE_UDP_IPV6] = SHAPE(IPV6, UDP, 54, 22, 32),
#undef SHAPE
};

struct plain_frame {
    const uint8_t *bytes;
    uint32_t len, l4_len;
    uint32_t hash, hash_type;
    uint8_t kind; /* enum scale_kind */
};

struct rx_burst {
    uint32_t count;
    bool is_promiscuous, is_verifying;
    uint64_t steps, bytes, max_steps, max_bytes;
    uint64_t good, l4_bad, ip_bad, hashed;
    struct plain_frame frame[BURST_MAX];
};

/* ---- what the frames are ---- */

static bool plain_has_transport(struct plain_frame *f, uint8_t proto, enum scale_kind tcp)
{
    uint32_t header = WIRE_UDP_LEN;
    f->kind = (uint8_t)(proto == WIRE_PROTO_TCP ? tcp : tcp + 1);
    if (proto == WIRE_PROTO_TCP) {
        if (f->l4_len < WIRE_TCP_LEN) {
            return false;
        }
        header = (f->bytes[shape_of[tcp].l4_offset + 12] >> 4) * 4u;
        return header >= WIRE_TCP_LEN && header <= f->l4_len;
    }
    return proto == WIRE_PROTO_UDP && header <= f->l4_len;
}

/* The same frames that wire_parse_plain takes. */
static bool plain_parse(struct plain_frame *f)
{
    const uint8_t *ip = f->bytes + WIRE_ETH_LEN;
    uint32_t ethertype = be16_load(f->bytes + 12);
    if (f->len < WIRE_ETH_LEN + WIRE_IPV6_LEN) {
        return false;
    }
    if (ethertype == WIRE_ETHERTYPE_IPV4) {
        uint32_t total = be16_load(ip + 2);
        f->l4_len = total - WIRE_IPV4_LEN;
        return ip[0] == 0x45 && (le16_load(ip + 6) & 0xFF3Fu) == 0 && total >= WIRE_IPV4_LEN &&
               total <= f->len - WIRE_ETH_LEN && plain_has_transport(f, ip[9], SCALE_TCP_IPV4);
    }
    if (ethertype == WIRE_ETHERTYPE_IPV6) {
        f->l4_len = be16_load(ip + 4);
        return ip[0] >> 4 == 6 && f->l4_len <= f->len - WIRE_ETH_LEN - WIRE_IPV6_LEN &&
               plain_has_transport(f, ip[6], SCALE_TCP_IPV6);
    }
    return false;
}

static void burst_parse(const struct vnic *card, struct rx_burst *b, uint32_t n)
{
    for (b->count = 0; b->count < n; b->count++) {
        const struct packet *p = packet_buffer_at(&card->rx_buffer, b->count);
        struct plain_frame *f = &b->frame[b->count];
        f->bytes = card->rx_buffer.bytes + p->offset;
        f->len = p->len;
        bool is_wanted = b->is_promiscuous || filter_frame(card, f->bytes, f->len) == FILTER_PASS;
        if (!is_wanted || !plain_parse(f)) {
            return;
        }
    }
}

/* ---- hash ---- */

struct hash_group {
    const uint8_t *input[BURST_MAX];
    uint32_t hash[BURST_MAX];
    uint8_t frame[BURST_MAX];
    uint32_t count, len;
};

static void group_hash(const struct vnic *card, struct rx_burst *b, struct hash_group *g)
{
    toeplitz_hash_bulk(&card->scratch.toeplitz, g->input, g->len, g->hash, g->count);
    for (uint32_t i = 0; i < g->count; i++) {
        b->frame[g->frame[i]].hash = g->hash[i];
    }
    g->count = 0;
}

/* Neighbours whose inputs have one length are hashed together. */
static void burst_hash(const struct vnic *card, struct rx_burst *b)
{
    struct hash_group g;
    g.count = 0;
    g.len = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        struct plain_frame *f = &b->frame[i];
        const struct scale_kind_rule *rule = &card->scratch.kind_rule[f->kind];
        f->hash_type = rule->type;
        f->hash = 0;
        if (rule->type == 0) {
            continue;
        }
        if (rule->len != g.len) {
            if (g.count > 0) {
                group_hash(card, b, &g);
            }
            g.len = rule->len;
        }
        g.frame[g.count] = (uint8_t)i;
        g.input[g.count++] = f->bytes + shape_of[f->kind].addresses;
    }
    if (g.count > 0) {
        group_hash(card, b, &g);
    }
}

static void burst_no_hash(struct rx_burst *b)
{
    for (uint32_t i = 0; i < b->count; i++) {
        b->frame[i].hash = 0;
        b->frame[i].hash_type = 0;
    }
}

/* ---- checksum ---- */

/* Sum of a run as 16-bit words, in a form that csum_fold takes. */
static inline uint64_t sum_short(const uint8_t *at, uint32_t len)
{
    uint64_t sum = 0;
    for (; len >= 8; len -= 8, at += 8) {
        uint64_t word = le64_load(at);
        sum += (word & 0xFFFFFFFFu) + (word >> 32);
    }
    if (len & 4) {
        sum += le32_load(at);
        at += 4;
    }
    if (len & 2) {
        sum += le16_load(at);
        at += 2;
    }
    return sum + (len & 1 ? *at : 0);
}

static inline bool sum_is_good(uint64_t sum)
{
    return csum_fold(sum) == 0xFFFF;
}

/* The pseudo-header: addresses, protocol and length. */
static inline uint64_t plain_pseudo(const struct plain_frame *f)
{
    const struct plain_shape *shape = &shape_of[f->kind];
    bool is_tcp = f->kind == SCALE_TCP_IPV4 || f->kind == SCALE_TCP_IPV6;
    uint16_t proto = is_tcp ? WIRE_PROTO_TCP : WIRE_PROTO_UDP;
    return sum_short(f->bytes + shape->addresses, shape->addresses_len) + csum_of16(proto) + csum_of16((uint16_t)f->l4_len);
}

/* UDP that fills its datagram and has a checksum, and all TCP: the sum says all. */
static inline bool plain_is_summable(const struct plain_frame *f)
{
    const uint8_t *l4 = f->bytes + shape_of[f->kind].l4_offset;
    bool is_udp = f->kind == SCALE_UDP_IPV4 || f->kind == SCALE_UDP_IPV6;
    return !is_udp || (be16_load(l4 + 4) == f->l4_len && le16_load(l4 + 6) != 0);
}

static uint64_t verdict_bits(bool is_ip_good, bool is_l4_good, bool is_ipv4)
{
    uint64_t ip = is_ipv4 ? (is_ip_good ? CSUM_RESULT_GOOD : CSUM_RESULT_BAD) : CSUM_RESULT_NONE;
    uint64_t l4 = is_l4_good ? CSUM_RESULT_GOOD : CSUM_RESULT_BAD;
    return ip << RX_COMPLETION_IP_CSUM_SHIFT | l4 << RX_COMPLETION_L4_CSUM_SHIFT;
}

/* The frame into its buffer; the transport's bytes are summed on the way when they are many. */
static uint64_t plain_copy_sum(const struct vnic *card, const struct plain_frame *f, uint8_t *to)
{
    uint32_t l4 = shape_of[f->kind].l4_offset, end = l4 + f->l4_len;
    if (f->l4_len <= CSUM_INLINE_MAX) {
        copy_small(to, f->bytes, f->len);
        return sum_short(f->bytes + l4, f->l4_len);
    }
    copy_small(to, f->bytes, l4);
    uint64_t sum = card->scratch.csum->copy(to + l4, f->bytes + l4, f->l4_len, 0);
    if (f->len > end) {
        memcpy(to + end, f->bytes + end, f->len - end);
    }
    return csum_reduce(sum);
}

/* The odd cases of UDP, by the parser and verifier that the engine's own steps use. */
static uint64_t plain_verify_slowly(const struct vnic *card, struct rx_burst *b, const struct plain_frame *f)
{
    struct rx_class c = {0};
    wire_parse(&c.frame, f->bytes, f->len);
    classify_verify(card, f->bytes, &c);
    b->good += c.l4_csum == CSUM_RESULT_GOOD;
    b->l4_bad += c.l4_csum == CSUM_RESULT_BAD;
    b->ip_bad += c.ip_csum == CSUM_RESULT_BAD;
    return (uint64_t)c.ip_csum << RX_COMPLETION_IP_CSUM_SHIFT | (uint64_t)c.l4_csum << RX_COMPLETION_L4_CSUM_SHIFT;
}

/* Copies, verifies when that is on; the verdicts as bits of word 2. */
static uint64_t burst_copy(const struct vnic *card, struct rx_burst *b, const struct plain_frame *f, uint8_t *to)
{
    if (!b->is_verifying || !plain_is_summable(f)) {
        copy_small(to, f->bytes, f->len);
        return b->is_verifying ? plain_verify_slowly(card, b, f) : 0;
    }
    bool is_ipv4 = f->kind <= SCALE_UDP_IPV4;
    bool is_l4_good = sum_is_good(plain_copy_sum(card, f, to) + plain_pseudo(f));
    bool is_ip_good = !is_ipv4 || sum_is_good(sum_short(f->bytes + WIRE_ETH_LEN, WIRE_IPV4_LEN));
    b->good += is_l4_good;
    b->l4_bad += !is_l4_good;
    b->ip_bad += !is_ip_good;
    return verdict_bits(is_ip_good, is_l4_good, is_ipv4);
}

/* ---- delivery ---- */

static bool burst_has_room(const struct rx_burst *b, uint32_t len)
{
    uint64_t bound = bits_max32(RX_CACHE * RX_DESC_BYTES, len + COMPLETION_BYTES);
    return b->steps < b->max_steps && b->bytes + bound <= b->max_bytes;
}

/* Delivers the front frame in one step; false: it is not simple, or the budget ends here. */
static bool burst_deliver(struct vnic *card, struct rx_burst *b, const struct plain_frame *f)
{
    unsigned pair = scale_pair(card, f->hash, f->hash_type);
    struct queue_pair *p = &card->state.pair[pair];
    struct pair_hints *hint = &card->scratch.hint[pair];
    if (p->rx.cached == 0 || f->len > p->rx.buf_len || completion_free(&p->cq) == 0 || !burst_has_room(b, f->len)) {
        return false;
    }
    uint64_t addr = rx_desc_buf_addr(p->rx.desc[p->rx.ring.head % RX_CACHE]);
    uint8_t *to = dma_direct(&card->pci, &hint->rx_data, addr, f->len, VNIC_MAP_WRITE);
    if (!to) {
        return false;
    }
    uint64_t words[COMPLETION_WORDS];
    words[2] = shape_of[f->kind].flags | burst_copy(card, b, f, to);
    words[0] = f->hash | (uint64_t)f->len << RX_COMPLETION_LEN_SHIFT;
    words[1] = (uint64_t)f->len << RX_COMPLETION_FRAME_LEN_SHIFT |
               (uint64_t)(f->hash_type >> 8) << RX_COMPLETION_HASH_TYPE_SHIFT |
               (uint64_t)ring_index(&p->rx.ring, p->rx.ring.head) << RX_COMPLETION_INDEX_SHIFT;
    words[3] = COMPLETION_TYPE_RX;
    p->rx.ring.head++;
    p->rx.cached--;
    p->cq.reserved++;
    b->hashed += f->hash_type != 0;
    completion_write(card, pair, words);
    if (p->cq.ring.is_running) {
        receive_count(card, pair, f->bytes, f->len);
    } else {
        card_count(card, STAT(RX_DROP_RESET)); /* [RST-5] the pair stopped on this frame's completion */
        p->rx.drops++;
    }
    packet_buffer_pop(&card->rx_buffer);
    b->steps++;
    b->bytes += f->len + COMPLETION_BYTES;
    return true;
}

static void burst_count(struct vnic *card, const struct rx_burst *b)
{
    uint64_t *stat = card->state.stat;
    stat[STAT(RX_CSUM_GOOD)] += b->good;
    stat[STAT(RX_L4_CSUM_BAD)] += b->l4_bad;
    stat[STAT(RX_IP_CSUM_BAD)] += b->ip_bad;
    if (card->state.rss.is_active) {
        stat[STAT(RX_HASHED)] += b->hashed;
        stat[STAT(RX_UNHASHED)] += b->steps - b->hashed;
    }
}

uint64_t burst_receive(struct vnic *card, uint64_t max_steps, uint64_t max_bytes, uint64_t *bytes)
{
    struct rx_burst b;
    uint32_t ctrl = card_reg(card, REG_MAC_RX_CTRL);
    if (!card->pci.is_direct || card->state.rx.is_active || (ctrl & MAC_RX_CTRL_HEADER_SPLIT_MASK)) {
        return 0;
    }
    b.is_promiscuous = (ctrl & MAC_RX_CTRL_PROMISCUOUS_MASK) != 0;
    b.is_verifying = (ctrl & MAC_RX_CTRL_CSUM_MASK) != 0;
    b.steps = b.bytes = b.good = b.l4_bad = b.ip_bad = b.hashed = 0;
    b.max_steps = max_steps;
    b.max_bytes = max_bytes;
    burst_parse(card, &b, bits_min32(card->rx_buffer.count, (uint32_t)bits_min64(max_steps, BURST_MAX)));
    if (card->state.rss.is_active) {
        burst_hash(card, &b);
    } else {
        burst_no_hash(&b);
    }
    for (uint32_t i = 0; i < b.count && burst_deliver(card, &b, &b.frame[i]); i++) {
    }
    burst_count(card, &b);
    *bytes = b.bytes;
    return b.steps;
}
