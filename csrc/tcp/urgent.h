/* Urgent data: what the user's calls change of it. */
#ifndef VNIC_TCP_URGENT_H
#define VNIC_TCP_URGENT_H

#include "tcp/connection.h"

/* The user took bytes: RCV.UP is forgotten when it lies behind them. */
void urgent_on_consume(struct tcp_connection *c);

/* All bytes queued so far are urgent. */
void urgent_queue(struct tcp_connection *c);

#endif
