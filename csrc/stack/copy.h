/* Copies of received data to posted buffers: by the processor, or by the hook, which may take its time. */
#ifndef VNIC_STACK_COPY_H
#define VNIC_STACK_COPY_H

#include "stack/socket.h"

/* Copies len bytes at the front of the receive queue to the end of a post; false: no ticket left, try again later. */
bool copy_start(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c, uint32_t post,
                const uint8_t *from, uint32_t len);

#endif
