/* dma_skeleton KIND FOLDER CPU: DPDK's software DMA device: this thread submits and polls, one on another processor copies. */
#define _GNU_SOURCE
#include <sched.h>
#include <stdlib.h>

#include <rte_bus_vdev.h>
#include <rte_dmadev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>

#include "../copy_load.h"

enum { RING = 1024, IN_FLIGHT_MOST = 256, WAIT_TRIES = 200000000 };

struct skeleton {
    int16_t device;
    unsigned in_flight;
};

static void skeleton_die(const char *what)
{
    fprintf(stderr, "dma_skeleton: %s: %s\n", what, rte_strerror(rte_errno));
    exit(EXIT_FAILURE);
}

/* ---- copies */

/* Takes what is done until at most `most` are under way. */
static bool skeleton_reap(struct skeleton *s, unsigned most)
{
    bool has_error = false;
    for (unsigned tries = 0; tries < WAIT_TRIES; tries++) {
        s->in_flight -= rte_dma_completed(s->device, 0, COPY_BURST, NULL, &has_error);
        if (has_error || s->in_flight <= most) {
            return !has_error;
        }
    }
    return false;
}

static bool skeleton_start(void *opaque, const struct copy_job job[], unsigned count, uint32_t len)
{
    struct skeleton *s = opaque;
    for (unsigned i = 0; i < count; i++) {
        if (rte_dma_copy(s->device, 0, (rte_iova_t)(uintptr_t)job[i].from, (rte_iova_t)(uintptr_t)job[i].to,
                         len, 0)
            < 0) {
            return false;
        }
    }
    s->in_flight += count;
    return rte_dma_submit(s->device, 0) == 0 && skeleton_reap(s, IN_FLIGHT_MOST);
}

static bool skeleton_finish(void *opaque)
{
    return skeleton_reap(opaque, 0);
}

/* ---- life */

/* The benchmark keeps its programs on one processor; the device's thread needs another. */
static unsigned other_cpu(unsigned own)
{
    cpu_set_t all;
    CPU_ZERO(&all);
    for (unsigned i = 0; i < CPU_SETSIZE; i++) {
        CPU_SET(i, &all);
    }
    if (sched_setaffinity(0, sizeof(all), &all) == 0 && sched_getaffinity(0, sizeof(all), &all) == 0) {
        for (unsigned i = 0; i < CPU_SETSIZE; i++) {
            if (i != own && CPU_ISSET(i, &all)) {
                return i;
            }
        }
    }
    fputs("a second processor is needed\n", stderr);
    exit(EXIT_FAILURE);
}

static void eal_open(char *program, unsigned own, unsigned other)
{
    char cores[32];
    snprintf(cores, sizeof(cores), "%u,%u", own, other);
    char main_core[16];
    snprintf(main_core, sizeof(main_core), "%u", own);
    char *eal[] = {program,          "--no-huge",     "-m", "64",  "--no-pci",     "--no-shconf",
                   "--no-telemetry", "--log-level=4", "-l", cores, "--main-lcore", main_core};
    if (rte_eal_init((int)RTE_DIM(eal), eal) < 0) {
        skeleton_die("rte_eal_init");
    }
}

static void device_open(struct skeleton *s, unsigned other)
{
    const struct rte_dma_conf conf = {.nb_vchans = 1};
    const struct rte_dma_vchan_conf vchan = {.direction = RTE_DMA_DIR_MEM_TO_MEM, .nb_desc = RING};
    char arguments[32];
    snprintf(arguments, sizeof(arguments), "lcore=%u", other);
    if (rte_vdev_init("dma_skeleton", arguments) < 0) {
        skeleton_die("rte_vdev_init");
    }
    s->device = (int16_t)rte_dma_get_dev_id_by_name("dma_skeleton");
    if (s->device < 0 || rte_dma_configure(s->device, &conf) < 0
        || rte_dma_vchan_setup(s->device, 0, &vchan) < 0 || rte_dma_start(s->device) < 0) {
        skeleton_die("no device");
    }
}

int main(int argc, char **argv)
{
    struct skeleton skeleton = {0};
    const struct copier copier = {.opaque = &skeleton, .start = skeleton_start, .finish = skeleton_finish};
    struct copy_load load;
    if (argc != 4 || !copy_load_open(&load)) {
        return EXIT_FAILURE;
    }
    const unsigned own = (unsigned)strtoul(argv[3], NULL, 10), other = other_cpu(own);
    eal_open(argv[0], own, other);
    device_open(&skeleton, other);
    const bool is_served = copy_load_serve("dma_skeleton", argv[1], &load, &copier);
    copy_load_close(&load);
    return is_served ? EXIT_SUCCESS : EXIT_FAILURE;
}
