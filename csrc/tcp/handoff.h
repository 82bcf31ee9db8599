/* The border of a hand-off: a connection stops, and is taken away, or goes on where it stopped. */
#ifndef VNIC_TCP_HANDOFF_H
#define VNIC_TCP_HANDOFF_H

#include "tcp/engine.h"

/* cdef begin */

/*
 * Before state is given away: true when *out must be sent first, and then this is called again (an ACK that is owed
 * leaves here, for the delayed ACK timer is not handed over: CH-03). False: the connection is frozen (TCP_FROZEN), it
 * takes no input, sends nothing and no timer of it expires (CH-08); its state may be saved.
 */
bool tcp_freeze(tcp_engine *engine, struct tcp_connection *c, uint64_t now_ns, struct tcp_segment *out);

/* The hand-off failed, or this is where it ends: the connection goes on, timers that expired meanwhile are due. */
void tcp_thaw(tcp_engine *engine, struct tcp_connection *c, uint64_t now_ns, struct tcp_result *result);

/* cdef end */

#endif
