/* Listeners: SYNs that ask for a connection, handshakes under way, connections to be accepted. */
#ifndef VNIC_STACK_LISTEN_H
#define VNIC_STACK_LISTEN_H

#include "stack/arrived.h"
#include "stack/socket.h"

/* The listener for a destination, a specific address before any; 0: none. */
uint32_t listener_find(const struct vnic_stack *s, const struct vnic_address *local, uint16_t port,
                       uint32_t interface);

/* A segment for no connection, but for a listener: RFC 9293 3.10.7.2. */
void listener_on_segment(struct vnic_stack *s, uint32_t index, const struct arrived *in);

/* The handshake of an embryonic connection is over. */
void listener_on_connected(struct vnic_stack *s, struct socket *socket);
/* An embryonic connection is gone. */
void listener_forget(struct vnic_stack *s, struct socket *socket);
/* No more; connections that were not accepted are reset. */
void listener_close(struct vnic_stack *s, struct listener *listener);

/* A connection from a SYN, or from the ACK of a cookie (syn is what it stood for): NULL when there is no room. */
struct socket *listener_open(struct vnic_stack *s, uint32_t index, const struct arrived *in,
                             const struct tcp_segment *syn, bool is_cookie);

#endif
