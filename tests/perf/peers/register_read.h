/* The least register file there is: what a call from Python costs when the callee does almost nothing. */
#ifndef PERF_REGISTER_READ_H
#define PERF_REGISTER_READ_H

#include <stdint.h>
#include <stdlib.h>

enum { REGISTER_BYTES = 4096 };

struct registers {
    uint32_t word[REGISTER_BYTES / 4];
};

static inline struct registers *registers_create(void)
{
    struct registers *r = malloc(sizeof *r);

    for (uint32_t i = 0; r && i < REGISTER_BYTES / 4; i++) {
        r->word[i] = i;
    }
    return r;
}

/* All ones outside, as a bus that nobody answers. */
static inline uint32_t registers_read32(const struct registers *r, uint64_t offset)
{
    return offset < REGISTER_BYTES ? r->word[offset / 4] : UINT32_MAX;
}

#endif
