/* move.h: the copy core: moves and fills of memory that is there, on the widest instructions of the processor. */
#ifndef VNIC_COPY_MOVE_H
#define VNIC_COPY_MOVE_H

#include <stddef.h>
#include <stdint.h>

enum move_path {
    MOVE_PORTABLE,
    MOVE_AVX2,
    MOVE_AVX512,
    MOVE_PATHS,
};

/* Every path does the same, byte for byte, and touches nothing outside [to, to + len) and [from, from + len). */
struct move_ops {
    enum move_path path;
    /* The bytes of `from` as they were before the call, whatever overlaps. */
    void (*move)(uint8_t *to, const uint8_t *from, size_t len);
    /* Byte i becomes byte (phase + i) modulo 8 of the pattern, lowest first. */
    void (*fill)(uint8_t *to, uint64_t pattern, unsigned phase, size_t len);
};

/* The fastest path this processor can run, chosen by asking the processor each time: keep the pointer. */
const struct move_ops *move_ops_best(void);

/* One path, or NULL when the processor lacks it. */
const struct move_ops *move_ops_path(enum move_path path);

#endif
