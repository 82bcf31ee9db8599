/* Buffers that the user posted: filled in order, completed in order. */
#ifndef VNIC_STACK_POST_H
#define VNIC_STACK_POST_H

#include "stack/socket.h"

/* The buffer that takes the next byte, 0: none. Never one of a socket that was not accepted. */
uint32_t post_open(const struct sockets *sockets, const struct socket *socket);

/* Moves in-order bytes from blocks to posted buffers, ends those whose time has come, and completes them. */
void post_fill(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c);

/*
 * An offload target takes the next buffer, 0: it may have none now; and gives the first that it has back with so many
 * bytes more, completed or not. False: it has none, or it is not that long.
 */
uint32_t post_claim(struct sockets *sockets, const struct socket *socket);
bool post_unclaim(struct sockets *sockets, const struct socket *socket, uint64_t bytes, bool is_complete);
void post_unclaim_all(struct sockets *sockets, const struct socket *socket);
bool post_is_claimed(const struct sockets *sockets, const struct socket *socket);
/* After buffers came back: they are filled, or, when the user has gone, given back. */
void post_refill(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c);

/* All posted buffers are given back with this result. */
void post_end(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c, int result);

/* Completes the first buffers that are full or ended and whose copies are done. */
void post_settle(struct vnic_stack *s, struct socket *socket);

#endif
