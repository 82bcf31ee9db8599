/* The load that every TCP stack gets: how many connections, how much of what, and in which order. */
#ifndef PERF_TCP_LOAD_H
#define PERF_TCP_LOAD_H

#include <stdint.h>
#include <stdlib.h>

enum {
    LOAD_BURST = 32,          /* frames, messages or connections at once */
    LOAD_MANY = 4096,
    LOAD_HUGE = 512 * 1024,
    LOAD_MESSAGE_BYTES = 64,
    LOAD_SEGMENTS = 200000,   /* of one round over one connection */
    LOAD_SERVER_PORT = 5001,
};

/* Every number below count once, in an order that no prefetcher guesses; NULL without memory. */
static inline uint32_t *load_order(uint32_t count)
{
    uint32_t *order = malloc(count * sizeof *order);
    uint64_t state = 1;

    for (uint32_t i = 0; order && i < count; i++) {
        uint32_t at;

        state = state * 6364136223846793005u + 1442695040888963407u;
        at = (uint32_t)((state >> 33) % (i + 1));
        order[i] = order[at];
        order[at] = i;
    }
    return order;
}

/* Units of work of a round, a whole number of bursts. */
static inline uint64_t load_units(uint64_t usual, double effort)
{
    uint64_t bursts = (uint64_t)((double)usual * effort) / LOAD_BURST;

    return (bursts ? bursts : 1) * LOAD_BURST;
}

/* How often each connection gets its turn in a round: always all of them, a part would be another work. */
static inline uint64_t load_turns(double effort)
{
    return effort * 4 < 1 ? 1 : (uint64_t)(effort * 4);
}

#endif
