/* copy_small.h: a copy that is quick for the lengths of small frames and headers. */
#ifndef VNIC_NIC_COPY_SMALL_H
#define VNIC_NIC_COPY_SMALL_H

#include <stdint.h>
#include <string.h>

/* 16 bytes at any address: the compiler keeps them in a register, where an array of bytes would go through
 * the stack. */
typedef uint64_t copy_piece __attribute__((vector_size(16), aligned(1), may_alias));

static inline copy_piece copy_load(const uint8_t *from)
{
    return *(const copy_piece *)(const void *)from;
}

static inline void copy_store(uint8_t *to, copy_piece piece)
{
    *(copy_piece *)(void *)to = piece;
}

/* 32 <= len <= 64: all is read before anything is written. */
static inline void copy_upto64(uint8_t *to, const uint8_t *from, uint32_t len)
{
    copy_piece a = copy_load(from), b = copy_load(from + 16);
    copy_piece c = copy_load(from + len - 32), d = copy_load(from + len - 16);
    copy_store(to, a);
    copy_store(to + 16, b);
    copy_store(to + len - 32, c);
    copy_store(to + len - 16, d);
}

/* Both ends as fixed pieces that may overlap; nothing outside [0, len) is touched. */
static inline void copy_small(uint8_t *to, const uint8_t *from, uint32_t len)
{
    if (len >= 32 && len <= 64) {
        copy_upto64(to, from, len);
    } else if (len > 64 && len <= 128) {
        copy_upto64(to, from, 64);
        copy_upto64(to + len - 64, from + len - 64, 64);
    } else {
        memcpy(to, from, len);
    }
}

#endif
