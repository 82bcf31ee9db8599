/* step.h: one step of a channel: a descriptor fetched, a piece moved, or a report of what was done. */
#ifndef VNIC_COPY_STEP_H
#define VNIC_COPY_STEP_H

#include "copy/copy.h"

/* The most that the channel's next step moves, and the step; the channel is ready. */
uint64_t step_next_bytes(const struct vnic_copy *copy, unsigned n);
uint64_t step_take(struct vnic_copy *copy, unsigned n);
/* All pieces of the descriptor at hand are written. */
void step_end_moving(struct vnic_copy *copy, unsigned n);
/* Upper bound of the steps until the channel is idle. */
uint64_t step_idle_steps(const struct vnic_copy *copy, unsigned n);

#endif
