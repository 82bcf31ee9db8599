/* ring.h: what receive, transmit and completion rings have in common: the device owns [head, tail). */
#ifndef VNIC_NIC_RING_H
#define VNIC_NIC_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/archive.h"
#include "gen/vnic_bar0.h"

#define RING_COUNT_MIN 8u
#define RING_COUNT_MAX 32768u
#define RING_ALIGN 64u

/* head counts on freely and modulo 2^32; the index is head modulo count, a power of two. */
struct ring {
    uint64_t base;
    uint32_t count;
    uint32_t head;
    uint32_t tail; /* index */
    bool is_running;
    uint8_t error; /* enum ring_error */
};

static inline uint32_t ring_index(const struct ring *r, uint32_t at)
{
    return at & (r->count - 1);
}

/* Entries that the device owns. */
static inline uint32_t ring_owned(const struct ring *r)
{
    return (r->tail - r->head) & (r->count - 1);
}

/* Latches a configuration and starts at index 0; the error when it is unsound. */
uint8_t ring_start(struct ring *r, uint64_t base, uint32_t count);
void ring_stop(struct ring *r, uint8_t error);
/* A doorbell; false (and the ring stops, if it ran) when the index is none. */
bool ring_set_tail(struct ring *r, uint32_t tail);
void ring_archive(struct ring *r, struct archive *a);

#endif
