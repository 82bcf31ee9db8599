/* function.c: a function's life, what is derived from its configuration, and accesses to its BARs. */
#include "pci/function.h"

#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "pci/config.h"
#include "pci/disturb.h"
#include "pci/interrupt.h"
#include "pci/msix.h"
#include "pci/tags.h"

/* --- life */

/* A BAR is 64-bit: it takes two slots, the second of which has no size of its own. */
static bool pci_is_bar_sound(const struct pci_identity *id, unsigned bar)
{
    const uint32_t bytes = id->bar_bytes[bar];
    return bytes == 0
           || (bits_is_pow2(bytes) && bytes >= 16 && bar + 1 < PCI_BARS && id->bar_bytes[bar + 1] == 0);
}

static bool pci_is_identity_sound(const struct pci_identity *id)
{
    for (unsigned i = 0; i < PCI_BARS; i++) {
        if (!pci_is_bar_sound(id, i)) {
            return false;
        }
    }
    if (id->msix_bar >= PCI_BARS || id->msix_table_offset % 8 != 0
        || id->msix_pba_offset != id->msix_table_offset + MSIX_PBA) {
        return false;
    }
    return id->vectors >= 1 && id->vectors <= PCI_VECTORS_MAX && id->msi_capable_log2 <= 5
           && id->class_code <= 0xFFFFFF && id->interrupt_pin <= 4
           && (uint64_t)id->msix_table_offset + MSIX_MAP_BYTES <= id->bar_bytes[id->msix_bar];
}

int pci_create(struct pci_function *f, const struct pci_identity *identity, const struct pci_ops *ops,
               void *owner)
{
    memset(f, 0, sizeof(*f));
    if (!pci_is_identity_sound(identity)) {
        return VNIC_EINVAL;
    }
    f->identity = *identity;
    f->ops = ops;
    f->owner = owner;
    if (memmap_create(&f->map, identity->map_regions) != VNIC_OK
        || fault_create(&f->faults, identity->faults) != VNIC_OK || config_create(f) != VNIC_OK
        || msix_create(f) != VNIC_OK) {
        pci_destroy(f);
        return VNIC_ENOMEM;
    }
    pci_refresh(f);
    return VNIC_OK;
}

void pci_destroy(struct pci_function *f)
{
    regfile_destroy(&f->msix);
    regfile_destroy(&f->config);
    fault_destroy(&f->faults);
    memmap_destroy(&f->map);
}

/* The function itself is part of its owner. */
size_t pci_footprint(const struct pci_function *f)
{
    return regfile_bytes(f->config.map) + regfile_bytes(f->msix.map)
           + f->map.capacity * sizeof(*f->map.region) + fault_footprint(&f->faults);
}

/* --- what is derived */

static uint32_t pci_find_windows(const struct pci_function *f, struct pci_window window[PCI_BARS])
{
    uint32_t count = 0;
    for (unsigned i = 0; i < PCI_BARS && f->is_decoding; i++) {
        if (f->identity.bar_bytes[i] != 0) {
            const uint64_t base = config_bar_base(f, i);
            window[count++] = (struct pci_window){base, base + (f->identity.bar_bytes[i] - 1)};
        }
    }
    return count;
}

/* Hints never reach into a window, so they are stale when one moves. */
static void pci_refresh_windows(struct pci_function *f)
{
    struct pci_window window[PCI_BARS] = {0};
    const uint32_t windows = pci_find_windows(f, window);
    if (windows != f->windows || memcmp(window, f->window, sizeof(window)) != 0) {
        memcpy(f->window, window, sizeof(window));
        f->windows = windows;
        memmap_touch(&f->map);
    }
}

static bool pci_is_disturbed(const struct pci_function *f, enum vnic_fault_site site,
                             enum vnic_event_type type)
{
    return f->faults.armed[site] != 0 || (f->observer != NULL && pci_is_observed(f, type));
}

void pci_refresh(struct pci_function *f)
{
    const bool is_on = pci_is_d0(f) && !f->is_removed;
    f->is_master = is_on && config_is_set(f, CFG_COMMAND, COMMAND_MASTER_MASK);
    f->is_decoding = is_on && config_is_set(f, CFG_COMMAND, COMMAND_MEMORY_MASK);
    f->is_direct = f->is_master && !pci_is_disturbed(f, VNIC_FAULT_DMA_READ, VNIC_EVENT_DMA_READ)
                   && !pci_is_disturbed(f, VNIC_FAULT_DMA_WRITE, VNIC_EVENT_DMA_WRITE);
    f->is_plain = f->is_decoding && !pci_is_disturbed(f, VNIC_FAULT_MMIO_READ, VNIC_EVENT_MMIO_READ)
                  && !pci_is_disturbed(f, VNIC_FAULT_MMIO_WRITE, VNIC_EVENT_MMIO_WRITE);
    pci_refresh_windows(f);
}

/* --- observation */

void pci_emit(const struct pci_function *f, struct vnic_event *event)
{
    if (f->observer == NULL || !pci_is_observed(f, (enum vnic_event_type)event->type)) {
        return;
    }
    event->function = f->identity.function;
    event->time_ns = f->now_ns;
    f->observer(f->observer_opaque, event);
}

/* --- accesses to BARs */

static bool pci_has_bar(const struct pci_function *f, unsigned bar, uint64_t offset)
{
    return bar < PCI_BARS && offset < f->identity.bar_bytes[bar];
}

static bool pci_is_width(unsigned width)
{
    return width <= 8 && bits_is_pow2(width);
}

static uint64_t pci_ones(unsigned width)
{
    return pci_is_width(width) ? UINT64_MAX >> (64 - 8 * width) : UINT64_MAX;
}

static uint64_t pci_bar_fetch(struct pci_function *f, unsigned bar, uint64_t offset, unsigned width)
{
    if (msix_is_here(f, bar, offset)) {
        return msix_read(f, offset, width);
    }
    return f->ops->on_bar_read(f->owner, bar, offset, width);
}

static void pci_bar_store(struct pci_function *f, unsigned bar, uint64_t offset, unsigned width,
                          uint64_t value)
{
    if (msix_is_here(f, bar, offset)) {
        msix_write(f, offset, width, value);
    } else {
        f->ops->on_bar_write(f->owner, bar, offset, width, value);
    }
}

static const struct vnic_fault *pci_bar_fault(struct pci_function *f, enum vnic_fault_site site, unsigned bar,
                                              uint64_t offset, unsigned width, int *id)
{
    const struct fault_occurrence what = {
        .site = site, .index = bar, .first = offset, .last = offset + (width - 1)};
    return pci_is_width(width) ? pci_fault(f, &what, id) : NULL;
}

static uint64_t pci_spoil_value(const struct vnic_fault *fault, uint64_t offset, uint64_t value,
                                unsigned width)
{
    uint8_t bytes[8];
    le64_store(bytes, value);
    fault_spoil(fault, bytes, width, offset);
    return le64_load(bytes);
}

/* [PCI-6] The function does not decode: its bus answers, and the function logs a request that reached it. */
static bool pci_is_refused(struct pci_function *f, unsigned bar, uint64_t offset, bool is_write)
{
    if (f->is_removed || !pci_has_bar(f, bar, offset)) {
        return true;
    }
    if (!f->is_decoding) {
        pci_log_unsupported(f, is_write);
        return true;
    }
    return false;
}

/* [PCI-42] A read that fails touches nothing; one that is made twice, twice. */
static uint64_t pci_bar_read_slow(struct pci_function *f, unsigned bar, uint64_t offset, unsigned width)
{
    int id = 0;
    if (pci_is_refused(f, bar, offset, false)) {
        return pci_ones(width);
    }
    const struct vnic_fault *fault = pci_bar_fault(f, VNIC_FAULT_MMIO_READ, bar, offset, width, &id);
    if (fault == NULL) {
        return pci_bar_fetch(f, bar, offset, width);
    }
    if (fault->action == VNIC_FAULT_ERROR || fault->action == VNIC_FAULT_REMOVE) {
        return pci_ones(width);
    }
    if (fault->action == VNIC_FAULT_DUPLICATE) {
        (void)pci_bar_fetch(f, bar, offset, width);
    }
    return pci_spoil_value(fault, offset, pci_bar_fetch(f, bar, offset, width), width);
}

void pci_bar_write_late(struct pci_function *f, unsigned bar, uint64_t offset, unsigned width, uint64_t value)
{
    if (!pci_is_refused(f, bar, offset, true)) {
        pci_bar_store(f, bar, offset, width, value);
    }
}

static void pci_bar_write_faulty(struct pci_function *f, unsigned bar, uint64_t offset, unsigned width,
                                 uint64_t value, const struct vnic_fault *fault, int id)
{
    const struct fault_item item = {
        .index = (uint8_t)bar, .width = (uint8_t)width, .addr = offset, .value = value};
    const bool is_twice = fault->action == VNIC_FAULT_DUPLICATE;
    if (fault_is_keeping(fault)) {
        pci_keep(f, id, item, NULL);
    } else if (is_twice) {
        pci_bar_store(f, bar, offset, width, value);
    }
    if (is_twice || fault->action == VNIC_FAULT_CORRUPT || fault->action == VNIC_FAULT_STUCK) {
        pci_bar_store(f, bar, offset, width, pci_spoil_value(fault, offset, value, width));
    }
}

static void pci_bar_write_slow(struct pci_function *f, unsigned bar, uint64_t offset, unsigned width,
                               uint64_t value)
{
    int id = 0;
    if (pci_is_refused(f, bar, offset, true)) {
        return;
    }
    const struct vnic_fault *fault = pci_bar_fault(f, VNIC_FAULT_MMIO_WRITE, bar, offset, width, &id);
    if (fault == NULL) {
        pci_bar_store(f, bar, offset, width, value);
    } else {
        pci_bar_write_faulty(f, bar, offset, width, value, fault, id);
    }
    pci_let_go_behind(f, VNIC_FAULT_MMIO_WRITE);
}

static void pci_bar_emit(const struct pci_function *f, enum vnic_event_type type, unsigned bar,
                         uint64_t offset, unsigned width, uint64_t value)
{
    struct vnic_event event = {.type = (uint8_t)type,
                               .index = (uint8_t)bits_min32(bar, UINT8_MAX),
                               .width = (uint8_t)bits_min32(width, UINT8_MAX),
                               .addr = offset,
                               .value = value};
    pci_emit(f, &event);
}

/* The event of a read follows what the read caused; that of a write comes first. */
uint64_t pci_bar_read(struct pci_function *f, unsigned bar, uint64_t offset, unsigned width)
{
    uint64_t value;
    if (f->is_plain && pci_has_bar(f, bar, offset)) {
        value = pci_bar_fetch(f, bar, offset, width);
        pci_settle_leaving(f);
        return value;
    }
    value = pci_bar_read_slow(f, bar, offset, width);
    pci_settle_leaving(f);
    pci_bar_emit(f, VNIC_EVENT_MMIO_READ, bar, offset, width, value);
    return value;
}

void pci_bar_write(struct pci_function *f, unsigned bar, uint64_t offset, unsigned width, uint64_t value)
{
    if (f->is_plain && pci_has_bar(f, bar, offset)) {
        pci_bar_store(f, bar, offset, width, value);
    } else {
        pci_bar_emit(f, VNIC_EVENT_MMIO_WRITE, bar, offset, width, value);
        pci_bar_write_slow(f, bar, offset, width, value);
    }
    pci_settle_leaving(f);
}

/* --- snapshot */

/* [PCI-45] Identity is not saved: the owner's configuration is, and decides it. */
void pci_archive(struct pci_function *f, struct archive *a)
{
    ARCHIVE(a, TAG_PCI_NOW, f->now_ns, UINT64_MAX);
    ARCHIVE(a, TAG_PCI_REMOVED, f->is_removed, 1);
    regfile_archive(&f->config, a);
    regfile_archive(&f->msix, a);
    interrupt_archive(f, a);
    if (archive_is_loading(a) && !a->failed) {
        f->wants_flr = false;
        f->has_mask_changed = false;
        pci_refresh(f);
        archive_refuse_if(a, !config_is_sound(f) || !interrupt_is_sound(f));
    }
}
