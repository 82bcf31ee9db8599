/* SYN cookies (RFC 4987 3.6): a handshake whose state the peer carries. */
#ifndef VNIC_STACK_COOKIE_H
#define VNIC_STACK_COOKIE_H

#include "stack/arrived.h"
#include "stack/socket.h"

/*
 * The initial sequence number holds 5 bits of time, 3 bits of MSS and 24 bits of a keyed hash over the tuple, the
 * peer's number, these bits, and the options. The options themselves ride in the low 6 bits of the timestamp, if the
 * peer sends one: 4 bits of window scale (15: none), SACK, ECN. Without timestamps there is no scale, SACK or ECN.
 */

/* Answers a SYN with a cookie. */
void cookie_send(struct vnic_stack *s, const struct listener *listener, const struct arrived *in);

/* Cookies may be on their way back. */
bool cookie_is_possible(const struct vnic_stack *s);

/* The SYN that an ACK's cookie stands for; false: it is none, or too old. */
bool cookie_check(const struct vnic_stack *s, const struct arrived *in, struct tcp_segment *syn);

#endif
