/* harness.c: calls passed through, and a check of the wheel that reads all of it. */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

struct harness {
    struct tcp_engine engine;
};

harness *harness_create(uint32_t connections, uint32_t nodes, uint32_t ranges_per_connection)
{
    struct harness *h = calloc(1, sizeof *h);

    if (h == NULL) {
        return NULL;
    }
    h->engine.connections = calloc((size_t)connections + 1, sizeof(struct tcp_connection));
    h->engine.nodes = calloc((size_t)nodes + 1, sizeof(struct tcp_node));
    if (h->engine.connections == NULL || h->engine.nodes == NULL) {
        harness_destroy(h);
        return NULL;
    }
    h->engine.config.connections = connections;
    h->engine.config.ranges_per_connection = ranges_per_connection;
    pool_start(&h->engine.node_pool, h->engine.nodes, sizeof(struct tcp_node), nodes);
    wheel_start(&h->engine.wheel, h->engine.connections);
    return h;
}

void harness_destroy(harness *h)
{
    free(h->engine.connections);
    free(h->engine.nodes);
    free(h);
}

void harness_file(harness *h, uint32_t index, uint64_t deadline_ns)
{
    wheel_file(&h->engine.wheel, index, deadline_ns);
}

void harness_remove(harness *h, uint32_t index)
{
    wheel_remove(&h->engine.wheel, index);
}

uint32_t harness_next(harness *h, uint64_t now_ns)
{
    return wheel_next(&h->engine.wheel, now_ns);
}

void harness_advance(harness *h, uint64_t now_ns)
{
    wheel_advance(&h->engine.wheel, now_ns);
}

uint64_t harness_deadline(const harness *h)
{
    return wheel_deadline(&h->engine.wheel);
}

uint64_t harness_wheel_now(const harness *h)
{
    return h->engine.wheel.now_ns;
}

int harness_is_filed(const harness *h, uint32_t index)
{
    return wheel_is_filed(&h->engine.connections[index]);
}

/* Members of a list, or -1 when it does not hang together. */
static int64_t list_check(const struct wheel *w, uint32_t head, uint32_t most)
{
    uint32_t prev = 0, count = 0;

    for (uint32_t i = head; i != 0; i = w->connections[i].wheel_next) {
        const struct tcp_connection *c = &w->connections[i];
        if ((c->wheel_prev & WHEEL_INDEX_MAX) != prev || !wheel_is_filed(c) || ++count > most) {
            return -1;
        }
        prev = i;
    }
    return count;
}

static uint32_t filed_count(const struct tcp_engine *e)
{
    uint32_t count = 0;

    for (uint32_t i = 1; i <= e->config.connections; i++) {
        count += wheel_is_filed(&e->connections[i]);
    }
    return count;
}

int64_t harness_wheel_check(const harness *h)
{
    const struct wheel *w = &h->engine.wheel;
    const uint32_t most = h->engine.config.connections;
    const int64_t due = list_check(w, w->due, most), soon = list_check(w, w->soon, most);
    int64_t total = due + soon;

    if (due < 0 || soon < 0 || (soon == 0) != (w->soon_ns == UINT64_MAX)) {
        return -1;
    }
    for (unsigned i = 0; i < WHEEL_LEVELS * WHEEL_SLOTS; i++) {
        const int64_t count = list_check(w, w->slots[i], most);
        if (count < 0 || (count != 0) != ((w->busy[i / WHEEL_SLOTS] >> i % WHEEL_SLOTS & 1) != 0)) {
            return -1;
        }
        total += count;
    }
    return total == filed_count(&h->engine) ? total : -1;
}

void harness_at(harness *h, uint64_t now_ns)
{
    engine_at(&h->engine, now_ns);
}

void harness_set(harness *h, uint32_t index, uint32_t which, uint32_t delay)
{
    struct tcp_connection *c = &h->engine.connections[index];

    if (which == TCP_TIMER_XMIT) {
        timer_set_xmit(&h->engine, c, TCP_XMIT_RTO, delay);
    } else if (which == TCP_TIMER_DELACK) {
        timer_set_delack(&h->engine, c, delay);
    } else {
        timer_set_keep(&h->engine, c, delay);
    }
}

void harness_stop(harness *h, uint32_t index, uint32_t which)
{
    timer_stop(&h->engine, &h->engine.connections[index], which);
}

void harness_release(harness *h, uint32_t index)
{
    timer_release(&h->engine, &h->engine.connections[index]);
}

uint32_t harness_next_expired(harness *h)
{
    const struct tcp_connection *c = timer_next_expired(&h->engine);

    return c != NULL ? (uint32_t)(c - h->engine.connections) : 0;
}

uint32_t harness_take_expired(harness *h, uint32_t index)
{
    return timer_take_expired(&h->engine, &h->engine.connections[index]);
}

uint64_t harness_timer_deadline(const harness *h, uint32_t index)
{
    return timer_deadline(&h->engine, &h->engine.connections[index]);
}

uint32_t harness_armed(const harness *h, uint32_t index)
{
    return h->engine.connections[index].armed;
}

uint64_t harness_places(const harness *h)
{
    uint64_t hash = 0xCBF29CE484222325u;

    for (uint32_t i = 1; i <= h->engine.config.connections; i++) {
        const struct tcp_connection *c = &h->engine.connections[i];
        hash = (hash ^ c->wheel_prev) * 0x100000001B3u;
        hash = (hash ^ c->wheel_next) * 0x100000001B3u;
    }
    return hash;
}

void harness_sack(harness *h, uint32_t index, int is_agreed)
{
    h->engine.connections[index].flags = is_agreed != 0 ? TCP_HAS_SACK : 0;
}

/* Gives all ranges this stamp, as if they were that old. */
void harness_stamp(harness *h, uint32_t index, uint32_t stamp)
{
    struct tcp_engine *e = &h->engine;

    for (uint32_t i = reassembly_first(e, &e->connections[index]); i != 0; i = e->nodes[i].next) {
        e->nodes[i].stamp = stamp;
    }
}

static struct harness_fit fit_spread(struct reassembly_fit fit)
{
    return (struct harness_fit){fit.left,      fit.right,   fit.dup.left,
                                fit.dup.right, fit.is_kept, fit.is_duplicate};
}

struct harness_fit harness_add(harness *h, uint32_t index, uint32_t left, uint32_t right)
{
    return fit_spread(reassembly_add(&h->engine, &h->engine.connections[index], left, right));
}

struct harness_fit harness_in_order(harness *h, uint32_t index, uint32_t left, uint32_t right)
{
    return fit_spread(reassembly_fit_in_order(&h->engine, &h->engine.connections[index], left, right));
}

uint32_t harness_reassembled(harness *h, uint32_t index, uint32_t next)
{
    return reassembly_advance(&h->engine, &h->engine.connections[index], next);
}

void harness_duplicate(harness *h, uint32_t index, uint32_t left, uint32_t right)
{
    reassembly_report_duplicate(&h->engine, &h->engine.connections[index], left, right);
}

uint32_t harness_blocks(harness *h, uint32_t index, struct harness_range *blocks, uint32_t limit)
{
    struct tcp_block found[TCP_SACK_BLOCKS];
    const uint32_t count = reassembly_blocks(&h->engine, &h->engine.connections[index], found, limit);

    for (uint32_t i = 0; i < count; i++) {
        blocks[i] = (struct harness_range){found[i].left, found[i].right};
    }
    return count;
}

uint32_t harness_ranges(const harness *h, uint32_t index, struct harness_range *ranges, uint32_t max)
{
    const struct tcp_engine *e = &h->engine;
    uint32_t count = 0;

    for (uint32_t i = reassembly_first(e, &e->connections[index]); i != 0 && count < max;
         i = e->nodes[i].next) {
        ranges[count++] = (struct harness_range){e->nodes[i].left, e->nodes[i].right};
    }
    return count;
}

int harness_is_empty(const harness *h, uint32_t index)
{
    return reassembly_is_empty(&h->engine, &h->engine.connections[index]);
}

void harness_drop(harness *h, uint32_t index)
{
    reassembly_drop(&h->engine, &h->engine.connections[index]);
}

uint32_t harness_nodes_used(const harness *h)
{
    return h->engine.node_pool.used;
}

uint64_t harness_no_nodes(const harness *h)
{
    return h->engine.statistics.no_nodes;
}
