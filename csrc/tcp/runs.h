/* The runs in flight as a list: cut, joined, appended, and taken together when nodes are short. */
#ifndef VNIC_TCP_RUNS_H
#define VNIC_TCP_RUNS_H

#include "tcp/delivery.h"
#include "tcp/state.h"

/* The newest run becomes a node, so that it can be walked over and cut; false when no node is left. */
bool runs_seal(struct tcp_engine *e, struct tcp_connection *c);

/* Cuts a run in two at a sequence number inside it; false when no node is left. */
bool runs_split(struct tcp_engine *e, struct tcp_connection *c, uint32_t index, uint32_t at);

/* Joins index with its neighbours; the node that it is in afterwards. prev 0: it is the first. */
uint32_t runs_join(struct tcp_engine *e, struct tcp_connection *c, uint32_t prev, uint32_t index);

/* No node is left: takes two old neighbours together, so that there is one. */
void runs_compact(struct tcp_engine *e, struct tcp_connection *c);

/* Frees the oldest node; all nodes. */
void runs_drop_first(struct tcp_engine *e, struct tcp_connection *c);
void runs_release(struct tcp_engine *e, struct tcp_connection *c);

/* First node, the oldest run; 0: none. */
static inline uint32_t runs_first(const struct tcp_engine *e, const struct tcp_connection *c)
{
    return c->runs != 0 ? e->nodes[c->runs].next : 0;
}

/* The node after index; 0 after the last. */
static inline uint32_t runs_next(const struct tcp_engine *e, const struct tcp_connection *c, uint32_t index)
{
    return index != c->runs ? e->nodes[index].next : 0;
}

#endif
