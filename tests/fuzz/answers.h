/* answers.h: guest memory that is not there: what was poked and filled answers when the card reads. */
#ifndef VNIC_FUZZ_ANSWERS_H
#define VNIC_FUZZ_ANSWERS_H

#include "oplang.h"

#define ANSWERS_MAX (2 * OPLANG_OPS_MAX)
#define ANSWERS_MOVING 128u /* bit of the index of OPLANG_FILL: every answer raises the first 8 bytes, too */

/* Bytes that come again, stride apart, count times; their first 8 rise by 1 << rise each time, 64 and above: not. */
struct answer {
    uint64_t addr, bytes; /* what is covered: from addr on */
    uint32_t stride, len;
    uint8_t rise;
    bool is_moving;
    uint64_t given; /* answers so far */
    const uint8_t *data;
};

/* The newest that covers an address answers; what nobody covers follows from the address, or is nobody's. */
struct answers {
    uint32_t count, kept;
    uint64_t reads, writes, digest; /* DMA that was answered; of what was written */
    struct answer answer[ANSWERS_MAX];
};

/* An OPLANG_POKE or OPLANG_FILL; its data stay where they are. */
void answers_add(struct answers *a, const struct vnic_op *op, const uint8_t *data, uint32_t len);
/* What is there now stays, what is added later goes with answers_forget(). */
void answers_keep(struct answers *a);
void answers_forget(struct answers *a);
/* A vnic_unmapped. */
int answers_give(void *opaque, uint64_t iova, uint8_t *bytes, uint32_t len, int is_write);

#endif
