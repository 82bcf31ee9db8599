/* driver_bus.c: struct vnic_bus_ops of the driver under test. */
#include "driver_world.h"

#define DELAY_MOST_NS 60000000000ull
#define SEGMENTS_MOST 8192u

static struct fuzz_world *world_of(void *bus, const char *call)
{
    struct fuzz_world *w = bus;
    FUZZ_REQUIRE(w != NULL && w->ndis.bus.opaque == bus, "DRV-10", "%s with a bus that is not this adapter's",
                 call);
    fuzz_processor_called(w, call, VNIC_IRQL_DIRQL, false);
    return w;
}

static void below_dirql(const struct fuzz_world *w, const char *call)
{
    FUZZ_REQUIRE(fuzz_processor_level(w) <= VNIC_IRQL_DISPATCH, "LEVEL-1", "%s at DIRQL", call);
}

/* ---- registers ---- */

static uint32_t bus_config_read(void *bus, uint32_t offset, unsigned width)
{
    return fuzz_card_config_read(world_of(bus, "config_read"), offset, width);
}

static void bus_config_write(void *bus, uint32_t offset, unsigned width, uint32_t value)
{
    fuzz_card_config_write(world_of(bus, "config_write"), offset, width, value);
}

static uint64_t bus_read(void *bus, unsigned bar, uint64_t offset, unsigned width)
{
    return fuzz_card_read(world_of(bus, "read"), bar, offset, width);
}

static void bus_write(void *bus, unsigned bar, uint64_t offset, unsigned width, uint64_t value)
{
    fuzz_card_write(world_of(bus, "write"), bar, offset, width, value);
}

static uint64_t bus_bar_size(void *bus, unsigned bar)
{
    (void)world_of(bus, "bar_size");
    return bar == 0 ? 65536 : bar == 2 ? 8192 : 0;
}

static bool bus_enable_device(void *bus)
{
    struct fuzz_world *w = world_of(bus, "enable_device");
    w->card.config[1] |= w->card.is_gone ? 0 : 2u;
    return !w->card.is_gone;
}

static void bus_disable_device(void *bus)
{
    world_of(bus, "disable_device")->card.config[1] &= ~6u;
}

static void bus_set_master(void *bus, bool on)
{
    struct fuzz_world *w = world_of(bus, "set_master");
    w->card.config[1] = (w->card.config[1] & ~4u) | (on && !w->card.is_gone ? 4u : 0);
}

static void bus_delay_ns(void *bus, uint64_t ns)
{
    struct fuzz_world *w = world_of(bus, "delay_ns");
    FUZZ_REQUIRE(ns <= DELAY_MOST_NS, "HANG-1", "delay_ns of more than a minute");
    FUZZ_REQUIRE(++w->accesses <= FUZZ_ACCESSES_MOST, "FUZ-54", "the driver waits without an end");
    fuzz_processor_wait(w, ns);
    fuzz_transfer_work(w, 1);
}

/* ---- DMA ---- */

static void *bus_alloc_coherent(void *bus, size_t len, uint64_t *addr)
{
    struct fuzz_world *w = world_of(bus, "alloc_coherent");
    below_dirql(w, "alloc_coherent");
    FUZZ_REQUIRE(addr != NULL, "DRV-10", "alloc_coherent with no place for the address");
    void *memory = fuzz_memory_alloc(&w->memory, len, 4096, FUZZ_COHERENT);
    *addr = memory ? fuzz_memory_find(&w->memory, memory, len)->addr : 0;
    return memory;
}

static void bus_free_coherent(void *bus, void *memory, size_t len, uint64_t addr)
{
    struct fuzz_world *w = world_of(bus, "free_coherent");
    const struct fuzz_block *block = fuzz_memory_find(&w->memory, memory, len);
    below_dirql(w, "free_coherent");
    FUZZ_REQUIRE(block && block->bytes == memory && block->len == len && block->addr == addr, "DRV-13",
                 "free_coherent of memory that is not allocated so (or was freed before)");
    fuzz_memory_free(&w->memory, memory, FUZZ_COHERENT, "free_coherent");
}

static void check_direction(enum vnic_bus_direction direction)
{
    FUZZ_REQUIRE(direction >= VNIC_BUS_TO_DEVICE && direction <= VNIC_BUS_BIDIRECTIONAL, "DRV-12",
                 "%u is no direction of DMA", (unsigned)direction);
}

static unsigned bus_map(void *bus, void *memory, size_t len, enum vnic_bus_direction direction,
                        struct vnic_segment *segments, unsigned capacity)
{
    struct fuzz_world *w = world_of(bus, "map");
    below_dirql(w, "map");
    check_direction(direction);
    FUZZ_REQUIRE(fuzz_memory_find(&w->memory, memory, len) || fuzz_send_holds(w, memory, len), "DRV-10",
                 "map of memory that is not the machine's");
    return fuzz_memory_map(&w->memory, memory, len, direction, segments, capacity);
}

static void bus_unmap(void *bus, const struct vnic_segment *segments, unsigned count,
                      enum vnic_bus_direction direction)
{
    struct fuzz_world *w = world_of(bus, "unmap");
    below_dirql(w, "unmap");
    check_direction(direction);
    FUZZ_REQUIRE(count <= SEGMENTS_MOST && (count == 0 || segments), "DRV-12", "unmap of %u segments", count);
    fuzz_memory_unmap(&w->memory, segments, count, direction);
}

/* ---- vectors without NDIS ---- */

static int bus_alloc_vectors(void *bus, unsigned min, unsigned max)
{
    struct fuzz_world *w = world_of(bus, "alloc_vectors");
    below_dirql(w, "alloc_vectors");
    if (w->adapter.has_interrupt || w->adapter.has_vectors || min > FUZZ_MESSAGES || max == 0
        || fuzz_memory_refuses(&w->memory)) {
        return -1;
    }
    w->adapter.has_vectors = true;
    w->adapter.interrupt_kind = VNIC_INTERRUPT_MSIX;
    return (int)(max < FUZZ_MESSAGES ? max : FUZZ_MESSAGES);
}

static void bus_free_vectors(void *bus)
{
    struct fuzz_world *w = world_of(bus, "free_vectors");
    for (uint32_t v = 0; v < FUZZ_MESSAGES; v++) {
        FUZZ_REQUIRE(!w->adapter.handler[v], "DRV-13", "free_vectors while a handler is connected");
    }
    FUZZ_REQUIRE(w->adapter.has_vectors, "DRV-13", "free_vectors of no vectors");
    w->adapter.has_vectors = false;
}

static int bus_request_irq(void *bus, unsigned vector, vnic_bus_handler handler, void *context)
{
    struct fuzz_world *w = world_of(bus, "request_irq");
    FUZZ_REQUIRE(w->adapter.has_vectors && vector < FUZZ_MESSAGES && handler && !w->adapter.handler[vector],
                 "DRV-10", "request_irq of vector %u", vector);
    w->adapter.handler[vector] = handler;
    w->adapter.handler_context[vector] = context;
    return 0;
}

static void bus_free_irq(void *bus, unsigned vector)
{
    struct fuzz_world *w = world_of(bus, "free_irq");
    FUZZ_REQUIRE(vector < FUZZ_MESSAGES && w->adapter.handler[vector], "DRV-13", "free_irq of vector %u",
                 vector);
    w->adapter.handler[vector] = NULL;
    for (uint32_t i = 0; i < FUZZ_PROCESSORS; i++) {
        w->cpu.each[i].interrupts &= ~(1u << vector);
    }
}

const struct vnic_bus_ops fuzz_bus_ops = {
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
