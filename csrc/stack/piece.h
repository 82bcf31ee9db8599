/* Received bytes in memory of an offload target: read in place, given back when they were read. */
#ifndef VNIC_STACK_PIECE_H
#define VNIC_STACK_PIECE_H

#include "stack/socket.h"

struct vnic_stack;

/* Puts len bytes behind the others, which start at seq; len 0: to be fetched at once. False: the pool is used up. */
bool piece_append(struct vnic_stack *s, struct socket *socket, uint32_t seq, const uint8_t *data,
                  uint32_t len, uint64_t cookie);

/* Where received byte seq is, in a piece or in a block, and how many lie there together; NULL: nowhere. */
const uint8_t *piece_find(struct vnic_stack *s, struct socket *socket, uint32_t seq, uint32_t *len);

/* Nothing before seq is needed any more. */
void piece_trim(struct vnic_stack *s, struct socket *socket, uint32_t seq);
/* Nothing at all is. */
void piece_forget(struct vnic_stack *s, struct socket *socket);

#endif
