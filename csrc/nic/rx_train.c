/* rx_train.c: which frames make a train, their hashes and checksums, and their statistics. */
#include "nic/rx_train.h"

#include <string.h>

#include "base/bits.h"
#include "nic/chimney_arrival.h"
#include "nic/classify.h"
#include "nic/filter.h"
#include "nic/scale.h"

#define TRAIN_SHORT 256u /* bytes up to which a sum by hand and then a copy beat a call that does both */

/* ---- which frames ---- */

static bool train_wants(const struct vnic *card, const uint8_t *frame, uint32_t len)
{
    return card_is_set(card, REG_MAC_RX_CTRL, MAC_RX_CTRL_PROMISCUOUS_MASK)
           || filter_frame(card, frame, len) == FILTER_PASS;
}

/* [CHM-40] Segments of offloaded connections, whatever becomes of them, are for the engine's own steps. */
static bool train_is_offloaded(const struct vnic *card, const uint8_t *frame, uint32_t len)
{
    struct rx_class c = {0};
    uint32_t index = 0;
    if (!chimney_has_connections(card)) {
        return false;
    }
    wire_parse(&c.frame, frame, len);
    return chimney_match(card, frame, &c, &index) != CHM_MATCH_NONE;
}

static bool train_begin(const struct vnic *card, struct rx_train *t)
{
    const struct packet *front = packet_buffer_at(&card->rx_buffer, 0);
    t->like.bytes = card->rx_buffer.bytes + front->offset;
    t->like.len = front->len;
    t->class = filter_class(t->like.bytes);
    t->bytes[0] = t->like.bytes;
    t->delivered = 0;
    return train_wants(card, t->like.bytes, front->len) && plain_parse(&t->like)
           && !train_is_offloaded(card, t->like.bytes, front->len);
}

static void train_collect(const struct vnic *card, uint32_t max, struct rx_train *t)
{
    const struct packet_buffer *buffer = &card->rx_buffer;
    const struct plain_frame like = t->like;
    uint32_t n = 1;
    for (max = bits_min32(max, buffer->count); n < max; n++) {
        const struct packet *p = packet_buffer_at(buffer, n);
        const uint8_t *frame = buffer->bytes + p->offset;
        if (p->len != like.len || filter_class(frame) != t->class || !plain_is_like(&like, frame)
            || !train_wants(card, frame, like.len) || train_is_offloaded(card, frame, like.len)) {
            break;
        }
        t->bytes[n] = frame;
    }
    t->count = n;
}

/* ---- hash ---- */

static void train_hash(const struct vnic *card, struct rx_train *t)
{
    const struct scale_kind_rule *rule = &card->scratch.kind_rule[t->like.kind];
    const uint8_t *input[TRAIN_MAX];
    t->hash_type = card->state.rss.is_active ? rule->type : 0;
    if (t->hash_type == 0) {
        memset(t->hash, 0, t->count * sizeof t->hash[0]);
        return;
    }
    for (uint32_t i = 0; i < t->count; i++) {
        input[i] = t->bytes[i] + plain_shapes[t->like.kind].addresses;
    }
    toeplitz_hash_bulk(&card->scratch.toeplitz, input, rule->len, t->hash, t->count);
}

/* ---- checksums ---- */

static inline uint16_t csum_ip(bool is_good)
{
    return (uint16_t)((is_good ? CSUM_RESULT_GOOD : CSUM_RESULT_BAD) << RX_COMPLETION_IP_CSUM_SHIFT);
}

static inline uint16_t csum_l4(bool is_good)
{
    return (uint16_t)((is_good ? CSUM_RESULT_GOOD : CSUM_RESULT_BAD) << RX_COMPLETION_L4_CSUM_SHIFT);
}

/* The odd cases of UDP, by the parser and verifier that the engine's own steps use. */
static void train_verify_slowly(const struct vnic *card, struct rx_train *t)
{
    for (uint32_t i = 0; i < t->count; i++) {
        struct rx_class c = {0};
        wire_parse(&c.frame, t->bytes[i], t->like.len);
        classify_verify(card, t->bytes[i], &c);
        t->csum[i] =
            (uint16_t)(c.ip_csum << RX_COMPLETION_IP_CSUM_SHIFT | c.l4_csum << RX_COMPLETION_L4_CSUM_SHIFT);
    }
}

static void train_verify_headers(struct rx_train *t)
{
    for (uint32_t i = 0; i < t->count; i++) {
        t->csum[i] = csum_ip(plain_is_header_good(t->bytes[i]));
    }
}

static void train_verify_transport(struct rx_train *t)
{
    const struct plain_shape *shape = &plain_shapes[t->like.kind];
    uint32_t start = shape->addresses, len = shape->l4_offset + t->like.l4_len - start;
    uint64_t pseudo = plain_pseudo(&t->like);
    for (uint32_t i = 0; i < t->count; i++) {
        t->csum[i] |= csum_l4(plain_is_good(plain_add(plain_sum(t->bytes[i] + start, len), pseudo)));
    }
}

static bool train_is_summable(const struct rx_train *t)
{
    for (uint32_t i = 0; plain_is_udp(&t->like) && i < t->count; i++) {
        if (!plain_is_summable(&t->like, t->bytes[i])) {
            return false;
        }
    }
    return true;
}

static void train_verify(const struct vnic *card, struct rx_train *t)
{
    t->is_summing = false;
    memset(t->csum, 0, t->count * sizeof t->csum[0]);
    if (!card_is_set(card, REG_MAC_RX_CTRL, MAC_RX_CTRL_CSUM_MASK)) {
        return;
    }
    if (!train_is_summable(t)) {
        train_verify_slowly(card, t);
        return;
    }
    if (plain_is_ipv4(&t->like)) {
        train_verify_headers(t);
    }
    if (t->like.len > TRAIN_SHORT) {
        t->is_summing = true;
    } else {
        train_verify_transport(t);
    }
}

/* From the frame's start on, since that is aligned; what lies before the addresses is taken off again. */
void rx_train_copy_sum(const struct vnic *card, struct rx_train *t, uint32_t n, uint8_t *to)
{
    const struct plain_shape *shape = &plain_shapes[t->like.kind];
    const uint8_t *frame = t->bytes[n];
    uint32_t end = shape->l4_offset + t->like.l4_len;
    uint64_t all = card->scratch.csum->copy(to, frame, end, plain_pseudo(&t->like));
    memcpy(to + end, frame + end, t->like.len - end);
    t->csum[n] |= csum_l4(plain_is_good(plain_add(all, ~plain_sum(frame, shape->addresses))));
}

bool rx_train_open(const struct vnic *card, uint32_t max, struct rx_train *t)
{
    if (!train_begin(card, t)) {
        return false;
    }
    train_collect(card, max, t);
    train_hash(card, t);
    train_verify(card, t);
    return true;
}

/* ---- statistics ---- */

static void csum_count(struct vnic *card, uint16_t csum, uint32_t n)
{
    uint64_t *stat = card->state.stat;
    stat[STAT(RX_CSUM_GOOD)] += csum & CSUM_RESULT_GOOD << RX_COMPLETION_L4_CSUM_SHIFT ? n : 0;
    stat[STAT(RX_L4_CSUM_BAD)] += csum & CSUM_RESULT_BAD << RX_COMPLETION_L4_CSUM_SHIFT ? n : 0;
    stat[STAT(RX_IP_CSUM_BAD)] += csum & CSUM_RESULT_BAD << RX_COMPLETION_IP_CSUM_SHIFT ? n : 0;
}

/* As a rule the results of all are the same. */
static void train_count_csums(struct vnic *card, const struct rx_train *t)
{
    uint32_t unlike = 0;
    for (uint32_t i = 0; i < t->delivered; i++) {
        unlike |= (uint32_t)t->csum[i] ^ t->csum[0];
    }
    if (unlike == 0) {
        csum_count(card, t->csum[0], t->delivered);
        return;
    }
    for (uint32_t i = 0; i < t->delivered; i++) {
        csum_count(card, t->csum[i], 1);
    }
}

void rx_train_close(struct vnic *card, const struct rx_train *t)
{
    uint64_t *stat = card->state.stat;
    uint32_t n = t->delivered;
    if (n == 0) {
        return;
    }
    stat[STAT(RX_UNICAST_FRAMES) + 2 * t->class] += n;
    stat[STAT(RX_UNICAST_FRAMES) + 2 * t->class + 1] += (uint64_t)n * t->like.len;
    if (card->state.rss.is_active) {
        stat[t->hash_type != 0 ? STAT(RX_HASHED) : STAT(RX_UNHASHED)] += n;
    }
    train_count_csums(card, t);
    packet_buffer_drop(&card->rx_buffer, n);
}
