/* The send queue of a connection: copied bytes in blocks, and pieces of the caller's memory, by sequence number. */
#ifndef VNIC_STACK_SEND_QUEUE_H
#define VNIC_STACK_SEND_QUEUE_H

#include "stack/socket.h"

/* Bytes queued and not acknowledged, held ones included. */
uint32_t send_queue_len(const struct sockets *sockets, const struct socket *socket,
                        const struct tcp_connection *c);

/* Room for more bytes by the socket's buffer. */
uint32_t send_queue_room(const struct sockets *sockets, const struct socket *socket,
                         const struct tcp_connection *c);

/* Appends a copy at the end; how many bytes, fewer when blocks run out. */
uint32_t send_queue_copy(struct vnic_stack *s, struct socket *socket, const struct tcp_connection *c,
                         uint32_t offset, const void *bytes, uint32_t len);

/* Appends pieces by reference, that together complete with cookie; false when the pool is used up. */
bool send_queue_refer(struct vnic_stack *s, struct socket *socket, const struct tcp_connection *c,
                      const struct vnic_bytes *pieces, uint32_t count, uint64_t cookie);

/* Copies queued bytes to a frame and adds them to a checksum that starts with the first of them. */
uint64_t send_queue_read(struct vnic_stack *s, struct socket *socket, uint32_t seq, uint32_t len,
                         uint8_t *out);

/* Where byte seq is, and how many lie there together; it stays there until it is acknowledged. */
const uint8_t *send_queue_at(struct vnic_stack *s, struct socket *socket, uint32_t seq, uint32_t *len);

/* The engine's snd_una has moved: what lies before it is given back. */
void send_queue_acked(struct vnic_stack *s, struct socket *socket, const struct tcp_connection *c);

/* Nothing will be sent any more: all is given back, references with this result. */
void send_queue_drop(struct vnic_stack *s, struct socket *socket, const struct tcp_connection *c, int result);

/* Sockets that were refused blocks may try again. */
void send_queue_wake(struct vnic_stack *s);

#endif
