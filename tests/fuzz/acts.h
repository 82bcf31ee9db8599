/* acts.h: inputs that are acts, one frame of RFC 1055 each: what is taken from one act moves no other. */
#ifndef VNIC_FUZZ_ACTS_H
#define VNIC_FUZZ_ACTS_H

#include "oplang.h"

#define ACT_BYTES_MOST 65536u

/* The act at hand, unescaped. */
struct acts {
    const uint8_t *in;
    size_t len, at;
    uint32_t bytes;
    uint8_t act[ACT_BYTES_MOST];
};

static inline void acts_start(struct acts *a, const uint8_t *in, size_t len)
{
    a->in = in;
    a->len = len;
    a->at = 0;
    a->bytes = 0;
}

/* Turns to the next act; at the end of the input: to one without bytes, and false. */
static inline bool acts_next(struct acts *a)
{
    const bool is_there = a->at < a->len;
    a->bytes = is_there ? oplang_unframe(a->in, a->len, &a->at, a->act, ACT_BYTES_MOST) : 0;
    return is_there;
}

#endif
