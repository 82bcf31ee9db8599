/* Short segments that are held back because more follows: VNIC_SEND_MORE. */
#ifndef VNIC_STACK_HOLD_H
#define VNIC_STACK_HOLD_H

#include "stack/socket.h"

/* Bytes were appended to the send queue: tells the engine of all, or, unless pushed, of full segments only. */
void hold_queue(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c, uint32_t bytes,
                bool is_pushed);
/* Tells the engine of what is held. */
void hold_release(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c);

void hold_run_timers(struct vnic_stack *s);
uint64_t hold_deadline(const struct vnic_stack *s);

#endif
