/* Half a million connections lie on a hundred thousand small pages: each access would miss the TLB. */
#ifdef __linux__
#define _DEFAULT_SOURCE
#include <sys/mman.h>
#endif

#include "base/pages.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { PAGES_LINE = 64, PAGES_HUGE = 2 << 20 };

static void *pages_small(size_t bytes)
{
    void *memory = aligned_alloc(PAGES_LINE, bytes);

    if (memory != NULL) {
        memset(memory, 0, bytes);
    }
    return memory;
}

/* 0 when it does not fit. */
static size_t pages_bytes(size_t count, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX - PAGES_HUGE) {
        return 0;
    }
    return (bytes + PAGES_LINE) / PAGES_LINE * PAGES_LINE;
}

#ifdef __linux__
static size_t pages_mapped(size_t bytes)
{
    return (bytes + PAGES_HUGE - 1) / PAGES_HUGE * PAGES_HUGE;
}

/* A mapping aligned to a large page: what is too much at its ends is given back. */
static void *pages_map(size_t bytes)
{
    const size_t len = pages_mapped(bytes);
    uint8_t *start = mmap(NULL, len + PAGES_HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t before;

    if (start == MAP_FAILED) {
        return NULL;
    }
    before = (PAGES_HUGE - (uintptr_t)start % PAGES_HUGE) % PAGES_HUGE;
    if (before != 0) {
        (void)munmap(start, before);
    }
    (void)munmap(start + before + len, PAGES_HUGE - before);
    (void)madvise(start + before, len, MADV_HUGEPAGE); /* advice: small pages do as well */
    return start + before;
}

void *pages_calloc(size_t count, size_t size)
{
    const size_t bytes = pages_bytes(count, size);

    if (bytes == 0) {
        return NULL;
    }
    return bytes < PAGES_HUGE ? pages_small(bytes) : pages_map(bytes);
}

void pages_free(void *memory, size_t count, size_t size)
{
    const size_t bytes = pages_bytes(count, size);

    if (memory != NULL && bytes >= PAGES_HUGE) {
        (void)munmap(memory, pages_mapped(bytes));
    } else {
        free(memory);
    }
}
#else
void *pages_calloc(size_t count, size_t size)
{
    const size_t bytes = pages_bytes(count, size);

    return bytes != 0 ? pages_small(bytes) : NULL;
}

void pages_free(void *memory, size_t count, size_t size)
{
    (void)count, (void)size;
    free(memory);
}
#endif
