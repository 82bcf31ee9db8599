/* The retransmission timer: which of RTO, probe timeout and reordering timeout comes first, and from when it runs. */
#ifndef VNIC_TCP_XMIT_TIMER_H
#define VNIC_TCP_XMIT_TIMER_H

#include "tcp/state.h"

/*
 * flight: bytes in flight, those included that go out just now. wait_us: how long RACK wants to wait, 0 when it does
 * not. A PERSIST or OVERRIDE timer is left alone by all of these; with nothing in flight they stop the timer.
 */

/* RFC 6298 5.3: from now on. */
void xmit_timer_restart(struct tcp_engine *e, struct tcp_connection *c, uint32_t flight, uint32_t wait_us);

/* No progress: from where it ran, if it ran. */
void xmit_timer_keep(struct tcp_engine *e, struct tcp_connection *c, uint32_t wait_us);

/* REORDER expired: the RTO goes on in its place. */
void xmit_timer_after_reordering(struct tcp_engine *e, struct tcp_connection *c, uint32_t wait_us);

/* TAIL expired: true when it was set anew, because data was sent since or because it may not be a probe now. */
bool xmit_timer_defer_probe(struct tcp_engine *e, struct tcp_connection *c);

/* The flight is more than one segment now: the probe need not wait for a delayed ACK (RFC 8985 7.2). */
void xmit_timer_hasten_probe(struct tcp_engine *e, struct tcp_connection *c, uint32_t flight);

/* A user timeout is kept to the millisecond: the RTO, or the wait for a probe's answer, does not run beyond it. */
void xmit_timer_cut(struct tcp_engine *e, struct tcp_connection *c);

/* The segment at snd_una was sent again: RTO from now on. */
void xmit_timer_on_head(struct tcp_engine *e, struct tcp_connection *c);

/* RTO from now on, no probe first (RFC 8985 7.3). */
void xmit_timer_set_rto(struct tcp_engine *e, struct tcp_connection *c);

#endif
