/* held.h: pieces that were read and wait to be written, of an engine that overlaps transfers. */
#ifndef VNIC_COPY_HELD_H
#define VNIC_COPY_HELD_H

#include "copy/channel.h"
#include "copy/descriptor.h"

/* [DMA-27] The last piece of the descriptor at hand may wait for the first one of its successor. */
bool held_may_wait(const struct vnic_copy *copy, unsigned n);
/* Reads the piece and keeps it. */
uint64_t held_take(struct vnic_copy *copy, unsigned n, const struct piece *p);

/* Writes what is held; false: that failed, and the channel halted. */
bool held_flush(struct vnic_copy *copy, unsigned n, uint64_t *bytes);
/* An error of the descriptor behind the held piece: that is written first. */
void held_fail(struct vnic_copy *copy, unsigned n, uint32_t errors, uint64_t *bytes);

/* The descriptor behind must not be fetched before what is held is written. */
static inline bool held_must_go(const struct vnic_copy *copy, unsigned n)
{
    return copy->state.channel[n].change != 0 || channel_left(copy, n) == 1;
}

/* Steps of a channel that holds something. */
uint64_t held_end(struct vnic_copy *copy, unsigned n);  /* with nothing else at hand */
uint64_t held_step(struct vnic_copy *copy, unsigned n); /* with a descriptor at hand */
uint64_t held_next_bytes(const struct vnic_copy *copy, unsigned n);

#endif
