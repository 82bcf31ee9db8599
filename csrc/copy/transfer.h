/* transfer.h: a channel's DMA: descriptors, pieces and completions, with the bit of CHANERR for what went wrong. */
#ifndef VNIC_COPY_TRANSFER_H
#define VNIC_COPY_TRANSFER_H

#include "base/bytes.h"
#include "copy/descriptor.h"

/* Each returns 0 or a bit of CHANERR. */
uint32_t transfer_fetch_slow(struct vnic_copy *copy, unsigned n, uint64_t addr, uint64_t word[COPY_WORDS]);
uint32_t transfer_read_piece(struct vnic_copy *copy, unsigned n, const struct piece *p, uint8_t *into);
uint32_t transfer_write_piece(struct vnic_copy *copy, unsigned n, const struct piece *p, const uint8_t *from);
uint32_t transfer_complete(struct vnic_copy *copy, unsigned n, uint64_t completion);

static inline void transfer_unpack(const uint8_t *bytes, uint64_t word[COPY_WORDS])
{
    for (unsigned i = 0; i < COPY_WORDS; i++) {
        word[i] = le64_load(bytes + 8 * i);
    }
}

/* [DMA-20] */
static inline uint32_t transfer_fetch(struct vnic_copy *copy, unsigned n, uint64_t addr,
                                      uint64_t word[COPY_WORDS])
{
    struct dma_hint *hint = &copy->scratch.hint[n].descriptor;
    const uint8_t *bytes = dma_direct(&copy->pci, hint, addr, COPY_DESCRIPTOR_BYTES, VNIC_MAP_READ);
    if (__builtin_expect(bytes == NULL, 0)) {
        return transfer_fetch_slow(copy, n, addr, word);
    }
    transfer_unpack(bytes, word);
    return 0;
}

/* Moves a piece in one go between memory that is there; false: nothing was done. */
static inline bool transfer_move_direct(struct vnic_copy *copy, unsigned n, const struct piece *p)
{
    struct channel_hints *hint = &copy->scratch.hint[n];
    const struct channel *ch = &copy->state.channel[n];
    if (p->is_from_beyond || p->is_to_beyond) {
        return false;
    }
    uint8_t *to = dma_direct(&copy->pci, &hint->destination, p->to, p->len, VNIC_MAP_WRITE);
    if (to == NULL) {
        return false;
    }
    if (descriptor_is_fill(ch->word)) {
        copy->scratch.ops->fill(to, copy_descriptor_src(ch->word), ch->moved % 8, p->len);
        return true;
    }
    const uint8_t *from = dma_direct(&copy->pci, &hint->source, p->from, p->len, VNIC_MAP_READ);
    if (from == NULL) {
        return false;
    }
    copy->scratch.ops->move(to, from, p->len);
    return true;
}

#endif
