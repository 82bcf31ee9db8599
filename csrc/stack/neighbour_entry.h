/* The inside of the neighbour cache: timers in a heap, waiting frames, entries. */
#ifndef VNIC_STACK_NEIGHBOUR_ENTRY_H
#define VNIC_STACK_NEIGHBOUR_ENTRY_H

#include "stack/neighbour.h"

void neighbour_set_alarm(struct vnic_stack *s, uint32_t index, uint64_t at_ns);
void neighbour_cancel_alarm(struct vnic_stack *s, uint32_t index);
/* A neighbour whose timer has expired, its timer stopped; 0: none. */
uint32_t neighbour_expired(struct vnic_stack *s);

void neighbour_relist(struct vnic_stack *s, uint32_t index);
void neighbour_remove(struct vnic_stack *s, uint32_t index);

/* Frames that wait: sent with the address now known, or given up. */
void neighbour_send_waiting(struct vnic_stack *s, uint32_t index);
void neighbour_drop_waiting(struct vnic_stack *s, uint32_t index);

#endif
