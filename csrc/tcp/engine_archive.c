/* engine_archive.c: an engine whole: time, parameters, counters, connections by place, free places, timers. */
#include "tcp/engine_archive.h"

#include "base/pool_archive.h"
#include "tcp/image_walk.h"
#include "tcp/parameters.h"

#include <stddef.h>
#include <string.h>

enum { TAG_TIME = 0x400, TAG_SHAPE, TAG_PARAMETER, TAG_STATISTIC, TAG_FREE, TAG_LIVE, TAG_PLACE };

static void shape_archive(struct tcp_engine *e, struct archive *a)
{
    const uint32_t shape[] = {e->config.connections, e->config.nodes, e->config.recoveries,
                              e->config.ranges_per_connection};

    for (size_t i = 0; i < sizeof shape / sizeof shape[0]; i++) {
        uint32_t value = shape[i];
        ARCHIVE(a, TAG_SHAPE, value, UINT32_MAX);
        archive_refuse_if(a, value != shape[i]);
    }
}

static void time_archive(struct tcp_engine *e, struct archive *a)
{
    ARCHIVE(a, TAG_TIME, e->now_ns, INT64_MAX);
    e->now_us = (uint32_t)(e->now_ns / 1000);
    e->now_ms = (uint32_t)(e->now_ns / 1000000);
}

static void parameters_archive(struct tcp_engine *e, struct archive *a)
{
    struct tcp_engine_parameters *p = &e->parameters;

    ARCHIVE(a, TAG_PARAMETER, p->delack_us, UINT32_MAX);
    ARCHIVE(a, TAG_PARAMETER, p->ack_every, UINT32_MAX);
    ARCHIVE(a, TAG_PARAMETER, p->override_us, UINT32_MAX);
    ARCHIVE(a, TAG_PARAMETER, p->dup_threshold, UINT32_MAX);
    ARCHIVE(a, TAG_PARAMETER, p->max_retransmissions, UINT32_MAX);
    ARCHIVE(a, TAG_PARAMETER, p->doubt, UINT32_MAX);
    archive_refuse_if(a, !parameters_are_sound(p));
}

_Static_assert(sizeof(struct tcp_statistics) % sizeof(uint64_t) == 0, "counters and nothing else");

static void statistics_archive(struct tcp_engine *e, struct archive *a)
{
    uint64_t counters[sizeof e->statistics / sizeof(uint64_t)];

    memcpy(counters, &e->statistics, sizeof counters);
    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++) {
        ARCHIVE(a, TAG_STATISTIC, counters[i], UINT64_MAX);
    }
    memcpy(&e->statistics, counters, sizeof counters);
}

/* What stands in a free place is no connection, and says so. */
static void free_mark(struct tcp_engine *e)
{
    const struct pool *p = &e->connection_pool;
    uint32_t left = pool_free_count(p);

    for (uint32_t index = p->free; left != 0 && index != 0; left--) {
        e->connections[index].profile = ENGINE_PROFILE_FREE;
        index = *pool_link(p, index);
    }
}

/* No free place has a connection: that would have changed its profile, and perhaps the list. */
static bool free_is_sound(struct tcp_engine *e)
{
    const struct pool *p = &e->connection_pool;

    if (!pool_is_sound(p)) {
        return false;
    }
    for (uint32_t index = p->free; index != 0; index = *pool_link(p, index)) {
        if (e->connections[index].profile != ENGINE_PROFILE_FREE) {
            return false;
        }
    }
    return true;
}

static void connection_load(struct tcp_engine *e, struct archive *a, uint32_t index)
{
    struct image image;

    image_read(e, a, &image);
    if (!a->failed) {
        archive_refuse_if(a, !image_build(e, &image, a, index));
    }
}

static void live_load(struct tcp_engine *e, struct archive *a)
{
    const uint32_t last = e->connection_pool.fresh - 1;
    const uint32_t count = archive_count(a, TAG_LIVE, 0, last);
    uint32_t index = 0;

    archive_refuse_if(a, count != e->connection_pool.used);
    for (uint32_t i = 0; i < count && !a->failed; i++) {
        const uint32_t before = index;
        ARCHIVE(a, TAG_PLACE, index, last);
        archive_refuse_if(a, index <= before);
        if (!a->failed) {
            connection_load(e, a, index);
        }
    }
    archive_refuse_if(a, !a->failed && !free_is_sound(e));
}

static void live_save(struct tcp_engine *e, struct archive *a)
{
    (void)archive_count(a, TAG_LIVE, e->connection_pool.used, UINT32_MAX);
    for (uint32_t i = 1; i < e->connection_pool.fresh; i++) {
        uint32_t index = i;
        if (e->connections[i].profile != ENGINE_PROFILE_FREE) {
            ARCHIVE(a, TAG_PLACE, index, UINT32_MAX);
            image_save(e, &e->connections[i], a);
        }
    }
}

/* Not that every wait ends: a caller may have let timers of a connection go by that is silent. */
static bool live_are_sound(struct tcp_engine *e)
{
    for (uint32_t i = 1; i < e->connection_pool.fresh; i++) {
        if (e->connections[i].profile != ENGINE_PROFILE_FREE
            && tcp_check_structure(e, &e->connections[i]) != NULL) {
            return false;
        }
    }
    return true;
}

static void places_archive(struct tcp_engine *e, struct archive *a)
{
    pool_archive(&e->connection_pool, a, TAG_FREE);
    if (a->failed) {
        return;
    }
    if (archive_is_loading(a)) {
        free_mark(e);
        live_load(e, a);
    } else {
        live_save(e, a);
    }
}

void tcp_engine_archive(tcp_engine *engine, struct archive *a)
{
    const bool is_loading = archive_is_loading(a);

    if (is_loading) {
        engine->now_ns = 0;
        tcp_engine_reset(engine);
    }
    shape_archive(engine, a);
    time_archive(engine, a);
    parameters_archive(engine, a);
    statistics_archive(engine, a);
    places_archive(engine, a);
    if (!a->failed) {
        wheel_archive(&engine->wheel, a, engine->connection_pool.fresh - 1);
    }
    archive_refuse_if(a, engine->wheel.now_ns > engine->now_ns);
    archive_refuse_if(a, !a->failed && !live_are_sound(engine));
    if (is_loading && a->failed) {
        tcp_engine_reset(engine);
    }
}

bool tcp_is_live(const tcp_engine *engine, uint32_t index)
{
    return index != 0 && index < engine->connection_pool.fresh
           && engine->connections[index].profile != ENGINE_PROFILE_FREE;
}

size_t tcp_engine_save(tcp_engine *engine, uint8_t *out, size_t capacity)
{
    struct archive a;

    archive_save(&a, out, capacity);
    tcp_engine_archive(engine, &a);
    return a.at;
}

bool tcp_engine_load(tcp_engine *engine, const uint8_t *bytes, size_t len)
{
    struct archive a;

    archive_load(&a, bytes, len);
    tcp_engine_archive(engine, &a);
    if (a.at != len) {
        tcp_engine_reset(engine);
        return false;
    }
    return !a.failed;
}

uint64_t tcp_engine_hash(tcp_engine *engine)
{
    struct archive a;

    archive_hash(&a);
    tcp_engine_archive(engine, &a);
    return a.hash;
}
