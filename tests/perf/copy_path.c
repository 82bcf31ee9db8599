/* copy_path KIND: the copy engine under a C driver: descriptors in a ring, doorbell, fetch, copy, completion. */
#include <stdlib.h>
#include <string.h>

#include "copy_load.h"
#include "gen/copy_bar0.h"
#include "gen/descriptors.h"
#include "gen/enums.h"
#include "gen/pci_config.h"
#include "vnic/vnic_copy.h"

enum { RING = 64, PAGE_BYTES = 4096, TRANSFER_LOG2 = 22 };

/* Channel 0 with a ring of descriptors that are linked once; a bus address is the address in this process. */
struct driver {
    vnic_copy *engine;
    uint64_t (*ring)[COPY_DESCRIPTOR_WORDS];
    uint64_t *completion;
    uint32_t next; /* descriptor to write next */
    uint16_t count; /* DMACOUNT */
};

static const uint64_t bar_window = 0xF000000000000000u;

static uint64_t bus_addr(const void *memory)
{
    return (uint64_t)(uintptr_t)memory;
}

/* ---- copies */

/* Only the last of a burst tells that it is done, as a driver that wants to be quick does it. */
static void descriptor_write(struct driver *d, const struct copy_job *job, uint32_t len, bool is_last)
{
    uint64_t *word = d->ring[d->next];
    word[0] = len | (is_last ? COPY_DESCRIPTOR_COMPL_WRITE_MASK : 0);
    word[1] = bus_addr(job->from);
    word[2] = bus_addr(job->to);
    d->next = (d->next + 1) % RING;
}

static bool driver_start(void *opaque, const struct copy_job job[], unsigned count, uint32_t len)
{
    struct driver *d = opaque;
    const struct vnic_budget all = {.steps = UINT64_MAX, .bytes = UINT64_MAX};
    for (unsigned i = 0; i < count; i++) {
        descriptor_write(d, &job[i], len, i + 1 == count);
    }
    d->count = (uint16_t)(d->count + count);
    vnic_copy_write(d->engine, 0, COPY_CHANCMD + 2, 2, d->count);
    vnic_copy_run(d->engine, &all, NULL);
    const uint64_t last = bus_addr(d->ring[(d->next + RING - 1) % RING]);
    return *d->completion == (last | CHAN_STATUS_DONE);
}

static bool driver_finish(void *opaque)
{
    const struct driver *d = opaque;
    return vnic_copy_read(d->engine, 0, COPY_CHANERR, 4) == 0;
}

/* ---- life */

static bool driver_map(struct driver *d, void *memory, size_t len)
{
    return memory != NULL
           && vnic_copy_map(d->engine, bus_addr(memory), memory, len, VNIC_MAP_READ | VNIC_MAP_WRITE)
                  == VNIC_OK;
}

static void ring_link(struct driver *d)
{
    memset(d->ring, 0, RING * sizeof(*d->ring));
    for (unsigned i = 0; i < RING; i++) {
        copy_descriptor_set_next(d->ring[i], bus_addr(d->ring[(i + 1) % RING]));
    }
}

static bool engine_open(struct driver *d)
{
    struct vnic_copy_config config;
    vnic_copy_config_init(&config);
    config.transfer_log2 = TRANSFER_LOG2;
    if (vnic_copy_create(&config, &d->engine) != VNIC_OK) {
        return false;
    }
    vnic_copy_cfg_write(d->engine, CFG_BAR, 4, (uint32_t)bar_window);
    vnic_copy_cfg_write(d->engine, CFG_BAR + 4, 4, (uint32_t)(bar_window >> 32));
    vnic_copy_cfg_write(d->engine, CFG_COMMAND, 2, COMMAND_MEMORY_MASK | COMMAND_MASTER_MASK);
    return true;
}

static bool driver_open(struct driver *d, const struct copy_load *load)
{
    d->ring = aligned_alloc(PAGE_BYTES, RING * sizeof(*d->ring));
    d->completion = aligned_alloc(PAGE_BYTES, PAGE_BYTES);
    if (!engine_open(d) || !driver_map(d, d->ring, RING * sizeof(*d->ring))
        || !driver_map(d, d->completion, PAGE_BYTES) || !driver_map(d, load->from, load->arena_bytes)
        || !driver_map(d, load->to, load->arena_bytes)) {
        return false;
    }
    ring_link(d);
    vnic_copy_write(d->engine, 0, COPY_CHANCMP, 8, bus_addr(d->completion));
    vnic_copy_write(d->engine, 0, COPY_CHAINADDR, 8, bus_addr(d->ring));
    return true;
}

static void driver_close(struct driver *d)
{
    vnic_copy_destroy(d->engine);
    free(d->ring);
    free(d->completion);
}

int main(int argc, char **argv)
{
    struct driver driver = {0};
    const struct copier copier = {.opaque = &driver, .start = driver_start, .finish = driver_finish};
    struct copy_load load;
    if (argc != 2 || !copy_load_open(&load)) {
        return EXIT_FAILURE;
    }
    const bool is_served = driver_open(&driver, &load) && copy_load_serve("engine", argv[1], &load, &copier);
    driver_close(&driver);
    copy_load_close(&load);
    return is_served ? EXIT_SUCCESS : EXIT_FAILURE;
}
