/* Frames that arrive together: a short way to the engine for plain TCP, overlapping the table's cache misses. */
#ifndef VNIC_STACK_BURST_H
#define VNIC_STACK_BURST_H

#include "vnic/vnic_stack.h"

void burst_in(struct vnic_stack *s, uint32_t interface, const struct vnic_stack_packet *packets,
              uint32_t count);

#endif
