/* Events of sockets: gathered at the socket, one entry of a ring for each that has some. */
#ifndef VNIC_STACK_EVENT_H
#define VNIC_STACK_EVENT_H

#include "stack/socket.h"

/* Adds events; they wait at a socket that was not accepted yet. */
void event_raise(struct vnic_stack *s, struct socket *socket, uint32_t events);
/* VNIC_EVENT_CLOSED, once. */
void event_raise_closed(struct vnic_stack *s, struct socket *socket, int result);
/* The same as event_raise() for a listener, a UDP or an ICMP socket: its place in `others`. */
void event_raise_other(struct vnic_stack *s, uint32_t place, uint32_t events);

#endif
