/* Rings of indices: first in, first out; who is in it is marked at the index, so that none is in twice. */
#ifndef VNIC_STACK_INDEX_RING_H
#define VNIC_STACK_INDEX_RING_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

struct index_ring {
    uint32_t *slots;
    uint32_t mask;
    uint32_t head, tail; /* next to be taken, next to be filled */
};

/* Room for `count` indices. */
static inline bool index_ring_create(struct index_ring *ring, uint32_t count)
{
    uint32_t size = 8;

    while (size < count) {
        size *= 2;
    }
    *ring = (struct index_ring){.slots = calloc(size, sizeof(uint32_t)), .mask = size - 1};
    return ring->slots != NULL;
}

static inline void index_ring_destroy(struct index_ring *ring)
{
    free(ring->slots);
    ring->slots = NULL;
}

static inline bool index_ring_is_empty(const struct index_ring *ring)
{
    return ring->head == ring->tail;
}

static inline uint32_t index_ring_count(const struct index_ring *ring)
{
    return ring->tail - ring->head;
}

static inline void index_ring_push(struct index_ring *ring, uint32_t index)
{
    ring->slots[ring->tail++ & ring->mask] = index;
}

/* The i-th from the head; 0 when there are fewer. */
static inline uint32_t index_ring_peek(const struct index_ring *ring, uint32_t i)
{
    return i < index_ring_count(ring) ? ring->slots[(ring->head + i) & ring->mask] : 0;
}

/* 0 when it is empty. */
static inline uint32_t index_ring_pop(struct index_ring *ring)
{
    return index_ring_is_empty(ring) ? 0 : ring->slots[ring->head++ & ring->mask];
}

#endif
