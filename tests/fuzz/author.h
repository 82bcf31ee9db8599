/* author.h: random programs, and random changes of a program. */
#ifndef VNIC_FUZZ_AUTHOR_H
#define VNIC_FUZZ_AUTHOR_H

#include "world.h"

/* A sequence of numbers that its start decides (splitmix64). */
struct author {
    uint64_t state;
};

void author_write(struct author *a, struct oplang_program *p, uint32_t ops);
/* Replaces, inserts, removes or swaps operations, or changes fields and data. */
void author_change(struct author *a, struct oplang_program *p);

#endif
