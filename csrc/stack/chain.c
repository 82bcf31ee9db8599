/* Chains of blocks: append, read, free. */
#include "stack/chain.h"

#include "base/bits.h"
#include "base/check.h"

#include <stdlib.h>
#include <string.h>

bool chains_create(struct chains *chains, uint64_t bytes)
{
    const uint64_t blocks = (bytes + CHAIN_BLOCK_BYTES - 1) / CHAIN_BLOCK_BYTES;

    if (blocks >= UINT32_MAX) {
        return false;
    }
    chains->blocks = malloc((size_t)(blocks + 1) * sizeof(*chains->blocks));
    if (chains->blocks == NULL) {
        return false;
    }
    pool_start(&chains->pool, chains->blocks, sizeof(*chains->blocks), (uint32_t)blocks);
    return true;
}

void chains_destroy(struct chains *chains)
{
    free(chains->blocks);
    chains->blocks = NULL;
}

bool chains_have_room(const struct chains *chains, uint64_t bytes)
{
    return (bytes + CHAIN_BLOCK_BYTES - 1) / CHAIN_BLOCK_BYTES <= pool_left(&chains->pool);
}

static bool add_block(struct chains *chains, struct chain *chain)
{
    const uint32_t block = pool_take(&chains->pool);

    if (block == 0) {
        return false;
    }
    chains->blocks[block].next = 0;
    if (chain->head == 0) {
        chain->head = block;
    } else {
        chains->blocks[chain->tail].next = block;
    }
    chain->tail = block;
    return true;
}

bool chain_append(struct chains *chains, struct chain *chain, const void *bytes, uint32_t len)
{
    const uint8_t *from = bytes;

    while (len > 0) {
        const uint32_t at = chain->len % CHAIN_BLOCK_BYTES;
        const uint32_t part = bits_min32(len, CHAIN_BLOCK_BYTES - at);

        if (at == 0 && !add_block(chains, chain)) {
            return false;
        }
        memcpy(chains->blocks[chain->tail].bytes + at, from, part);
        chain->len += part;
        from += part;
        len -= part;
    }
    return true;
}

void chain_read(const struct chains *chains, const struct chain *chain, uint32_t offset, void *out,
                uint32_t len)
{
    uint8_t *to = out;
    uint32_t block = chain->head;

    vnic_assert(offset <= chain->len && len <= chain->len - offset);
    for (; offset >= CHAIN_BLOCK_BYTES && len > 0; offset -= CHAIN_BLOCK_BYTES) {
        block = chains->blocks[block].next;
    }
    while (len > 0) {
        const uint32_t part = bits_min32(len, CHAIN_BLOCK_BYTES - offset);

        memcpy(to, chains->blocks[block].bytes + offset, part);
        block = chains->blocks[block].next;
        offset = 0;
        to += part;
        len -= part;
    }
}

bool chain_is_equal(const struct chains *chains, const struct chain *chain, const void *bytes)
{
    const uint8_t *from = bytes;
    uint32_t block = chain->head;

    for (uint32_t left = chain->len; left > 0;) {
        const uint32_t part = bits_min32(left, CHAIN_BLOCK_BYTES);

        if (memcmp(chains->blocks[block].bytes, from, part) != 0) {
            return false;
        }
        block = chains->blocks[block].next;
        from += part;
        left -= part;
    }
    return true;
}

void chain_patch(struct chains *chains, const struct chain *chain, uint32_t offset, const void *bytes,
                 uint32_t len)
{
    vnic_assert(offset + len <= chain->len && offset + len <= CHAIN_BLOCK_BYTES);
    memcpy(chains->blocks[chain->head].bytes + offset, bytes, len);
}

void chain_free(struct chains *chains, struct chain *chain)
{
    uint32_t block = chain->head;

    while (block != 0) {
        const uint32_t next = chains->blocks[block].next;

        pool_give(&chains->pool, block);
        block = next;
    }
    *chain = (struct chain){.head = 0};
}
