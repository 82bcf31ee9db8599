/* author_number.c: numbers at random, and at edges more often than not. */
#include "author.h"

uint64_t author_number(struct author *a)
{
    uint64_t z = a->state += 0x9E3779B97F4A7C15ull;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ z >> 27) * 0x94D049BB133111EBull;
    return z ^ z >> 31;
}

uint32_t author_below(struct author *a, uint32_t limit)
{
    return (uint32_t)(author_number(a) % limit);
}

bool author_one_in(struct author *a, uint32_t n)
{
    return author_below(a, n) == 0;
}

/* ---- values ---- */

uint64_t author_edge(struct author *a)
{
    static const uint64_t edges[] = {0,
                                     1,
                                     2,
                                     3,
                                     7,
                                     8,
                                     14,
                                     59,
                                     60,
                                     63,
                                     64,
                                     65,
                                     127,
                                     128,
                                     255,
                                     256,
                                     512,
                                     1024,
                                     1514,
                                     2048,
                                     4095,
                                     4096,
                                     9728,
                                     9729,
                                     16384,
                                     32767,
                                     32768,
                                     32769,
                                     65535,
                                     65536,
                                     65537,
                                     262144,
                                     262145,
                                     0x7FFFFFFF,
                                     0x80000000,
                                     0xFFFFFFFF,
                                     0x100000000,
                                     0x7FFFFFFFFFFFFFFF,
                                     0x8000000000000000,
                                     UINT64_MAX};
    return edges[author_below(a, sizeof edges / sizeof edges[0])];
}

uint64_t author_value(struct author *a)
{
    switch (author_below(a, 5)) {
    case 0:
        return author_edge(a);
    case 1:
        return author_below(a, 64);
    case 2:
        return 1ull << author_below(a, 64);
    case 3:
        return author_edge(a) + author_below(a, 5) - 2;
    default:
        return author_number(a);
    }
}
