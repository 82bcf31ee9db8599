/* Undo: a reduction that turns out to have been for nothing is taken back (RFC 3522, 3708, 4015, 5682). */
#ifndef VNIC_TCP_UNDO_H
#define VNIC_TCP_UNDO_H

#include "tcp/scoreboard.h"

/* Keeps what a reduction is about to change. */
void undo_save(const struct tcp_connection *c, struct tcp_recovery *r);

/* Something was sent again. */
void undo_on_retransmission(const struct tcp_engine *e, const struct tcp_connection *c,
                            struct tcp_recovery *r, uint32_t len);

/* Eifel: the ACK of new data answers a segment older than our first retransmission. */
bool undo_is_eifel(const struct tcp_connection *c, const struct tcp_recovery *r,
                   const struct tcp_segment *segment);

/* Counts a reported duplicate; true when all that was sent again had arrived already (RFC 3708). */
bool undo_on_duplicate(struct tcp_recovery *r, const struct tcp_block *dup);

/* Takes the reduction back. */
void undo_apply(struct tcp_engine *e, struct tcp_connection *c, struct tcp_recovery *r);

/* F-RTO after a timeout (RFC 5682 3.1): what the next ACKs say of it. */
enum frto_verdict { FRTO_UNDECIDED, FRTO_SPURIOUS, FRTO_GENUINE };
enum frto_verdict frto_on_ack(const struct tcp_connection *c, struct tcp_recovery *r, bool is_advance,
                              bool is_duplicate, const struct delivery *d);

/* F-RTO wants new data, no retransmission. */
static inline bool frto_holds(const struct tcp_recovery *r)
{
    return r->frto == 2;
}

#endif
