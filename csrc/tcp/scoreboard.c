/* The scoreboard: what is in flight, as runs that were sent together, and what became of each. */
#include "tcp/scoreboard.h"

#include "wire/seq.h"

enum {
    GRAIN_SHIFT = 4,   /* sent within 1/16 of the minimum RTT of each other: */
    GRAIN_MAX_US = 64  /* one run, but never with more than this between them */
};

static uint32_t grain_us(const struct tcp_connection *c)
{
    uint32_t grain = c->min_rtt_us >> GRAIN_SHIFT;

    return grain < GRAIN_MAX_US ? grain : GRAIN_MAX_US;
}

/* New data joins a run that could not be made a node: what is said of that run has to hold for both. */
static void grow_newest(struct tcp_engine *e, struct tcp_connection *c, uint32_t len)
{
    struct tcp_recovery *r = engine_recovery(e, c);

    c->run_us = engine_us(e);
    c->run_marks |= SCOREBOARD_MERGED;
    if (r != NULL && (c->run_marks & SCOREBOARD_LOST) != 0) {
        r->lost += len;
    }
}

void scoreboard_sent(struct tcp_engine *e, struct tcp_connection *c, uint32_t seq, uint32_t len)
{
    uint32_t now = engine_us(e);

    if (c->snd_una == c->snd_nxt) {
        c->run_seq = seq;
    }
    if (c->run_seq != seq) {
        if (c->run_marks == 0 && now - c->run_us <= grain_us(c)) {
            return;
        }
        if (!runs_seal(e, c)) {
            grow_newest(e, c, len);
            return;
        }
    }
    c->run_us = now;
    c->run_marks = 0;
}

static void count_gone(struct tcp_recovery *r, uint32_t marks, uint32_t len)
{
    if (r == NULL) {
        return;
    }
    if ((marks & SCOREBOARD_SACKED) != 0) {
        r->sacked -= len;
    } else if ((marks & SCOREBOARD_LOST) != 0) {
        r->lost -= len;
    }
}

/* The receiver has the front of a coarse run; nothing says that the rest ever was sent again. */
static void lose_rest(struct tcp_recovery *r, uint8_t *marks, uint32_t len)
{
    if ((*marks & SCOREBOARD_COARSE) == 0) {
        return;
    }
    *marks = (uint8_t)((*marks & ~SCOREBOARD_COARSE) | SCOREBOARD_LOST);
    if (r != NULL) {
        r->lost += len;
    }
}

static void advance_newest(struct tcp_engine *e, struct tcp_connection *c, struct delivery *d)
{
    struct tcp_recovery *r = engine_recovery(e, c);

    if (!seq_lt(c->run_seq, c->snd_una)) {
        return;
    }
    count_gone(r, c->run_marks, c->snd_una - c->run_seq);
    delivery_note(d, c->run_seq, c->snd_una, c->run_us, c->run_marks);
    c->run_seq = c->snd_una;
    if (c->run_seq == c->snd_nxt) {
        c->run_marks = 0;
    } else {
        lose_rest(r, &c->run_marks, c->snd_nxt - c->run_seq);
    }
}

static void trim_first(struct tcp_recovery *r, struct tcp_node *run, uint32_t una, struct delivery *d)
{
    if (run->left == una) {
        return;
    }
    count_gone(r, run->marks, una - run->left);
    delivery_note(d, run->left, una, run->stamp, run->marks);
    run->left = una;
    lose_rest(r, &run->marks, run->right - una);
}

void scoreboard_advance(struct tcp_engine *e, struct tcp_connection *c, struct delivery *d)
{
    struct tcp_recovery *r = engine_recovery(e, c);

    while (c->runs != 0) {
        struct tcp_node *run = &e->nodes[runs_first(e, c)];

        if (seq_gt(run->right, c->snd_una)) {
            trim_first(r, run, c->snd_una, d);
            return;
        }
        count_gone(r, run->marks, run->right - run->left);
        delivery_note(d, run->left, run->right, run->stamp, run->marks);
        runs_drop_first(e, c);
    }
    advance_newest(e, c, d);
}

static void sack_run(struct tcp_engine *e, const struct tcp_connection *c, struct tcp_node *run,
                     struct delivery *d)
{
    struct tcp_recovery *r = engine_recovery(e, c);
    uint32_t len = run->right - run->left;

    count_gone(r, run->marks, len);
    delivery_note(d, run->left, run->right, run->stamp, run->marks);
    run->marks = SCOREBOARD_SACKED;
    d->sacked += len;
    r->sacked += len;
}

void scoreboard_sack(struct tcp_engine *e, struct tcp_connection *c, const struct tcp_block *block,
                     struct delivery *d)
{
    uint32_t prev = 0, index;

    if (seq_gt(block->right, c->run_seq)) {
        (void)runs_seal(e, c);
    }
    if (pool_left(&e->node_pool) == 0) {
        runs_compact(e, c);
    }
    for (index = runs_first(e, c); index != 0; index = runs_next(e, c, index)) {
        struct tcp_node *run = &e->nodes[index];

        if (seq_ge(run->left, block->right)) {
            break;
        }
        if (seq_gt(run->right, block->left) && (run->marks & SCOREBOARD_SACKED) == 0) {
            if (seq_lt(run->left, block->left)) {
                (void)runs_split(e, c, index, block->left); /* what is right of the cut comes next */
            } else if (seq_le(run->right, block->right) || runs_split(e, c, index, block->right)) {
                sack_run(e, c, run, d);
                index = runs_join(e, c, prev, index);
            }
        }
        prev = index;
    }
}

static void resend_run(struct tcp_engine *e, const struct tcp_connection *c, struct tcp_node *run,
                       bool is_coarse)
{
    if ((run->marks & SCOREBOARD_LOST) != 0) {
        count_gone(engine_recovery(e, c), run->marks, run->right - run->left);
    }
    run->marks = (uint8_t)(SCOREBOARD_RETRANSMITTED | (is_coarse ? SCOREBOARD_COARSE : 0));
    run->stamp = engine_us(e);
}

static void resend_newest(struct tcp_engine *e, struct tcp_connection *c)
{
    if ((c->run_marks & SCOREBOARD_LOST) != 0) {
        count_gone(engine_recovery(e, c), c->run_marks, c->snd_nxt - c->run_seq);
    }
    c->run_marks = SCOREBOARD_RETRANSMITTED | SCOREBOARD_COARSE;
    c->run_us = engine_us(e);
}

void scoreboard_resent(struct tcp_engine *e, struct tcp_connection *c, uint32_t left, uint32_t right)
{
    uint32_t prev = 0, index;

    if (seq_gt(right, c->run_seq) && !runs_seal(e, c)) {
        resend_newest(e, c);
    }
    for (index = runs_first(e, c); index != 0; index = runs_next(e, c, index)) {
        struct tcp_node *run = &e->nodes[index];

        if (seq_ge(run->left, right)) {
            break;
        }
        if (seq_gt(run->right, left) && (run->marks & SCOREBOARD_SACKED) == 0
            && !(seq_lt(run->left, left) && runs_split(e, c, index, left))) {
            bool is_coarse = seq_gt(run->right, right) && !runs_split(e, c, index, right);

            resend_run(e, c, run, is_coarse);
            index = runs_join(e, c, prev, index);
        }
        prev = index;
    }
}
