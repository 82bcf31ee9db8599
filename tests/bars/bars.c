/* Bulk transfers from one engine to another over an emulated path, in virtual time; a line of JSON for each seed. */
#include "losses.h"
#include "path.h"
#include "tcp/engine.h"
#include "wire/seq.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FLOWS_MAX = 8,
    IP_AND_ETHERNET = 20 + 14,
    WIRE = 24, /* preamble, FCS, gap between frames */
    NODES = 1 << 16,
    QUEUED = 8 << 20, /* bytes the sender always has waiting */
    RECEIVE_BUFFER = 8 << 20,
    LATER_MS = 100 /* between the starts of two flows */
};

#define MS_NS UINT64_C(1000000)
#define SECOND_NS UINT64_C(1000000000)

/* What to run. */
struct scene {
    struct path_config path;
    uint32_t congestion, flows, seconds, flags;
    uint32_t nodes, recoveries; /* of the senders' engine */
    uint32_t is_checked; /* invariants after every ACK, not only after timeouts */
};

struct flow {
    struct tcp_connection *sender, *receiver;
    uint64_t starts_ns;
    uint64_t delivered; /* bytes, in order */
    uint64_t lost; /* data packets */
    uint64_t spurious; /* timeouts with nothing lost */
    uint64_t progress_ns, stall_ns;
    struct losses losses;
};

struct world {
    const struct scene *scene;
    struct path path;
    tcp_engine *senders, *receivers;
    struct flow flows[FLOWS_MAX];
    uint64_t now_ns;
};

static _Noreturn void fail(const char *why)
{
    fprintf(stderr, "bars: %s\n", why);
    exit(1);
}

static tcp_engine *engine_open(uint32_t nodes, uint32_t recoveries)
{
    struct tcp_engine_config config;
    tcp_engine *engine;

    tcp_engine_defaults(&config, FLOWS_MAX);
    config.nodes = nodes;
    config.recoveries = recoveries;
    config.ranges_per_connection = 1024;
    engine = tcp_engine_create(&config);
    if (engine == NULL) {
        fail("no engine");
    }
    return engine;
}

static struct tcp_open open_of(const struct world *w, uint32_t flow, bool is_sender)
{
    struct tcp_open open = {
        .congestion = (uint8_t)w->scene->congestion, .ttl = 64, .rcv_wscale = 8, .mtu = 1500};

    open.local_port = (uint16_t)(is_sender ? 40000 + flow : 80);
    open.remote_port = (uint16_t)(is_sender ? 80 : 40000 + flow);
    open.flags = w->scene->flags | TCP_HAS_WSCALE;
    open.rcv_buf = RECEIVE_BUFFER;
    open.iss = 0xfff00000u * (is_sender + 1u); /* wraps in every run */
    return open;
}

static struct flow *flow_of(struct world *w, const struct tcp_connection *c, bool is_sender)
{
    for (uint32_t i = 0; i < w->scene->flows; i++) {
        if (c == (is_sender ? w->flows[i].sender : w->flows[i].receiver)) {
            return &w->flows[i];
        }
    }
    fail("a connection of nobody");
}

/* -- the sender ---------------------------------------------------------------------------------------------- */

static void put_on_path(struct world *w, struct flow *f, const struct tcp_segment *segment)
{
    uint32_t bytes = (uint32_t)tcp_header_len(segment) + segment->len + IP_AND_ETHERNET + WIRE;
    uint32_t flow = (uint32_t)(f - w->flows);

    if (path_send(&w->path, w->now_ns, flow, segment, bytes)) {
        losses_clear(&f->losses, segment->seq, segment->seq + segment->len);
    } else if (segment->len != 0) {
        f->lost++;
        losses_add(&f->losses, segment->seq);
    }
}

static void sender_output(struct world *w, struct flow *f)
{
    struct tcp_segment segment;
    struct tcp_result result;
    uint32_t queued = f->sender->snd_end - f->sender->snd_nxt;

    if (f->sender->state == TCP_STATE_ESTABLISHED && queued < QUEUED / 2) {
        tcp_queue(w->senders, f->sender, w->now_ns, QUEUED - queued, false, &result);
    }
    memset(&segment, 0, sizeof segment);
    while (tcp_output(w->senders, f->sender, w->now_ns, 0, &segment)) {
        put_on_path(w, f, &segment);
    }
}

static void sender_open(struct world *w, struct flow *f)
{
    struct tcp_open open = open_of(w, (uint32_t)(f - w->flows), true);

    f->sender = tcp_connect(w->senders, w->now_ns, &open);
    f->progress_ns = w->now_ns;
    if (f->sender == NULL) {
        fail("no connection for a sender");
    }
    sender_output(w, f);
}

static void check(const tcp_engine *engine, const struct tcp_connection *c)
{
    const char *wrong = tcp_check(engine, c);

    if (wrong != NULL) {
        fail(wrong);
    }
}

static void sender_input(struct world *w, const struct path_packet *packet)
{
    struct flow *f = &w->flows[packet->flow];
    struct tcp_result result;

    tcp_input(w->senders, f->sender, w->now_ns, &packet->segment, &result);
    losses_clear(&f->losses, f->sender->snd_una - QUEUED, f->sender->snd_una);
    sender_output(w, f);
    if (w->scene->is_checked != 0) {
        check(w->senders, f->sender);
    }
}

static void sender_timeout(struct world *w, struct tcp_connection *c)
{
    struct flow *f = flow_of(w, c, true);
    uint64_t before = tcp_engine_statistics(w->senders)->timeouts;
    struct tcp_result result;

    tcp_timeout(w->senders, c, w->now_ns, &result);
    if (tcp_engine_statistics(w->senders)->timeouts != before && f->losses.count == 0) {
        f->spurious++;
    }
    check(w->senders, c);
    sender_output(w, f);
}

/* -- the receiver --------------------------------------------------------------------------------------------- */

static void receiver_output(struct world *w, struct flow *f)
{
    struct tcp_segment segment;

    memset(&segment, 0, sizeof segment);
    while (tcp_output(w->receivers, f->receiver, w->now_ns, 0, &segment)) {
        path_return(&w->path, w->now_ns, (uint32_t)(f - w->flows), &segment);
    }
}

static void receiver_take(struct world *w, struct flow *f, const struct tcp_result *result)
{
    struct tcp_result consumed;

    if (result->delivered == 0) {
        return;
    }
    f->delivered += result->delivered;
    if (w->now_ns - f->progress_ns > f->stall_ns) {
        f->stall_ns = w->now_ns - f->progress_ns;
    }
    f->progress_ns = w->now_ns;
    tcp_consume(w->receivers, f->receiver, w->now_ns, result->delivered, &consumed);
}

static void receiver_input(struct world *w, const struct path_packet *packet)
{
    struct flow *f = &w->flows[packet->flow];
    struct tcp_result result;

    if (f->receiver == NULL) {
        struct tcp_open open = open_of(w, packet->flow, false);

        f->receiver = tcp_accept(w->receivers, w->now_ns, &open, &packet->segment);
        if (f->receiver == NULL) {
            fail("no connection for a receiver");
        }
    } else {
        tcp_input(w->receivers, f->receiver, w->now_ns, &packet->segment, &result);
        receiver_take(w, f, &result);
    }
    receiver_output(w, f);
}

/* -- the world ------------------------------------------------------------------------------------------------ */

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t world_next(struct world *w)
{
    uint64_t next =
        earlier(path_next(&w->path), earlier(tcp_deadline(w->senders), tcp_deadline(w->receivers)));

    for (uint32_t i = 0; i < w->scene->flows; i++) {
        if (w->flows[i].sender == NULL) {
            next = earlier(next, w->flows[i].starts_ns);
        }
    }
    return next > w->now_ns ? next : w->now_ns;
}

static void world_arrivals(struct world *w)
{
    const struct path_packet *packet;
    bool is_data;

    while ((packet = path_take(&w->path, w->now_ns, &is_data)) != NULL) {
        if (is_data) {
            receiver_input(w, packet);
        } else {
            sender_input(w, packet);
        }
    }
}

static void world_timeouts(struct world *w)
{
    struct tcp_connection *c;
    struct tcp_result result;

    while ((c = tcp_expired(w->senders, w->now_ns)) != NULL) {
        sender_timeout(w, c);
    }
    while ((c = tcp_expired(w->receivers, w->now_ns)) != NULL) {
        tcp_timeout(w->receivers, c, w->now_ns, &result);
        receiver_output(w, flow_of(w, c, false));
    }
}

static void world_starts(struct world *w)
{
    for (uint32_t i = 0; i < w->scene->flows; i++) {
        if (w->flows[i].sender == NULL && w->flows[i].starts_ns <= w->now_ns) {
            sender_open(w, &w->flows[i]);
        }
    }
}

static void world_run(struct world *w)
{
    const uint64_t end_ns = w->scene->seconds * SECOND_NS;

    while (w->now_ns < end_ns) {
        world_starts(w);
        world_arrivals(w);
        world_timeouts(w);
        w->now_ns = world_next(w);
    }
    for (uint32_t i = 0; i < w->scene->flows; i++) {
        struct flow *f = &w->flows[i];

        if (f->sender != NULL) {
            check(w->senders, f->sender);
        }
        if (end_ns - f->progress_ns > f->stall_ns) {
            f->stall_ns = end_ns - f->progress_ns;
        }
    }
}

static void world_open(struct world *w, const struct scene *scene)
{
    memset(w, 0, sizeof *w);
    w->scene = scene;
    w->senders = engine_open(scene->nodes, scene->recoveries);
    w->receivers = engine_open(NODES, FLOWS_MAX);
    for (uint32_t i = 0; i < scene->flows; i++) {
        w->flows[i].starts_ns = i * LATER_MS * MS_NS;
    }
    if (!path_open(&w->path, &scene->path)) {
        fail("no memory for the path");
    }
}

static void world_close(struct world *w)
{
    path_close(&w->path);
    tcp_engine_destroy(w->senders);
    tcp_engine_destroy(w->receivers);
}

static void world_report(const struct world *w)
{
    const struct tcp_statistics *s = tcp_engine_statistics(w->senders);
    uint64_t lost = 0, spurious = 0, stall_ns = 0;

    printf("{\"seed\": %" PRIu64 ", \"delivered\": [", w->scene->path.seed);
    for (uint32_t i = 0; i < w->scene->flows; i++) {
        const struct flow *f = &w->flows[i];

        printf("%s%" PRIu64, i != 0 ? ", " : "", f->delivered);
        lost += f->lost;
        spurious += f->spurious;
        stall_ns = f->stall_ns > stall_ns ? f->stall_ns : stall_ns;
    }
    printf("], \"seconds\": %" PRIu32 ", \"lost\": %" PRIu64 ", \"retransmitted\": %" PRIu64
           ", \"timeouts\": %" PRIu64 ", \"spurious\": %" PRIu64 ", \"undone\": %" PRIu64
           ", \"recoveries\": %" PRIu64 ", \"probes\": %" PRIu64 ", \"short_of\": %" PRIu64
           ", \"stall_ns\": %" PRIu64 "}\n",
           w->scene->seconds, lost, s->retransmits, s->timeouts, spurious, s->undone, s->fast_recoveries,
           s->tail_probes, s->no_nodes + s->no_recoveries, stall_ns);
}

/* -- the command line ------------------------------------------------------------------------------------------ */

struct option {
    const char *name;
    uint32_t *value;
};

static void take_options(const struct option *options, unsigned count, int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        unsigned which = 0;

        while (which < count && strcmp(options[which].name, argv[i]) != 0) {
            which++;
        }
        if (which == count) {
            fail("no such option");
        }
        *options[which].value = (uint32_t)strtoul(argv[i + 1], NULL, 0);
    }
}

int main(int argc, char **argv)
{
    struct scene scene = {.flows = 1, .seconds = 20, .nodes = NODES, .recoveries = FLOWS_MAX};
    uint32_t first_seed = 1, seeds = 1;
    const struct option options[] = {
        {"--loss-ppm", &scene.path.loss_ppm},
        {"--reorder-ppm", &scene.path.reorder_ppm},
        {"--congestion", &scene.congestion},
        {"--flows", &scene.flows},
        {"--seconds", &scene.seconds},
        {"--flags", &scene.flags},
        {"--nodes", &scene.nodes},
        {"--recoveries", &scene.recoveries},
        {"--check", &scene.is_checked},
        {"--first-seed", &first_seed},
        {"--seeds", &seeds},
    };
    static struct world world;

    scene.flags = TCP_HAS_TIMESTAMPS | TCP_HAS_SACK;
    scene.path.bits_per_second = 100000000;
    scene.path.delay_ns = 25 * MS_NS;
    scene.path.extra_ns = 10 * MS_NS;
    scene.path.queue_bytes = 625000;
    take_options(options, sizeof options / sizeof *options, argc, argv);
    if (scene.flows == 0 || scene.flows > FLOWS_MAX) {
        fail("1 to 8 flows");
    }
    for (uint32_t i = 0; i < seeds; i++) {
        scene.path.seed = first_seed + i;
        world_open(&world, &scene);
        world_run(&world);
        world_report(&world);
        world_close(&world);
    }
    return 0;
}
