/* When there is something to send. */
#ifndef VNIC_TCP_OUTPUT_H
#define VNIC_TCP_OUTPUT_H

#include "tcp/state.h"

/* tcp_output() would return a segment, as far as can be told without congestion control. */
bool output_has_something(const struct tcp_engine *e, const struct tcp_connection *c);

/*
 * The same. When data waits for the window or for more data while nothing is in flight, it starts a timer that ends
 * the wait.
 */
bool output_is_due(struct tcp_engine *e, struct tcp_connection *c);

#endif
