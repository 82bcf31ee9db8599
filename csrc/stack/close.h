/* The end of a socket: shutdown, close, abort, and what lingers behind it. */
#ifndef VNIC_STACK_CLOSE_H
#define VNIC_STACK_CLOSE_H

#include "stack/socket.h"

/* After buffers were completed or fetched: a closed socket that has none left is gone. */
void linger_check(struct vnic_stack *s, struct socket *socket);

#endif
