/* completion.c: writing of completion entries where memory is not in one piece, or somebody watches. */
#include "nic/completion.h"

#include "nic/pair.h"

void completion_write_by_dma(struct vnic *card, unsigned pair, uint64_t words[COMPLETION_WORDS])
{
    struct completion_ring *cq = &card->state.pair[pair].cq;
    uint8_t entry[COMPLETION_BYTES];
    completion_store(entry, words);
    if (dma_write(&card->pci, &card->scratch.hint[pair].completion, completion_addr(cq), entry, sizeof entry,
                  VNIC_DMA_COMPLETION)
        != VNIC_DMA_OK) {
        pair_fail(card, pair, RING_ERROR_WRITE_DMA);
        return;
    }
    completion_advance(card, cq);
}
