/* Token buckets in virtual time: how often an answer may be given. */
#ifndef VNIC_STACK_LIMIT_H
#define VNIC_STACK_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

/* `burst` at once, then one each period_ns. All zeros: full, as of time 0. */
struct limit {
    uint64_t spent_until_ns; /* when the bucket will be full again */
};

/* True and `cost` tokens less, or false. */
static inline bool limit_take(struct limit *limit, uint64_t now_ns, uint64_t period_ns, uint32_t burst,
                              uint32_t cost)
{
    const uint64_t from_ns = limit->spent_until_ns > now_ns ? limit->spent_until_ns : now_ns;

    if (from_ns - now_ns > period_ns * (burst - 1)) {
        return false;
    }
    limit->spent_until_ns = from_ns + period_ns * cost;
    return true;
}

#endif
