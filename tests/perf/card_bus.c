/* Bus operations that call the card directly; a bus address is the address of the memory in this process. */
#include "card_bus.h"

#include <stdlib.h>
#include <string.h>

#include "gen/pci_config.h"
#include "gen/vnic_bar0.h"

enum { PAGE_BYTES = 4096, LINK_MBPS = 100000, BAR_SPACING = 0x100000, MSIX_BAR_BYTES = 8192 };

/* Where firmware puts the BARs: far from any memory of this process. */
static const uint64_t bar_window = 0xF000000000000000u;

static uint32_t bus_config_read(void *opaque, uint32_t offset, unsigned width)
{
    return vnic_cfg_read(((struct card_bus *)opaque)->card, offset, width);
}

static void bus_config_write(void *opaque, uint32_t offset, unsigned width, uint32_t value)
{
    vnic_cfg_write(((struct card_bus *)opaque)->card, offset, width, value);
}

static uint64_t bus_read(void *opaque, unsigned bar, uint64_t offset, unsigned width)
{
    return vnic_read(((struct card_bus *)opaque)->card, bar, offset, width);
}

static void bus_write(void *opaque, unsigned bar, uint64_t offset, unsigned width, uint64_t value)
{
    vnic_write(((struct card_bus *)opaque)->card, bar, offset, width, value);
}

static size_t page_up(size_t len)
{
    return (len + PAGE_BYTES - 1) & ~(size_t)(PAGE_BYTES - 1);
}

static unsigned direction_permissions(enum vnic_bus_direction direction)
{
    return (direction & VNIC_BUS_TO_DEVICE ? (unsigned)VNIC_MAP_READ : 0u)
           | (direction & VNIC_BUS_FROM_DEVICE ? (unsigned)VNIC_MAP_WRITE : 0u);
}

/* Memory to map starts on a page: what shares a page would share its permissions. It is one segment. */
static unsigned bus_map(void *opaque, void *memory, size_t len, enum vnic_bus_direction direction,
                        struct vnic_segment *segments, unsigned capacity)
{
    struct card_bus *bus = opaque;
    uint64_t addr = (uint64_t)(uintptr_t)memory;

    if (capacity == 0) {
        return 1;
    }
    if (addr % PAGE_BYTES
        || vnic_map(bus->card, addr, memory, page_up(len), direction_permissions(direction))) {
        return 0;
    }
    *segments = (struct vnic_segment){addr, len};
    return 1;
}

static void bus_unmap(void *opaque, const struct vnic_segment *segments, unsigned count,
                      enum vnic_bus_direction direction)
{
    (void)direction;
    for (unsigned i = 0; i < count; i++) {
        vnic_unmap(((struct card_bus *)opaque)->card, segments[i].addr, page_up(segments[i].len));
    }
}

static void *bus_alloc_coherent(void *opaque, size_t len, uint64_t *addr)
{
    void *memory = aligned_alloc(PAGE_BYTES, page_up(len));
    struct vnic_segment segment;

    if (!memory) {
        return NULL;
    }
    memset(memory, 0, page_up(len));
    if (!bus_map(opaque, memory, len, VNIC_BUS_BIDIRECTIONAL, &segment, 1)) {
        free(memory);
        return NULL;
    }
    *addr = segment.addr;
    return memory;
}

static void bus_free_coherent(void *opaque, void *memory, size_t len, uint64_t addr)
{
    const struct vnic_segment segment = {addr, len};

    bus_unmap(opaque, &segment, 1, VNIC_BUS_BIDIRECTIONAL);
    free(memory);
}

static int bus_alloc_vectors(void *opaque, unsigned min, unsigned max)
{
    (void)opaque, (void)max;
    return min == 0 ? 0 : -1;
}

static void bus_free_vectors(void *opaque)
{
    (void)opaque;
}

static int bus_request_irq(void *opaque, unsigned vector, vnic_bus_handler handler, void *context)
{
    (void)opaque, (void)vector, (void)handler, (void)context;
    return -1;
}

static void bus_free_irq(void *opaque, unsigned vector)
{
    (void)opaque, (void)vector;
}

static void bus_delay_ns(void *opaque, uint64_t ns)
{
    struct card_bus *bus = opaque;

    vnic_advance(bus->card, vnic_now(bus->card) + ns);
    card_bus_run(bus);
}

/* The 64-bit BARs 0 and 2; what is behind them is as large as its map. */
static uint64_t bus_bar_size(void *opaque, unsigned bar)
{
    (void)opaque;
    return bar == 0 ? REG_MAP_BYTES : bar == 2 ? MSIX_BAR_BYTES : 0;
}

static void command_change(void *opaque, uint32_t clear, uint32_t set)
{
    const uint32_t command = bus_config_read(opaque, CFG_COMMAND, 2);

    bus_config_write(opaque, CFG_COMMAND, 2, (command & ~clear) | set);
}

static bool bus_enable_device(void *opaque)
{
    command_change(opaque, 0, COMMAND_MEMORY_MASK);
    return true;
}

static void bus_disable_device(void *opaque)
{
    command_change(opaque, COMMAND_MEMORY_MASK | COMMAND_MASTER_MASK, 0);
}

static void bus_set_master(void *opaque, bool on)
{
    command_change(opaque, COMMAND_MASTER_MASK, on ? COMMAND_MASTER_MASK : 0);
}

static const struct vnic_bus_ops card_bus_ops = {
    .config_read = bus_config_read,
    .config_write = bus_config_write,
    .read = bus_read,
    .write = bus_write,
    .alloc_coherent = bus_alloc_coherent,
    .free_coherent = bus_free_coherent,
    .map = bus_map,
    .unmap = bus_unmap,
    .alloc_vectors = bus_alloc_vectors,
    .free_vectors = bus_free_vectors,
    .request_irq = bus_request_irq,
    .free_irq = bus_free_irq,
    .delay_ns = bus_delay_ns,
    .bar_size = bus_bar_size,
    .enable_device = bus_enable_device,
    .disable_device = bus_disable_device,
    .set_master = bus_set_master,
};

/* What firmware does before a driver is loaded: place the 64-bit BARs 0 and 2. */
static void bars_place(vnic *card)
{
    for (uint32_t bar = 0; bar < 4; bar += 2) {
        uint64_t addr = bar_window + bar * BAR_SPACING;

        vnic_cfg_write(card, CFG_BAR + bar * CFG_BAR_STRIDE, 4, (uint32_t)addr);
        vnic_cfg_write(card, CFG_BAR + (bar + 1) * CFG_BAR_STRIDE, 4, (uint32_t)(addr >> 32));
    }
}

int card_bus_open(struct card_bus *bus, unsigned queue_pairs)
{
    struct vnic_config config;

    vnic_config_init(&config);
    config.queue_pairs = (uint8_t)queue_pairs;
    return card_bus_open_with(bus, &config);
}

int card_bus_open_with(struct card_bus *bus, const struct vnic_config *config)
{
    const int result = vnic_create(config, &bus->card);

    if (result) {
        return result;
    }
    bars_place(bus->card);
    vnic_set_link(bus->card, LINK_MBPS);
    return VNIC_OK;
}

void card_bus_close(struct card_bus *bus)
{
    vnic_destroy(bus->card);
    bus->card = NULL;
}

struct vnic_bus card_bus_view(struct card_bus *bus)
{
    return (struct vnic_bus){&card_bus_ops, bus};
}

void card_bus_run(struct card_bus *bus)
{
    const struct vnic_budget all = {UINT64_MAX, UINT64_MAX};
    struct vnic_budget used;

    vnic_run(bus->card, &all, &used);
}
