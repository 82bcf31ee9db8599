/* Arithmetic of TCP sequence numbers: modulo 2^32, compared within half the space (RFC 9293 3.4). */
#ifndef VNIC_WIRE_SEQ_H
#define VNIC_WIRE_SEQ_H

#include <stdbool.h>
#include <stdint.h>

/* How far b lies beyond a; negative when it lies before it. */
static inline int32_t seq_diff(uint32_t a, uint32_t b)
{
    return (int32_t)(b - a);
}

static inline bool seq_lt(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

static inline bool seq_le(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) <= 0;
}

static inline bool seq_gt(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) > 0;
}

static inline bool seq_ge(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) >= 0;
}

/* left <= seq < right, for a range of any length below 2^32. */
static inline bool seq_in(uint32_t seq, uint32_t left, uint32_t right)
{
    return seq - left < right - left;
}

static inline uint32_t seq_max(uint32_t a, uint32_t b)
{
    return seq_lt(a, b) ? b : a;
}

static inline uint32_t seq_min(uint32_t a, uint32_t b)
{
    return seq_lt(a, b) ? a : b;
}

#endif
