/* engine.c: creation and bounds of an engine, its connections by index, and its time. */
#include "base/bits.h"
#include "base/pages.h"
#include "tcp/parameters.h"
#include "tcp/reassembly.h"
#include "tcp/recovery.h"
#include "tcp/scoreboard.h"
#include "tcp/timer.h"

#include <stdlib.h>

enum {
    CONNECTIONS_MAX = 4000000,
    ENTRIES_MAX = 1 << 26,
    RANGES_LEAST = 4,
    RANGES_MAX = 1024,
    TIMEOUT_MAX_US = 1 << 30,
    TIME_MAX_MS = 1 << 30,
    CHALLENGE_PERIOD_MAX_MS = 60000
};

void tcp_engine_defaults(struct tcp_engine_config *config, uint32_t connections)
{
    const uint32_t few = connections < CONNECTIONS_MAX ? connections : CONNECTIONS_MAX;

    *config = (struct tcp_engine_config){
        .connections = connections,
        .nodes = 4 * few + 1024,
        .recoveries = few / 4 + 64,
        .ranges_per_connection = 256,
        .rto_initial_us = 1000000,
        .rto_min_us = 200000,
        .rto_max_us = 60000000,
        .delack_us = 40000,
        .override_us = 200000,
        .msl_ms = 30000,
        .fin_wait_2_ms = 60000,
        .r1 = 3,
        .r2_ms = 100000,
        .syn_r2_ms = 180000,
        .challenge_limit = 10,
        .challenge_period_ms = 5000,
        .initial_segments = 10,
    };
}

static bool is_between(uint32_t value, uint32_t least, uint32_t most)
{
    return value >= least && value <= most;
}

static bool has_good_sizes(const struct tcp_engine_config *config)
{
    return is_between(config->connections, 1, CONNECTIONS_MAX) && is_between(config->nodes, 1, ENTRIES_MAX)
           && is_between(config->recoveries, 1, ENTRIES_MAX)
           && is_between(config->ranges_per_connection, RANGES_LEAST, RANGES_MAX);
}

static bool has_good_times(const struct tcp_engine_config *config)
{
    return is_between(config->rto_min_us, 1000, config->rto_max_us)
           && is_between(config->rto_initial_us, config->rto_min_us, config->rto_max_us)
           && is_between(config->rto_max_us, 60000000, TIMEOUT_MAX_US)
           && is_between(config->delack_us, 1, PARAMETER_DELACK_MAX_US)
           && is_between(config->override_us, PARAMETER_OVERRIDE_LEAST_US, PARAMETER_OVERRIDE_MAX_US)
           && is_between(config->msl_ms, 1, TIME_MAX_MS / 2)
           && is_between(config->fin_wait_2_ms, 1, TIME_MAX_MS);
}

static bool has_good_limits(const struct tcp_engine_config *config)
{
    return is_between(config->r1, 3, UINT8_MAX) && is_between(config->r2_ms, 100000, TIME_MAX_MS)
           && is_between(config->syn_r2_ms, 180000, TIME_MAX_MS)
           && is_between(config->challenge_limit, 1, UINT8_MAX)
           && is_between(config->challenge_period_ms, 1, CHALLENGE_PERIOD_MAX_MS)
           && is_between(config->initial_segments, 1, 100);
}

/* Elements 1 to count, and the unused 0. Untouched memory costs nothing. */
static void *engine_array(uint32_t count, size_t size)
{
    return pages_calloc((size_t)count + 1, size);
}

static void engine_free(void *array, uint32_t count, size_t size)
{
    pages_free(array, (size_t)count + 1, size);
}

static void engine_start(struct tcp_engine *e)
{
    const struct tcp_engine_config *config = &e->config;

    pool_start(&e->connection_pool, e->connections, sizeof *e->connections, config->connections);
    pool_start(&e->node_pool, e->nodes, sizeof *e->nodes, config->nodes);
    pool_start(&e->recovery_pool, e->recoveries, sizeof *e->recoveries, config->recoveries);
    wheel_start(&e->wheel, e->connections);
    e->wheel.now_ns = e->now_ns;
    e->statistics = (struct tcp_statistics){0};
    engine_default_parameters(e);
}

tcp_engine *tcp_engine_create(const struct tcp_engine_config *config)
{
    struct tcp_engine *e;

    if (!has_good_sizes(config) || !has_good_times(config) || !has_good_limits(config)) {
        return NULL;
    }
    e = calloc(1, sizeof *e);
    if (e == NULL) {
        return NULL;
    }
    e->config = *config;
    e->connections = engine_array(config->connections, sizeof *e->connections);
    e->nodes = engine_array(config->nodes, sizeof *e->nodes);
    e->recoveries = engine_array(config->recoveries, sizeof *e->recoveries);
    if (e->connections == NULL || e->nodes == NULL || e->recoveries == NULL) {
        tcp_engine_destroy(e);
        return NULL;
    }
    engine_start(e);
    return e;
}

void tcp_engine_destroy(tcp_engine *engine)
{
    if (engine == NULL) {
        return;
    }
    engine_free(engine->connections, engine->config.connections, sizeof *engine->connections);
    engine_free(engine->nodes, engine->config.nodes, sizeof *engine->nodes);
    engine_free(engine->recoveries, engine->config.recoveries, sizeof *engine->recoveries);
    free(engine);
}

void tcp_engine_reset(tcp_engine *engine)
{
    engine->now_ns = 0;
    engine->now_us = 0;
    engine->now_ms = 0;
    engine_start(engine);
}

const struct tcp_statistics *tcp_engine_statistics(const tcp_engine *engine)
{
    return &engine->statistics;
}

void tcp_release(tcp_engine *engine, struct tcp_connection *c)
{
    timer_release(engine, c);
    reassembly_drop(engine, c);
    recovery_release(engine, c);
    engine_forget(engine, c);
}

uint64_t tcp_deadline(tcp_engine *engine)
{
    const uint64_t deadline = wheel_deadline(&engine->wheel);

    return deadline <= ENGINE_TIME_MAX ? deadline : UINT64_MAX;
}

struct tcp_connection *tcp_expired(tcp_engine *engine, uint64_t now_ns)
{
    engine_at(engine, now_ns);
    return timer_next_expired(engine);
}

void tcp_postpone(tcp_engine *engine, struct tcp_connection *c, uint64_t now_ns, uint64_t delay_ns)
{
    engine_at(engine, now_ns);
    timer_postpone(engine, c, delay_ns);
}

void tcp_skip_timeout(tcp_engine *engine, struct tcp_connection *c, uint64_t now_ns)
{
    engine_at(engine, now_ns);
    (void)timer_take_expired(engine, c);
}

uint64_t tcp_connection_deadline(const tcp_engine *engine, const struct tcp_connection *c)
{
    return timer_deadline(engine, c);
}

uint32_t tcp_index(const tcp_engine *engine, const struct tcp_connection *c)
{
    return (uint32_t)(c - engine->connections);
}

struct tcp_connection *tcp_at(tcp_engine *engine, uint32_t index)
{
    return index >= 1 && index <= engine->config.connections ? &engine->connections[index] : NULL;
}

void tcp_prefetch_timer(const tcp_engine *engine, uint32_t index)
{
    wheel_prefetch(&engine->wheel, index);
}

struct tcp_connection *tcp_connections(tcp_engine *engine)
{
    return engine->connections;
}

uint32_t tcp_pipe(const tcp_engine *engine, const struct tcp_connection *c)
{
    return recovery_pipe(engine, c);
}

uint64_t tcp_engine_now(const tcp_engine *engine)
{
    return engine->now_ns;
}

uint32_t tcp_connections_used(const tcp_engine *engine)
{
    return engine->connection_pool.used;
}

uint32_t tcp_nodes_left(const tcp_engine *engine)
{
    return pool_left(&engine->node_pool);
}

size_t tcp_engine_footprint(const tcp_engine *engine)
{
    const struct tcp_engine_config *config = &engine->config;

    return sizeof *engine + ((size_t)config->connections + 1) * sizeof *engine->connections
           + ((size_t)config->nodes + 1) * sizeof *engine->nodes
           + ((size_t)config->recoveries + 1) * sizeof *engine->recoveries;
}

bool tcp_run_at(const tcp_engine *engine, const struct tcp_connection *c, uint32_t i, struct tcp_block *block,
                uint32_t *sent_us, uint32_t *marks)
{
    return scoreboard_run_at(engine, c, i, block, sent_us, marks);
}

bool tcp_range_at(const tcp_engine *engine, const struct tcp_connection *c, uint32_t i,
                  struct tcp_block *block)
{
    uint32_t index = reassembly_first(engine, c);

    while (index != 0 && i-- > 0) {
        index = engine->nodes[index].next;
    }
    if (index == 0) {
        return false;
    }
    *block = (struct tcp_block){engine->nodes[index].left, engine->nodes[index].right};
    return true;
}
