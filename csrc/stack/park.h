/* Connections that wait for their neighbour's Ethernet address. */
#ifndef VNIC_STACK_PARK_H
#define VNIC_STACK_PARK_H

#include "stack/socket.h"

void park_enter(struct vnic_stack *s, struct socket *socket);
/* Nothing when it is not parked. */
void park_leave(struct vnic_stack *s, struct socket *socket);

#endif
