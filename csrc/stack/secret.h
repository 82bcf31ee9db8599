/* All randomness of the stack: a keyed hash of the seed (SipHash-2-4) and a stream of numbers from it. */
#ifndef VNIC_STACK_SECRET_H
#define VNIC_STACK_SECRET_H

#include <stddef.h>
#include <stdint.h>

enum { SECRET_COUNTERS = 256 };

/* Each use of the hash has a key of its own. */
enum secret_purpose {
    SECRET_RANDOM,
    SECRET_NEIGHBOURS,
    SECRET_FRAGMENTS,
    SECRET_IDENTIFICATION,
    SECRET_ICMP_LIMIT,
    SECRET_PATH_MTU,
    SECRET_TRANSPORT = 32 /* this and more: the TCP half's */
};

struct secret {
    uint64_t counter;        /* numbers drawn */
    uint32_t identifications[SECRET_COUNTERS]; /* given so far, by hash of the flow (RFC 7739 5.3) */
};

/* SipHash-2-4 (Aumasson and Bernstein) under the key k0, k1. */
uint64_t siphash(uint64_t k0, uint64_t k1, const void *data, size_t len);

#endif
