/* memmap.c: a sorted table of disjoint regions: add, remove with splitting, find by bisection. */
#include "pci/memmap.h"

#include <stdlib.h>
#include <string.h>

int memmap_create(struct memmap *m, uint32_t capacity)
{
    memset(m, 0, sizeof(*m));
    m->region = calloc(capacity != 0 ? capacity : 1, sizeof(*m->region));
    if (m->region == NULL) {
        return VNIC_ENOMEM;
    }
    m->capacity = capacity;
    m->generation = 1;
    return VNIC_OK;
}

void memmap_destroy(struct memmap *m)
{
    free(m->region);
    m->region = NULL;
    m->count = 0;
    m->capacity = 0;
}

/* A hint's generation 0 means empty, so ours is never 0. */
void memmap_touch(struct memmap *m)
{
    m->generation = m->generation == UINT32_MAX ? 1 : m->generation + 1;
}

/* Index of the first region that ends at or after addr; count when there is none. */
static uint32_t memmap_lower(const struct memmap *m, uint64_t addr)
{
    uint32_t low = 0, high = m->count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (m->region[middle].last < addr) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

const struct memmap_region *memmap_find(const struct memmap *m, uint64_t addr)
{
    const uint32_t at = memmap_lower(m, addr);
    return at < m->count && m->region[at].iova <= addr ? &m->region[at] : NULL;
}

/* Whole granules, at least one, that do not wrap; a range may end with the last byte of the address space. */
static bool memmap_is_range(uint64_t iova, uint64_t len)
{
    const bool is_aligned = (iova | len) % MEMMAP_GRANULE == 0;
    return is_aligned && len != 0 && len - 1 <= UINT64_MAX - iova;
}

/* Replaces `gone` regions from `at` on by `pieces`; the caller has checked the capacity. */
static void memmap_replace(struct memmap *m, uint32_t at, uint32_t gone, const struct memmap_region *pieces,
                           uint32_t count)
{
    const uint32_t behind = m->count - at - gone;
    memmove(&m->region[at + count], &m->region[at + gone], behind * sizeof(*m->region));
    memcpy(&m->region[at], pieces, count * sizeof(*m->region));
    m->count = m->count - gone + count;
    memmap_touch(m);
}

int memmap_add(struct memmap *m, uint64_t iova, void *host, uint64_t len, unsigned permissions)
{
    const unsigned known = VNIC_MAP_READ | VNIC_MAP_WRITE;
    if (host == NULL || !memmap_is_range(iova, len) || permissions == 0 || (permissions & ~known) != 0) {
        return VNIC_EINVAL;
    }
    const struct memmap_region new = {iova, iova + (len - 1), host, permissions};
    const uint32_t at = memmap_lower(m, iova);
    if (at < m->count && m->region[at].iova <= new.last) {
        return VNIC_EOVERLAP;
    }
    if (m->count == m->capacity) {
        return VNIC_ENOSPC;
    }
    memmap_replace(m, at, 0, &new, 1);
    return VNIC_OK;
}

/* How many regions from `at` on cover [iova, last] without a hole; 0 when they do not. */
static uint32_t memmap_cover(const struct memmap *m, uint32_t at, uint64_t iova, uint64_t last)
{
    uint64_t next = iova;
    for (uint32_t i = at; i < m->count && m->region[i].iova <= next; i++) {
        if (m->region[i].last >= last) {
            return i - at + 1;
        }
        next = m->region[i].last + 1;
    }
    return 0;
}

/* What stays of the regions that a removal touches: the part before it, and the part behind it. */
static uint32_t memmap_remains(const struct memmap_region *first, const struct memmap_region *final,
                               uint64_t iova, uint64_t last, struct memmap_region remains[2])
{
    uint32_t count = 0;
    if (first->iova < iova) {
        remains[count] = *first;
        remains[count++].last = iova - 1;
    }
    if (final->last > last) {
        remains[count] = *final;
        remains[count].iova = last + 1;
        remains[count++].host = final->host + (last + 1 - final->iova);
    }
    return count;
}

int memmap_remove(struct memmap *m, uint64_t iova, uint64_t len)
{
    if (!memmap_is_range(iova, len)) {
        return VNIC_EINVAL;
    }
    const uint64_t last = iova + (len - 1);
    const uint32_t at = memmap_lower(m, iova);
    const uint32_t gone = memmap_cover(m, at, iova, last);
    if (gone == 0) {
        return VNIC_ENOENT;
    }
    struct memmap_region remains[2];
    const uint32_t count = memmap_remains(&m->region[at], &m->region[at + gone - 1], iova, last, remains);
    if (m->count - gone + count > m->capacity) {
        return VNIC_ENOSPC;
    }
    memmap_replace(m, at, gone, remains, count);
    return VNIC_OK;
}

void memmap_clear(struct memmap *m)
{
    m->count = 0;
    memmap_touch(m);
}
