/* trace_path FRAME: the card's packet path without a recorder, and with one, full and compact: what recording costs. */
#include <stdlib.h>

#include "card_bus.h"
#include "flow_frames.h"
#include "poll_driver.h"
#include "round.h"
#include "vnic/vnic_trace.h"

enum { BURST = 32, FLOWS = 64, FRAMES_A_ROUND = 100000, FRAME_STRIDE = 2048 + 256, CAPACITY = 1 << 20 };

/* One card with its driver, the frames that it sends over and over, and who records it. */
struct path {
    struct card_bus bus;
    struct driver driver;
    uint8_t *memory;
    uint64_t addr;
    vnic_trace *trace; /* NULL: nobody */
    uint64_t octets; /* that left the recorder */
};

static void path_die(const char *what)
{
    fprintf(stderr, "trace_path: %s\n", what);
    exit(EXIT_FAILURE);
}

/* A vnic_trace_sink that costs nothing: what a disk costs is no matter of the recorder. */
static int path_sink(void *opaque, const uint8_t *octets, size_t len)
{
    struct path *path = opaque;

    path->octets += len + (octets == NULL);
    return 0;
}

static void path_open(struct path *path, bool is_recorded, uint32_t flags)
{
    struct vnic_bus view = card_bus_view(&path->bus);
    struct vnic_segment segment;

    path->memory = aligned_alloc(4096, FLOWS * FRAME_STRIDE);
    if (!path->memory || card_bus_open(&path->bus, 1)) {
        path_die("no memory for a card");
    }
    const char *complaint = driver_initialize(&path->driver, &view, 1, false);
    if (complaint) {
        path_die(complaint);
    }
    if (!view.ops->map(view.opaque, path->memory, FLOWS * FRAME_STRIDE, VNIC_BUS_TO_DEVICE, &segment, 1)) {
        path_die("the frames cannot be mapped");
    }
    path->addr = segment.addr;
    if (is_recorded) {
        path->trace = vnic_trace_create(CAPACITY, flags, path_sink, path);
        if (!path->trace || vnic_trace_interfaces(path->trace, 0, 0, 1)) {
            path_die("no memory for a recorder");
        }
        vnic_observe(path->bus.card, vnic_trace_event, path->trace, UINT32_MAX);
    }
}

static void path_close(struct path *path)
{
    vnic_observe(path->bus.card, NULL, NULL, 0);
    driver_halt(&path->driver);
    card_bus_close(&path->bus);
    vnic_trace_destroy(path->trace);
    free(path->memory);
}

/* What a number of frames cost and gave. */
struct cost {
    double ns; /* a frame; -1 unless every frame came back right */
    double events, octets; /* recorded, a frame */
};

static struct cost path_measure(struct path *path, uint32_t len, double effort)
{
    const uint64_t bursts = (uint64_t)(FRAMES_A_ROUND * effort) / BURST + 1;
    struct driver_harvest harvest = {0};
    struct driver_frame frame[FLOWS];
    uint64_t sent = 0, events = 0, octets = 0;

    for (uint32_t i = 0; i < FLOWS; i++) {
        flow_frame_write(path->memory + i * FRAME_STRIDE, len, i, false);
        frame[i] = (struct driver_frame){path->addr + i * FRAME_STRIDE, len};
    }
    if (path->trace) {
        events = vnic_trace_events(path->trace);
        octets = vnic_trace_octets(path->trace);
    }
    const uint64_t start = round_cpu_ns();
    for (uint64_t i = 0; i < bursts; i++) {
        sent += driver_send(&path->driver, 0, frame + (i % (FLOWS / BURST)) * BURST, BURST);
        card_bus_run(&path->bus);
        driver_poll(&path->driver, len, &harvest);
    }
    const double spent = (double)(round_cpu_ns() - start), frames = (double)sent;
    const bool is_right = sent == bursts * BURST && harvest.right == sent && !harvest.failed;
    struct cost cost = {.ns = is_right ? spent / frames : -1};
    if (path->trace) {
        cost.events = (double)(vnic_trace_events(path->trace) - events) / frames;
        cost.octets = (double)(vnic_trace_octets(path->trace) - octets) / frames;
    }
    return cost;
}

/* Nanoseconds that `with` takes more than `without`, by `divisor`; never below 0, which would mean a broken round. */
static double cost_more(struct cost with, struct cost without, double divisor)
{
    const double more = with.ns - without.ns;

    return with.ns < 0 || without.ns < 0 || divisor <= 0 ? -1 : more > 0 ? more / divisor : 0;
}

static bool round_measure(struct path *plain, struct path *full, struct path *compact, uint32_t len,
                          double effort)
{
    const struct cost none = path_measure(plain, len, effort), all = path_measure(full, len, effort),
                      few = path_measure(compact, len, effort);
    const struct round_figure part[] = {
        {"not recorded", none.ns},
        {"recorded in full", all.ns},
        {"recorded compactly", few.ns},
        {"full, an event", cost_more(all, none, all.events)},
        {"compact, an event", cost_more(few, none, few.events)},
        {"full, a byte of trace", cost_more(all, none, all.octets)},
        {"compact, a byte of trace", cost_more(few, none, few.octets)},
    };
    enum { FIGURES = sizeof part / sizeof *part };
    char name[FIGURES][64];
    struct round_figure figure[FIGURES];

    for (unsigned i = 0; i < FIGURES; i++) {
        snprintf(name[i], sizeof name[i], "%s %u B", part[i].name, len);
        figure[i] = (struct round_figure){name[i], part[i].ns};
    }
    return round_print(figure, FIGURES);
}

int main(int argc, char **argv)
{
    struct path plain = {0}, full = {0}, compact = {0};
    const uint32_t len = argc == 2 ? (uint32_t)strtoul(argv[1], NULL, 10) : 0;
    double effort;

    if (len < 64 || len > 1514) {
        path_die("usage: trace_path FRAME-BYTES");
    }
    path_open(&plain, false, 0);
    path_open(&full, true, 0);
    path_open(&compact, true, VNIC_TRACE_COMPACT);
    round_ready();
    while (round_await(&effort) && round_measure(&plain, &full, &compact, len, effort))
        ;
    path_close(&compact);
    path_close(&full);
    path_close(&plain);
    return EXIT_SUCCESS;
}
