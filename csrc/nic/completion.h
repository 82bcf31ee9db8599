/* completion.h: the completion ring of a pair: slots are reserved when work is accepted, entries written in order. */
#ifndef VNIC_NIC_COMPLETION_H
#define VNIC_NIC_COMPLETION_H

#include "nic/card.h"

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

/* Writes an entry into a reserved slot and raises the pair's vector; the pair stops when it cannot be written.
 * words[3] holds the type only. */
void completion_write(struct vnic *card, unsigned pair, uint64_t words[COMPLETION_WORDS]);

#endif
