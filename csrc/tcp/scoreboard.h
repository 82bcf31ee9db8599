/* The scoreboard: what is in flight, as runs that were sent together, and what became of each. */
#ifndef VNIC_TCP_SCOREBOARD_H
#define VNIC_TCP_SCOREBOARD_H

#include "tcp/delivery.h"
#include "tcp/runs.h"

/*
 * Runs cover snd_una .. snd_nxt without a gap. The newest stands in the connection itself (run_seq .. snd_nxt), so
 * that a connection with one burst in flight needs no node; the older ones are a ring list, c->runs its last node.
 * When no node is left, neighbours are taken together (MERGED), a SACK block that would need a split is ignored, and
 * a run of which only the front was sent again is COARSE: less is known, nothing wrong is.
 */

/* New data seq .. seq + len goes out at the end; called before snd_nxt moves. */
void scoreboard_sent(struct tcp_engine *e, struct tcp_connection *c, uint32_t seq, uint32_t len);

/* left .. right was sent again. */
void scoreboard_resent(struct tcp_engine *e, struct tcp_connection *c, uint32_t left, uint32_t right);

/* Takes out what lies before snd_una. */
void scoreboard_advance(struct tcp_engine *e, struct tcp_connection *c, struct delivery *d);

/* Marks a block within snd_una .. snd_nxt as SACKed. */
void scoreboard_sack(struct tcp_engine *e, struct tcp_connection *c, const struct tcp_block *block,
                     struct delivery *d);

/* Marks as lost: a node; a range, with its runs split where nodes last; runs longer than len; all. Never what is SACKed. */
void scoreboard_lose(struct tcp_engine *e, const struct tcp_connection *c, struct tcp_node *run);
void scoreboard_lose_range(struct tcp_engine *e, struct tcp_connection *c, uint32_t left, uint32_t right);
void scoreboard_lose_longer(struct tcp_engine *e, struct tcp_connection *c, uint32_t len);
void scoreboard_lose_all(struct tcp_engine *e, struct tcp_connection *c);

/* What was thought lost is in flight after all. */
void scoreboard_restore(struct tcp_engine *e, struct tcp_connection *c);

/* The receiver reneged: what it SACKed is lost (RFC 2018 8). */
void scoreboard_forget_sacks(struct tcp_engine *e, struct tcp_connection *c);

/* The lost run with the lowest sequence number. */
bool scoreboard_first_lost(const struct tcp_engine *e, const struct tcp_connection *c, struct tcp_block *out);

/* Bytes of runs with one of these marks, by counting. */
uint32_t scoreboard_count(const struct tcp_engine *e, const struct tcp_connection *c, uint32_t marks);

bool scoreboard_run_at(const struct tcp_engine *e, const struct tcp_connection *c, uint32_t i,
                       struct tcp_block *block, uint32_t *sent_us, uint32_t *marks);

/* NULL, or what is wrong with it. */
const char *scoreboard_check(const struct tcp_engine *e, const struct tcp_connection *c);

#endif
