/* What of the flight is given up, and what is taken back: marks of the scoreboard that no ACK brings. */
#include "tcp/scoreboard.h"
#include "wire/seq.h"

void scoreboard_lose(struct tcp_engine *e, const struct tcp_connection *c, struct tcp_node *run)
{
    struct tcp_recovery *r = engine_recovery(e, c);

    if ((run->marks & (SCOREBOARD_SACKED | SCOREBOARD_LOST)) != 0) {
        return;
    }
    run->marks = (uint8_t)((run->marks & ~SCOREBOARD_COARSE) | SCOREBOARD_LOST);
    if (r != NULL) {
        r->lost += run->right - run->left;
    }
}

static void lose_newest(struct tcp_engine *e, struct tcp_connection *c)
{
    struct tcp_recovery *r = engine_recovery(e, c);

    if (c->run_seq == c->snd_nxt || (c->run_marks & SCOREBOARD_LOST) != 0) {
        return;
    }
    c->run_marks = (uint8_t)((c->run_marks & ~SCOREBOARD_COARSE) | SCOREBOARD_LOST);
    if (r != NULL) {
        r->lost += c->snd_nxt - c->run_seq;
    }
}

/* A run that cannot be split is lost as a whole: sending too much again is safe. */
void scoreboard_lose_range(struct tcp_engine *e, struct tcp_connection *c, uint32_t left, uint32_t right)
{
    uint32_t index;

    if (seq_gt(right, c->run_seq) && !runs_seal(e, c)) {
        lose_newest(e, c);
    }
    for (index = runs_first(e, c); index != 0; index = runs_next(e, c, index)) {
        struct tcp_node *run = &e->nodes[index];

        if (seq_ge(run->left, right)) {
            break;
        }
        if (seq_le(run->right, left) || (run->marks & (SCOREBOARD_SACKED | SCOREBOARD_LOST)) != 0
            || (seq_lt(run->left, left) && runs_split(e, c, index, left))) {
            continue;
        }
        if (seq_gt(run->right, right)) {
            (void)runs_split(e, c, index, right);
        }
        scoreboard_lose(e, c, run);
    }
}

void scoreboard_lose_longer(struct tcp_engine *e, struct tcp_connection *c, uint32_t len)
{
    if (c->snd_nxt - c->run_seq > len && !runs_seal(e, c)) {
        lose_newest(e, c);
    }
    for (uint32_t index = runs_first(e, c); index != 0; index = runs_next(e, c, index)) {
        if (e->nodes[index].right - e->nodes[index].left > len) {
            scoreboard_lose(e, c, &e->nodes[index]);
        }
    }
}

void scoreboard_lose_all(struct tcp_engine *e, struct tcp_connection *c)
{
    uint32_t prev = 0;

    if (!runs_seal(e, c)) {
        lose_newest(e, c);
    }
    for (uint32_t index = runs_first(e, c); index != 0; index = runs_next(e, c, index)) {
        scoreboard_lose(e, c, &e->nodes[index]);
        index = runs_join(e, c, prev, index);
        prev = index;
    }
}

void scoreboard_restore(struct tcp_engine *e, struct tcp_connection *c)
{
    struct tcp_recovery *r = engine_recovery(e, c);

    for (uint32_t index = runs_first(e, c); index != 0; index = runs_next(e, c, index)) {
        e->nodes[index].marks &= (uint8_t)~SCOREBOARD_LOST;
    }
    c->run_marks &= (uint8_t)~SCOREBOARD_LOST;
    if (r != NULL) {
        r->lost = 0;
    }
}

void scoreboard_forget_sacks(struct tcp_engine *e, struct tcp_connection *c)
{
    struct tcp_recovery *r = engine_recovery(e, c);

    for (uint32_t index = runs_first(e, c); index != 0; index = runs_next(e, c, index)) {
        struct tcp_node *run = &e->nodes[index];

        if ((run->marks & SCOREBOARD_SACKED) != 0) {
            run->marks = SCOREBOARD_LOST | SCOREBOARD_RETRANSMITTED | SCOREBOARD_MERGED;
            if (r != NULL) {
                r->lost += run->right - run->left;
            }
        }
    }
    if (r != NULL) {
        r->sacked = 0;
    }
}
