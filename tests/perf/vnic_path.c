/* The card's packet path: frames sent on one ring come back over RSS and checksum verification to the receive rings. */
#include <stdlib.h>

#include "card_bus.h"
#include "flow_frames.h"
#include "poll_driver.h"
#include "round.h"

enum { BURST = 32, FLOWS = 64, FRAMES_A_ROUND = 200000, FRAME_STRIDE = 2048 + 256 };

/* One card with its driver and the frames that it sends over and over. */
struct path {
    struct card_bus bus;
    struct driver driver;
    uint8_t *memory;
    uint64_t addr;
};

static void path_die(const char *what)
{
    fprintf(stderr, "vnic_path: %s\n", what);
    exit(EXIT_FAILURE);
}

static void path_open(struct path *path, unsigned queues, bool inserts_csum)
{
    struct vnic_bus view = card_bus_view(&path->bus);
    struct vnic_segment segment;
    const char *complaint;

    path->memory = aligned_alloc(4096, FLOWS * FRAME_STRIDE);
    if (!path->memory || card_bus_open(&path->bus, queues)) {
        path_die("no memory for a card");
    }
    complaint = driver_initialize(&path->driver, &view, queues, inserts_csum);
    if (complaint) {
        path_die(complaint);
    }
    if (!view.ops->map(view.opaque, path->memory, FLOWS * FRAME_STRIDE, VNIC_BUS_TO_DEVICE, &segment, 1)) {
        path_die("the frames cannot be mapped");
    }
    path->addr = segment.addr;
}

static void path_close(struct path *path)
{
    driver_halt(&path->driver);
    card_bus_close(&path->bus);
    free(path->memory);
}

static void frames_write(struct path *path, uint32_t len, struct driver_frame frame[FLOWS])
{
    for (uint32_t i = 0; i < FLOWS; i++) {
        flow_frame_write(path->memory + i * FRAME_STRIDE, len, i, path->driver.inserts_csum);
        frame[i] = (struct driver_frame){path->addr + i * FRAME_STRIDE, len};
    }
}

/* CPU nanoseconds a frame, driver and card together; -1 unless every frame came back right. */
static double path_measure(struct path *path, uint32_t len, double effort)
{
    uint64_t bursts = (uint64_t)(FRAMES_A_ROUND * effort) / BURST + 1, start, spent, sent = 0;
    struct driver_harvest harvest = {0};
    struct driver_frame frame[FLOWS];

    frames_write(path, len, frame);
    start = round_cpu_ns();
    for (uint64_t i = 0; i < bursts; i++) {
        sent += driver_send(&path->driver, 0, frame + (i % (FLOWS / BURST)) * BURST, BURST);
        card_bus_run(&path->bus);
        driver_poll(&path->driver, len, &harvest);
    }
    spent = round_cpu_ns() - start;
    return sent == bursts * BURST && harvest.right == sent && !harvest.failed ? (double)spent / (double)sent
                                                                              : -1;
}

static bool round_measure(struct path *one, struct path *four, struct path *inserting, double effort)
{
    const struct round_figure figure[] = {
        {"card 64 B", path_measure(one, 64, effort)},
        {"card 4 queues 64 B", path_measure(four, 64, effort)},
        {"card checksum insertion 64 B", path_measure(inserting, 64, effort)},
        {"card 1514 B", path_measure(one, 1514, effort)},
        {"card 4 queues 1514 B", path_measure(four, 1514, effort)},
        {"card checksum insertion 1514 B", path_measure(inserting, 1514, effort)},
    };

    return round_print(figure, sizeof figure / sizeof *figure);
}

int main(void)
{
    struct path one = {0}, four = {0}, inserting = {0};
    double effort;

    path_open(&one, 1, false);
    path_open(&four, 4, false);
    path_open(&inserting, 1, true);
    round_ready();
    while (round_await(&effort) && round_measure(&one, &four, &inserting, effort))
        ;
    path_close(&inserting);
    path_close(&four);
    path_close(&one);
    return EXIT_SUCCESS;
}
