/* Payload blocks: chains of fixed blocks that hold bytes by sequence number, from one bounded pool. */
#ifndef VNIC_TCP_BLOCKS_H
#define VNIC_TCP_BLOCKS_H

#include "base/pool.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A chain is a list of blocks in the order of their sequence numbers; the first bytes of any two are a multiple of
 * BLOCK_BYTES apart. Holes cost nothing: a block is there when a byte of it was written. Who owns the chain knows
 * which bytes are valid. A chain spans less than 2^31 numbers.
 */
enum { BLOCK_BYTES = 4080 };

struct block {
    uint32_t next;
    uint32_t seq; /* of bytes[0] */
    uint32_t reserved[2];
    uint8_t bytes[BLOCK_BYTES];
};

struct block_pool {
    struct block *blocks;
    struct pool pool;
};

struct block_chain {
    uint32_t head, tail;
    uint32_t at; /* where the last access away from the ends was: a hint, or 0 */
};

/* As many blocks as hold that many bytes; false when memory is short. */
bool blocks_create(struct block_pool *p, uint64_t bytes);
void blocks_destroy(struct block_pool *p);

/* Where byte seq goes, and how many from it on are in one piece; NULL when the pool is used up. */
uint8_t *blocks_place(struct block_pool *p, struct block_chain *chain, uint32_t seq, uint32_t *room);

/* Where byte seq is, and how many from it on are in one piece; NULL when no block holds it. */
uint8_t *blocks_find(const struct block_pool *p, struct block_chain *chain, uint32_t seq, uint32_t *len);

/* Writes bytes; how many, fewer when the pool is used up. */
uint32_t blocks_write(struct block_pool *p, struct block_chain *chain, uint32_t seq, const void *bytes,
                      uint32_t len);

/* Reads bytes that were written. */
void blocks_read(const struct block_pool *p, struct block_chain *chain, uint32_t seq, void *out,
                 uint32_t len);

/* How many blocks must be taken so that seq .. seq + len can be written. */
uint32_t blocks_missing(const struct block_pool *p, const struct block_chain *chain, uint32_t seq,
                        uint32_t len);

/* Gives back the blocks that hold nothing at or behind seq, or nothing before it. */
void blocks_release_before(struct block_pool *p, struct block_chain *chain, uint32_t seq);
void blocks_release_from(struct block_pool *p, struct block_chain *chain, uint32_t seq);
void blocks_release_all(struct block_pool *p, struct block_chain *chain);

static inline uint32_t blocks_left(const struct block_pool *p)
{
    return pool_left(&p->pool);
}

#endif
