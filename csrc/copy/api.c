/* api.c: the public calls: each is an input or an output of the engine, observed and handed on. */
#include "copy/interrupt.h"
#include "copy/run.h"
#include "copy/snapshot.h"
#include "pci/disturb.h"
#include "pci/host.h"

static void api_emit(struct vnic_copy *copy, struct vnic_event event)
{
    if (pci_is_observed(&copy->pci, event.type)) {
        pci_emit(&copy->pci, &event);
    }
}

/* --- registers */

uint64_t vnic_copy_read(vnic_copy *engine, unsigned bar, uint64_t offset, unsigned width)
{
    uint64_t value;
    if (bar == 0 && width == 4 && engine->pci.is_plain && regfile_read_plain(&engine->regs, offset, &value)) {
        return value;
    }
    return pci_bar_read(&engine->pci, bar, offset, width);
}

void vnic_copy_write(vnic_copy *engine, unsigned bar, uint64_t offset, unsigned width, uint64_t value)
{
    pci_bar_write(&engine->pci, bar, offset, width, value);
    run_copy_settle(engine);
}

uint32_t vnic_copy_cfg_read(vnic_copy *engine, uint32_t offset, unsigned width)
{
    return pci_config_read(&engine->pci, offset, width);
}

void vnic_copy_cfg_write(vnic_copy *engine, uint32_t offset, unsigned width, uint32_t value)
{
    pci_config_write(&engine->pci, offset, width, value);
    run_copy_settle(engine);
}

/* --- memory and interrupts */

int vnic_copy_map(vnic_copy *engine, uint64_t iova, void *host, uint64_t len, unsigned permissions)
{
    return host_map(&engine->pci, iova, host, len, permissions);
}

int vnic_copy_unmap(vnic_copy *engine, uint64_t iova, uint64_t len)
{
    return host_unmap(&engine->pci, iova, len);
}

void vnic_copy_unmap_all(vnic_copy *engine)
{
    host_unmap_all(&engine->pci);
}

void vnic_copy_set_unmapped(vnic_copy *engine, vnic_unmapped answer, void *opaque)
{
    host_set_unmapped(&engine->pci, answer, opaque);
}

size_t vnic_copy_interrupts(vnic_copy *engine, struct vnic_interrupt *interrupts, size_t max)
{
    return pci_interrupts(&engine->pci, interrupts, max);
}

/* --- time and work */

int vnic_copy_advance(vnic_copy *engine, uint64_t now_ns)
{
    return host_set_time(&engine->pci, now_ns);
}

uint64_t vnic_copy_now(const vnic_copy *engine)
{
    return engine->pci.now_ns;
}

uint64_t vnic_copy_deadline(const vnic_copy *engine)
{
    const uint64_t held_ns = host_deadline(&engine->pci), own_ns = interrupt_deadline(engine);
    return held_ns < own_ns ? held_ns : own_ns;
}

uint32_t vnic_copy_runnable(const vnic_copy *engine)
{
    return run_copy_runnable(engine);
}

int vnic_copy_step(vnic_copy *engine, unsigned part, uint64_t *bytes)
{
    api_emit(engine, (struct vnic_event){.type = VNIC_EVENT_STEP, .index = (uint8_t)part});
    const int is_taken = run_copy_step(engine, part, bytes);
    pci_settle_leaving(&engine->pci);
    return is_taken;
}

uint32_t vnic_copy_run(vnic_copy *engine, const struct vnic_budget *budget, struct vnic_budget *used)
{
    struct vnic_budget taken;
    if (__builtin_expect(pci_is_observed(&engine->pci, VNIC_EVENT_RUN), 0)) {
        api_emit(engine,
                 (struct vnic_event){.type = VNIC_EVENT_RUN, .addr = budget->steps, .value = budget->bytes});
    }
    run_copy_within(engine, budget, &taken);
    pci_settle_leaving(&engine->pci);
    if (used) {
        *used = taken;
    }
    return run_copy_runnable(engine);
}

uint64_t vnic_copy_idle_steps(const vnic_copy *engine)
{
    return run_copy_idle_steps(engine);
}

/* --- reset, removal, snapshot */

void vnic_copy_reset(vnic_copy *engine, unsigned level)
{
    api_emit(engine, (struct vnic_event){.type = VNIC_EVENT_RESET, .value = level});
    pci_reset(&engine->pci, level == VNIC_RESET_HOT ? PCI_RESET_HOT : PCI_RESET_POWER);
    pci_settle_leaving(&engine->pci);
}

/* [DMA-55] */
void vnic_copy_remove(vnic_copy *engine)
{
    api_emit(engine, (struct vnic_event){.type = VNIC_EVENT_REMOVE, .value = 1});
    pci_remove(&engine->pci);
    copy_reset(engine);
}

void vnic_copy_insert(vnic_copy *engine)
{
    api_emit(engine, (struct vnic_event){.type = VNIC_EVENT_REMOVE, .value = 0});
    pci_insert(&engine->pci);
}

size_t vnic_copy_save(vnic_copy *engine, uint8_t *buf, size_t capacity)
{
    struct archive a;
    int refusal;
    archive_save(&a, NULL, 0);
    snapshot_walk_copy(engine, &a, &refusal);
    const size_t size = a.at;
    if (buf && size <= capacity) {
        archive_save(&a, buf, capacity);
        snapshot_walk_copy(engine, &a, &refusal);
    }
    return size;
}

/* [DMA-54] */
int vnic_copy_load(vnic_copy *engine, const uint8_t *buf, size_t len)
{
    struct archive a;
    int refusal;
    api_emit(engine, (struct vnic_event){.type = VNIC_EVENT_LOAD, .len = (uint32_t)len, .data = buf});
    pci_reset(&engine->pci, PCI_RESET_POWER);
    const bool has_edge = engine->pci.out_count != 0;
    archive_load(&a, buf, len);
    snapshot_walk_copy(engine, &a, &refusal);
    if (refusal != VNIC_OK) {
        pci_refuse(&engine->pci, has_edge);
    }
    pci_refresh(&engine->pci);
    return refusal;
}

uint64_t vnic_copy_state_hash(vnic_copy *engine)
{
    struct archive a;
    int refusal;
    archive_hash(&a);
    snapshot_walk_copy(engine, &a, &refusal);
    return a.hash;
}

/* --- observation and faults */

void vnic_copy_observe(vnic_copy *engine, vnic_observer observer, void *opaque, uint32_t mask)
{
    host_observe(&engine->pci, observer, opaque, mask);
}

void vnic_copy_retell(vnic_copy *engine)
{
    host_retell(&engine->pci);
}

int vnic_copy_fault_arm(vnic_copy *engine, const struct vnic_fault *fault)
{
    return host_arm(&engine->pci, fault);
}

int vnic_copy_fault_disarm(vnic_copy *engine, int id)
{
    return host_disarm(&engine->pci, id);
}

int64_t vnic_copy_fault_fired(const vnic_copy *engine, int id)
{
    return host_fired(&engine->pci, id);
}

uint32_t vnic_copy_fault_kept(const vnic_copy *engine)
{
    return host_kept(&engine->pci);
}

/* --- names */

const char *vnic_copy_register_name(unsigned bar, uint64_t offset)
{
    return bar == 0 ? regfile_name(&copy_bar0_map, offset) : NULL;
}

uint64_t vnic_copy_register_map_hash(void)
{
    return copy_bar0_map.hash;
}
