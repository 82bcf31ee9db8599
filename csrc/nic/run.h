/* run.h: which engines can go, one step of one, and many within a budget. */
#ifndef VNIC_NIC_RUN_H
#define VNIC_NIC_RUN_H

#include "nic/card.h"

uint32_t run_runnable(const struct vnic *card);
bool run_step(struct vnic *card, unsigned engine, uint64_t *bytes);
void run_within(struct vnic *card, const struct vnic_budget *budget, struct vnic_budget *used);
uint64_t run_idle_steps(const struct vnic *card);

#endif
