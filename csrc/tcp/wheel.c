/* wheel.c: files connections by deadline, and finds the next one by a bitmap a level. */
#include "tcp/wheel.h"

#include "base/bits.h"

#include <string.h>

enum { SLOT_BITS = 6 };

_Static_assert(WHEEL_DUE < 1 << (32 - WHEEL_INDEX_BITS), "a place fits above the index");
_Static_assert(WHEEL_SLOTS == 1 << SLOT_BITS, "a slot is one group of bits");

void wheel_start(struct wheel *w, struct tcp_connection *connections)
{
    memset(w, 0, sizeof(*w));
    w->connections = connections;
    w->soon_ns = UINT64_MAX;
}

static inline uint32_t prev_of(const struct tcp_connection *c)
{
    return c->wheel_prev & WHEEL_INDEX_MAX;
}

/* The tick at which slot i of a level begins. */
static uint64_t slot_tick(const struct wheel *w, unsigned level, unsigned i)
{
    const unsigned above = (level + 1) * SLOT_BITS;
    const uint64_t now = w->now_ns / WHEEL_TICK_NS;

    return (now >> above << above) | (uint64_t)i << (level * SLOT_BITS);
}

/* Where a deadline after now_ns belongs. The last level ends with 2^42 ticks: what lies beyond waits at its end. */
static uint32_t place_for(const struct wheel *w, uint64_t deadline_ns)
{
    const uint64_t now = w->now_ns / WHEEL_TICK_NS;
    uint64_t tick = deadline_ns / WHEEL_TICK_NS;
    unsigned level;

    if ((tick ^ now) >> (WHEEL_LEVELS * SLOT_BITS) != 0) {
        tick = now | ((UINT64_C(1) << (WHEEL_LEVELS * SLOT_BITS)) - 1);
    }
    if (tick == now) {
        return WHEEL_SOON;
    }
    level = bits_log2(tick ^ now) / SLOT_BITS;
    return 1 + level * WHEEL_SLOTS + (uint32_t)(tick >> (level * SLOT_BITS) & (WHEEL_SLOTS - 1));
}

static uint32_t *place_head(struct wheel *w, uint32_t place)
{
    if (place == WHEEL_SOON) {
        return &w->soon;
    }
    return place == WHEEL_DUE ? &w->due : &w->slots[place - 1];
}

static void place_link(struct wheel *w, uint32_t index, uint32_t place)
{
    struct tcp_connection *c = &w->connections[index];
    uint32_t *head = place_head(w, place);

    c->wheel_prev = place << WHEEL_INDEX_BITS;
    c->wheel_next = *head;
    if (*head != 0) {
        w->connections[*head].wheel_prev |= index;
    }
    *head = index;
    if (place <= WHEEL_PLACES) {
        w->busy[(place - 1) / WHEEL_SLOTS] |= UINT64_C(1) << (place - 1) % WHEEL_SLOTS;
    }
}

/* A slot's whole list may have become `due` meanwhile: its members keep the place where they were filed. */
static void head_set(struct wheel *w, uint32_t place, uint32_t index, uint32_t next)
{
    uint32_t *head = place_head(w, place);

    if (*head != index) {
        w->due = next;
        return;
    }
    *head = next;
    if (next == 0 && place <= WHEEL_PLACES) {
        w->busy[(place - 1) / WHEEL_SLOTS] &= ~(UINT64_C(1) << (place - 1) % WHEEL_SLOTS);
    } else if (next == 0 && place == WHEEL_SOON) {
        w->soon_ns = UINT64_MAX;
    }
}

void wheel_prefetch(const struct wheel *w, uint32_t index)
{
    const struct tcp_connection *c = &w->connections[index];

    __builtin_prefetch(&w->connections[c->wheel_next].wheel_prev, 1);
    __builtin_prefetch(&w->connections[prev_of(c)].wheel_next, 1);
}

void wheel_remove(struct wheel *w, uint32_t index)
{
    struct tcp_connection *c = &w->connections[index];
    const uint32_t place = wheel_place(c), prev = prev_of(c), next = c->wheel_next;

    if (place == 0) {
        return;
    }
    if (prev != 0) {
        w->connections[prev].wheel_next = next;
    } else {
        head_set(w, place, index, next);
    }
    if (next != 0) {
        uint32_t *back = &w->connections[next].wheel_prev;
        *back = (*back & ~(uint32_t)WHEEL_INDEX_MAX) | prev;
    }
    c->wheel_prev = c->wheel_next = 0;
}

/* Comes up no later than deadline_ns where it stands. One that is due already may be said to stand later. */
static bool stands_before(struct wheel *w, uint32_t place, uint64_t deadline_ns)
{
    if (place == WHEEL_DUE) {
        return true;
    }
    if (place == WHEEL_SOON) {
        return w->soon_ns <= deadline_ns;
    }
    return slot_tick(w, (place - 1) / WHEEL_SLOTS, (place - 1) % WHEEL_SLOTS) <= deadline_ns / WHEEL_TICK_NS;
}

void wheel_file(struct wheel *w, uint32_t index, uint64_t deadline_ns)
{
    uint32_t place = wheel_place(&w->connections[index]);

    if (place != 0) {
        if (stands_before(w, place, deadline_ns)) {
            return;
        }
        wheel_remove(w, index);
    }
    place = deadline_ns <= w->now_ns ? WHEEL_DUE : place_for(w, deadline_ns);
    if (place == WHEEL_SOON && deadline_ns < w->soon_ns) {
        w->soon_ns = deadline_ns;
    }
    place_link(w, index, place);
}

/* The first busy slot of the lowest busy level, as a place; 0: none. */
static uint32_t first_busy(const struct wheel *w)
{
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        if (w->busy[level] != 0) {
            return 1 + level * WHEEL_SLOTS + bits_ctz(w->busy[level]);
        }
    }
    return 0;
}

static uint64_t place_ns(const struct wheel *w, uint32_t place)
{
    return slot_tick(w, (place - 1) / WHEEL_SLOTS, (place - 1) % WHEEL_SLOTS) * WHEEL_TICK_NS;
}

/* Makes the first list that has come up by now_ns due; false when there is none. due is empty. */
static bool due_fetch(struct wheel *w, uint64_t now_ns)
{
    const uint32_t place = first_busy(w);
    const uint64_t slot_ns = place != 0 ? place_ns(w, place) : UINT64_MAX;

    if (w->soon_ns <= slot_ns && w->soon_ns <= now_ns && w->soon != 0) {
        w->now_ns = bits_max64(w->now_ns, w->soon_ns);
        w->due = w->soon;
        w->soon = 0;
        w->soon_ns = UINT64_MAX;
        return true;
    }
    if (place == 0 || slot_ns > now_ns) {
        return false;
    }
    w->now_ns = slot_ns;
    w->due = w->slots[place - 1];
    w->slots[place - 1] = 0;
    w->busy[(place - 1) / WHEEL_SLOTS] &= ~(UINT64_C(1) << (place - 1) % WHEEL_SLOTS);
    return true;
}

void wheel_advance(struct wheel *w, uint64_t now_ns)
{
    if (now_ns > w->now_ns && wheel_deadline(w) > now_ns) {
        w->now_ns = now_ns;
    }
}

uint32_t wheel_next(struct wheel *w, uint64_t now_ns)
{
    const uint32_t index = w->due != 0 || due_fetch(w, now_ns) ? w->due : 0;

    if (index != 0) {
        wheel_remove(w, index);
        /* The next one was touched just now; the one behind it would be a miss for whoever comes next. */
        __builtin_prefetch(&w->connections[w->connections[w->due].wheel_next].wheel_prev, 1);
    } else if (now_ns > w->now_ns) {
        w->now_ns = now_ns;
    }
    return index;
}

uint64_t wheel_deadline(const struct wheel *w)
{
    const uint32_t place = first_busy(w);

    if (w->due != 0) {
        return w->now_ns;
    }
    return bits_min64(w->soon_ns, place != 0 ? place_ns(w, place) : UINT64_MAX);
}
