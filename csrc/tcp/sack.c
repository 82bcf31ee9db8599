/* SACK blocks of an ACK: which to believe, what they deliver, and what they call a duplicate. */
#include "tcp/sack.h"

#include "wire/seq.h"

static bool is_within(const struct tcp_block *inner, const struct tcp_block *outer)
{
    return seq_ge(inner->left, outer->left) && seq_le(inner->right, outer->right);
}

bool sack_duplicate(const struct tcp_connection *c, const struct tcp_segment *segment, struct tcp_block *dup)
{
    const struct tcp_block *first = &segment->sack[0];

    if (segment->sacks == 0 || !seq_lt(first->left, first->right)) {
        return false;
    }
    if (seq_lt(first->left, segment->ack)) {
        if (seq_gt(first->right, segment->ack) || segment->ack - first->left > c->max_snd_wnd) {
            return false;
        }
    } else if (segment->sacks < 2 || !is_within(first, &segment->sack[1])) {
        return false;
    }
    *dup = *first;
    return true;
}

bool sack_is_valid(const struct tcp_connection *c, const struct tcp_block *block)
{
    return seq_lt(block->left, block->right) && seq_ge(block->left, c->snd_una)
           && seq_le(block->right, c->snd_nxt);
}

static uint32_t block_count(const struct tcp_segment *segment)
{
    return segment->sacks < TCP_SACK_BLOCKS ? segment->sacks : TCP_SACK_BLOCKS;
}

bool sack_has_news(const struct tcp_connection *c, const struct tcp_segment *segment, bool has_duplicate)
{
    for (uint32_t i = has_duplicate; i < block_count(segment); i++) {
        if (sack_is_valid(c, &segment->sack[i])) {
            return true;
        }
    }
    return false;
}

void sack_apply(struct tcp_engine *e, struct tcp_connection *c, const struct tcp_segment *segment,
                bool has_duplicate, struct delivery *d)
{
    for (uint32_t i = has_duplicate; i < block_count(segment); i++) {
        if (sack_is_valid(c, &segment->sack[i])) {
            scoreboard_sack(e, c, &segment->sack[i], d);
        }
    }
}
