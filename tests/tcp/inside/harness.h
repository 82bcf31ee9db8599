/* harness.h: wheel, timers and reassembly of one engine, without the engine around them. */
#ifndef TESTS_TCP_INSIDE_HARNESS_H
#define TESTS_TCP_INSIDE_HARNESS_H

#include "tcp/reassembly.h"
#include "tcp/timer.h"

/* cdef begin */

typedef struct harness harness;

/* struct reassembly_fit with names that do not depend on its layout. */
struct harness_fit {
    uint32_t left, right, dup_left, dup_right;
    int is_kept, is_duplicate;
};

struct harness_range {
    uint32_t left, right;
};

harness *harness_create(uint32_t connections, uint32_t nodes, uint32_t ranges_per_connection);
void harness_destroy(harness *h);

/* The wheel by itself. */
void harness_file(harness *h, uint32_t index, uint64_t deadline_ns);
void harness_remove(harness *h, uint32_t index);
uint32_t harness_next(harness *h, uint64_t now_ns);
void harness_advance(harness *h, uint64_t now_ns);
uint64_t harness_deadline(const harness *h);
uint64_t harness_wheel_now(const harness *h);
int harness_is_filed(const harness *h, uint32_t index);
/* Counts members of all lists and checks every link, bit and place; -1 when something is wrong. */
int64_t harness_wheel_check(const harness *h);

/* The timers; which: enum tcp_timer. */
void harness_at(harness *h, uint64_t now_ns);
void harness_set(harness *h, uint32_t index, uint32_t which, uint32_t delay);
void harness_stop(harness *h, uint32_t index, uint32_t which);
void harness_release(harness *h, uint32_t index);
uint32_t harness_next_expired(harness *h);
uint32_t harness_take_expired(harness *h, uint32_t index);
uint64_t harness_timer_deadline(const harness *h, uint32_t index);
uint32_t harness_armed(const harness *h, uint32_t index);
/* A hash of where every connection stands: equal before and after a call that relinked nothing. */
uint64_t harness_places(const harness *h);

/* Reassembly of connection index. */
void harness_sack(harness *h, uint32_t index, int is_agreed);
void harness_stamp(harness *h, uint32_t index, uint32_t stamp);
struct harness_fit harness_add(harness *h, uint32_t index, uint32_t left, uint32_t right);
struct harness_fit harness_in_order(harness *h, uint32_t index, uint32_t left, uint32_t right);
uint32_t harness_reassembled(harness *h, uint32_t index, uint32_t next);
void harness_duplicate(harness *h, uint32_t index, uint32_t left, uint32_t right);
uint32_t harness_blocks(harness *h, uint32_t index, struct harness_range *blocks, uint32_t limit);
uint32_t harness_ranges(const harness *h, uint32_t index, struct harness_range *ranges, uint32_t max);
int harness_is_empty(const harness *h, uint32_t index);
void harness_drop(harness *h, uint32_t index);
uint32_t harness_nodes_used(const harness *h);
uint64_t harness_no_nodes(const harness *h);

/* cdef end */

#endif
