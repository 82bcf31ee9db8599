/* Looking at the scoreboard: the next lost run, counts, single runs, and whether all is in order. */
#include "tcp/scoreboard.h"
#include "wire/seq.h"

bool scoreboard_first_lost(const struct tcp_engine *e, const struct tcp_connection *c, struct tcp_block *out)
{
    for (uint32_t index = runs_first(e, c); index != 0; index = runs_next(e, c, index)) {
        const struct tcp_node *run = &e->nodes[index];

        if ((run->marks & SCOREBOARD_LOST) != 0) {
            *out = (struct tcp_block){run->left, run->right};
            return true;
        }
    }
    *out = (struct tcp_block){c->run_seq, c->snd_nxt};
    return (c->run_marks & SCOREBOARD_LOST) != 0 && out->left != out->right;
}

uint32_t scoreboard_count(const struct tcp_engine *e, const struct tcp_connection *c, uint32_t marks)
{
    uint32_t bytes = (c->run_marks & marks) != 0 ? c->snd_nxt - c->run_seq : 0;

    for (uint32_t index = runs_first(e, c); index != 0; index = runs_next(e, c, index)) {
        if ((e->nodes[index].marks & marks) != 0) {
            bytes += e->nodes[index].right - e->nodes[index].left;
        }
    }
    return bytes;
}

bool scoreboard_run_at(const struct tcp_engine *e, const struct tcp_connection *c, uint32_t i,
                       struct tcp_block *block, uint32_t *sent_us, uint32_t *marks)
{
    uint32_t index = runs_first(e, c);

    for (; index != 0 && i != 0; i--) {
        index = runs_next(e, c, index);
    }
    if (index != 0) {
        *block = (struct tcp_block){e->nodes[index].left, e->nodes[index].right};
        *sent_us = e->nodes[index].stamp;
        *marks = e->nodes[index].marks;
        return true;
    }
    *block = (struct tcp_block){c->run_seq, c->snd_nxt};
    *sent_us = c->run_us;
    *marks = c->run_marks;
    return i == 0 && c->snd_una != c->snd_nxt && c->run_seq != c->snd_nxt;
}

static const char *check_runs(const struct tcp_engine *e, const struct tcp_connection *c)
{
    uint32_t left = c->snd_una;

    for (uint32_t index = runs_first(e, c); index != 0; index = runs_next(e, c, index)) {
        const struct tcp_node *run = &e->nodes[index];

        if (run->left != left || !seq_lt(run->left, run->right)) {
            return "scoreboard: runs leave a gap";
        }
        if ((run->marks & SCOREBOARD_SACKED) != 0 && (run->marks & ~SCOREBOARD_MERGED) != SCOREBOARD_SACKED) {
            return "scoreboard: a SACKed run is something else too";
        }
        left = run->right;
    }
    return c->run_seq == left && seq_le(left, c->snd_nxt) ? NULL : "scoreboard: newest run out of place";
}

const char *scoreboard_check(const struct tcp_engine *e, const struct tcp_connection *c)
{
    const struct tcp_recovery *r = c->recovery != 0 ? &e->recoveries[c->recovery] : NULL;
    bool has_sack = tcp_has(c, TCP_HAS_SACK);
    const char *wrong = NULL;

    if (c->snd_una == c->snd_nxt) {
        if (c->runs != 0) {
            return "scoreboard: runs without data in flight";
        }
        return r != NULL && (r->sacked | r->lost) != 0 ? "scoreboard: counts without data in flight" : NULL;
    }
    wrong = check_runs(e, c);
    if (wrong != NULL) {
        return wrong;
    }
    if (r != NULL && r->lost != scoreboard_count(e, c, SCOREBOARD_LOST)) {
        return "scoreboard: lost bytes miscounted";
    }
    if (r != NULL && has_sack && r->sacked != scoreboard_count(e, c, SCOREBOARD_SACKED)) {
        return "scoreboard: SACKed bytes miscounted";
    }
    return r != NULL && r->sacked + r->lost > tcp_flight(c) ? "scoreboard: pipe below zero" : NULL;
}
