/* harness.c: the device of the tests: it records what its PCI function tells it, and passes calls through. */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#include "gen/vnic_bar0.h"
#include "pci/dma.h"
#include "pci/host.h"

#define HARNESS_HOOKS 64u
#define HARNESS_EVENTS 1024u
#define HARNESS_HOOK_MASK 0xA5C35A3Cu /* what a read hook adds to the stored word */

struct harness {
    struct pci_function pci;
    struct regfile regs;
    struct dma_hint hint, write_hint;
    struct harness_counts counts;
    struct harness_hook hook[HARNESS_HOOKS];
    uint32_t hooks;
    struct harness_event event[HARNESS_EVENTS];
    uint32_t events;
};

static void harness_note(struct harness *h, const struct harness_hook *hook)
{
    if (h->hooks < HARNESS_HOOKS) {
        h->hook[h->hooks++] = *hook;
    }
}

static uint32_t harness_on_read(void *owner, const struct reg_ref *ref, uint32_t stored, uint32_t enabled)
{
    const struct harness_hook hook = {.high = ref->high,
                                      .reg = ref->reg,
                                      .index = ref->index,
                                      .offset = ref->offset,
                                      .first = stored,
                                      .written = enabled};
    harness_note(owner, &hook);
    return stored ^ HARNESS_HOOK_MASK;
}

static void harness_on_write(void *owner, const struct reg_ref *ref, uint32_t old, uint32_t now,
                             uint32_t pulses, uint32_t written)
{
    const struct harness_hook hook = {.is_write = 1,
                                      .high = ref->high,
                                      .reg = ref->reg,
                                      .index = ref->index,
                                      .offset = ref->offset,
                                      .first = old,
                                      .now = now,
                                      .pulses = pulses,
                                      .written = written};
    harness_note(owner, &hook);
}

static const struct regfile_ops register_ops = {.on_read = harness_on_read, .on_write = harness_on_write};

static void harness_on_reset(void *owner, enum pci_reset level)
{
    struct harness *h = owner;
    h->counts.resets[level]++;
    h->counts.last_reset = level;
    regfile_reset(&h->regs, level != PCI_RESET_POWER);
}

static uint64_t harness_on_bar_read(void *owner, unsigned bar, uint64_t offset, unsigned width)
{
    struct harness *h = owner;
    h->counts.bar_reads++;
    return bar == 0 ? regfile_read(&h->regs, offset, width) : 0xB0B0B0B0u;
}

static void harness_on_bar_write(void *owner, unsigned bar, uint64_t offset, unsigned width, uint64_t value)
{
    struct harness *h = owner;
    h->counts.bar_writes++;
    if (bar == 0) {
        regfile_write(&h->regs, offset, width, value);
    }
}

static void harness_on_interrupt_mode(void *owner)
{
    struct harness *h = owner;
    h->counts.mode_changes++;
}

static void harness_on_dma_error(void *owner, enum vnic_dma_status status)
{
    struct harness *h = owner;
    h->counts.dma_errors++;
    h->counts.last_dma_status = status;
}

static const struct pci_ops pci_ops = {
    .on_reset = harness_on_reset,
    .on_bar_read = harness_on_bar_read,
    .on_bar_write = harness_on_bar_write,
    .on_interrupt_mode = harness_on_interrupt_mode,
    .on_dma_error = harness_on_dma_error,
};

int harness_create(const struct harness_config *config, harness **out)
{
    struct pci_identity identity = {
        .vendor = 0x1AF4,
        .device = 0x0C0D,
        .subsystem_vendor = 0x1234,
        .subsystem = 0x5678,
        .class_code = 0x020000,
        .revision = 7,
        .function = 3,
        .interrupt_pin = config->interrupt_pin,
        .is_multifunction = config->is_multifunction,
        .has_channel_errors = config->has_channel_errors != 0,
        .vectors = config->vectors,
        .msi_capable_log2 = config->msi_capable_log2,
        .msix_bar = config->msix_bar,
        .msix_table_offset = config->msix_table_offset,
        .msix_pba_offset = config->msix_pba_offset,
        .map_regions = config->map_regions,
        .faults = config->faults,
    };
    memcpy(identity.bar_bytes, config->bar_bytes, sizeof(identity.bar_bytes));
    struct harness *h = calloc(1, sizeof(*h));
    if (h == NULL) {
        return VNIC_ENOMEM;
    }
    int result = pci_create(&h->pci, &identity, &pci_ops, h);
    if (result == VNIC_OK) {
        result = regfile_create(&h->regs, &vnic_bar0_map, &register_ops, h);
    }
    if (result != VNIC_OK) {
        harness_destroy(h);
        return result;
    }
    *out = h;
    return VNIC_OK;
}

void harness_destroy(harness *h)
{
    regfile_destroy(&h->regs);
    pci_destroy(&h->pci);
    free(h);
}

uint64_t harness_footprint(const harness *h)
{
    return pci_footprint(&h->pci);
}

void harness_counts(const harness *h, struct harness_counts *counts)
{
    *counts = h->counts;
}

/* --- accesses */

uint32_t harness_cfg_read(harness *h, uint32_t offset, unsigned width)
{
    return pci_config_read(&h->pci, offset, width);
}

void harness_cfg_write(harness *h, uint32_t offset, unsigned width, uint32_t value)
{
    pci_config_write(&h->pci, offset, width, value);
}

uint64_t harness_read(harness *h, unsigned bar, uint64_t offset, unsigned width)
{
    return pci_bar_read(&h->pci, bar, offset, width);
}

void harness_write(harness *h, unsigned bar, uint64_t offset, unsigned width, uint64_t value)
{
    pci_bar_write(&h->pci, bar, offset, width, value);
}

void harness_poke(harness *h, uint32_t offset, uint32_t value)
{
    regfile_set(&h->regs, offset, value);
}

uint32_t harness_peek(const harness *h, uint32_t offset)
{
    return regfile_get(&h->regs, offset);
}

uint64_t harness_strays(const harness *h)
{
    return h->regs.strays;
}

uint32_t harness_hooks(harness *h, struct harness_hook *hooks, uint32_t max)
{
    const uint32_t count = h->hooks < max ? h->hooks : max;
    memcpy(hooks, h->hook, count * sizeof(*hooks));
    h->hooks = 0;
    return count;
}

void harness_reset_registers(harness *h, int keep)
{
    regfile_reset(&h->regs, keep != 0);
}

void harness_reset_instance(harness *h, uint32_t base, uint32_t index)
{
    regfile_reset_instance(&h->regs, base, index);
}

/* --- memory */

int harness_map(harness *h, uint64_t iova, void *host, uint64_t len, unsigned permissions)
{
    return host_map(&h->pci, iova, host, len, permissions);
}

int harness_unmap(harness *h, uint64_t iova, uint64_t len)
{
    return host_unmap(&h->pci, iova, len);
}

void harness_unmap_all(harness *h)
{
    host_unmap_all(&h->pci);
}

uint32_t harness_regions(const harness *h)
{
    return h->pci.map.count;
}

uint32_t harness_generation(const harness *h)
{
    return h->pci.map.generation;
}

void harness_set_generation(harness *h, uint32_t generation)
{
    h->pci.map.generation = generation;
}

int harness_find(const harness *h, uint64_t addr, uint64_t *first, uint64_t *last, unsigned *permissions)
{
    const struct memmap_region *region = memmap_find(&h->pci.map, addr);
    if (region == NULL) {
        return 0;
    }
    *first = region->iova;
    *last = region->last;
    *permissions = region->permissions;
    return 1;
}

void harness_set_unmapped(harness *h, vnic_unmapped answer, void *opaque)
{
    host_set_unmapped(&h->pci, answer, opaque);
}

int harness_dma_read(harness *h, uint64_t addr, void *bytes, uint32_t len, unsigned purpose)
{
    struct dma_hint *hint = purpose == VNIC_DMA_DESCRIPTOR ? NULL : &h->hint;
    return (int)dma_read(&h->pci, hint, addr, bytes, len, (enum vnic_dma_purpose)purpose);
}

int harness_dma_write(harness *h, uint64_t addr, const void *bytes, uint32_t len, unsigned purpose)
{
    struct dma_hint *hint = purpose == VNIC_DMA_DESCRIPTOR ? NULL : &h->write_hint;
    return (int)dma_write(&h->pci, hint, addr, bytes, len, (enum vnic_dma_purpose)purpose);
}

void *harness_direct(harness *h, uint64_t addr, uint32_t len, unsigned permissions)
{
    return dma_direct(&h->pci, &h->hint, addr, len, permissions);
}

int harness_seek(harness *h, uint64_t addr, unsigned permissions, uint64_t *first, uint64_t *last)
{
    struct dma_hint hint = {0};
    if (!dma_seek(&h->pci, &hint, addr, permissions)) {
        return 0;
    }
    *first = hint.iova;
    *last = hint.last;
    return 1;
}

/* --- interrupts */

int harness_raise_vector(harness *h, unsigned vector)
{
    return pci_raise(&h->pci, vector);
}

void harness_set_line(harness *h, int asserted)
{
    pci_set_line(&h->pci, asserted != 0);
}

size_t harness_interrupts(harness *h, struct vnic_interrupt *out, size_t max)
{
    return pci_interrupts(&h->pci, out, max);
}

int harness_mode(const harness *h)
{
    return (int)pci_mode(&h->pci);
}

int harness_is_memory_enabled(const harness *h)
{
    return pci_is_memory_enabled(&h->pci);
}

int harness_is_master(const harness *h)
{
    return h->pci.is_master;
}

int harness_is_direct(const harness *h)
{
    return h->pci.is_direct;
}

/* --- power and errors */

void harness_reset(harness *h, unsigned level)
{
    pci_reset(&h->pci, (enum pci_reset)level);
}

void harness_remove(harness *h)
{
    pci_remove(&h->pci);
}

void harness_insert(harness *h)
{
    pci_insert(&h->pci);
}

uint64_t harness_deadline(const harness *h)
{
    return host_deadline(&h->pci);
}

int harness_set_now(harness *h, uint64_t now_ns)
{
    return host_set_time(&h->pci, now_ns);
}

void harness_log_unsupported(harness *h, int is_posted)
{
    pci_log_unsupported(&h->pci, is_posted != 0);
}

void harness_log_channel_errors(harness *h, uint32_t bits)
{
    pci_log_channel_errors(&h->pci, bits);
}

/* --- faults and events */

int harness_arm(harness *h, const struct vnic_fault *fault)
{
    return host_arm(&h->pci, fault);
}

int harness_disarm(harness *h, int id)
{
    return host_disarm(&h->pci, id);
}

int64_t harness_fired(const harness *h, int id)
{
    return host_fired(&h->pci, id);
}

static void harness_observer(void *opaque, const struct vnic_event *event)
{
    struct harness *h = opaque;
    if (h->events == HARNESS_EVENTS) {
        return;
    }
    struct harness_event *noted = &h->event[h->events++];
    memset(noted, 0, sizeof(*noted));
    noted->event = *event;
    noted->event.data = NULL;
    if (event->data != NULL) {
        memcpy(noted->head, event->data, event->len < sizeof(noted->head) ? event->len : sizeof(noted->head));
    }
}

void harness_observe(harness *h, uint32_t mask)
{
    host_observe(&h->pci, mask != 0 ? harness_observer : NULL, h, mask);
}

uint32_t harness_events(harness *h, struct harness_event *events, uint32_t max)
{
    const uint32_t count = h->events < max ? h->events : max;
    memcpy(events, h->event, count * sizeof(*events));
    h->events = 0;
    return count;
}

/* --- snapshot */

static void harness_archive(struct harness *h, struct archive *a)
{
    pci_archive(&h->pci, a);
    regfile_archive(&h->regs, a);
}

size_t harness_save(harness *h, uint8_t *buf, size_t capacity)
{
    struct archive a;
    archive_save(&a, buf, capacity);
    harness_archive(h, &a);
    return a.at;
}

int harness_load(harness *h, const uint8_t *buf, size_t len)
{
    struct archive a;
    pci_reset(&h->pci, PCI_RESET_POWER);
    const bool has_edge = h->pci.out_count != 0;
    archive_load(&a, buf, len);
    harness_archive(h, &a);
    if (a.failed || a.at != a.len) {
        pci_refuse(&h->pci, has_edge);
        return VNIC_EFORMAT;
    }
    return VNIC_OK;
}

uint64_t harness_hash(harness *h)
{
    struct archive a;
    archive_hash(&a);
    harness_archive(h, &a);
    return a.hash;
}

static void harness_archive_value(struct harness_value *value, struct archive *a)
{
    bool flag = value->flag != 0;
    ARCHIVE(a, 1, value->u8, 200);
    ARCHIVE(a, 2, value->u16, UINT16_MAX);
    ARCHIVE(a, 3, value->u32, 0x80000000u);
    ARCHIVE(a, 4, value->u64, UINT64_MAX);
    ARCHIVE(a, 5, flag, 1);
    value->count = archive_count(a, 6, value->count, 8);
    for (uint32_t i = 0; i < value->count; i++) {
        ARCHIVE(a, 7, value->element[i], UINT64_MAX);
    }
    archive_bytes(a, 8, value->bytes, value->len);
    archive_refuse_if(a, value->u8 == 13);
    value->flag = flag;
}

size_t harness_value_save(struct harness_value *value, uint8_t *buf, size_t capacity)
{
    struct archive a;
    archive_save(&a, buf, capacity);
    harness_archive_value(value, &a);
    return a.at;
}

uint64_t harness_value_hash(struct harness_value *value)
{
    struct archive a;
    archive_hash(&a);
    harness_archive_value(value, &a);
    return a.hash;
}

int harness_value_load(struct harness_value *value, const uint8_t *buf, size_t len)
{
    struct archive a;
    archive_load(&a, buf, len);
    harness_archive_value(value, &a);
    return a.failed || a.at != a.len ? VNIC_EFORMAT : VNIC_OK;
}
