/* run.h: which engines can go, one step of one, and many within a budget. */
#ifndef VNIC_COPY_RUN_H
#define VNIC_COPY_RUN_H

#include "copy/copy.h"

uint32_t run_copy_runnable(const struct vnic_copy *copy);
bool run_copy_step(struct vnic_copy *copy, unsigned part, uint64_t *bytes);
void run_copy_within(struct vnic_copy *copy, const struct vnic_budget *budget, struct vnic_budget *used);
uint64_t run_copy_idle_steps(const struct vnic_copy *copy);
/* Idle is idle: whoever works next starts a turn, however the engine came to its end. */
void run_copy_settle(struct vnic_copy *copy);

#endif
