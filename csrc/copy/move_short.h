/* move_short.h: what every path of the copy core does alike: 16-byte pieces, short lengths, patterns. */
#ifndef VNIC_COPY_MOVE_SHORT_H
#define VNIC_COPY_MOVE_SHORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"

#define MOVE_INLINE static inline __attribute__((always_inline))

enum { MOVE_SHORT_MAX = 32 };

/* 16 bytes at any address, kept in a register by every compiler that knows vectors. */
typedef uint64_t move_piece __attribute__((vector_size(16), aligned(1), may_alias));

MOVE_INLINE move_piece move_load(const uint8_t *from)
{
    return *(const move_piece *)(const void *)from;
}

MOVE_INLINE void move_store(uint8_t *to, move_piece piece)
{
    *(move_piece *)(void *)to = piece;
}

/* 1 <= len <= 8. */
MOVE_INLINE void move_upto8(uint8_t *to, const uint8_t *from, size_t len)
{
    if (len >= 4) {
        const uint32_t head = le32_load(from), tail = le32_load(from + len - 4);
        le32_store(to, head);
        le32_store(to + len - 4, tail);
    } else if (len >= 2) {
        const uint16_t head = le16_load(from), tail = le16_load(from + len - 2);
        le16_store(to, head);
        le16_store(to + len - 2, tail);
    } else {
        *to = *from;
    }
}

/* Up to MOVE_SHORT_MAX bytes: two ends that may overlap, all read before anything is written. */
MOVE_INLINE void move_short(uint8_t *to, const uint8_t *from, size_t len)
{
    if (len >= 16) {
        const move_piece head = move_load(from), tail = move_load(from + len - 16);
        move_store(to, head);
        move_store(to + len - 16, tail);
    } else if (len > 8) {
        const uint64_t head = le64_load(from), tail = le64_load(from + len - 8);
        le64_store(to, head);
        le64_store(to + len - 8, tail);
    } else if (len > 0) {
        move_upto8(to, from, len);
    }
}

/* Whether to copy by falling address. A destination that begins inside the source needs it, one that ends there forbids
 * it. Otherwise it is better where a rising copy would read, modulo the 4 KiB within which processors compare addresses at
 * first, what it has just written: such a read waits for the write. */
MOVE_INLINE bool move_falls(const uint8_t *to, const uint8_t *from, size_t len)
{
    const uintptr_t ahead = (uintptr_t)to - (uintptr_t)from;
    if (ahead < len) {
        return true;
    }
    return (ahead & 4095) - 1 < 2047 && (uintptr_t)from - (uintptr_t)to >= len;
}

/* The pattern as it stands `phase` bytes on. */
MOVE_INLINE uint64_t move_turn(uint64_t pattern, size_t phase)
{
    const unsigned bits = (unsigned)(phase % 8) * 8;
    return bits == 0 ? pattern : pattern >> bits | pattern << (64 - bits);
}

/* Eight bytes and the rest, for what is shorter than the vectors of a path. */
MOVE_INLINE void move_fill_short(uint8_t *to, uint64_t pattern, size_t len)
{
    uint8_t bytes[8];
    for (; len >= 8; len -= 8, to += 8) {
        le64_store(to, pattern);
    }
    le64_store(bytes, pattern);
    if (len > 0) {
        move_upto8(to, bytes, len);
    }
}

#endif
