/* driver_rings.c: the rings of the card: started, stopped, fetched from and completed as an honest card does. */
#include <string.h>

#include "driver_world.h"

#define DESC_BYTES 16u
#define CQ_BYTES 32u
#define RING_LEAST 8u
#define RING_MOST 32768u
#define PAIR_OFFSET(reg) ((reg) - REG_QP_RX_BASE)

uint8_t *fuzz_ring_reach(struct fuzz_world *w, uint64_t addr, uint64_t len, bool is_write, const char *what)
{
    uint8_t *bytes = fuzz_card_is_master(w) ? fuzz_memory_reach(&w->memory, addr, len, is_write) : NULL;
    if (bytes == NULL && fuzz_card_is_master(w)) {
        FUZZ_REQUIRE(w->card.has_lied, "FUZ-33",
                     "%s: the card is given %llu bytes to %s that are not mapped for it", what,
                     (unsigned long long)len, is_write ? "write" : "read");
        fuzz_card_event(w, GLB_EVENT_DMA_MASK);
    }
    return bytes;
}

uint32_t fuzz_ring_held(const struct fuzz_ring *ring)
{
    return ring->is_running ? (ring->tail - ring->head) % ring->count : 0;
}

static void ring_stop(struct fuzz_ring *ring, uint8_t error)
{
    ring->is_running = false;
    ring->error = error;
}

bool fuzz_ring_any_runs(const struct fuzz_card *card)
{
    bool runs = false;
    for (uint32_t i = 0; i < FUZZ_PAIRS; i++) {
        runs |= card->pair[i].rx.is_running || card->pair[i].tx.is_running || card->pair[i].cq.is_running;
    }
    return runs;
}

void fuzz_ring_fail(struct fuzz_world *w, struct fuzz_ring *ring, uint8_t error)
{
    ring_stop(ring, error);
    for (uint32_t i = 0; i < FUZZ_PAIRS; i++) {
        struct fuzz_pair *pair = &w->card.pair[i];
        if (ring == &pair->cq) {
            ring_stop(&pair->rx, 0);
            ring_stop(&pair->tx, 0);
        }
    }
    fuzz_card_event(w, GLB_EVENT_RING_MASK);
}

/* ---- registers ---- */

static uint32_t pair_word(const struct fuzz_world *w, uint32_t pair, uint32_t reg)
{
    return w->card.reg[(reg + pair * REG_QP_STRIDE) / 4];
}

/* RING-3, in its order. */
static uint8_t ring_judge(const struct fuzz_ring *ring, const struct fuzz_pair *pair)
{
    if (ring->count < RING_LEAST || ring->count > RING_MOST || (ring->count & (ring->count - 1)) != 0) {
        return RING_ERROR_BAD_COUNT;
    }
    if (ring->base % 64 != 0) {
        return RING_ERROR_BAD_BASE;
    }
    if (ring == &pair->rx && (ring->buf_len < 64 || ring->buf_len > 65536)) {
        return RING_ERROR_BAD_BUFFER;
    }
    if (ring == &pair->cq && ring->vector >= FUZZ_MESSAGES) {
        return RING_ERROR_BAD_VECTOR;
    }
    return ring != &pair->cq && !pair->cq.is_running ? RING_ERROR_NO_CQ : RING_ERROR_NONE;
}

static void ring_start(struct fuzz_world *w, uint32_t pair, struct fuzz_ring *ring, uint32_t base_reg)
{
    *ring = (struct fuzz_ring){
        .count = pair_word(w, pair, base_reg + 8),
        .base = pair_word(w, pair, base_reg) | (uint64_t)pair_word(w, pair, base_reg + 4) << 32,
        .buf_len = pair_word(w, pair, REG_QP_RX_BUF_LEN),
        .vector = (uint8_t)pair_word(w, pair, REG_QP_CQ_VECTOR),
    };
    const uint8_t error = ring_judge(ring, &w->card.pair[pair]);
    ring->is_running = error == RING_ERROR_NONE;
    if (error != RING_ERROR_NONE) {
        fuzz_ring_fail(w, ring, error);
    }
}

static void ring_control(struct fuzz_world *w, uint32_t pair, struct fuzz_ring *ring, uint32_t base_reg,
                         uint32_t value)
{
    struct fuzz_pair *p = &w->card.pair[pair];
    if (value & QP_RX_CTRL_RESET_MASK) {
        memset(ring, 0, sizeof *ring);
        if (ring == &p->cq) {
            memset(p, 0, sizeof *p);
        }
    }
    const bool is_wanted = value & QP_RX_CTRL_ENABLE_MASK;
    if (is_wanted && !ring->is_running) {
        ring_start(w, pair, ring, base_reg);
    } else if (!is_wanted && ring->is_running) {
        ring_stop(ring, 0);
        if (ring == &p->cq) {
            ring_stop(&p->rx, 0);
            ring_stop(&p->tx, 0);
        }
    }
}

/* RING-6. */
static void ring_doorbell(struct fuzz_world *w, struct fuzz_ring *ring, uint32_t tail)
{
    FUZZ_REQUIRE(!ring->is_running || tail < ring->count || w->card.has_lied, "FUZ-34",
                 "a TAIL of %u is written to a ring of %u", tail, ring->count);
    if (ring->is_running && tail >= ring->count) {
        fuzz_ring_fail(w, ring, RING_ERROR_BAD_TAIL);
    } else if (ring->is_running) {
        ring->tail = tail;
    }
}

void fuzz_ring_write(struct fuzz_world *w, uint32_t pair, uint32_t offset, uint32_t value)
{
    struct fuzz_pair *p = &w->card.pair[pair];
    switch (offset) {
    case PAIR_OFFSET(REG_QP_RX_CTRL):
        ring_control(w, pair, &p->rx, REG_QP_RX_BASE, value);
        break;
    case PAIR_OFFSET(REG_QP_TX_CTRL):
        ring_control(w, pair, &p->tx, REG_QP_TX_BASE, value);
        break;
    case PAIR_OFFSET(REG_QP_CQ_CTRL):
        ring_control(w, pair, &p->cq, REG_QP_CQ_BASE, value);
        break;
    case PAIR_OFFSET(REG_QP_RX_TAIL):
        ring_doorbell(w, &p->rx, value);
        fuzz_transfer_look(w, pair);
        break;
    case PAIR_OFFSET(REG_QP_TX_TAIL):
        ring_doorbell(w, &p->tx, value);
        fuzz_transfer_work(w, w->card.is_eager ? UINT32_MAX : 0);
        break;
    case PAIR_OFFSET(REG_QP_CQ_TAIL):
        ring_doorbell(w, &p->cq, value);
        break;
    default:
        break;
    }
}

uint32_t fuzz_ring_read(const struct fuzz_world *w, uint32_t pair, uint32_t offset, uint32_t stored)
{
    const struct fuzz_pair *p = &w->card.pair[pair];
    const uint32_t within = offset % 0x40u;
    const struct fuzz_ring *ring = offset < 0x40 ? &p->rx : offset < 0x80 ? &p->tx : &p->cq;
    if (offset >= 0xC0) {
        return 0;
    }
    switch (within) {
    case PAIR_OFFSET(REG_QP_RX_CTRL):
        return ring->is_running;
    case PAIR_OFFSET(REG_QP_RX_STATUS):
        return (uint32_t)ring->is_running | (uint32_t)ring->error << QP_RX_STATUS_ERROR_SHIFT;
    case PAIR_OFFSET(REG_QP_RX_HEAD):
        return ring->head;
    case PAIR_OFFSET(REG_QP_RX_TAIL):
        return ring->tail;
    default:
        return stored;
    }
}

/* ---- completions ---- */

static void words_corrupt(struct fuzz_card *card, uint64_t words[4])
{
    if (card->corrupt_left) {
        card->corrupt_left--;
        words[card->corrupt_word] ^= card->corrupt_bits;
    }
}

void fuzz_ring_complete(struct fuzz_world *w, uint32_t pair, uint64_t words[4])
{
    struct fuzz_ring *cq = &w->card.pair[pair].cq;
    if (!cq->is_running) {
        return;
    }
    rx_completion_set_gen(words, !(cq->taken / cq->count & 1));
    words_corrupt(&w->card, words);
    uint8_t *slot =
        fuzz_ring_reach(w, cq->base + (uint64_t)cq->head * CQ_BYTES, CQ_BYTES, true, "QP_CQ_BASE");
    if (slot == NULL) {
        fuzz_ring_fail(w, cq, RING_ERROR_WRITE_DMA);
        return;
    }
    memcpy(slot, words, CQ_BYTES);
    cq->head = (cq->head + 1) % cq->count;
    cq->taken++;
    fuzz_card_cause(w, cq->vector);
}

const uint64_t *fuzz_ring_fetch(struct fuzz_world *w, struct fuzz_ring *ring, uint32_t index,
                                const char *what)
{
    const uint8_t *bytes =
        fuzz_ring_reach(w, ring->base + (uint64_t)index * DESC_BYTES, DESC_BYTES, false, what);
    if (bytes == NULL) {
        fuzz_ring_fail(w, ring, RING_ERROR_FETCH_DMA);
    }
    return (const uint64_t *)(const void *)bytes;
}
