/* The path of a connection: renewed when routes change, waited for, or lost. */
#ifndef VNIC_STACK_PATH_H
#define VNIC_STACK_PATH_H

#include "stack/socket.h"

/* Segments can leave now. If not, the socket comes again when they can, or its timers bring it back. */
bool path_is_open(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c);

/*
 * What is due has nowhere to go: it counts as sent and lost, so that the connection's timers bring it back, or its end
 * (RFC 9293 3.8.3). The user is told of the trouble.
 */
void path_void(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c);

#endif
