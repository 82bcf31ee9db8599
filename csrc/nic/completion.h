/* completion.h: the completion ring of a pair: slots reserved when work is accepted, entries in order. */
#ifndef VNIC_NIC_COMPLETION_H
#define VNIC_NIC_COMPLETION_H

#include "base/bytes.h"
#include "nic/card.h"
#include "nic/vector.h"

#define COMPLETION_BYTES 32u
#define COMPLETION_WORDS 4u

/* Slots that nobody has been promised. */
static inline uint32_t completion_free(const struct completion_ring *cq)
{
    uint32_t owned = ring_owned(&cq->ring);
    return owned > cq->reserved ? owned - cq->reserved : 0;
}

static inline uint64_t completion_addr(const struct completion_ring *cq)
{
    return cq->ring.base + (uint64_t)ring_index(&cq->ring, cq->ring.head) * COMPLETION_BYTES;
}

/* 1 in the first pass through the ring, then alternating. */
static inline uint64_t completion_generation(const struct completion_ring *cq)
{
    return (uint64_t)((cq->ring.head & cq->ring.count) == 0) << RX_COMPLETION_GEN_SHIFT;
}

/* The words of an entry in memory order; word 3 goes last, so that a driver on another processor sees a whole
 * entry. */
static inline void completion_store(uint8_t *slot, const uint64_t words[COMPLETION_WORDS])
{
    for (unsigned i = 0; i < COMPLETION_WORDS - 1; i++) {
        le64_store(slot + 8 * i, words[i]);
    }
    __atomic_thread_fence(__ATOMIC_RELEASE);
    le64_store(slot + 8 * (COMPLETION_WORDS - 1), words[COMPLETION_WORDS - 1]);
}

/* The entry is in memory. */
static inline void completion_advance(struct vnic *card, struct completion_ring *cq)
{
    cq->ring.head++;
    cq->reserved -= cq->reserved > 0;
    vector_cause(card, cq->vector);
}

/* The same as completion_write, by the choke point of DMA. */
void completion_write_by_dma(struct vnic *card, unsigned pair, uint64_t words[COMPLETION_WORDS]);

/* Writes an entry into a reserved slot and raises the pair's vector; the pair stops when it cannot be
 * written. words[3] holds the type only. */
static inline void completion_write(struct vnic *card, unsigned pair, uint64_t words[COMPLETION_WORDS])
{
    struct completion_ring *cq = &card->state.pair[pair].cq;
    if (!cq->ring.is_running) {
        return; /* it stopped on an earlier entry of the same frame */
    }
    words[3] |= (uint64_t)pair << RX_COMPLETION_QUEUE_SHIFT | completion_generation(cq);
    uint8_t *slot = dma_direct(&card->pci, &card->scratch.hint[pair].completion, completion_addr(cq),
                               COMPLETION_BYTES, VNIC_MAP_WRITE);
    if (!slot) {
        completion_write_by_dma(card, pair, words);
        return;
    }
    completion_store(slot, words);
    completion_advance(card, cq);
}

#endif
