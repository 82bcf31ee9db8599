/* SACK blocks of an ACK: which to believe, what they deliver, and what they call a duplicate. */
#ifndef VNIC_TCP_SACK_H
#define VNIC_TCP_SACK_H

#include "tcp/scoreboard.h"

/*
 * The duplicate that an ACK reports in its first block (RFC 2883 4): below the acknowledgment number, or within the
 * second block. An older one than the peer's window can be is not believed.
 */
bool sack_duplicate(const struct tcp_connection *c, const struct tcp_segment *segment, struct tcp_block *dup);

/* A block says something of data in flight: within snd_una .. snd_nxt, and not backwards (CC-12). */
bool sack_is_valid(const struct tcp_connection *c, const struct tcp_block *block);

/* Any block but the duplicate is valid. */
bool sack_has_news(const struct tcp_connection *c, const struct tcp_segment *segment, bool has_duplicate);

/* Marks what the blocks deliver; the connection has a recovery entry. */
void sack_apply(struct tcp_engine *e, struct tcp_connection *c, const struct tcp_segment *segment,
                bool has_duplicate, struct delivery *d);

#endif
