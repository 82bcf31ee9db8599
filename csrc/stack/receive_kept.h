/* Received payload that stays in its frame until it is copied: straight to posted buffers, by the hook. */
#ifndef VNIC_STACK_RECEIVE_KEPT_H
#define VNIC_STACK_RECEIVE_KEPT_H

#include "stack/socket.h"

struct vnic_stack;

/* Payload in a frame of VNIC_STACK_RX_KEPT whose checksum was verified below. */
struct kept_piece {
    const uint8_t *bytes;
    uint32_t len;
};

/*
 * How many of the next `wanted` bytes in order, which lie in so many pieces, can be copied where the user wants them: as
 * far as posted buffers and tickets go. 0: there is no hook, or bytes before them wait.
 */
uint32_t kept_room(const struct vnic_stack *s, const struct socket *socket, const struct tcp_connection *c,
                   uint32_t pieces, uint32_t wanted);

/* The engine took them as its next bytes, from seq on: into posted buffers, the rest into blocks. */
void kept_deliver(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c, uint32_t seq,
                  const struct kept_piece *pieces, uint32_t count);

#endif
