/* The inside of datagram sockets. */
#ifndef VNIC_STACK_UDP_SOCKET_H
#define VNIC_STACK_UDP_SOCKET_H

#include "stack/udp.h"

/* The socket that a datagram to this address and port, or identifier, is for; 0: none. */
uint32_t udp_find(const struct vnic_stack *s, uint32_t kind, const struct vnic_address *local, uint16_t port);
/* Gives up the datagram that waits longest. */
void udp_drop_first(struct vnic_stack *s, struct udp_socket *socket);

#endif
