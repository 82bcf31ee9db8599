/* Offloaded connections of one card to one another: data through rings and DMA, initiate and terminate, memory. */
#include <stdlib.h>

#include "card_bus.h"
#include "chimney_driver.h"
#include "round.h"
#include "tcp_load.h"

enum {
    SEGMENT = 1448, /* payload of a full-sized segment with timestamps */
    WINDOW = 1 << 20,
    PORTS = 32768, /* connections of a path */
    PORT_FIRST = 1024,
    ISS = 5000,
    STEP_NS = 1000,
    PATTERN = 251,
    CHURN = 65536
};

/* Pairs of connections in one card in loopback: ends 0 .. count - 1 send, the others receive. */
struct path {
    struct card_bus bus;
    struct toe_driver driver;
    uint32_t count, paths;
    uint32_t *sender, *receiver, *order;
    uint8_t *source, *sink; /* a burst's bytes, mapped */
    uint64_t source_addr, sink_addr;
    uint64_t sent; /* bytes */
    uint64_t wrong; /* entries whose bytes are not those sent */
    uint32_t unit; /* bytes of a send */
};

static _Noreturn void path_die(const char *what)
{
    fprintf(stderr, "chimney_path: %s\n", what);
    exit(EXIT_FAILURE);
}

/* -- bring-up ----------------------------------------------------------------------------------------------- */

static struct vnic_config path_config(uint32_t connections)
{
    struct vnic_config config;

    vnic_config_init(&config);
    config.queue_pairs = 1;
    config.connections = connections;
    config.paths = 2 * (connections / PORTS + 2);
    config.neighbours = 16;
    config.chimney_work = connections + 4096;
    config.chimney_nodes = connections / 4 + 4096;
    config.chimney_recoveries = 4096;
    config.chimney_bytes = 16u << 20;
    config.max_frame = 1518;
    return config;
}

static uint8_t *memory_map(struct path *path, uint64_t *addr, size_t len)
{
    struct vnic_bus view = card_bus_view(&path->bus);
    uint8_t *memory = view.ops->alloc_coherent(view.opaque, len, addr);

    if (!memory) {
        path_die("no memory for data");
    }
    return memory;
}

/* What is in it says where it belongs: every send takes the same bytes. */
static void on_data(void *context, const struct toe_data *data)
{
    struct path *path = context;
    const uint32_t at = (data->seq - ISS) % path->unit;

    path->wrong += memcmp(data->bytes, path->source + at, 8) != 0
                   || data->bytes[data->len - 1] != path->source[at + data->len - 1];
}

static void path_open(struct path *path, uint32_t connections, uint32_t unit)
{
    const struct vnic_config config = path_config(connections);
    struct vnic_bus view = card_bus_view(&path->bus);
    const char *complaint;

    if (card_bus_open_with(&path->bus, &config)) {
        path_die("no memory for a card");
    }
    complaint = toe_open(&path->driver, &view);
    if (complaint) {
        path_die(complaint);
    }
    path->unit = unit;
    path->source = memory_map(path, &path->source_addr, LOAD_BURST * SEGMENT);
    path->sink = memory_map(path, &path->sink_addr, LOAD_BURST * SEGMENT);
    for (uint32_t i = 0; i < LOAD_BURST * SEGMENT; i++) {
        path->source[i] = (uint8_t)(i % PATTERN + i / 4096);
    }
    path->driver.on_data = on_data;
    path->driver.context = path;
}

static void path_close(struct path *path)
{
    struct vnic_bus view = card_bus_view(&path->bus);

    toe_close(&path->driver);
    view.ops->free_coherent(view.opaque, path->source, LOAD_BURST * SEGMENT, path->source_addr);
    view.ops->free_coherent(view.opaque, path->sink, LOAD_BURST * SEGMENT, path->sink_addr);
    card_bus_close(&path->bus);
    free(path->sender);
    free(path->receiver);
    free(path->order);
}

/* -- objects ------------------------------------------------------------------------------------------------ */

static uint32_t *paths_add(struct path *path, uint32_t neighbour, bool is_client)
{
    uint32_t *handle = malloc(path->paths * sizeof *handle);

    for (uint32_t i = 0; handle && i < path->paths; i++) {
        const uint32_t client = 1 + i, server = 65536 + 1 + i;

        handle[i] =
            toe_add_path(&path->driver, neighbour, is_client ? client : server, is_client ? server : client);
        if (!handle[i]) {
            path_die("a path is refused");
        }
    }
    return handle;
}

static struct toe_end end_of(const uint32_t *paths, uint32_t i)
{
    const uint16_t port = (uint16_t)(PORT_FIRST + i % PORTS);

    return (struct toe_end){.path = paths[i / PORTS],
                            .local_port = port,
                            .remote_port = port,
                            .snd_una = ISS,
                            .rcv_nxt = ISS,
                            .hash = i,
                            .window = WINDOW};
}

static void ends_create(struct path *path, const uint32_t *paths, uint32_t *handles, uint32_t count)
{
    for (uint32_t i = 0; i < count; i += CHIMNEY_BATCH) {
        const unsigned batch = count - i < CHIMNEY_BATCH ? count - i : CHIMNEY_BATCH;

        for (unsigned k = 0; k < batch; k++) {
            const struct toe_end end = end_of(paths, i + k);
            toe_create(&path->driver, k, &end);
        }
        if (!toe_flush(&path->driver, batch, handles + i)) {
            path_die("a connection is refused");
        }
    }
}

static void ends_terminate(struct path *path, const uint32_t *handles, uint32_t count)
{
    for (uint32_t i = 0; i < count; i += CHIMNEY_BATCH) {
        const unsigned batch = count - i < CHIMNEY_BATCH ? count - i : CHIMNEY_BATCH;

        for (unsigned k = 0; k < batch; k++) {
            toe_terminate(&path->driver, k, handles[i + k]);
        }
        if (!toe_flush(&path->driver, batch, NULL)) {
            path_die("a connection does not end");
        }
    }
}

static void path_connect(struct path *path, uint32_t count)
{
    uint32_t neighbour = toe_add_neighbour(&path->driver), *paths;

    path->count = count;
    path->paths = (count - 1) / PORTS + 1;
    path->sender = calloc(count, sizeof *path->sender);
    path->receiver = calloc(count, sizeof *path->receiver);
    path->order = load_order(count);
    if (!neighbour || !path->sender || !path->receiver || !path->order) {
        path_die("no neighbour, or no memory");
    }
    paths = paths_add(path, neighbour, true);
    ends_create(path, paths, path->sender, count);
    free(paths);
    paths = paths_add(path, neighbour, false);
    ends_create(path, paths, path->receiver, count);
    free(paths);
}

/* -- rounds ------------------------------------------------------------------------------------------------- */

/* The card works, the driver takes what came of it, until nothing comes any more. */
static void path_run(struct path *path)
{
    uint32_t before;

    toe_ring(&path->driver);
    do {
        before = path->driver.cq_next;
        card_bus_run(&path->bus);
        toe_poll(&path->driver);
    } while (path->driver.cq_next != before);
    card_bus_run(&path->bus);
}

static void path_settle(struct path *path)
{
    struct vnic_bus view = card_bus_view(&path->bus);

    view.ops->delay_ns(view.opaque, 50u * 1000 * 1000); /* delayed ACKs */
    path_run(path);
}

static bool path_is_whole(const struct path *path, uint64_t sends)
{
    const struct toe_harvest *h = &path->driver.harvest;

    if (h->received == path->sent && h->sends == sends && h->failed == 0 && path->wrong == 0) {
        return true;
    }
    fprintf(stderr, "chimney_path: %llu of %llu bytes, %llu of %llu sends, %llu failures, %llu wrong bytes\n",
            (unsigned long long)h->received, (unsigned long long)path->sent, (unsigned long long)h->sends,
            (unsigned long long)sends, (unsigned long long)h->failed, (unsigned long long)path->wrong);
    return false;
}

static double measure_one(struct path *path, bool posts, double effort)
{
    const uint64_t bursts = load_units(LOAD_SEGMENTS, effort) / LOAD_BURST;
    const uint64_t sends = path->driver.harvest.sends + bursts;
    uint64_t start = round_cpu_ns(), spent;

    for (uint64_t i = 0; i < bursts; i++) {
        if (posts) {
            toe_post(&path->driver, path->receiver[0], path->sink_addr, path->unit);
        }
        toe_send(&path->driver, path->sender[0], path->source_addr, path->unit);
        path->sent += path->unit;
        path_run(path);
    }
    spent = round_cpu_ns() - start;
    path_settle(path);
    if (posts && memcmp(path->source, path->sink, path->unit) != 0) {
        return -1;
    }
    return path_is_whole(path, sends) ? (double)spent / (double)(bursts * LOAD_BURST) : -1;
}

/* A segment on each connection in turn. */
static double measure_many(struct path *path, double effort)
{
    const uint64_t turns = path->count > LOAD_MANY ? 1 : load_turns(effort);
    const uint64_t units = turns * path->count, sends = path->driver.harvest.sends + units;
    uint64_t start = round_cpu_ns(), spent;

    for (uint64_t i = 0; i < units; i += LOAD_BURST) {
        for (uint64_t k = i; k < i + LOAD_BURST; k++) {
            toe_send(&path->driver, path->sender[path->order[k % path->count]], path->source_addr,
                     path->unit);
        }
        path->sent += LOAD_BURST * (uint64_t)path->unit;
        path_run(path);
    }
    spent = round_cpu_ns() - start;
    path_settle(path);
    return path_is_whole(path, sends) ? (double)spent / (double)units : -1;
}

/* -- kinds -------------------------------------------------------------------------------------------------- */

static bool run_data(void)
{
    struct path pool = {0}, post = {0};
    double effort;

    path_open(&pool, 2, LOAD_BURST * SEGMENT);
    path_connect(&pool, 1);
    path_open(&post, 2, LOAD_BURST * SEGMENT);
    path_connect(&post, 1);
    round_ready();
    while (round_await(&effort)) {
        const struct round_figure figure[] = {
            {"vnic chimney 1 connection", measure_one(&pool, false, effort)},
            {"vnic chimney 1 connection, posted buffers", measure_one(&post, true, effort)},
        };

        if (!round_print(figure, 2)) {
            return false;
        }
    }
    path_close(&pool);
    path_close(&post);
    return true;
}

static bool run_segments(uint32_t count, const char *name)
{
    struct path path = {0};
    double effort;

    path_open(&path, 2 * count, SEGMENT);
    path_connect(&path, count);
    round_ready();
    while (round_await(&effort)) {
        if (!round_print((const struct round_figure[]){{name, measure_many(&path, effort)}}, 1)) {
            return false;
        }
    }
    path_close(&path);
    return true;
}

static bool run_many(void)
{
    return run_segments(LOAD_MANY, "vnic chimney 4096 connections");
}

static bool run_huge(void)
{
    return run_segments(LOAD_HUGE, "vnic chimney 524288 connections");
}

/* With so many others there already. */
static bool run_churn(void)
{
    struct path path = {0};
    uint32_t *handles = calloc(CHURN, sizeof *handles), *paths;
    double effort;

    path_open(&path, LOAD_HUGE + CHURN, SEGMENT);
    path_connect(&path, LOAD_HUGE / 2);
    path.paths = CHURN / PORTS;
    paths = malloc(path.paths * sizeof *paths);
    for (uint32_t i = 0; handles && paths && i < path.paths; i++) {
        paths[i] = toe_add_path(&path.driver, toe_add_neighbour(&path.driver), 131072 + i, 200000);
    }
    if (!handles || !paths) {
        path_die("no memory");
    }
    round_ready();
    while (round_await(&effort)) {
        const uint32_t count = (uint32_t)load_units(CHURN / 4, effort < 4 ? effort : 4);
        const uint64_t start = round_cpu_ns();
        uint64_t between, end;

        ends_create(&path, paths, handles, count);
        between = round_cpu_ns();
        ends_terminate(&path, handles, count);
        end = round_cpu_ns();
        if (!round_print(
                (const struct round_figure[]){
                    {"vnic chimney initiate", (double)(between - start) / count},
                    {"vnic chimney terminate", (double)(end - between) / count},
                    {"vnic chimney initiate + terminate", (double)(end - start) / count},
                },
                3)) {
            return false;
        }
    }
    free(handles);
    free(paths);
    path_close(&path);
    return true;
}

/* What a card costs for each connection that it may have; work, blocks and nodes apart, for those are pools. */
static double footprint_of(uint32_t connections)
{
    struct vnic_config config = path_config(LOAD_HUGE);
    struct card_bus bus;
    double bytes;

    config.connections = connections;
    if (card_bus_open_with(&bus, &config)) {
        path_die("no memory for a card");
    }
    bytes = (double)vnic_footprint(bus.card);
    card_bus_close(&bus);
    return bytes;
}

static bool run_memory(void)
{
    const double each = (footprint_of(LOAD_HUGE) - footprint_of(LOAD_HUGE / 2)) / (LOAD_HUGE / 2.0);
    double effort;

    round_ready();
    while (round_await(&effort)) {
        if (!round_print((const struct round_figure[]){{"vnic chimney connection, lookup included", each}},
                         1)) {
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        bool (*run)(void);
    } kind[] = {
        {"data", run_data},   {"many", run_many},     {"huge", run_huge},
        {"churn", run_churn}, {"memory", run_memory},
    };

    for (size_t i = 0; argc == 2 && i < sizeof kind / sizeof *kind; i++) {
        if (strcmp(argv[1], kind[i].name) == 0) {
            return kind[i].run() ? EXIT_SUCCESS : EXIT_FAILURE;
        }
    }
    path_die("usage: chimney_path data|many|huge|churn|memory");
}
