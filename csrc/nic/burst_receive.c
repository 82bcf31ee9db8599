/* burst_receive.c: frames of one buffer each, classified together and delivered one after the other. */
#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "nic/burst.h"
#include "nic/classify.h"
#include "nic/completion.h"
#include "nic/filter.h"
#include "nic/receive.h"
#include "nic/scale.h"
#include "wire/rss.h"
#include "wire/verify.h"

#define BURST_MAX 32u
#define HASH_GROUPS 2u

/* Frames whose hash input has one length, hashed together. */
struct hash_group {
    const uint8_t *input[BURST_MAX];
    uint32_t hash[BURST_MAX];
    uint8_t frame[BURST_MAX];
    uint32_t count, len;
};

struct rx_burst {
    uint32_t count;
    struct rx_class class[BURST_MAX];
    uint8_t input[BURST_MAX][RSS_INPUT_MAX];
};

struct burst_limits {
    uint64_t steps, bytes;         /* taken */
    uint64_t max_steps, max_bytes;
};

/* A tag to strip, headers to split, or a frame to drop: a step by itself. */
static bool burst_is_plain(const struct vnic *card, const uint8_t *frame, uint32_t len)
{
    bool is_tagged = be16_load(frame + 12) == WIRE_ETHERTYPE_VLAN;
    return !(is_tagged && card_is_set(card, REG_MAC_RX_CTRL, MAC_RX_CTRL_VLAN_STRIP_MASK)) &&
           filter_frame(card, frame, len) == FILTER_PASS;
}

static void burst_parse(const struct vnic *card, struct rx_burst *b, uint32_t n)
{
    for (b->count = 0; b->count < n; b->count++) {
        const struct packet *p = packet_buffer_at(&card->rx_buffer, b->count);
        const uint8_t *frame = card->rx_buffer.bytes + p->offset;
        struct rx_class *c = &b->class[b->count];
        if (!burst_is_plain(card, frame, p->len)) {
            return;
        }
        c->hash = 0;
        c->hash_type = 0;
        c->vlan_tci = 0;
        c->is_stripped = false;
        c->ip_csum = CSUM_RESULT_NONE;
        c->l4_csum = CSUM_RESULT_NONE;
        wire_parse(&c->frame, frame, p->len);
    }
}

static void burst_hash_group(const struct vnic *card, struct rx_burst *b, struct hash_group *g)
{
    toeplitz_hash_bulk(&card->scratch.toeplitz, g->input, g->len, g->hash, g->count);
    for (uint32_t i = 0; i < g->count; i++) {
        b->class[g->frame[i]].hash = g->hash[i];
    }
}

/* Inputs of 12 and 36 bytes, the four-tuples, are hashed in bulk; the others are rare. */
static void burst_hash(const struct vnic *card, struct rx_burst *b)
{
    struct hash_group group[HASH_GROUPS];
    group[0].count = group[1].count = 0;
    group[0].len = 12;
    group[1].len = 36;
    for (uint32_t i = 0; i < b->count; i++) {
        struct rx_class *c = &b->class[i];
        const struct packet *p = packet_buffer_at(&card->rx_buffer, i);
        uint32_t len = 0;
        c->hash_type = rss_input(&c->frame, card->rx_buffer.bytes + p->offset, card->state.rss.types, b->input[i], &len);
        if (len == 12 || len == 36) {
            struct hash_group *g = &group[len == 36];
            g->frame[g->count] = (uint8_t)i;
            g->input[g->count++] = b->input[i];
        } else if (len != 0) {
            c->hash = toeplitz_hash(&card->scratch.toeplitz, b->input[i], len);
        }
    }
    for (uint32_t g = 0; g < HASH_GROUPS; g++) {
        if (group[g].count > 0) {
            burst_hash_group(card, b, &group[g]);
        }
    }
}

static uint8_t burst_verdict(enum verify_result result)
{
    return result == VERIFY_GOOD ? CSUM_RESULT_GOOD : result == VERIFY_BAD ? CSUM_RESULT_BAD : CSUM_RESULT_NONE;
}

/* The frame into its buffer, its checksums verified on the way. */
static void burst_copy(const struct vnic *card, struct rx_class *c, uint8_t *to, const uint8_t *frame, uint32_t len)
{
    enum verify_result l4 = VERIFY_NONE;
    uint32_t span = 0;
    if (card_is_set(card, REG_MAC_RX_CTRL, MAC_RX_CTRL_CSUM_MASK)) {
        c->ip_csum = burst_verdict(verify_ipv4_header(&c->frame, frame));
        span = verify_span(&c->frame, frame, &l4);
    }
    if (span == 0) {
        memcpy(to, frame, len);
    } else {
        uint32_t l4_offset = c->frame.l4_offset, end = l4_offset + span;
        memcpy(to, frame, l4_offset);
        uint64_t sum = card->scratch.csum->copy(to + l4_offset, frame + l4_offset, span, 0);
        memcpy(to + end, frame + end, len - end);
        l4 = verify_l4_sum(&c->frame, frame, span, sum);
    }
    c->l4_csum = burst_verdict(l4);
}

static bool burst_has_room(const struct burst_limits *limits, uint64_t bytes)
{
    return limits->steps < limits->max_steps && limits->bytes + bytes <= limits->max_bytes;
}

static uint64_t burst_bound(uint32_t len)
{
    return bits_max32(RX_CACHE * RX_DESC_BYTES, len + COMPLETION_BYTES);
}

/* Delivers the front frame in the steps that it takes; false: it is not simple, or the budget ends here. */
static bool burst_deliver(struct vnic *card, struct rx_class *c, struct burst_limits *limits)
{
    struct queue_pair *p = &card->state.pair[c->pair];
    struct pair_hints *hint = &card->scratch.hint[c->pair];
    const struct packet *packet = packet_buffer_at(&card->rx_buffer, 0);
    const uint8_t *frame = card->rx_buffer.bytes + packet->offset;
    uint32_t len = packet->len;
    if (p->rx.cached == 0 || len > p->rx.buf_len || completion_free(&p->cq) == 0 || !burst_has_room(limits, burst_bound(len))) {
        return false;
    }
    const uint64_t *desc = p->rx.desc[p->rx.ring.head % RX_CACHE];
    uint8_t *to = dma_direct(&card->pci, &hint->rx_data, rx_desc_buf_addr(desc), len, VNIC_MAP_WRITE);
    if (!to) {
        return false;
    }
    burst_copy(card, c, to, frame, len);
    uint64_t words[COMPLETION_WORDS];
    classify_words(c, len, 0, words);
    words[0] |= (uint64_t)len << RX_COMPLETION_LEN_SHIFT;
    words[1] |= (uint64_t)ring_index(&p->rx.ring, p->rx.ring.head) << RX_COMPLETION_INDEX_SHIFT;
    words[2] |= RX_COMPLETION_SOP_MASK | RX_COMPLETION_EOP_MASK;
    words[3] = COMPLETION_TYPE_RX;
    p->rx.ring.head++;
    p->rx.cached--;
    p->cq.reserved++;
    classify_count(card, c);
    receive_count(card, c->pair, frame, len);
    packet_buffer_pop(&card->rx_buffer);
    completion_write(card, c->pair, words);
    limits->steps++;
    limits->bytes += len + COMPLETION_BYTES;
    return true;
}

uint64_t burst_receive(struct vnic *card, uint64_t max_steps, uint64_t max_bytes, uint64_t *bytes)
{
    struct rx_burst b;
    struct burst_limits limits = {0, 0, max_steps, max_bytes};
    if (!card->pci.is_direct || card->state.rx.is_active || card_is_set(card, REG_MAC_RX_CTRL, MAC_RX_CTRL_HEADER_SPLIT_MASK)) {
        return 0;
    }
    burst_parse(card, &b, bits_min32(card->rx_buffer.count, (uint32_t)bits_min64(max_steps, BURST_MAX)));
    if (card->state.rss.is_active) {
        burst_hash(card, &b);
    }
    for (uint32_t i = 0; i < b.count; i++) {
        b.class[i].pair = scale_pair(card, b.class[i].hash, b.class[i].hash_type);
        if (!burst_deliver(card, &b.class[i], &limits)) {
            break;
        }
    }
    *bytes = limits.bytes;
    return limits.steps;
}
