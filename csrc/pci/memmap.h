/* memmap.h: the map of host memory as one function sees it: bus address ranges onto host pointers. */
#ifndef VNIC_PCI_MEMMAP_H
#define VNIC_PCI_MEMMAP_H

#include <stdbool.h>
#include <stdint.h>

#include "vnic/vnic.h"

#define MEMMAP_GRANULE 4096u

struct memmap_region {
    uint64_t iova, last; /* both inclusive */
    uint8_t *host;
    unsigned permissions;
};

struct memmap {
    struct memmap_region *region; /* sorted by iova, disjoint */
    uint32_t count, capacity;
    uint32_t generation; /* changes with every change; stale hints are not used */
    vnic_unmapped answer;
    void *answer_opaque;
};

/* Where a user of DMA last hit: [iova, last] is memory with these permissions while the generation holds. */
struct dma_hint {
    uint64_t iova, last;
    uint8_t *host;
    unsigned permissions;
    uint32_t generation; /* 0: empty */
};

int memmap_create(struct memmap *m, uint32_t capacity);
void memmap_destroy(struct memmap *m);
int memmap_add(struct memmap *m, uint64_t iova, void *host, uint64_t len, unsigned permissions);
int memmap_remove(struct memmap *m, uint64_t iova, uint64_t len);
void memmap_clear(struct memmap *m);
void memmap_touch(struct memmap *m); /* every hint is stale */
/* The region that holds addr, or NULL. */
const struct memmap_region *memmap_find(const struct memmap *m, uint64_t addr);

#endif
