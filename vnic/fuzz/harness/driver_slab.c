/* driver_slab.c: memory that stays allocated between inputs: poisoned when nobody has it, and around it. */
#include "driver_slab.h"

#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif
#ifdef HAS_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(bytes, len) ASAN_POISON_MEMORY_REGION(bytes, len)
#define UNPOISON(bytes, len) ASAN_UNPOISON_MEMORY_REGION(bytes, len)
#else
#define POISON(bytes, len) ((void)(bytes), (void)(len))
#define UNPOISON(bytes, len) ((void)(bytes), (void)(len))
#endif

#define SLABS 16u
#define PAGE 4096u

struct slab {
    uint8_t *whole; /* a page, `capacity` bytes, a page */
    size_t capacity;
    bool is_taken;
};
static struct slab slabs[SLABS];

static bool slab_make(struct slab *slab, size_t capacity)
{
    void *whole = NULL;
    free(slab->whole);
    slab->whole = NULL;
    if (posix_memalign(&whole, PAGE, capacity + 2 * (size_t)PAGE) != 0) {
        return false;
    }
    slab->whole = whole;
    slab->capacity = capacity;
    return true;
}

/* One of that capacity; else a place that has none yet, or one that is free. */
static struct slab *slab_find(size_t capacity)
{
    struct slab *found = NULL;
    for (uint32_t i = 0; i < SLABS; i++) {
        struct slab *slab = &slabs[i];
        if (!slab->is_taken && slab->whole && slab->capacity == capacity) {
            return slab;
        }
        if (!slab->is_taken && (found == NULL || !slab->whole)) {
            found = slab;
        }
    }
    return found && slab_make(found, capacity) ? found : NULL;
}

uint8_t *fuzz_slab_take(size_t len)
{
    struct slab *slab = slab_find((len + PAGE - 1) & ~(size_t)(PAGE - 1));
    if (slab == NULL) {
        return NULL;
    }
    slab->is_taken = true;
    POISON(slab->whole, slab->capacity + 2 * (size_t)PAGE);
    UNPOISON(slab->whole + PAGE, len);
    memset(slab->whole + PAGE, 0, len);
    return slab->whole + PAGE;
}

bool fuzz_slab_give(const void *bytes)
{
    for (uint32_t i = 0; i < SLABS; i++) {
        if (slabs[i].whole && slabs[i].whole + PAGE == bytes) {
            slabs[i].is_taken = false;
            POISON(slabs[i].whole, slabs[i].capacity + 2 * (size_t)PAGE);
            return true;
        }
    }
    return false;
}
