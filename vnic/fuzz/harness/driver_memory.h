/* driver_memory.h: the machine's memory: what the driver allocated of it, and what of it the card reaches. */
#ifndef VNIC_DRIVER_MEMORY_H
#define VNIC_DRIVER_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vnic/vnic_driver.h"

#define FUZZ_BLOCKS 4096u
#define FUZZ_PAGE 4096u
#define FUZZ_PAGES 8192u /* pages of streaming DMA at a time */

enum fuzz_block_kind { FUZZ_COHERENT = 1, FUZZ_OWN = 2 };

struct fuzz_block {
    uint8_t *bytes;
    size_t len;
    uint64_t addr; /* coherent: on the bus; else 0 */
    enum fuzz_block_kind kind;
};

/* A page, or less, that the driver mapped for streaming DMA. */
struct fuzz_mapping {
    uint8_t *bytes; /* NULL: free */
    uint32_t offset, len;
    enum vnic_bus_direction direction;
};

struct fuzz_memory {
    struct fuzz_block block[FUZZ_BLOCKS];
    uint32_t blocks;
    uint32_t refusals; /* so many allocations and mappings fail */
    struct fuzz_mapping mapping[FUZZ_PAGES];
    uint32_t mappings, mapping_next;
};

/* Zeroed, each of its own: a sanitizer knows its bounds and its end. NULL when the input says that there is none. */
uint8_t *fuzz_memory_alloc(struct fuzz_memory *m, size_t len, size_t align, enum fuzz_block_kind kind);
void fuzz_memory_free(struct fuzz_memory *m, const void *bytes, enum fuzz_block_kind kind, const char *call);
/* The block that holds all of these bytes, or NULL. */
const struct fuzz_block *fuzz_memory_find(const struct fuzz_memory *m, const void *bytes, size_t len);
/* What the input wants to fail does so, and counts. */
bool fuzz_memory_refuses(struct fuzz_memory *m);

unsigned fuzz_memory_map(struct fuzz_memory *m, void *bytes, size_t len, enum vnic_bus_direction direction,
                         struct vnic_segment *segments, unsigned capacity);
void fuzz_memory_unmap(struct fuzz_memory *m, const struct vnic_segment *segments, unsigned count,
                       enum vnic_bus_direction direction);

/* The bytes that the card reaches at a bus address; NULL when it may not. */
uint8_t *fuzz_memory_reach(const struct fuzz_memory *m, uint64_t addr, uint64_t len, bool is_write);
/* One of those that it may write, counted around, and how long it is; NULL: there is none. */
uint8_t *fuzz_memory_writable(const struct fuzz_memory *m, uint32_t number, size_t *len);

/* How many blocks the driver has not given back. */
uint32_t fuzz_memory_left(const struct fuzz_memory *m);
/* Everything goes, whoever has it. */
void fuzz_memory_clear(struct fuzz_memory *m);

#endif
