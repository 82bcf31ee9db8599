/* The runs in flight as a list: cut, joined, appended, and taken together when nodes are short. */
#include "tcp/runs.h"

#include "wire/seq.h"

enum { COMPACT_NODES = 64 }; /* how far to look for neighbours to take together */

static uint32_t node_take(struct tcp_engine *e)
{
    uint32_t index = pool_take(&e->node_pool);

    if (index == 0) {
        e->statistics.no_nodes++;
    }
    return index;
}

/* Takes the node after index into it and frees it. */
static void absorb_next(struct tcp_engine *e, struct tcp_connection *c, uint32_t index)
{
    struct tcp_node *run = &e->nodes[index];
    uint32_t gone = run->next;
    const struct tcp_node *next = &e->nodes[gone];

    if (run->stamp != next->stamp) {
        run->marks |= SCOREBOARD_MERGED;
        run->stamp = seq_max(run->stamp, next->stamp);
    }
    run->marks |= next->marks & SCOREBOARD_MERGED;
    run->right = next->right;
    run->next = next->next;
    if (gone == c->runs) {
        c->runs = index;
    }
    pool_give(&e->node_pool, gone);
}

static bool is_same_kind(const struct tcp_node *a, const struct tcp_node *b)
{
    return ((a->marks ^ b->marks) & ~SCOREBOARD_MERGED) == 0 && (a->marks & SCOREBOARD_COARSE) == 0;
}

/* SACKed and lost runs have no more use for the time at which they were sent. */
static bool may_join(const struct tcp_node *a, const struct tcp_node *b)
{
    return is_same_kind(a, b)
           && ((a->marks & (SCOREBOARD_SACKED | SCOREBOARD_LOST)) != 0 || a->stamp == b->stamp);
}

static void join_next(struct tcp_engine *e, struct tcp_connection *c, uint32_t index)
{
    while (index != c->runs && may_join(&e->nodes[index], &e->nodes[e->nodes[index].next])) {
        absorb_next(e, c, index);
    }
}

uint32_t runs_join(struct tcp_engine *e, struct tcp_connection *c, uint32_t prev, uint32_t index)
{
    if (prev != 0 && may_join(&e->nodes[prev], &e->nodes[index])) {
        index = prev;
    }
    join_next(e, c, index);
    return index;
}

void runs_compact(struct tcp_engine *e, struct tcp_connection *c)
{
    uint32_t index = runs_first(e, c);

    for (uint32_t looked = 0; index != 0 && index != c->runs && looked < COMPACT_NODES; looked++) {
        if (is_same_kind(&e->nodes[index], &e->nodes[e->nodes[index].next])) {
            absorb_next(e, c, index);
            return;
        }
        index = e->nodes[index].next;
    }
}

static void append(struct tcp_engine *e, struct tcp_connection *c, uint32_t index)
{
    struct tcp_node *last = &e->nodes[c->runs];

    if (c->runs == 0) {
        e->nodes[index].next = index;
    } else {
        e->nodes[index].next = last->next;
        last->next = index;
    }
    c->runs = index;
}

bool runs_seal(struct tcp_engine *e, struct tcp_connection *c)
{
    uint32_t index;

    if (c->run_seq == c->snd_nxt) {
        return true;
    }
    index = node_take(e);
    if (index == 0) {
        runs_compact(e, c);
        index = pool_take(&e->node_pool);
    }
    if (index == 0) {
        return false;
    }
    e->nodes[index] =
        (struct tcp_node){.left = c->run_seq, .right = c->snd_nxt, .stamp = c->run_us, .marks = c->run_marks};
    append(e, c, index);
    c->run_seq = c->snd_nxt;
    c->run_marks = 0;
    return true;
}

bool runs_split(struct tcp_engine *e, struct tcp_connection *c, uint32_t index, uint32_t at)
{
    uint32_t rest = node_take(e);

    if (rest == 0) {
        return false;
    }
    e->nodes[rest] = e->nodes[index];
    e->nodes[rest].left = at;
    e->nodes[index].right = at;
    e->nodes[index].next = rest;
    if (index == c->runs) {
        c->runs = rest;
    }
    return true;
}

void runs_drop_first(struct tcp_engine *e, struct tcp_connection *c)
{
    struct tcp_node *last = &e->nodes[c->runs];
    uint32_t index = last->next;

    if (index == c->runs) {
        c->runs = 0;
    } else {
        last->next = e->nodes[index].next;
    }
    pool_give(&e->node_pool, index);
}

void runs_release(struct tcp_engine *e, struct tcp_connection *c)
{
    while (c->runs != 0) {
        runs_drop_first(e, c);
    }
    c->run_marks = 0;
    c->run_seq = c->snd_nxt;
}
