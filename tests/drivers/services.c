/* services.c: the example driver, which at a query of its description tries every service of NDIS and bus first. */
#define vnic_driver_entry minimal_entry
#include "minimal.c"
#undef vnic_driver_entry

#include <stdio.h>

/* What was not as it should be, by the line of the check. */
static char failures[256];

#define CHECK(condition) check(condition, __LINE__)

static void check(bool is_right, int line)
{
    const size_t used = strlen(failures);

    if (!is_right && used + 12 < sizeof failures) {
        snprintf(failures + used, sizeof failures - used, "line %d ", line);
    }
}

static void count(void *context)
{
    ++*(unsigned *)context;
}

static void try_time(const struct minimal *m)
{
    void *adapter = m->plain.ndis->adapter, *timer;
    const uint64_t before = m->plain.ops->now_ns(adapter);
    unsigned ticks = 0, works = 0;

    m->plain.ops->sleep(adapter, 10);
    CHECK(m->plain.ops->now_ns(adapter) >= before + 10000);
    timer = m->plain.ops->alloc_timer(adapter, count, &ticks);
    m->plain.ops->set_timer(adapter, timer, 1000, 0);
    m->plain.ops->sleep(adapter, 5);
    CHECK(ticks == 1);
    CHECK(!m->plain.ops->cancel_timer(adapter, timer));
    m->plain.ops->set_timer(adapter, timer, 1000, 1000);
    m->plain.ops->sleep(adapter, 10);
    CHECK(ticks > 5);
    CHECK(m->plain.ops->cancel_timer(adapter, timer));
    m->plain.ops->free_timer(adapter, timer);
    m->plain.ops->queue_work_item(adapter, count, &works);
    m->plain.ops->sleep(adapter, 1);
    CHECK(works == 1);
}

static bool is_at_dirql(void *context)
{
    const struct minimal *m = context;

    return m->plain.ops->current_irql(m->plain.ndis->adapter) == VNIC_IRQL_DIRQL;
}

static void try_levels(struct minimal *m)
{
    void *adapter = m->plain.ndis->adapter, *lock = m->plain.ops->alloc_spin_lock(adapter);

    CHECK(m->plain.ops->current_irql(adapter) == VNIC_IRQL_PASSIVE);
    m->plain.ops->acquire_spin_lock(adapter, lock);
    CHECK(m->plain.ops->current_irql(adapter) == VNIC_IRQL_DISPATCH);
    m->plain.ops->release_spin_lock(adapter, lock);
    m->plain.ops->free_spin_lock(adapter, lock);
    CHECK(m->plain.ops->current_processor(adapter) < m->plain.ndis->processors);
    CHECK(m->plain.ops->synchronize_with_interrupt_ex(adapter, m->plain.irq.handle, 0, is_at_dirql, m));
    CHECK(m->plain.ops->queue_dpc_ex(adapter, m->plain.irq.handle, 0, 2, NULL) == 2);
}

static void try_settings(const struct minimal *m)
{
    const struct vnic_bus *bus = &m->plain.ndis->bus;
    uint64_t value = 0;

    CHECK(m->plain.ops->read_configuration(m->plain.ndis->adapter, "*ReceiveBuffers", &value)
          == NDIS_STATUS_SUCCESS);
    CHECK(value == 64);
    CHECK(m->plain.ops->read_configuration(m->plain.ndis->adapter, "*No", &value)
          == NDIS_STATUS_FILE_NOT_FOUND);
    CHECK(bus->ops->bar_size(bus->opaque, 0) >= REG_MAP_BYTES);
    CHECK(bus->ops->bar_size(bus->opaque, 1) == 0);
    CHECK(bus->ops->config_read(bus->opaque, CFG_COMMAND, 2) & COMMAND_MASTER_MASK);
    CHECK(bus->ops->read(bus->opaque, 0, REG_GLB_TYPE, 1) == BLOCK_TYPE_GLOBAL);
}

/* Two pages, mapped apart; the card fills the second with a pattern. */
static void try_dma(const struct minimal *m)
{
    enum { LEN = 8192, PATTERN = 0x600DCAFE };
    const struct vnic_bus *bus = &m->plain.ndis->bus;
    uint8_t *memory = m->plain.ops->alloc_memory(m->plain.ndis->adapter, LEN, 4096);
    struct vnic_segment pieces[2];
    uint32_t word;

    CHECK(memory && (uintptr_t)memory % 4096 == 0 && memory[0] == 0 && memory[LEN - 1] == 0);
    CHECK(bus->ops->map(bus->opaque, memory, LEN, VNIC_BUS_FROM_DEVICE, pieces, 1) == 2);
    CHECK(bus->ops->map(bus->opaque, memory, LEN, VNIC_BUS_FROM_DEVICE, NULL, 0) == 2);
    CHECK(bus->ops->map(bus->opaque, memory, LEN, VNIC_BUS_FROM_DEVICE, pieces, 2) == 2);
    CHECK(pieces[0].len == 4096 && pieces[1].len == 4096 && pieces[1].addr != pieces[0].addr + 4096);
    vnic_write64(bus, REG_TEST_DMA_DST, pieces[1].addr);
    vnic_write32(bus, REG_TEST_DMA_LEN, 256);
    vnic_write32(bus, REG_TEST_DMA_PATTERN, PATTERN);
    vnic_write32(bus, REG_TEST_DMA_CMD, TEST_DMA_CMD_GO_MASK | TEST_OP_FILL << TEST_DMA_CMD_OP_SHIFT);
    bus->ops->delay_ns(bus->opaque, 1000);
    bus->ops->unmap(bus->opaque, pieces, 2, VNIC_BUS_FROM_DEVICE);
    memcpy(&word, memory + 4096, sizeof word);
    CHECK(word == PATTERN && memory[4095] == 0 && memory[4096 + 256] == 0);
    m->plain.ops->free_memory(m->plain.ndis->adapter, memory);
    CHECK(m->plain.ops->alloc_memory(m->plain.ndis->adapter, (size_t)1 << 40, 16) == NULL);
}

static uint32_t services_oid(void *context, struct vnic_oid_request *request)
{
    struct minimal *m = context;

    if (request->oid != OID_GEN_VENDOR_DESCRIPTION) {
        return vnic_plain_oid_request(context, request);
    }
    try_time(m);
    try_levels(m);
    try_settings(m);
    try_dma(m);
    return vnic_oid_answer(request, failures, (uint32_t)strlen(failures) + 1);
}

/* A scatter-gather list covers a packet, whatever its MDLs. */
static void services_send(void *context, struct vnic_net_buffer_list *chain, uint32_t port, uint32_t flags)
{
    struct minimal *m = context;
    const struct vnic_sg_list *list;
    uint64_t len = 0;

    list = m->plain.ops->alloc_net_buffer_sg_list(m->plain.ndis->adapter, chain->first_net_buffer);
    for (uint32_t i = 0; i < list->count; i++) {
        len += list->elements[i].len;
    }
    CHECK(list->count > 1 && len == chain->first_net_buffer->data_length);
    m->plain.ops->free_net_buffer_sg_list(m->plain.ndis->adapter, list);
    vnic_plain_send(context, chain, port, flags);
}

/* The attributes of the example, and what a driver with scaling and offloads would add. */
static uint32_t general_with_scaling(void *adapter, const struct vnic_general_attributes *attributes);

static struct vnic_ndis given;
static struct vnic_ndis_ops with_scaling;
static const struct vnic_ndis_ops *plain;

static uint32_t general_with_scaling(void *adapter, const struct vnic_general_attributes *attributes)
{
    static const struct vnic_receive_scale_capabilities scaling = {
        NDIS_RSS_CAPS_HASH_TYPE_TCP_IPV4 | NDIS_RSS_CAPS_MESSAGE_SIGNALED_INTERRUPTS | 1, 3, 2, 128};
    static const uint8_t none[112] = {0xA7, 1, 112}; /* NDIS_OFFLOAD, revision 1: nothing */
    const struct vnic_offload_attributes offload = {none, none, sizeof none}, bad = {none, none, 3};
    struct vnic_general_attributes more = *attributes;
    uint32_t status;

    more.receive_scale = &scaling;
    status = plain->set_general_attributes(adapter, &more);
    CHECK(plain->set_offload_attributes(adapter, &bad) == NDIS_STATUS_INVALID_LENGTH);
    return status ? status : plain->set_offload_attributes(adapter, &offload);
}

static uint32_t services_initialize(void *context, const struct vnic_ndis *ndis)
{
    given = *ndis;
    plain = ndis->ops;
    with_scaling = *plain;
    with_scaling.set_general_attributes = general_with_scaling;
    given.ops = &with_scaling;
    failures[0] = 0;
    return minimal_entry(VNIC_DRIVER_ABI)->initialize_ex(context, &given);
}

const struct vnic_miniport *vnic_driver_entry(uint32_t abi)
{
    static struct vnic_miniport table;

    table = *minimal_entry(abi);
    table.initialize_ex = services_initialize;
    table.oid_request = services_oid;
    table.send_net_buffer_lists = services_send;
    return &table;
}
