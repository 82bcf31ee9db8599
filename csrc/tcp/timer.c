/* timer.c: arms and stops the three timers of a connection, and turns them into times of the wheel. */
#include "tcp/timer.h"

#include "base/bits.h"

enum { US_NS = 1000, MS_NS = 1000000 };

static uint32_t index_of(const struct tcp_engine *e, const struct tcp_connection *c)
{
    return (uint32_t)(c - e->connections);
}

/* Times are told apart by their distance from the wheel, which stood still if nothing came up. */
static void file_at(struct tcp_engine *e, const struct tcp_connection *c, uint64_t deadline_ns)
{
    wheel_advance(&e->wheel, e->now_ns);
    wheel_file(&e->wheel, index_of(e, c), deadline_ns);
}

/* Armed for no later time, and in the wheel: it stands early enough. */
static bool is_moved_later(const struct tcp_connection *c, uint32_t timer, uint32_t from, uint32_t to)
{
    return timer_is_set(c, timer) && wheel_is_filed(c) && (int32_t)(to - from) >= 0;
}

/* Sets *slot to delay units from now and sees to it that the wheel comes by in time. */
static inline void timer_set(struct tcp_engine *e, struct tcp_connection *c, uint32_t timer, uint32_t *slot,
                             uint32_t delay, uint32_t unit_ns)
{
    const uint64_t deadline = e->now_ns / unit_ns + delay;
    const bool is_filed = is_moved_later(c, timer, *slot, (uint32_t)deadline);

    *slot = (uint32_t)deadline;
    c->armed |= (uint8_t)timer;
    if (!is_filed) {
        file_at(e, c, deadline * unit_ns);
    }
}

void timer_set_xmit(struct tcp_engine *e, struct tcp_connection *c, enum tcp_xmit what, uint32_t delay_us)
{
    c->xmit = (uint8_t)what;
    timer_set(e, c, TCP_TIMER_XMIT, &c->t_xmit_us, delay_us, US_NS);
}

void timer_set_delack(struct tcp_engine *e, struct tcp_connection *c, uint32_t delay_us)
{
    timer_set(e, c, TCP_TIMER_DELACK, &c->t_delack_us, delay_us, US_NS);
}

void timer_set_keep(struct tcp_engine *e, struct tcp_connection *c, uint32_t delay_ms)
{
    timer_set(e, c, TCP_TIMER_KEEP, &c->t_keep_ms, delay_ms, MS_NS);
}

/*
 * A time modulo 2^32 as a whole. The wheel's time is where the slot came up from which the connection was taken, or
 * about now; so this is right even when the caller looked in late, by more than the range of a timer.
 */
static uint64_t whole_ns(const struct tcp_engine *e, uint32_t at, uint32_t unit_ns)
{
    const uint64_t base = e->wheel.now_ns / unit_ns;
    const int64_t whole = (int64_t)base + (int32_t)(at - (uint32_t)base);

    return whole > 0 ? (uint64_t)whole * unit_ns : 0;
}

/* When each armed timer expires, in the order of enum tcp_timer; UINT64_MAX for the others. */
static void timer_times(const struct tcp_engine *e, const struct tcp_connection *c, uint64_t times[3])
{
    times[0] = timer_is_set(c, TCP_TIMER_XMIT) ? whole_ns(e, c->t_xmit_us, US_NS) : UINT64_MAX;
    times[1] = timer_is_set(c, TCP_TIMER_DELACK) ? whole_ns(e, c->t_delack_us, US_NS) : UINT64_MAX;
    times[2] = timer_is_set(c, TCP_TIMER_KEEP) ? whole_ns(e, c->t_keep_ms, MS_NS) : UINT64_MAX;
}

uint64_t timer_deadline(const struct tcp_engine *e, const struct tcp_connection *c)
{
    uint64_t times[3];

    timer_times(e, c, times);
    return bits_min64(bits_min64(times[0], times[1]), times[2]);
}

struct tcp_connection *timer_next_expired(struct tcp_engine *e)
{
    uint32_t index;

    while ((index = wheel_next(&e->wheel, e->now_ns)) != 0) {
        struct tcp_connection *c = &e->connections[index];
        const uint64_t deadline = timer_deadline(e, c);
        if (deadline <= e->now_ns) {
            return c;
        }
        if (deadline != UINT64_MAX) {
            wheel_file(&e->wheel, index, deadline);
        }
    }
    return NULL;
}

uint32_t timer_take_expired(struct tcp_engine *e, struct tcp_connection *c)
{
    uint64_t times[3], rest = UINT64_MAX;
    uint32_t expired = 0;

    timer_times(e, c, times);
    for (unsigned i = 0; i < 3; i++) {
        if (times[i] <= e->now_ns) {
            expired |= 1U << i;
        } else {
            rest = bits_min64(rest, times[i]);
        }
    }
    timer_stop(e, c, expired);
    if (rest != UINT64_MAX) {
        wheel_file(&e->wheel, index_of(e, c), rest);
    }
    return expired;
}

/* At least one unit: it must not be due again at once. */
static uint32_t units_of(uint64_t delay_ns, uint32_t unit_ns)
{
    return (uint32_t)bits_min64(delay_ns / unit_ns + 1, INT32_MAX / 2);
}

void timer_postpone(struct tcp_engine *e, struct tcp_connection *c, uint64_t delay_ns)
{
    uint64_t times[3];

    timer_times(e, c, times);
    if (times[0] <= e->now_ns) {
        c->t_xmit_us = (uint32_t)(e->now_ns / US_NS) + units_of(delay_ns, US_NS);
    }
    if (times[1] <= e->now_ns) {
        c->t_delack_us = (uint32_t)(e->now_ns / US_NS) + units_of(delay_ns, US_NS);
    }
    if (times[2] <= e->now_ns) {
        c->t_keep_ms = (uint32_t)(e->now_ns / MS_NS) + units_of(delay_ns, MS_NS);
    }
    wheel_advance(&e->wheel, e->now_ns);
    wheel_file(&e->wheel, index_of(e, c), timer_deadline(e, c));
}

void timer_resume(struct tcp_engine *e, struct tcp_connection *c)
{
    wheel_advance(&e->wheel, e->now_ns);
    if (c->armed != 0) {
        wheel_file(&e->wheel, index_of(e, c), timer_deadline(e, c));
    }
}

void timer_suspend(struct tcp_engine *e, struct tcp_connection *c)
{
    wheel_remove(&e->wheel, index_of(e, c));
}

void timer_release(struct tcp_engine *e, struct tcp_connection *c)
{
    c->armed = 0;
    wheel_remove(&e->wheel, index_of(e, c));
}
