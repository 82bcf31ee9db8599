/* HyStart++: leaves the first slow start when the round-trip time rises, before packets are lost (RFC 9406). */
#ifndef VNIC_TCP_HYSTART_H
#define VNIC_TCP_HYSTART_H

#include "tcp/congestion.h"

/* While TCP_HYSTART is set c->cc is HyStart++'s; hystart_end() leaves it clean for the congestion control. */
void hystart_begin(struct tcp_connection *c);
void hystart_end(struct tcp_connection *c);

/* An ACK in slow start that would grow cwnd by `growth`: by how much it may; may set ssthresh. */
uint32_t hystart_on_ack(struct tcp_connection *c, const struct congestion_ack *ack, uint32_t growth);

#endif
