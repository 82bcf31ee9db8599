/* Payload blocks: finding, filling and giving back the blocks of a chain. */
#include "tcp/blocks.h"

#include "base/bits.h"
#include "wire/seq.h"

#include <stdlib.h>
#include <string.h>

bool blocks_create(struct block_pool *p, uint64_t bytes)
{
    const uint64_t count = (bytes + BLOCK_BYTES - 1) / BLOCK_BYTES;

    *p = (struct block_pool){.blocks = NULL};
    if (count == 0 || count > UINT32_MAX / 2) {
        return false;
    }
    p->blocks = malloc((size_t)(count + 1) * sizeof(struct block));
    if (p->blocks == NULL) {
        return false;
    }
    pool_start(&p->pool, p->blocks, sizeof(struct block), (uint32_t)count);
    return true;
}

void blocks_destroy(struct block_pool *p)
{
    free(p->blocks);
    p->blocks = NULL;
}

/* The last block that starts at or before seq; 0 when seq lies before the chain. */
static uint32_t blocks_seek(const struct block_pool *p, const struct block_chain *chain, uint32_t seq)
{
    const struct block *blocks = p->blocks;
    uint32_t index;

    if (chain->head == 0 || seq_lt(seq, blocks[chain->head].seq)) {
        return 0;
    }
    if (seq_ge(seq, blocks[chain->tail].seq)) {
        return chain->tail;
    }
    index = chain->at != 0 && seq_ge(seq, blocks[chain->at].seq) ? chain->at : chain->head;
    while (seq_ge(seq, blocks[blocks[index].next].seq)) {
        index = blocks[index].next;
    }
    return index;
}

/* First number of the new block for seq, behind block `before` of the chain. */
static uint32_t blocks_start(const struct block_pool *p, const struct block_chain *chain, uint32_t before,
                             uint32_t seq)
{
    if (before != 0) {
        const uint32_t base = p->blocks[before].seq;

        return base + (seq - base) / BLOCK_BYTES * BLOCK_BYTES;
    }
    if (chain->head != 0) {
        const uint32_t base = p->blocks[chain->head].seq;

        return base - (base - seq + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
    }
    return seq;
}

/* Puts a new block for seq behind `before` (0: first); its index, or 0. */
static uint32_t blocks_insert(struct block_pool *p, struct block_chain *chain, uint32_t before, uint32_t seq)
{
    const uint32_t index = pool_take(&p->pool);
    struct block *block = &p->blocks[index];

    if (index == 0) {
        return 0;
    }
    block->seq = blocks_start(p, chain, before, seq);
    block->next = before != 0 ? p->blocks[before].next : chain->head;
    if (before != 0) {
        p->blocks[before].next = index;
    } else {
        chain->head = index;
    }
    if (block->next == 0) {
        chain->tail = index;
    }
    return index;
}

static bool blocks_holds(const struct block_pool *p, uint32_t index, uint32_t seq)
{
    return index != 0 && seq - p->blocks[index].seq < BLOCK_BYTES;
}

uint8_t *blocks_place(struct block_pool *p, struct block_chain *chain, uint32_t seq, uint32_t *room)
{
    uint32_t index = blocks_seek(p, chain, seq);
    uint32_t offset;

    if (!blocks_holds(p, index, seq)) {
        index = blocks_insert(p, chain, index, seq);
        if (index == 0) {
            return NULL;
        }
    }
    if (index != chain->tail) {
        chain->at = index;
    }
    offset = seq - p->blocks[index].seq;
    *room = BLOCK_BYTES - offset;
    return p->blocks[index].bytes + offset;
}

uint8_t *blocks_find(const struct block_pool *p, struct block_chain *chain, uint32_t seq, uint32_t *len)
{
    const uint32_t index = blocks_seek(p, chain, seq);
    uint32_t offset;

    if (!blocks_holds(p, index, seq)) {
        return NULL;
    }
    if (index != chain->head && index != chain->tail) {
        chain->at = index;
    }
    offset = seq - p->blocks[index].seq;
    *len = BLOCK_BYTES - offset;
    return p->blocks[index].bytes + offset;
}

uint32_t blocks_write(struct block_pool *p, struct block_chain *chain, uint32_t seq, const void *bytes,
                      uint32_t len)
{
    const uint8_t *from = bytes;
    uint32_t done = 0;

    while (done < len) {
        uint32_t room;
        uint8_t *to = blocks_place(p, chain, seq + done, &room);

        if (to == NULL) {
            break;
        }
        room = bits_min32(room, len - done);
        memcpy(to, from + done, room);
        done += room;
    }
    return done;
}

void blocks_read(const struct block_pool *p, struct block_chain *chain, uint32_t seq, void *out, uint32_t len)
{
    uint8_t *to = out;

    while (len != 0) {
        uint32_t piece;
        const uint8_t *from = blocks_find(p, chain, seq, &piece);

        if (from == NULL) {
            return;
        }
        piece = bits_min32(piece, len);
        memcpy(to, from, piece);
        to += piece;
        seq += piece;
        len -= piece;
    }
}

uint32_t blocks_missing(const struct block_pool *p, const struct block_chain *chain, uint32_t seq,
                        uint32_t len)
{
    uint32_t before = blocks_seek(p, chain, seq);
    uint32_t start =
        blocks_holds(p, before, seq) ? p->blocks[before].seq : blocks_start(p, chain, before, seq);
    uint32_t missing = 0;

    for (; len != 0 && seq_lt(start, seq + len); start += BLOCK_BYTES) {
        const uint32_t next = before != 0 ? p->blocks[before].next : chain->head;

        if (before != 0 && p->blocks[before].seq == start) {
            continue;
        }
        if (next != 0 && p->blocks[next].seq == start) {
            before = next;
            continue;
        }
        missing++;
    }
    return missing;
}

void blocks_release_before(struct block_pool *p, struct block_chain *chain, uint32_t seq)
{
    while (chain->head != 0 && seq_le(p->blocks[chain->head].seq + BLOCK_BYTES, seq)) {
        const uint32_t index = chain->head;

        chain->head = p->blocks[index].next;
        chain->at = chain->at == index ? 0 : chain->at;
        pool_give(&p->pool, index);
    }
    if (chain->head == 0) {
        chain->tail = 0;
    }
}

void blocks_release_from(struct block_pool *p, struct block_chain *chain, uint32_t seq)
{
    const uint32_t last = blocks_seek(p, chain, seq - 1);
    uint32_t index = last != 0 ? p->blocks[last].next : chain->head;

    if (index == 0) {
        return;
    }
    if (last != 0) {
        p->blocks[last].next = 0;
    } else {
        chain->head = 0;
    }
    chain->tail = last;
    chain->at = 0;
    while (index != 0) {
        const uint32_t next = p->blocks[index].next;

        pool_give(&p->pool, index);
        index = next;
    }
}

void blocks_release_all(struct block_pool *p, struct block_chain *chain)
{
    while (chain->head != 0) {
        const uint32_t index = chain->head;

        chain->head = p->blocks[index].next;
        pool_give(&p->pool, index);
    }
    chain->tail = 0;
    chain->at = 0;
}
