/* Fixed pools: entries named by index, 0 is none; a free list in a caller's array, nothing is ever allocated. */
#ifndef VNIC_BASE_POOL_H
#define VNIC_BASE_POOL_H

#include <stddef.h>
#include <stdint.h>

/*
 * Entries 1 to capacity of an array of equal elements. The first four bytes of a free element are the index of the
 * next free one. Elements never given out are not touched, so a large pool costs only what was used of it.
 */
struct pool {
    uint8_t *entries; /* element 0 included */
    size_t size; /* of an element, at least 4 */
    uint32_t capacity;
    uint32_t fresh; /* lowest index never given out */
    uint32_t free; /* first of the free list */
    uint32_t used;
};

static inline void pool_start(struct pool *p, void *entries, size_t size, uint32_t capacity)
{
    *p = (struct pool){.entries = entries, .size = size, .capacity = capacity, .fresh = 1};
}

/* 0 when all are in use. The element's bytes are undefined. */
static inline uint32_t pool_take(struct pool *p)
{
    uint32_t index = p->free;

    if (index != 0) {
        p->free = *(const uint32_t *)(const void *)(p->entries + index * p->size);
    } else if (p->fresh <= p->capacity) {
        index = p->fresh++;
    } else {
        return 0;
    }
    p->used++;
    return index;
}

static inline void pool_give(struct pool *p, uint32_t index)
{
    *(uint32_t *)(void *)(p->entries + index * p->size) = p->free;
    p->free = index;
    p->used--;
}

static inline uint32_t pool_left(const struct pool *p)
{
    return p->capacity - p->used;
}

#endif
