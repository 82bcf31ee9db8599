/* Out-of-order ranges: what is held beyond RCV.NXT, and the SACK blocks that say so. */
#ifndef VNIC_TCP_REASSEMBLY_H
#define VNIC_TCP_REASSEMBLY_H

#include "tcp/state.h"

/*
 * A list of ranges sorted by sequence number that neither overlap nor touch, all beyond RCV.NXT. A FIN takes its
 * sequence number like a byte. In front of them, with TCP_DSACK_PENDING, stands the duplicate to be reported.
 */

/* How much of left .. right is new, when stored at the caller: the part to keep, and whether anything is. */
struct reassembly_fit {
    uint32_t left, right; /* store these bytes; bytes held already are never overwritten (SEG-12) */
    bool is_kept;         /* false: nothing new, or no node left */
    bool is_short;        /* no node was left for it */
    bool is_duplicate;    /* part of it was held already: dup is that part (RFC 2883) */
    struct tcp_block dup;
};

/*
 * Records the out-of-order range left .. right, rcv_nxt < left. A range that covers several holes is cut to the first
 * run of new bytes (the peer sends the rest again): one segment is stored in one piece. An empty one is never held.
 */
struct reassembly_fit reassembly_add(struct tcp_engine *e, struct tcp_connection *c, uint32_t left,
                                     uint32_t right);

/*
 * The same question for the in-order range left .. right, left == rcv_nxt: it is cut where bytes are held. Records
 * nothing; what is kept goes to reassembly_advance().
 */
struct reassembly_fit reassembly_fit_in_order(const struct tcp_engine *e, const struct tcp_connection *c,
                                              uint32_t left, uint32_t right);

/* rcv_nxt reached `next`: removes what lies before it and returns where in-order data ends now. */
uint32_t reassembly_advance(struct tcp_engine *e, struct tcp_connection *c, uint32_t next);

/* Remembers a duplicate to be reported in the next ACK, once (RFC 2883 4); in place of an older one. */
void reassembly_report_duplicate(struct tcp_engine *e, struct tcp_connection *c, uint32_t left,
                                 uint32_t right);

/* Fills in the SACK blocks of an ACK, D-SACK first, then most recent first; takes the duplicate report. limit <= 4. */
uint32_t reassembly_blocks(struct tcp_engine *e, struct tcp_connection *c, struct tcp_block *blocks,
                           uint32_t limit);

bool reassembly_is_empty(const struct tcp_engine *e, const struct tcp_connection *c);

/* The node of the first range, 0: none; the others follow by `next`. */
static inline uint32_t reassembly_first(const struct tcp_engine *e, const struct tcp_connection *c)
{
    return tcp_has(c, TCP_DSACK_PENDING) ? e->nodes[c->ranges].next : c->ranges;
}

/* Forgets all ranges and the duplicate, and gives back their nodes. */
void reassembly_drop(struct tcp_engine *e, struct tcp_connection *c);

#endif
