/* judge.h: a program on a card, and on a twin in another manner, and what was not as it must be. */
#ifndef VNIC_FUZZ_JUDGE_H
#define VNIC_FUZZ_JUDGE_H

#include "world.h"

/* Flags of a program. The twin's runs are cut into pieces of 1, 2, 3 or 64 steps by the two bits of SPLIT. */
enum judge_flag {
    JUDGE_UP = 1,       /* starts from a card that is brought up */
    JUDGE_ANSWER = 2,   /* what is not mapped is answered */
    JUDGE_WATCH = 4,    /* the twin is observed */
    JUDGE_SPLIT = 8 | 16,
    JUDGE_RESTORE = 32, /* the twin is saved and loaded in the middle */
    JUDGE_LEVEL = 64,   /* afterwards a reset, a bring-up and its tests */
    JUDGE_NO_TWIN = 128
};

struct judge {
    struct world card, twin;
    struct world_image *fresh, *up; /* a card just created; one that is brought up */
    uint64_t programs, ops, steps, kept; /* kept: saves with work pending */
};

bool judge_create(struct judge *j);
void judge_destroy(struct judge *j);
/* What was wrong, or NULL. */
const char *judge_program(struct judge *j, const struct oplang_program *p);
/* Takes operations away as long as the same is wrong. */
void judge_shrink(struct judge *j, struct oplang_program *p, const char *wrong);

#endif
