/* An episode: what a loss or a mark of congestion begins, and what the pool holds while it lasts. */
#ifndef VNIC_TCP_EPISODE_H
#define VNIC_TCP_EPISODE_H

#include "tcp/congestion.h"

/* The connection's entry of the recovery pool, taken when it has none; NULL when none is left. */
struct tcp_recovery *episode_entry(struct tcp_engine *e, struct tcp_connection *c);

/*
 * Gives it back; if_done: unless something is out of order, or duplicates may yet show, for one more window, that a
 * reduction was for nothing. An idle connection keeps none.
 */
void episode_release(struct tcp_engine *e, struct tcp_connection *c);
void episode_release_if_done(struct tcp_engine *e, struct tcp_connection *c, const struct tcp_recovery *r);

/* RECOVERY, with a reduction. */
void episode_begin(struct tcp_engine *e, struct tcp_connection *c, struct tcp_recovery *r,
                   enum congestion_signal signal);

/* LOSS, without one: what is marked lost is sent again. r may be NULL. */
void episode_begin_resend(struct tcp_connection *c, struct tcp_recovery *r);

/* What began it is acknowledged; r may be NULL. */
bool episode_is_over(const struct tcp_engine *e, const struct tcp_connection *c,
                     const struct tcp_recovery *r);
void episode_end(struct tcp_connection *c, struct tcp_recovery *r);

/* Without SACK: so many bytes have left the network, but not more than what is neither lost nor acknowledged. */
void episode_count_left(const struct tcp_connection *c, struct tcp_recovery *r, uint32_t bytes);

/*
 * Without SACK: no further fast retransmit until more than this is acknowledged (RFC 6582 3.2 step 1), and the
 * duplicate ACKs so far are segments that left the network.
 */
void episode_bar_fast_retransmit(struct tcp_connection *c, struct tcp_recovery *r);

#endif
