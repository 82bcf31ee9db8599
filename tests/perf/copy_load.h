/* copy_load.h: the copies that every contender of the dma rows makes, hot and cold, and the proof that they were made. */
#ifndef PERF_COPY_LOAD_H
#define PERF_COPY_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { COPY_BURST = 32, COPY_LARGEST = 4 << 20 };

/* Memory of its own on both sides, more than the caches hold; both start at a page. */
struct copy_load {
    uint8_t *from, *to;
    size_t arena_bytes;
    uint64_t next; /* place of the next cold copy */
};

struct copy_job {
    const uint8_t *from;
    uint8_t *to;
};

/* Who copies. start: up to COPY_BURST jobs of len bytes; finish: all that was started is done. */
struct copier {
    void *opaque;
    bool (*start)(void *opaque, const struct copy_job job[], unsigned count, uint32_t len);
    bool (*finish)(void *opaque);
};

bool copy_load_open(struct copy_load *load);
void copy_load_close(struct copy_load *load);

/* CPU nanoseconds of the calling thread a copy; below 0: something was not copied. Hot: the same bytes again and again.
 * Cold: bytes that no cache holds. */
double copy_load_hot(struct copy_load *load, const struct copier *copier, uint32_t len, double effort);
double copy_load_cold(struct copy_load *load, const struct copier *copier, uint32_t len, double effort);

/* Answers rounds until the input ends: of "descriptor" or "bandwidth", figures as "NAME 64 B hot". False: bad kind. */
bool copy_load_serve(const char *name, const char *kind, struct copy_load *load, const struct copier *copier);

#endif
