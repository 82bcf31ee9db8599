/* The TCP engine alone, two of them: segments as fields, no bytes, no lookup, no IP; below this no stack of ours gets. */
#include <stdlib.h>

#include "round.h"
#include "tcp/engine.h"
#include "tcp_load.h"

enum { NS_A_SEGMENT = 120, BUFFER_BYTES = 128 * 1024, MTU = 1500 };

struct end {
    tcp_engine *engine;
    struct tcp_connection **connection;
    uint64_t received;
};

struct path {
    struct end client, server;
    uint32_t *order;
    uint32_t count;
    uint64_t now_ns, sent, segments;
};

static void path_die(const char *what)
{
    fprintf(stderr, "engine_path: %s\n", what);
    exit(EXIT_FAILURE);
}

static struct tcp_open opening(uint32_t number, bool is_client)
{
    struct tcp_open open = {
        .local = {10, 0, 0, is_client ? 1 : 2},
        .remote = {10, 0, 0, is_client ? 2 : 1},
        .rcv_wscale = 2,
        .ttl = 64,
        .flags = TCP_HAS_TIMESTAMPS | TCP_HAS_SACK | TCP_HAS_WSCALE,
        .iss = number * 64007u + is_client,
        .mtu = MTU,
        .rcv_buf = BUFFER_BYTES,
    };
    const uint16_t client_port = (uint16_t)(1024 + number % 32768),
                   server_port = (uint16_t)(5001 + number / 32768);

    open.local_port = is_client ? client_port : server_port;
    open.remote_port = is_client ? server_port : client_port;
    return open;
}

static tcp_engine *engine_open(uint32_t connections)
{
    struct tcp_engine_config config;
    tcp_engine *engine;

    tcp_engine_defaults(&config, connections);
    config.delack_us = 250000;
    config.rto_min_us = 1000000;
    engine = tcp_engine_create(&config);
    if (!engine) {
        path_die("tcp_engine_create");
    }
    return engine;
}

/* What one input asks of the application: here it reads at once. */
static void end_input(struct path *path, struct end *end, uint32_t number, const struct tcp_segment *segment)
{
    struct tcp_connection *c = end->connection[number];
    struct tcp_result result;

    tcp_input(end->engine, c, path->now_ns, segment, &result);
    if (result.events & (TCP_EVENT_CLOSED | TCP_EVENT_REPLY_RST)) {
        path_die("a connection broke");
    }
    if (result.delivered) {
        end->received += result.delivered;
        tcp_consume(end->engine, c, path->now_ns, result.delivered, &result);
    }
}

/* All that a connection has to send goes to the other end; true when there was anything. */
static unsigned connection_move(struct path *path, struct end *from, struct end *to, uint32_t number)
{
    struct tcp_segment segment[LOAD_BURST];
    unsigned count = 0;

    while (count < LOAD_BURST
           && tcp_output(from->engine, from->connection[number], path->now_ns, 0, &segment[count])) {
        count++;
    }
    path->now_ns += count * (uint64_t)NS_A_SEGMENT;
    for (unsigned i = 0; i < count; i++) {
        end_input(path, to, number, &segment[i]);
    }
    return count;
}

static void connection_run(struct path *path, uint32_t number)
{
    unsigned moved;

    do {
        moved = connection_move(path, &path->client, &path->server, number);
        path->segments += moved;
        moved += connection_move(path, &path->server, &path->client, number);
    } while (moved);
}

static void connection_open(struct path *path, uint32_t number)
{
    const struct tcp_open active = opening(number, true), passive = opening(number, false);
    struct tcp_segment syn;

    path->client.connection[number] = tcp_connect(path->client.engine, path->now_ns, &active);
    if (!path->client.connection[number]
        || !tcp_output(path->client.engine, path->client.connection[number], path->now_ns, 0, &syn)) {
        path_die("tcp_connect");
    }
    path->server.connection[number] = tcp_accept(path->server.engine, path->now_ns, &passive, &syn);
    if (!path->server.connection[number]) {
        path_die("tcp_accept");
    }
    connection_run(path, number);
    if (path->client.connection[number]->state != TCP_STATE_ESTABLISHED
        || path->server.connection[number]->state != TCP_STATE_ESTABLISHED) {
        path_die("no connection");
    }
}

static void path_open(struct path *path, uint32_t connections)
{
    path->order = load_order(connections);
    path->count = connections;
    path->client.engine = engine_open(connections);
    path->server.engine = engine_open(connections);
    path->client.connection = calloc(connections, sizeof *path->client.connection);
    path->server.connection = calloc(connections, sizeof *path->server.connection);
    if (!path->order || !path->client.connection || !path->server.connection) {
        path_die("no memory");
    }
    for (uint32_t i = 0; i < connections; i++) {
        connection_open(path, i);
    }
}

static uint32_t payload_of(const struct tcp_connection *c)
{
    return c->snd_mss - (tcp_has(c, TCP_HAS_TIMESTAMPS) ? 12u : 0);
}

/* `segments` full-sized ones on each connection in turn. */
static double measure(struct path *path, uint64_t turns, uint32_t segments)
{
    const uint32_t len = segments * payload_of(path->client.connection[0]);
    uint64_t before = path->segments, start = round_cpu_ns(), spent;

    for (uint64_t i = 0; i < turns * path->count; i++) {
        const uint32_t number = path->order[i % path->count];
        struct tcp_result result;

        tcp_queue(path->client.engine, path->client.connection[number], path->now_ns, len, true, &result);
        path->sent += len;
        connection_run(path, number);
    }
    spent = round_cpu_ns() - start;
    if (path->segments - before != turns * path->count * segments || path->server.received != path->sent) {
        return -1;
    }
    return (double)spent / (double)(turns * path->count * segments);
}

int main(void)
{
    struct path one = {0}, many = {0};
    double effort;

    path_open(&one, 1);
    path_open(&many, LOAD_MANY);
    round_ready();
    while (round_await(&effort)) {
        const struct round_figure figure[] = {
            {"engine alone 1 connection",
             measure(&one, load_units(LOAD_SEGMENTS, effort) / LOAD_BURST, LOAD_BURST)},
            {"engine alone 4096 connections", measure(&many, 8 * load_turns(effort), 1)},
        };

        if (!round_print(figure, 2)) {
            return EXIT_FAILURE;
        }
    }
    return EXIT_SUCCESS;
}
