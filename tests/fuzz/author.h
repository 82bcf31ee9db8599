/* author.h: random programs, and random changes of a program. */
#ifndef VNIC_FUZZ_AUTHOR_H
#define VNIC_FUZZ_AUTHOR_H

#include "world.h"

/* A sequence of numbers that its start decides (splitmix64). */
struct author {
    uint64_t state;
};

uint64_t author_number(struct author *a);
uint32_t author_below(struct author *a, uint32_t limit);
bool author_one_in(struct author *a, uint32_t n);
/* Numbers and bus addresses, at edges more often than not; widths of accesses. */
uint64_t author_edge(struct author *a);
uint64_t author_value(struct author *a);
uint64_t author_addr(struct author *a);
uint8_t author_width(struct author *a);

/* An operation, and its data of the length that is returned. op: zeros; data: AUTHOR_DATA_BYTES. */
#define AUTHOR_DATA_BYTES (WORLD_FRAME_MAX + 64u)
uint32_t author_op(struct author *a, struct vnic_op *op, uint8_t *data);
uint32_t author_descriptors(struct author *a, struct vnic_op *op, uint8_t *data);
uint32_t author_frame(struct author *a, struct vnic_op *op, uint8_t *data);
void author_work(struct author *a, struct vnic_op *op);

/* A program of about as many operations. */
void author_write(struct author *a, struct oplang_program *p, uint32_t ops);
/* Replaces, inserts, removes or swaps operations, or changes fields and data. */
void author_change(struct author *a, struct oplang_program *p);

#endif
