/* move.c: the portable path of the copy core, and the choice among the instruction sets. */
#include "copy/move.h"

#include "copy/move_short.h"
#include "copy/move_x86.h"

/* --- 64 bytes as four pieces */

struct line {
    move_piece piece[4];
};

MOVE_INLINE struct line line_load(const uint8_t *from)
{
    return (struct line){{move_load(from), move_load(from + 16), move_load(from + 32), move_load(from + 48)}};
}

MOVE_INLINE void line_store(uint8_t *to, struct line line)
{
    move_store(to, line.piece[0]);
    move_store(to + 16, line.piece[1]);
    move_store(to + 32, line.piece[2]);
    move_store(to + 48, line.piece[3]);
}

/* --- lengths above MOVE_SHORT_MAX */

/* Up to 64 bytes: two ends of 32. */
static void portable_upto64(uint8_t *to, const uint8_t *from, size_t len)
{
    const move_piece a = move_load(from), b = move_load(from + 16);
    const move_piece c = move_load(from + len - 32), d = move_load(from + len - 16);
    move_store(to, a);
    move_store(to + 16, b);
    move_store(to + len - 32, c);
    move_store(to + len - 16, d);
}

/* The last line is read first: what is written on the way may lie over it. */
static void portable_rise(uint8_t *to, const uint8_t *from, size_t len)
{
    const struct line tail = line_load(from + len - 64);
    for (size_t at = 0; at + 64 < len; at += 64) {
        line_store(to + at, line_load(from + at));
    }
    line_store(to + len - 64, tail);
}

static void portable_fall(uint8_t *to, const uint8_t *from, size_t len)
{
    const struct line head = line_load(from);
    for (size_t left = len; left > 64; left -= 64) {
        line_store(to + left - 64, line_load(from + left - 64));
    }
    line_store(to, head);
}

static void portable_move(uint8_t *to, const uint8_t *from, size_t len)
{
    if (len <= MOVE_SHORT_MAX) {
        move_short(to, from, len);
    } else if (len <= 64) {
        portable_upto64(to, from, len);
    } else if (move_falls(to, from, len)) {
        portable_fall(to, from, len);
    } else {
        portable_rise(to, from, len);
    }
}

static void portable_fill(uint8_t *to, uint64_t pattern, unsigned phase, size_t len)
{
    uint8_t bytes[16];
    const uint64_t turned = move_turn(pattern, phase);
    le64_store(bytes, turned);
    le64_store(bytes + 8, turned);
    const move_piece piece = move_load(bytes);
    for (; len >= 16; len -= 16, to += 16) {
        move_store(to, piece);
    }
    move_fill_short(to, turned, len);
}

/* --- choice */

static const struct move_ops ops_portable = {MOVE_PORTABLE, portable_move, portable_fill};
static const struct move_ops ops_avx2 = {MOVE_AVX2, move_avx2, move_avx2_fill};
static const struct move_ops ops_avx512 = {MOVE_AVX512, move_avx512, move_avx512_fill};

const struct move_ops *move_ops_path(enum move_path path)
{
    switch (path) {
    case MOVE_PORTABLE:
        return &ops_portable;
    case MOVE_AVX2:
        return move_avx2_has() ? &ops_avx2 : NULL;
    case MOVE_AVX512:
        return move_avx512_has() ? &ops_avx512 : NULL;
    case MOVE_PATHS:
        break;
    }
    return NULL;
}

const struct move_ops *move_ops_best(void)
{
    if (move_avx512_has()) {
        return &ops_avx512;
    }
    return move_avx2_has() ? &ops_avx2 : &ops_portable;
}
