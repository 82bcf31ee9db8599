/* Our stack to our stack in one process: data over one to 512 k connections, messages, connect and close, memory. */
#include <stdlib.h>
#include <unistd.h>

#include "round.h"
#include "stack/lookup.h"
#include "stack/socket.h"
#include "stack_apps.h"
#include "tcp/connection.h"

enum { CONNECTS = 65536, MEMORY_CONNECTIONS = 128 * 1024 };

/* -- the rounds --------------------------------------------------------------------------------------------- */

static double measure_one(struct apps *apps, double effort)
{
    uint64_t bursts = load_units(LOAD_SEGMENTS, effort) / LOAD_BURST, before = apps->pair.to_server;
    uint64_t start = round_cpu_ns(), spent;

    for (uint64_t i = 0; i < bursts; i++) {
        apps_send(apps, 0, LOAD_BURST * apps->segment_bytes);
        apps_run(apps);
    }
    spent = round_cpu_ns() - start;
    if (apps->pair.to_server - before != bursts * LOAD_BURST) {
        return -1;
    }
    apps_settle(apps);
    return apps_is_whole(apps) ? (double)spent / (double)(bursts * LOAD_BURST) : -1;
}

/* CPU nanoseconds for a unit of so many bytes on each connection in turn. */
static double measure_many(struct apps *apps, uint32_t len, double effort)
{
    uint64_t units = (apps->connections > LOAD_MANY ? 1 : load_turns(effort)) * apps->connections;
    uint64_t start = round_cpu_ns(), spent;

    for (uint64_t i = 0; i < units; i += LOAD_BURST) {
        for (uint64_t k = i; k < i + LOAD_BURST; k++) {
            vnic_stack_prefetch(apps->pair.client, apps->socket[apps->order[k % apps->connections]]);
        }
        for (uint64_t k = i; k < i + LOAD_BURST; k++) {
            apps_send(apps, apps->order[k % apps->connections], len);
        }
        apps_run(apps);
    }
    spent = round_cpu_ns() - start;
    apps_settle(apps);
    return apps_is_whole(apps) ? (double)spent / (double)units : -1;
}

static uint64_t connections_left(vnic_stack *stack)
{
    struct vnic_stack_statistics now;

    vnic_stack_get_statistics(stack, &now);
    return now.connections;
}

/* CPU nanoseconds to open and close a connection in order, both ends, TIME-WAIT included. */
static double measure_connects(struct apps *apps, double effort)
{
    uint64_t connects = load_units(CONNECTS, effort), before = apps->closed, start = round_cpu_ns(), spent;

    for (uint64_t i = 0; i < connects; i += LOAD_BURST) {
        for (uint32_t k = 0; k < LOAD_BURST; k++) {
            const struct vnic_endpoint remote = pair_endpoint(2, LOAD_SERVER_PORT);

            if (vnic_tcp_connect(apps->pair.client, NULL, &remote) < 0) {
                apps_die("vnic_tcp_connect");
            }
        }
        apps_run(apps);
        pair_wait(&apps->pair, apps->time_wait_ns);
    }
    spent = round_cpu_ns() - start;
    return apps->closed - before == connects && !connections_left(apps->pair.client)
                   && !connections_left(apps->pair.server)
               ? (double)spent / (double)connects
               : -1;
}

static uint64_t resident_bytes(void)
{
    unsigned long long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    if (!file || fscanf(file, "%llu %llu", &size, &resident) != 2) {
        apps_die("/proc/self/statm");
    }
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* -- kinds -------------------------------------------------------------------------------------------------- */

static bool run_data(void)
{
    struct apps *peek = apps_open(1, APPS_PEEK), *post = apps_open(1, APPS_POST),
                *copy = apps_open(1, APPS_COPY);
    struct apps *every[] = {peek, post, copy};
    double effort;

    for (size_t i = 0; i < 3; i++) {
        apps_connect(every[i], 1);
        apps_learn_segment(every[i]);
    }
    round_ready();
    while (round_await(&effort)) {
        const struct round_figure figure[] = {
            {"vnic 1 connection", measure_one(peek, effort)},
            {"vnic 1 connection, posted buffers", measure_one(post, effort)},
            {"vnic 1 connection, copied to the application", measure_one(copy, effort)},
        };

        if (!round_print(figure, 3)) {
            return false;
        }
    }
    for (size_t i = 0; i < 3; i++) {
        apps_close(every[i]);
    }
    return true;
}

static bool run_segments(uint32_t connections, const char *name)
{
    struct apps *apps = apps_open(connections, APPS_PEEK);
    double effort;

    apps_connect(apps, connections);
    apps_learn_segment(apps);
    round_ready();
    while (round_await(&effort)) {
        if (!round_print(
                (const struct round_figure[]){{name, measure_many(apps, apps->segment_bytes, effort)}}, 1)) {
            return false;
        }
    }
    apps_close(apps);
    return true;
}

static bool run_many(void)
{
    return run_segments(LOAD_MANY, "vnic 4096 connections");
}

static bool run_huge(void)
{
    return run_segments(LOAD_HUGE, "vnic 524288 connections");
}

/* A request and its answer are two messages. */
static bool run_messages(void)
{
    struct apps *apps = apps_open(LOAD_MANY, APPS_PEEK);
    double effort;

    apps_connect(apps, LOAD_MANY);
    apps->answers = true;
    round_ready();
    while (round_await(&effort)) {
        const double ns = measure_many(apps, LOAD_MESSAGE_BYTES, 8 * effort);

        if (!round_print((const struct round_figure[]){{"vnic", ns < 0 ? ns : ns / 2}}, 1)) {
            return false;
        }
    }
    apps_close(apps);
    return true;
}

static bool run_connects(void)
{
    struct apps *apps = apps_open(4 * LOAD_BURST, APPS_PEEK);
    struct vnic_stack_config config;
    double effort;

    vnic_stack_defaults(&config);
    apps->time_wait_ns = (2 * (uint64_t)config.msl_ms + 1) * 1000 * 1000;
    apps->closes = true;
    round_ready();
    while (round_await(&effort)) {
        if (!round_print((const struct round_figure[]){{"vnic", measure_connects(apps, effort)}}, 1)) {
            return false;
        }
    }
    apps_close(apps);
    return true;
}

/* What an idle connection costs: by the sizes of its structs, and by the pages that many of them touched. */
static bool run_memory(void)
{
    const double connection = sizeof(struct tcp_connection);
    const double socket = sizeof(struct socket) + sizeof(struct socket_rest);
    const double entry = (double)sizeof(struct lookup_bucket) / LOOKUP_ENTRIES;
    struct apps *apps = apps_open(MEMORY_CONNECTIONS, APPS_PEEK);
    uint64_t before;
    double effort, resident;

    memset(apps->socket, 0xff, MEMORY_CONNECTIONS * sizeof *apps->socket);
    before = resident_bytes();
    apps_connect(apps, MEMORY_CONNECTIONS);
    resident = (double)(resident_bytes() - before) / (2.0 * MEMORY_CONNECTIONS);
    round_ready();
    while (round_await(&effort)) {
        const struct round_figure figure[] = {
            {"vnic struct tcp_connection", connection},
            {"vnic connection, socket, lookup entry", connection + socket + entry},
            {"vnic resident", resident},
        };

        if (!round_print(figure, 3)) {
            return false;
        }
    }
    apps_close(apps);
    return true;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        bool (*run)(void);
    } kind[] = {
        {"data", run_data},         {"many", run_many},         {"huge", run_huge},
        {"messages", run_messages}, {"connects", run_connects}, {"memory", run_memory},
    };

    for (size_t i = 0; argc == 2 && i < sizeof kind / sizeof *kind; i++) {
        if (strcmp(argv[1], kind[i].name) == 0) {
            return kind[i].run() ? EXIT_SUCCESS : EXIT_FAILURE;
        }
    }
    apps_die("usage: stack_path data|many|huge|messages|connects|memory");
}
