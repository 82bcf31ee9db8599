/* completion.c: writing of completion entries. */
#include "nic/completion.h"

#include "base/bytes.h"
#include "nic/pair.h"
#include "nic/vector.h"

/* The words of an entry in memory order; word 3 goes last, so that a driver on another processor sees a whole entry. */
static void completion_store(uint8_t *slot, const uint64_t words[COMPLETION_WORDS])
{
    for (unsigned i = 0; i < COMPLETION_WORDS - 1; i++) {
        le64_store(slot + 8 * i, words[i]);
    }
    __atomic_thread_fence(__ATOMIC_RELEASE);
    le64_store(slot + 8 * (COMPLETION_WORDS - 1), words[COMPLETION_WORDS - 1]);
}

void completion_write(struct vnic *card, unsigned pair, uint64_t words[COMPLETION_WORDS])
{
    struct completion_ring *cq = &card->state.pair[pair].cq;
    struct dma_hint *hint = &card->scratch.hint[pair].completion;
    if (!cq->ring.is_running) {
        return; /* it stopped on an earlier entry of the same frame */
    }
    words[3] |= (uint64_t)pair << RX_COMPLETION_QUEUE_SHIFT | completion_generation(cq);
    uint8_t *slot = dma_direct(&card->pci, hint, completion_addr(cq), COMPLETION_BYTES, VNIC_MAP_WRITE);
    if (slot) {
        completion_store(slot, words);
    } else {
        uint8_t entry[COMPLETION_BYTES];
        completion_store(entry, words);
        if (dma_write(&card->pci, hint, completion_addr(cq), entry, sizeof entry, VNIC_DMA_COMPLETION) != VNIC_DMA_OK) {
            pair_fail(card, pair, RING_ERROR_WRITE_DMA);
            return;
        }
    }
    cq->ring.head++;
    if (cq->reserved > 0) {
        cq->reserved--;
    }
    vector_cause(card, cq->vector);
}
