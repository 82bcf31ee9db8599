/* The timing wheel: one deadline a connection, at a cost that does not depend on how many there are. */
#ifndef VNIC_TCP_WHEEL_H
#define VNIC_TCP_WHEEL_H

#include "tcp/connection.h"

/*
 * Hierarchical: WHEEL_LEVELS of 64 slots, the lowest slot WHEEL_TICK_NS wide, each level 64 times wider than the one
 * below; a bitmap a level finds the next busy slot. A tick that differs from the present one first in the n-th group
 * of six bits stands at level n, in the slot which that group names: so no slot of a level lies behind the present
 * one, and every busy slot of a level comes before every busy slot of the levels above.
 *
 * A connection hangs in one doubly linked list (wheel_next, wheel_prev, indices). It stands at or before its
 * deadline: moving a deadline later leaves it where it is, and when its slot comes up it is filed again (an ACK must
 * not cost a relink). Deadlines within the present tick wait in a list of their own, to the nanosecond;
 * a tick is about the unit of the timers, so that few deadlines share one without being the same.
 */
enum { WHEEL_LEVELS = 7, WHEEL_SLOTS = 64, WHEEL_TICK_NS = 1024 };

/* wheel_prev holds the index of the neighbour in its low bits and where the connection stands above them. */
enum { WHEEL_INDEX_BITS = 22, WHEEL_INDEX_MAX = (1 << WHEEL_INDEX_BITS) - 1 };

/* Where a connection stands: 0 nowhere, 1 .. WHEEL_PLACES a slot, and two lists. */
enum {
    WHEEL_PLACES = WHEEL_LEVELS * WHEEL_SLOTS,
    WHEEL_SOON = WHEEL_PLACES + 1,
    WHEEL_DUE = WHEEL_PLACES + 2
};

struct wheel {
    struct tcp_connection *connections; /* the engine's array */
    uint64_t now_ns;                    /* all that comes before is fetched, or in due */
    uint64_t soon_ns; /* the first deadline in soon, or earlier; UINT64_MAX: it is empty */
    uint64_t busy[WHEEL_LEVELS];
    uint32_t slots[WHEEL_LEVELS * WHEEL_SLOTS]; /* first connection of each list */
    uint32_t soon; /* to come up within the present tick */
    uint32_t due; /* expired, not fetched yet */
};

/* connections: an array whose elements 1 to WHEEL_INDEX_MAX at most are filed, at first with both links 0. */
void wheel_start(struct wheel *w, struct tcp_connection *connections);

/* Files connection index at deadline_ns, in place of where it was; a deadline that is past is due at once. */
void wheel_file(struct wheel *w, uint32_t index, uint64_t deadline_ns);

/* Fetches its neighbours in the list, which taking it out will write to. */
void wheel_prefetch(const struct wheel *w, uint32_t index);

/* Takes it out; nothing when it is not in. */
void wheel_remove(struct wheel *w, uint32_t index);

/*
 * Moves time on and returns a connection whose slot has come, taken out; 0 when there is none. Its deadline may be
 * later: then the caller files it again. now_ns of the wheel is meanwhile the time of that slot.
 */
uint32_t wheel_next(struct wheel *w, uint64_t now_ns);

/* Moves time on as far as nothing comes up. */
void wheel_advance(struct wheel *w, uint64_t now_ns);

/* The earliest time at which wheel_next() may return something; UINT64_MAX when the wheel is empty. */
uint64_t wheel_deadline(const struct wheel *w);

static inline bool wheel_is_filed(const struct tcp_connection *c)
{
    return c->wheel_prev >> WHEEL_INDEX_BITS != 0;
}

static inline uint32_t wheel_place(const struct tcp_connection *c)
{
    return c->wheel_prev >> WHEEL_INDEX_BITS;
}

/*
 * Every list in its order; loading: into an empty wheel, connections from 1 to `last` of which each stands in one list
 * at most. Those that no engine knows are refused by their profile.
 */
struct archive;
void wheel_archive(struct wheel *w, struct archive *a, uint32_t last);

#endif
