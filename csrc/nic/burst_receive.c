/* burst_receive.c: delivery of trains of frames that are alike, in runs of one queue. */
#include <string.h>

#include "base/bits.h"
#include "nic/burst.h"
#include "nic/chimney_arrival.h"
#include "nic/completion.h"
#include "nic/reach.h"
#include "nic/receive.h"
#include "nic/rx_train.h"
#include "nic/scale.h"

struct rx_burst {
    uint64_t steps, bytes, max_steps, max_bytes;
};

/* Neighbours that go to one queue, into completion slots that are in one piece. */
struct rx_run {
    unsigned pair;
    uint32_t count;
    uint8_t *slot;
};

/* ---- delivery ---- */

/* Steps for frames of this length that the budget has room for, behind some more bytes. */
static uint32_t burst_room(const struct rx_burst *b, uint32_t len, uint64_t more_bytes)
{
    uint64_t bound = bits_max32(RX_CACHE * RX_DESC_BYTES, len + COMPLETION_BYTES) + more_bytes;
    uint64_t left = b->max_bytes - b->bytes;
    if (left < bound) {
        return 0;
    }
    return (uint32_t)bits_min64(
        TRAIN_MAX, bits_min64(b->max_steps - b->steps, (left - bound) / (len + COMPLETION_BYTES) + 1));
}

/* The step that reads descriptors, when it cannot fail and the delivery into the first of them can follow at
 * once. */
static bool burst_fetch(struct vnic *card, struct rx_burst *b, unsigned pair, uint32_t len)
{
    struct rx_ring *rx = &card->state.pair[pair].rx;
    struct pair_hints *hint = &card->scratch.hint[pair];
    uint64_t first[RX_DESC_WORDS];
    if (!rx->ring.is_running || ring_owned(&rx->ring) == 0 || len > rx->buf_len
        || burst_room(b, len, RX_CACHE * RX_DESC_BYTES) < 2) {
        return false;
    }
    const uint8_t *ring =
        dma_direct(&card->pci, &hint->rx_ring, rx->ring.base, rx->ring.count * RX_DESC_BYTES, VNIC_MAP_READ);
    if (!ring) {
        return false;
    }
    memcpy(first, ring + ring_index(&rx->ring, rx->ring.head) * RX_DESC_BYTES, sizeof first);
    if (!dma_direct(&card->pci, &hint->rx_data, rx_desc_buf_addr(first), len, VNIC_MAP_WRITE)) {
        return false;
    }
    b->bytes += receive_fetch(card, pair);
    b->steps++;
    return true;
}

static uint32_t run_count(const struct vnic *card, const struct rx_train *t, unsigned pair, uint32_t max)
{
    uint32_t n = 1;
    max = bits_min32(max, t->count - t->delivered);
    while (n < max && scale_pair(card, t->hash[t->delivered + n], t->hash_type) == pair) {
        n++;
    }
    return n;
}

/* Finds completion slots in one piece of memory, or the first alone; how many. */
static uint32_t run_seek_slots(struct vnic *card, unsigned pair, uint32_t slots, struct rx_run *run)
{
    struct dma_hint *hint = &card->scratch.hint[pair].completion;
    uint64_t addr = completion_addr(&card->state.pair[pair].cq);
    run->slot = dma_direct(&card->pci, hint, addr, slots * COMPLETION_BYTES, VNIC_MAP_WRITE);
    if (!run->slot) {
        slots = 1;
        run->slot = dma_direct(&card->pci, hint, addr, COMPLETION_BYTES, VNIC_MAP_WRITE);
    }
    return run->slot ? slots : 0;
}

/* The next run; false: its first frame is not simple, or the budget ends. */
static bool run_open(struct vnic *card, struct rx_burst *b, const struct rx_train *t, struct rx_run *run)
{
    unsigned pair = scale_pair(card, t->hash[t->delivered], t->hash_type);
    struct queue_pair *p = &card->state.pair[pair];
    uint32_t slots =
        bits_min32(completion_free(&p->cq), p->cq.ring.count - ring_index(&p->cq.ring, p->cq.ring.head));
    if (!p->cq.ring.is_running || slots == 0) {
        return false;
    }
    slots = run_seek_slots(card, pair, bits_min32(slots, TRAIN_MAX), run);
    if (slots == 0 || (p->rx.cached == 0 && !burst_fetch(card, b, pair, t->like.len))
        || t->like.len > p->rx.buf_len) {
        return false;
    }
    uint32_t max = bits_min32(bits_min32(slots, p->rx.cached), burst_room(b, t->like.len, 0));
    run->pair = pair;
    run->count = max > 0 ? run_count(card, t, pair, max) : 0;
    return run->count > 0;
}

/* What the completions of a run have in common. */
static void run_words(const struct vnic *card, const struct rx_train *t, unsigned pair,
                      uint64_t words[COMPLETION_WORDS])
{
    uint64_t len = t->like.len;
    words[0] = len << RX_COMPLETION_LEN_SHIFT;
    words[1] =
        len << RX_COMPLETION_FRAME_LEN_SHIFT | (uint64_t)(t->hash_type >> 8) << RX_COMPLETION_HASH_TYPE_SHIFT;
    words[2] = plain_shapes[t->like.kind].flags;
    words[3] = COMPLETION_TYPE_RX | (uint64_t)pair << RX_COMPLETION_QUEUE_SHIFT
               | completion_generation(&card->state.pair[pair].cq);
}

static inline void run_complete(const struct rx_train *t, uint32_t at, uint32_t index, const uint64_t words[],
                                uint8_t *slot)
{
    const uint64_t entry[COMPLETION_WORDS] = {
        words[0] | t->hash[at],
        words[1] | (uint64_t)index << RX_COMPLETION_INDEX_SHIFT,
        words[2] | t->csum[at],
        words[3],
    };
    completion_store(slot, entry);
}

/* Writes each frame and then its completion; how many, up to the first whose buffer is not in the same
 * piece. */
static uint32_t run_write(struct vnic *card, struct rx_train *t, const struct rx_run *run)
{
    const struct rx_ring *rx = &card->state.pair[run->pair].rx;
    uint32_t at = t->delivered, head = rx->ring.head, n = 0;
    uint64_t words[COMPLETION_WORDS];
    struct reach reach;
    run_words(card, t, run->pair, words);
    reach_seek(&reach, &card->pci, &card->scratch.hint[run->pair].rx_data,
               rx_desc_buf_addr(rx->desc[head % RX_CACHE]), t->like.len, VNIC_MAP_WRITE);
    for (; n < run->count; n++, at++, head++) {
        uint8_t *to = reach_at(&reach, rx_desc_buf_addr(rx->desc[head % RX_CACHE]));
        if (!to) {
            break;
        }
        reach_prefetch_write(&reach, rx_desc_buf_addr(rx->desc[(head + REACH_AHEAD) % RX_CACHE]));
        rx_train_copy(card, t, at, to);
        run_complete(t, at, ring_index(&rx->ring, head), words, run->slot + n * COMPLETION_BYTES);
    }
    return n;
}

/* The rings move on behind n frames. */
static void run_close(struct vnic *card, struct rx_burst *b, struct rx_train *t, unsigned pair, uint32_t n)
{
    struct queue_pair *p = &card->state.pair[pair];
    uint64_t bytes = (uint64_t)n * t->like.len;
    p->rx.frames += n;
    p->rx.bytes += bytes;
    p->rx.ring.head += n;
    p->rx.cached -= n;
    p->cq.ring.head += n;
    t->delivered += n;
    b->steps += n;
    b->bytes += bytes + n * COMPLETION_BYTES;
    vector_causes(card, p->cq.vector, n);
}

/* ---- the burst ---- */

/* One train; false: the next step is not simple, or the budget ends. */
static bool burst_deliver(struct vnic *card, struct rx_burst *b)
{
    struct rx_train t;
    struct rx_run run;
    uint32_t n = 1;
    if (!rx_train_open(card, (uint32_t)bits_min64(b->max_steps - b->steps, TRAIN_MAX), &t)) {
        return false;
    }
    while (n > 0 && t.delivered < t.count && run_open(card, b, &t, &run)) {
        n = run_write(card, &t, &run);
        run_close(card, b, &t, run.pair, n);
    }
    rx_train_close(card, &t);
    return t.delivered == t.count;
}

/* Segments of offloaded connections; false: the front frame is none. */
static bool burst_offloaded(struct vnic *card, struct rx_burst *b)
{
    uint64_t steps = chimney_receive_burst(card, b->max_steps - b->steps, b->max_bytes - b->bytes, &b->bytes);
    b->steps += steps;
    return steps != 0;
}

uint64_t burst_receive(struct vnic *card, uint64_t max_steps, uint64_t max_bytes, uint64_t *bytes)
{
    struct rx_burst b = {.max_steps = max_steps, .max_bytes = max_bytes};
    bool is_simple =
        card->pci.is_direct && !card_is_set(card, REG_MAC_RX_CTRL, MAC_RX_CTRL_HEADER_SPLIT_MASK);
    if (card->state.rx.is_active) {
        return 0;
    }
    while (card->rx_buffer.count > 0 && b.steps < max_steps
           && (burst_offloaded(card, &b) || (is_simple && burst_deliver(card, &b)))) {
    }
    *bytes = b.bytes;
    return b.steps;
}
