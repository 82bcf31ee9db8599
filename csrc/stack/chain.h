/* Byte strings of any length in fixed blocks of a bounded pool: frames that wait, datagrams, fragments. */
#ifndef VNIC_STACK_CHAIN_H
#define VNIC_STACK_CHAIN_H

#include "base/pool.h"

#include <stdbool.h>

enum { CHAIN_BLOCK_BYTES = 252 };

struct chain_block {
    uint32_t next; /* first: the pool's link as well */
    uint8_t bytes[CHAIN_BLOCK_BYTES];
};

struct chains {
    struct pool pool;
    struct chain_block *blocks;
};

/* Empty when all zeros. */
struct chain {
    uint32_t head, tail;
    uint32_t len;
};

/* Room for `bytes` at least; false without memory. */
bool chains_create(struct chains *chains, uint64_t bytes);
void chains_destroy(struct chains *chains);

/* Whether a new chain of so many bytes fits. */
bool chains_have_room(const struct chains *chains, uint64_t bytes);

/* False when the pool is used up: the chain then holds a part, and the caller frees it. */
bool chain_append(struct chains *chains, struct chain *chain, const void *bytes, uint32_t len);
/* Copies `len` bytes from offset on; the chain has them. */
void chain_read(const struct chains *chains, const struct chain *chain, uint32_t offset, void *out,
                uint32_t len);
bool chain_is_equal(const struct chains *chains, const struct chain *chain, const void *bytes);
/* Overwrites bytes of the first block. */
void chain_patch(struct chains *chains, const struct chain *chain, uint32_t offset, const void *bytes,
                 uint32_t len);
void chain_free(struct chains *chains, struct chain *chain);

#endif
