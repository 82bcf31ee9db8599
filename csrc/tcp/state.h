/* The inside of the engine: its pools, its time, and the helpers that every file of this room shares. */
#ifndef VNIC_TCP_STATE_H
#define VNIC_TCP_STATE_H

#include "base/pool.h"
#include "tcp/engine.h"
#include "tcp/wheel.h"

struct tcp_engine {
    struct tcp_engine_config config;
    struct tcp_engine_parameters parameters;
    uint64_t now_ns;
    uint32_t now_us, now_ms; /* the same, low bits: asked for several times a segment */
    struct tcp_connection *connections; /* [0] is never used: index 0 is none */
    struct tcp_node *nodes;
    struct tcp_recovery *recoveries;
    struct pool connection_pool, node_pool, recovery_pool;
    struct wheel wheel;
    struct tcp_statistics statistics;
};

static inline uint32_t engine_us(const struct tcp_engine *e)
{
    return e->now_us;
}

static inline uint32_t engine_ms(const struct tcp_engine *e)
{
    return e->now_ms;
}

/* Time enters here, at the head of every call. It ends after 292 years, so that no sum of a time and a delay overflows:
 * what would expire later never does. */
#define ENGINE_TIME_MAX ((uint64_t)INT64_MAX)

static inline void engine_at(struct tcp_engine *e, uint64_t now_ns)
{
    if (now_ns > e->now_ns) {
        e->now_ns = now_ns < ENGINE_TIME_MAX ? now_ns : ENGINE_TIME_MAX;
        e->now_us = (uint32_t)(e->now_ns / 1000);
        e->now_ms = (uint32_t)(e->now_ns / 1000000);
    }
}

/* A place that no connection has is known by its profile (engine_archive.c). */
enum { ENGINE_PROFILE_FREE = 0xFF };

static inline void engine_forget(struct tcp_engine *e, struct tcp_connection *c)
{
    c->state = TCP_STATE_CLOSED;
    c->profile = ENGINE_PROFILE_FREE;
    pool_give(&e->connection_pool, (uint32_t)(c - e->connections));
}

static inline struct tcp_recovery *engine_recovery(struct tcp_engine *e, const struct tcp_connection *c)
{
    return c->recovery != 0 ? &e->recoveries[c->recovery] : NULL;
}

#endif
