/* The host's ticks, 10, 100 or 1000 a second, and the engine's microseconds and milliseconds. */
#ifndef VNIC_TCP_OFFLOAD_TICKS_H
#define VNIC_TCP_OFFLOAD_TICKS_H

#include "base/bits.h"

enum { TICKS_NOT_RUNNING = -1, TICKS_TIMER_MAX = INT32_MAX };

static inline bool ticks_is_rate(uint32_t per_second)
{
    return per_second == 10 || per_second == 100 || per_second == 1000;
}

/* Of the engine's unit, of which so many are in a second, up to a whole tick. */
static inline uint32_t ticks_up(uint32_t value, uint32_t units, uint32_t per_second)
{
    const uint32_t tick = units / per_second;

    return value / tick + (value % tick != 0);
}

/* To the nearest tick. */
static inline uint32_t ticks_near(uint32_t value, uint32_t units, uint32_t per_second)
{
    const uint32_t tick = units / per_second;

    return value / tick + (value % tick >= (tick + 1) / 2);
}

/* Ticks in the engine's unit; what exceeds the range of a timer is cut. */
static inline uint32_t ticks_of(uint32_t ticks, uint32_t units, uint32_t per_second)
{
    return (uint32_t)bits_min64((uint64_t)ticks * (units / per_second), TICKS_TIMER_MAX);
}

enum { TICKS_US = 1000000, TICKS_MS = 1000 };

#endif
