/* Segments of connections that are away or on their way: kept, forwarded to the target or processed in the end. */
#ifndef VNIC_STACK_HELD_H
#define VNIC_STACK_HELD_H

#include "stack/offload.h"
#include "stack/segment_in.h"

/* A segment arrived: kept if its checksum is right and there is room; else it is as if the network had lost it. */
void held_put(struct vnic_stack *s, struct socket *socket, const struct segment_bytes *bytes);

/* What those of a connection have in common; taken before the connection may end. */
struct packet held_packet(const struct vnic_stack *s, const struct socket *socket);
/* They are as if the network had lost them. */
void held_forget(struct vnic_stack *s, struct away *away);
/* Processes them as if they arrived now, whether their connection is still there or not. */
void held_process(struct vnic_stack *s, struct away *away, struct packet *packet);

#endif
