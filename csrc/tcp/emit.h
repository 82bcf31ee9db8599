/* A segment of a connection on its way out: the fields that all of them share. */
#ifndef VNIC_TCP_EMIT_H
#define VNIC_TCP_EMIT_H

#include "tcp/state.h"

/* Payload that one packet may carry now, with the options that it will have. */
uint32_t emit_payload_limit(const struct tcp_engine *e, const struct tcp_connection *c);

/*
 * Fills in a segment that acknowledges: ACK, window, timestamp, SACK blocks, ECE, urgent pointer. What was due of
 * these is thereby done.
 */
void emit_start(struct tcp_engine *e, struct tcp_connection *c, struct tcp_segment *out, uint32_t seq);

/*
 * Sequence number of a segment without data: SND.NXT, unless the peer's window ends before it: then the segment would
 * not be acceptable there.
 */
uint32_t emit_empty_seq(const struct tcp_connection *c);

/* SYN or SYN,ACK. */
void emit_syn(struct tcp_engine *e, struct tcp_connection *c, struct tcp_segment *out);

/* Our RST (RFC 9293 3.10.5); nothing of the connection changes. */
void emit_reset(const struct tcp_engine *e, const struct tcp_connection *c, struct tcp_segment *rst);

#endif
