/* Proportional rate reduction: how cwnd goes down to ssthresh during recovery (RFC 6937). */
#ifndef VNIC_TCP_PRR_H
#define VNIC_TCP_PRR_H

#include "tcp/state.h"

void prr_begin(struct tcp_connection *c, struct tcp_recovery *r);

/* delivered bytes are new to the receiver; is_safe: snd_una advanced and nothing more was lost (RFC 9937). */
void prr_on_ack(const struct tcp_engine *e, struct tcp_connection *c, struct tcp_recovery *r,
                uint32_t delivered, bool is_safe);

#endif
