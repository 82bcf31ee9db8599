/* Handles: a generation and a place, so that a handle from before is never taken for another. */
#ifndef VNIC_STACK_HANDLE_H
#define VNIC_STACK_HANDLE_H

#include "stack/socket.h"

/* A fresh generation: 1 to SOCKETS_GENERATION_MAX. */
uint32_t handle_generation(struct vnic_stack *s);

/* The place in `others` of an open handle; 0: it is none, or a connection's. */
uint32_t handle_other(const struct vnic_stack *s, vnic_socket handle);
vnic_socket handle_of_other(const struct vnic_stack *s, uint32_t place);

#endif
