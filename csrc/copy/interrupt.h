/* interrupt.h: interrupts of channels: when one may leave, and what waits. */
#ifndef VNIC_COPY_INTERRUPT_H
#define VNIC_COPY_INTERRUPT_H

#include "copy/copy.h"

/* An interrupt of the channel falls due: it leaves, or waits. */
void interrupt_cause(struct vnic_copy *copy, unsigned n);
/* Channels whose interrupt waited and may leave now. */
uint32_t interrupt_deliverable(const struct vnic_copy *copy);
void interrupt_step(struct vnic_copy *copy); /* of the lowest of them */
uint64_t interrupt_deadline(const struct vnic_copy *copy);

/* Accesses. */
uint32_t interrupt_read_general(struct vnic_copy *copy, uint32_t stored, uint32_t enabled);
uint32_t interrupt_read_attention(struct vnic_copy *copy, uint32_t stored, uint32_t enabled);
void interrupt_enable(struct vnic_copy *copy, unsigned n); /* INT_DISABLE was cleared */
void interrupt_set_line(struct vnic_copy *copy); /* after a change of what it follows from */

void interrupt_reset(struct vnic_copy *copy, unsigned n);

static inline bool interrupt_is_line_wanted(const struct vnic_copy *copy)
{
    return regfile_get(&copy->regs, COPY_ATTNSTATUS) != 0
           && (regfile_get(&copy->regs, COPY_GENERAL) & GENERAL_MASTER_INT_EN_MASK) != 0;
}

#endif
