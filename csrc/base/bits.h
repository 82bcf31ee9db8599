/* Small integer arithmetic: powers of two, alignment, minimum and maximum. */
#ifndef VNIC_BASE_BITS_H
#define VNIC_BASE_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* True for 1, 2, 4, ...; 0 is not a power of two. */
static inline bool bits_is_pow2(uint64_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

/* Index of the lowest set bit; 64 when there is none. */
static inline unsigned bits_ctz(uint64_t value)
{
    return value != 0 ? (unsigned)__builtin_ctzll(value) : 64;
}

/* Index of the highest set bit; 64 when there is none. */
static inline unsigned bits_log2(uint64_t value)
{
    return value != 0 ? 63U - (unsigned)__builtin_clzll(value) : 64;
}

static inline unsigned bits_count(uint64_t value)
{
    return (unsigned)__builtin_popcountll(value);
}

/* alignment is a power of two; the sum wraps modulo 2^64 as unsigned arithmetic does. */
static inline uint64_t bits_align_up(uint64_t value, uint64_t alignment)
{
    return (value + (alignment - 1)) & ~(alignment - 1);
}

static inline uint64_t bits_align_down(uint64_t value, uint64_t alignment)
{
    return value & ~(alignment - 1);
}

static inline uint32_t bits_min32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static inline uint32_t bits_max32(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static inline uint64_t bits_min64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t bits_max64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

#endif
