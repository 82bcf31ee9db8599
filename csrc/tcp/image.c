/* image.c: writes the image of a connection. */
#include "tcp/image.h"

#include "tcp/image_walk.h"
#include "tcp/runs.h"

static void node_save(struct archive *a, const struct tcp_node *node, uint32_t now_us, bool is_run)
{
    struct tcp_node copy = *node;

    if (is_run) {
        image_turn_one(&copy.stamp, now_us);
    }
    image_walk_node(a, &copy);
}

static void runs_save(const struct tcp_engine *e, const struct tcp_connection *c, struct archive *a)
{
    uint32_t count = 0;

    for (uint32_t i = runs_first(e, c); i != 0; i = runs_next(e, c, i)) {
        count++;
    }
    (void)archive_count(a, TAG_RUNS, count, UINT32_MAX);
    for (uint32_t i = runs_first(e, c); i != 0; i = runs_next(e, c, i)) {
        node_save(a, &e->nodes[i], engine_us(e), true);
    }
}

/* The duplicate to be reported, if there is one, comes first. */
static void ranges_save(const struct tcp_engine *e, const struct tcp_connection *c, struct archive *a)
{
    uint32_t count = 0;

    for (uint32_t i = c->ranges; i != 0; i = e->nodes[i].next) {
        count++;
    }
    (void)archive_count(a, TAG_RANGES, count, UINT32_MAX);
    for (uint32_t i = c->ranges; i != 0; i = e->nodes[i].next) {
        node_save(a, &e->nodes[i], 0, false);
    }
}

void image_save(const struct tcp_engine *e, const struct tcp_connection *c, struct archive *a)
{
    struct image image = {.c = *c};

    if (c->recovery != 0) {
        image.r = e->recoveries[c->recovery];
    }
    image_turn(&image, e);
    image.c.ts_offset += engine_ms(e);
    image_walk_connection(a, &image);
    runs_save(e, c, a);
    ranges_save(e, c, a);
}

static void image_write(const struct tcp_engine *e, const struct tcp_connection *c, struct archive *a)
{
    uint8_t end = 0;
    int refusal;

    (void)image_walk_header(a, &refusal);
    image_save(e, c, a);
    ARCHIVE(a, TAG_END, end, 0);
}

size_t tcp_image_size(const tcp_engine *engine, const struct tcp_connection *c)
{
    struct archive a;

    archive_save(&a, NULL, 0);
    image_write(engine, c, &a);
    return a.at;
}

size_t tcp_save(tcp_engine *engine, const struct tcp_connection *c, uint64_t now_ns, uint8_t *out,
                size_t capacity)
{
    struct archive a;

    engine_at(engine, now_ns);
    archive_save(&a, out, capacity);
    image_write(engine, c, &a);
    return a.at <= capacity ? a.at : 0;
}
