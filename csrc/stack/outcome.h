/* What follows from an engine's call: payload stored, events raised, output scheduled, sockets ended. */
#ifndef VNIC_STACK_OUTCOME_H
#define VNIC_STACK_OUTCOME_H

#include "stack/event.h"
#include "stack/receive_kept.h"
#include "stack/receive_queue.h"

/* The payload of the segment that was put in. */
struct outcome_payload {
    const uint8_t *bytes; /* RECEIVE_NOT_PLACED: all of it */
    enum receive_place place; /* where it lies already */
    const struct kept_piece *pieces; /* RECEIVE_KEPT: in frames that stay */
    uint32_t count;
};

/* payload: NULL unless it was tcp_input(). The socket may be gone afterwards. */
void outcome_apply(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c,
                   const struct tcp_result *result, const struct outcome_payload *payload);

/* Ends the connection at once, with RST where the peer must know. */
void outcome_abort(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c, int result);

/* The connection is CLOSED. */
void outcome_closed(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c, int result);

#endif
