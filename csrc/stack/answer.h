/* Segments that leave without a connection: resets, and answers to segments that belong to none. */
#ifndef VNIC_STACK_ANSWER_H
#define VNIC_STACK_ANSWER_H

#include "stack/arrived.h"

struct socket;

/* A segment in answer to one that belongs to no connection; an enum vnic_stack_result. */
int answer_send(struct vnic_stack *s, const struct arrived *in, const struct tcp_segment *answer);

/* The RST of a closed port, if the segment gets one (RFC 9293 3.10.7.1). */
void answer_refuse(struct vnic_stack *s, const struct arrived *in);

/* The RST that ends a connection, whose path may lead nowhere any more. */
void answer_reset(struct vnic_stack *s, const struct socket *socket, const struct tcp_connection *c,
                  const struct tcp_segment *rst);

#endif
