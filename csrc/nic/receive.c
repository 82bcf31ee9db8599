/* receive.c: the receive engine, step by step. */
#include "nic/receive.h"

#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "nic/chimney_arrival.h"
#include "nic/classify.h"
#include "nic/completion.h"
#include "nic/filter.h"
#include "nic/pair.h"
#include "nic/tags.h"

/* ---- at the door ---- */

static bool receive_is_off(const struct vnic *card)
{
    return !card_is_set(card, REG_MAC_RX_CTRL, MAC_RX_CTRL_ENABLE_MASK) || !pci_is_d0(&card->pci);
}

static uint32_t receive_longest(const struct vnic *card)
{
    return bits_min32(card_reg(card, REG_MAC_RX_MAX), card->config.max_frame);
}

/* [RX-2] The counter of the reason why a frame is not let in, or FILTER_PASS. */
static uint32_t receive_refusal(const struct vnic *card, uint32_t len)
{
    if (receive_is_off(card)) {
        return STAT(RX_DROP_DISABLED);
    }
    if (len < FRAME_MIN) {
        return STAT(RX_DROP_RUNT);
    }
    return len > receive_longest(card) ? STAT(RX_DROP_OVERSIZE) : FILTER_PASS;
}

bool receive_would_take(const struct vnic *card, uint32_t len)
{
    return receive_refusal(card, len) == FILTER_PASS;
}

uint8_t *receive_slot(struct vnic *card, uint32_t len, int *verdict)
{
    uint32_t refusal = receive_refusal(card, len);
    *verdict = VNIC_RX_TAKEN;
    if (refusal != FILTER_PASS) {
        card_count(card, refusal);
        *verdict = VNIC_RX_DROPPED;
        return NULL;
    }
    if (!packet_buffer_fits(&card->rx_buffer, len)) {
        *verdict = VNIC_RX_FULL;
        return NULL;
    }
    return packet_buffer_push(&card->rx_buffer, len, 0);
}

int receive_frame(struct vnic *card, const uint8_t *frame, uint32_t len)
{
    int verdict;
    uint8_t *slot = receive_slot(card, len, &verdict);
    if (slot) {
        memcpy(slot, frame, len);
    } else if (verdict == VNIC_RX_FULL) {
        card_count(card, STAT(RX_DROP_BUFFER));
    }
    return verdict;
}

/* ---- the frame at the front ---- */

static struct packet *receive_front(const struct vnic *card)
{
    return packet_buffer_at(&card->rx_buffer, 0);
}

static uint32_t receive_left(const struct vnic *card)
{
    return receive_front(card)->len - card->state.rx.offset;
}

static void receive_finish(struct vnic *card)
{
    struct rx_frame *r = &card->state.rx;
    struct completion_ring *cq = &card->state.pair[r->pair].cq;
    cq->reserved -= bits_min32(cq->reserved, r->reserved);
    *r = (struct rx_frame){0};
    packet_buffer_pop(&card->rx_buffer);
}

void receive_abandon(struct vnic *card, unsigned pair)
{
    if (card->state.rx.is_active && card->state.rx.pair == pair) {
        card_count(card, STAT(RX_DROP_RESET));
        card->state.pair[pair].rx.drops++;
        receive_finish(card);
    }
}

static void receive_count(struct vnic *card, const uint8_t *frame, uint32_t len)
{
    unsigned stat = STAT(RX_UNICAST_FRAMES) + 2 * filter_class(frame);
    card->state.stat[stat]++;
    card->state.stat[stat + 1] += len;
}

static void receive_count_pair(struct vnic *card, unsigned pair, uint32_t len)
{
    card->state.pair[pair].rx.frames++;
    card->state.pair[pair].rx.bytes += len;
}

/* [RX-9] A frame is accepted when the ring has every buffer and the completion ring every slot that it
 * takes. */
static uint32_t receive_accept(struct vnic *card, const struct rx_class *c, uint32_t len)
{
    struct queue_pair *p = &card->state.pair[c->pair];
    if (!p->rx.ring.is_running) {
        return STAT(RX_DROP_QUEUE);
    }
    uint32_t hdr_len = classify_split(card, c, p->rx.hdr_len);
    uint32_t data = len - hdr_len;
    uint32_t buffers = data == 0 ? 1 : (data + p->rx.buf_len - 1) / p->rx.buf_len;
    if (ring_owned(&p->rx.ring) < buffers) {
        return STAT(RX_DROP_NO_DESCRIPTOR);
    }
    if (completion_free(&p->cq) < buffers) {
        return STAT(RX_DROP_NO_COMPLETION);
    }
    p->cq.reserved += buffers;
    card->state.rx = (struct rx_frame){.is_active = true,
                                       .is_first = true,
                                       .pair = (uint8_t)c->pair,
                                       .hdr_len = hdr_len,
                                       .reserved = buffers};
    classify_words(c, len, hdr_len, card->state.rx.words);
    return FILTER_PASS;
}

/* [CHM-40] A segment of an offloaded connection goes no further. */
static bool receive_offloaded(struct vnic *card, const struct rx_class *c, uint32_t guess, uint64_t *bytes)
{
    const struct packet *p = receive_front(card);
    const uint8_t *frame = card->rx_buffer.bytes + p->offset;
    if (!chimney_has_connections(card) || !chimney_receive_guessed(card, frame, c, guess, bytes)) {
        return false;
    }
    receive_count(card, frame, p->len);
    packet_buffer_pop(&card->rx_buffer);
    return true;
}

bool receive_step_offloaded(struct vnic *card, const struct rx_class *c, uint32_t guess, uint64_t *bytes)
{
    const struct packet *p = receive_front(card);
    return filter_frame(card, card->rx_buffer.bytes + p->offset, p->len) == FILTER_PASS
           && receive_offloaded(card, c, guess, bytes);
}

static bool receive_drop(struct vnic *card, uint32_t reason)
{
    card_count(card, reason);
    packet_buffer_pop(&card->rx_buffer);
    return false;
}

/* Takes the front frame under delivery; false: it was dropped, or a connection has it. */
static bool receive_begin(struct vnic *card, uint64_t *bytes)
{
    struct packet *p = receive_front(card);
    struct rx_class c = {0};
    uint32_t drop = filter_frame(card, card->rx_buffer.bytes + p->offset, p->len);
    if (drop != FILTER_PASS) {
        return receive_drop(card, drop);
    }
    classify_parse(card, p, &c);
    if (receive_offloaded(card, &c, 0, bytes)) {
        return false;
    }
    classify_judge(card, p, &c);
    drop = receive_accept(card, &c, p->len);
    if (drop != FILTER_PASS) {
        card->state.pair[c.pair].rx.drops++;
        return receive_drop(card, drop);
    }
    classify_count(card, &c);
    return true;
}

/* ---- steps ---- */

/* One DMA: the descriptors from head on, up to the end of the ring and of the cache. */
uint64_t receive_fetch(struct vnic *card, unsigned pair)
{
    struct rx_ring *rx = &card->state.pair[pair].rx;
    uint32_t index = ring_index(&rx->ring, rx->ring.head);
    uint32_t slot = rx->ring.head % RX_CACHE;
    uint32_t n = bits_min32(ring_owned(&rx->ring), bits_min32(rx->ring.count - index, RX_CACHE - slot));
    uint32_t bytes = n * RX_DESC_BYTES;
    enum vnic_dma_status status =
        dma_read(&card->pci, &card->scratch.hint[pair].rx_ring,
                 rx->ring.base + (uint64_t)index * RX_DESC_BYTES, rx->desc[slot], bytes, VNIC_DMA_DESCRIPTOR);
    if (status != VNIC_DMA_OK) {
        pair_fail_rx(card, pair, RING_ERROR_FETCH_DMA);
        return bytes;
    }
    rx->cached = n;
    return bytes;
}

static void receive_complete(struct vnic *card, uint32_t hdr_len, uint32_t len, enum rx_error error)
{
    struct rx_frame *r = &card->state.rx;
    struct rx_ring *rx = &card->state.pair[r->pair].rx;
    bool is_last = error != RX_ERROR_NONE || receive_left(card) == 0;
    uint64_t words[COMPLETION_WORDS] = {r->words[0], r->words[1], r->words[2], COMPLETION_TYPE_RX};
    words[0] |= (uint64_t)len << RX_COMPLETION_LEN_SHIFT | (uint64_t)hdr_len << RX_COMPLETION_HDR_LEN_SHIFT;
    words[1] |= (uint64_t)ring_index(&rx->ring, rx->ring.head) << RX_COMPLETION_INDEX_SHIFT;
    words[2] |= (uint64_t)r->is_first << RX_COMPLETION_SOP_SHIFT
                | (uint64_t)is_last << RX_COMPLETION_EOP_SHIFT | (uint64_t)error << RX_COMPLETION_ERROR_SHIFT;
    rx->ring.head++;
    rx->cached--;
    r->is_first = false;
    r->reserved--;
    completion_write(card, r->pair, words);
}

/* One buffer: header and data written, then its completion. */
static uint64_t receive_deliver(struct vnic *card)
{
    struct rx_frame *r = &card->state.rx;
    unsigned pair = r->pair;
    struct rx_ring *rx = &card->state.pair[pair].rx;
    const uint8_t *frame = card->rx_buffer.bytes + receive_front(card)->offset;
    const uint64_t *desc = rx->desc[rx->ring.head % RX_CACHE];
    uint32_t hdr_len = r->is_first ? r->hdr_len : 0;
    enum vnic_dma_status status = dma_write(&card->pci, &card->scratch.hint[pair].rx_header,
                                            rx_desc_hdr_addr(desc), frame, hdr_len, VNIC_DMA_HEADER);
    r->offset += hdr_len;
    uint32_t len = bits_min32(receive_left(card), rx->buf_len);
    if (status == VNIC_DMA_OK) {
        status = dma_write(&card->pci, &card->scratch.hint[pair].rx_data, rx_desc_buf_addr(desc),
                           frame + r->offset, len, VNIC_DMA_DATA);
    }
    r->offset += len;
    receive_complete(card, hdr_len, len, status == VNIC_DMA_OK ? RX_ERROR_NONE : RX_ERROR_DMA);
    if (!r->is_active) {
        return hdr_len + len + COMPLETION_BYTES; /* the pair stopped and gave the frame up */
    }
    if (status != VNIC_DMA_OK) {
        card_count(card, STAT(RX_DROP_DMA));
        rx->drops++;
        receive_finish(card);
    } else if (receive_left(card) == 0) {
        receive_count(card, frame, receive_front(card)->len);
        receive_count_pair(card, pair, receive_front(card)->len);
        receive_finish(card);
    }
    return hdr_len + len + COMPLETION_BYTES;
}

bool receive_is_runnable(const struct vnic *card)
{
    return card->rx_buffer.count > 0 && card->pci.is_master;
}

/* A connection's segment may need the entries of its receive pool before. */
uint64_t receive_next_bytes(const struct vnic *card)
{
    uint32_t more = chimney_has_connections(card) ? CHM_POOL_CACHED * CHM_POOL_BUFFER_BYTES : 0;
    return bits_max32(RX_CACHE * RX_DESC_BYTES, receive_left(card) + COMPLETION_BYTES + more);
}

uint64_t receive_step(struct vnic *card)
{
    uint64_t bytes = 0;
    if (!card->state.rx.is_active && !receive_begin(card, &bytes)) {
        return bytes;
    }
    unsigned pair = card->state.rx.pair;
    return card->state.pair[pair].rx.cached ? receive_deliver(card) : receive_fetch(card, pair);
}

/* ---- reset, bound, snapshot ---- */

/* A frame takes a step to be dropped, or a buffer's step for each 64 bytes at the least, and a fetch for
 * each of those. */
uint64_t receive_idle_steps(const struct vnic *card)
{
    uint64_t steps = 0;
    for (uint32_t i = 0; i < card->rx_buffer.count; i++) {
        steps += 2 * (packet_buffer_at(&card->rx_buffer, i)->len / 64u + 2);
    }
    return steps;
}

void receive_reset(struct vnic *card)
{
    card->state.rx = (struct rx_frame){0};
    packet_buffer_clear(&card->rx_buffer);
}

/* Of a frame under delivery: whole buffers are behind it, and what is left takes the slots that are
 * reserved. */
static bool receive_is_sound(const struct vnic *card)
{
    const struct rx_frame *r = &card->state.rx;
    const struct queue_pair *p = &card->state.pair[r->pair];
    uint32_t len = receive_front(card)->len, start = r->is_first ? 0 : r->hdr_len;
    if (!p->rx.ring.is_running || r->hdr_len > bits_min32(len, p->rx.hdr_len) || r->offset < start
        || r->offset >= len + r->is_first) {
        return false;
    }
    bool is_whole =
        r->is_first ? r->offset == 0 : r->offset > start && (r->offset - start) % p->rx.buf_len == 0;
    uint32_t data = len - r->offset - (r->is_first ? r->hdr_len : 0);
    uint32_t buffers = data == 0 ? 1 : (data + p->rx.buf_len - 1) / p->rx.buf_len;
    return is_whole && r->reserved == buffers && buffers <= p->cq.reserved
           && buffers <= ring_owned(&p->rx.ring);
}

void receive_archive(struct vnic *card, struct archive *a)
{
    struct rx_frame *r = &card->state.rx;
    ARCHIVE(a, TAG_RXF_ACTIVE, r->is_active, 1);
    if (!r->is_active || a->failed) {
        return;
    }
    ARCHIVE(a, TAG_RXF_FIRST, r->is_first, 1);
    ARCHIVE(a, TAG_RXF_PAIR, r->pair, card->config.queue_pairs - 1u);
    ARCHIVE(a, TAG_RXF_OFFSET, r->offset, card->config.max_frame);
    ARCHIVE(a, TAG_RXF_HDR_LEN, r->hdr_len, card->config.max_frame);
    ARCHIVE(a, TAG_RXF_RESERVED, r->reserved, RING_COUNT_MAX);
    for (unsigned i = 0; i < 3; i++) {
        ARCHIVE(a, TAG_RXF_WORD, r->words[i], UINT64_MAX);
    }
    if (a->failed || card->rx_buffer.count == 0) {
        archive_refuse_if(a, true);
        return;
    }
    archive_refuse_if(a, !receive_is_sound(card));
}
