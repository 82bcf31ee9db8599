/* A fixed pool in an archive: which places are free, and in which order they will be given out. */
#ifndef VNIC_BASE_POOL_ARCHIVE_H
#define VNIC_BASE_POOL_ARCHIVE_H

#include "base/archive.h"
#include "base/pool.h"

#include <stdbool.h>

/*
 * For pools whose indices somebody sees; the elements in use are the caller's to save. Loading writes the links of the
 * free ones and counts all others below `fresh` as used; the caller then loads as many elements, and asks
 * pool_is_sound() at the end. After a failure the pool has no entries in use.
 */
void pool_archive(struct pool *p, struct archive *a, uint16_t tag);

/* The link of a free place to the next one. */
static inline uint32_t *pool_link(const struct pool *p, uint32_t index)
{
    return (uint32_t *)(void *)(p->entries + index * p->size);
}

/* Places that were given out and came back. */
static inline uint32_t pool_free_count(const struct pool *p)
{
    return p->fresh - 1 - p->used;
}

/* The free places are as many as they should be, each there once. */
bool pool_is_sound(const struct pool *p);

#endif
