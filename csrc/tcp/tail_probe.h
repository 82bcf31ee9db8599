/* Tail loss probe: after a silence of about two round trips, one segment brings an ACK out (RFC 8985 7). */
#ifndef VNIC_TCP_TAIL_PROBE_H
#define VNIC_TCP_TAIL_PROBE_H

#include "tcp/recovery.h"

/* A probe timeout may be armed: nothing out of order, none outstanding, no timeout in a row. */
bool tail_probe_may(const struct tcp_engine *e, const struct tcp_connection *c);

/* PTO in us with that many bytes in flight, without regard to the RTO. */
uint32_t tail_probe_timeout_us(const struct tcp_connection *c, uint32_t flight);

/* The probe is due: marks it pending. */
void tail_probe_due(struct tcp_engine *e, struct tcp_connection *c);

/* New data can be the probe; otherwise the last segment is sent again. */
bool tail_probe_is_new(const struct tcp_connection *c);

/* The last segment in flight, at most max_len. */
struct tcp_block tail_probe_range(const struct tcp_connection *c, uint32_t max_len);

/* The probe seq .. end was handed out. */
void tail_probe_sent(struct tcp_connection *c, uint32_t end, bool is_retransmission);

/*
 * An ACK came in; dup is the duplicate it reports, or NULL. True: the probe repaired a loss, which congestion control
 * has to hear of (7.4.2).
 */
bool tail_probe_on_ack(struct tcp_connection *c, const struct recovery_ack *ack, const struct tcp_block *dup);

/* The duplicate is the probe that was sent again: no loss, and no haste of RACK's either. */
bool tail_probe_is_duplicate(const struct tcp_connection *c, const struct tcp_block *dup);

/* Forgets a probe that is outstanding. */
void tail_probe_forget(struct tcp_connection *c);

#endif
