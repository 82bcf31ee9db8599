/* dma.c: one transfer: may it be issued, where does it go, what does a fault make of it, who is told. */
#include "pci/dma.h"

#include <string.h>

#include "base/bits.h"
#include "pci/disturb.h"

#define DMA_READ_FILL 0xFF /* as a root complex answers a read that failed */

/* A run of bytes between the card and a bus address; `from` is NULL in a read, `into` in a write. */
struct transfer {
    uint64_t addr;
    uint8_t *into;
    const uint8_t *from;
    uint32_t len;
};

static unsigned transfer_permission(const struct transfer *t)
{
    return t->from != NULL ? VNIC_MAP_WRITE : VNIC_MAP_READ;
}

/* The part of t from byte `at` on, of `len` bytes. */
static struct transfer transfer_part(const struct transfer *t, uint32_t at, uint32_t len)
{
    return (struct transfer){
        .addr = t->addr + at,
        .into = t->into != NULL ? t->into + at : NULL,
        .from = t->from != NULL ? t->from + at : NULL,
        .len = len,
    };
}

/* --- where it goes */

/* [PCI-16] Narrows first..last around addr to what no BAR of the function decodes; false when addr is in
 * one. */
static bool dma_clip(const struct pci_function *f, uint64_t addr, uint64_t *first, uint64_t *last)
{
    for (uint32_t i = 0; i < f->windows; i++) {
        const struct pci_window *window = &f->window[i];
        if (addr >= window->base && addr <= window->last) {
            return false;
        }
        if (window->last < addr) {
            *first = bits_max64(*first, window->last + 1);
        } else {
            *last = bits_min64(*last, window->base - 1);
        }
    }
    return true;
}

bool dma_seek(struct pci_function *f, struct dma_hint *hint, uint64_t addr, unsigned permissions)
{
    const struct memmap_region *region = memmap_find(&f->map, addr);
    if (region == NULL || (region->permissions & permissions) != permissions) {
        return false;
    }
    uint64_t first = region->iova, last = region->last;
    if (!dma_clip(f, addr, &first, &last)) {
        return false;
    }
    *hint = (struct dma_hint){
        .iova = first,
        .last = last,
        .host = region->host + (first - region->iova),
        .permissions = region->permissions,
        .generation = f->map.generation,
    };
    return true;
}

static bool dma_is_hit(const struct pci_function *f, const struct dma_hint *hint, uint64_t addr,
                       unsigned permission)
{
    return hint->generation == f->map.generation && addr >= hint->iova && addr <= hint->last
           && (hint->permissions & permission) != 0;
}

/* The host answers for what is not mapped. It gets a copy of what is written, and reads start as zeros. */
static enum vnic_dma_status dma_ask(struct pci_function *f, const struct transfer *t, uint32_t len)
{
    uint8_t granule[MEMMAP_GRANULE];
    const bool is_write = t->from != NULL;
    if (is_write) {
        memcpy(granule, t->from, len);
    } else {
        memset(granule, 0, len);
    }
    const int status = f->map.answer(f->map.answer_opaque, t->addr, granule, len, is_write);
    if (status < VNIC_DMA_OK || status > VNIC_DMA_TIMEOUT) {
        return VNIC_DMA_UNSUPPORTED;
    }
    if (status == VNIC_DMA_OK && !is_write) {
        memcpy(t->into, granule, len);
    }
    return (enum vnic_dma_status)status;
}

/* The first bytes of a transfer that goes where no memory with the permission is, up to the end of the
 * granule. */
static enum vnic_dma_status dma_move_unmapped(struct pci_function *f, const struct transfer *t,
                                              uint32_t *moved)
{
    uint64_t first = 0, last = t->addr | (MEMMAP_GRANULE - 1);
    if (!dma_clip(f, t->addr, &first, &last)) {
        return VNIC_DMA_UNSUPPORTED;
    }
    if (memmap_find(&f->map, t->addr) != NULL) {
        return VNIC_DMA_ABORTED;
    }
    if (f->map.answer == NULL) {
        return VNIC_DMA_UNSUPPORTED;
    }
    const uint32_t len = (uint32_t)bits_min64(t->len - 1, last - t->addr) + 1;
    const enum vnic_dma_status status = dma_ask(f, t, len);
    *moved = status == VNIC_DMA_OK ? len : 0;
    return status;
}

/* The first bytes of a transfer, as far as one piece of memory goes. */
static enum vnic_dma_status dma_move_piece(struct pci_function *f, struct dma_hint *hint,
                                           const struct transfer *t, uint32_t *moved)
{
    const unsigned permission = transfer_permission(t);
    if (!dma_is_hit(f, hint, t->addr, permission) && !dma_seek(f, hint, t->addr, permission)) {
        return dma_move_unmapped(f, t, moved);
    }
    const uint32_t len = (uint32_t)bits_min64(t->len - 1, hint->last - t->addr) + 1;
    uint8_t *host = hint->host + (t->addr - hint->iova);
    if (t->from != NULL) {
        memcpy(host, t->from, len);
    } else {
        memcpy(t->into, host, len);
    }
    *moved = len;
    return VNIC_DMA_OK;
}

/* [PCI-17] The address space ends at 2^64: a transfer does not go on at 0. */
static enum vnic_dma_status dma_move(struct pci_function *f, struct dma_hint *hint, const struct transfer *t,
                                     uint32_t *moved)
{
    enum vnic_dma_status status = VNIC_DMA_OK;
    uint32_t at = 0;
    while (at < t->len && status == VNIC_DMA_OK) {
        const struct transfer rest = transfer_part(t, at, t->len - at);
        uint32_t n = 0;
        status = rest.addr < t->addr ? VNIC_DMA_UNSUPPORTED : dma_move_piece(f, hint, &rest, &n);
        at += n;
    }
    *moved = at;
    return status;
}

/* --- what is told of it */

static void dma_emit(const struct pci_function *f, const struct transfer *t, enum vnic_dma_purpose purpose,
                     uint32_t moved, enum vnic_dma_status status)
{
    const bool is_write = t->from != NULL;
    struct vnic_event event = {.type = is_write ? VNIC_EVENT_DMA_WRITE : VNIC_EVENT_DMA_READ,
                               .index = (uint8_t)purpose,
                               .len = moved,
                               .addr = t->addr,
                               .value = status,
                               .data = is_write ? t->from : t->into};
    pci_emit(f, &event);
}

static enum vnic_dma_status dma_issue(struct pci_function *f, struct dma_hint *hint, const struct transfer *t,
                                      enum vnic_dma_purpose purpose)
{
    uint32_t moved = 0;
    const enum vnic_dma_status status = dma_move(f, hint, t, &moved);
    if (t->into != NULL) {
        memset(t->into + moved, DMA_READ_FILL, t->len - moved);
    }
    dma_emit(f, t, purpose, moved, status);
    return status;
}

/* --- faults */

static enum vnic_dma_status dma_issue_spoiled_read(struct pci_function *f, struct dma_hint *hint,
                                                   const struct transfer *t, enum vnic_dma_purpose purpose,
                                                   const struct vnic_fault *fault)
{
    uint32_t moved = 0;
    const enum vnic_dma_status status = dma_move(f, hint, t, &moved);
    memset(t->into + moved, DMA_READ_FILL, t->len - moved);
    dma_emit(f, t, purpose, moved, status); /* what came over the bus; the fault was told before */
    fault_spoil(fault, t->into, t->len, t->addr);
    return status;
}

/* In pieces, each changed in a copy. */
static enum vnic_dma_status dma_issue_stuck_write(struct pci_function *f, struct dma_hint *hint,
                                                  const struct transfer *t, enum vnic_dma_purpose purpose,
                                                  const struct vnic_fault *fault)
{
    uint8_t wrong[MEMMAP_GRANULE];
    enum vnic_dma_status status = VNIC_DMA_OK;
    for (uint32_t at = 0; at < t->len && status == VNIC_DMA_OK; at += sizeof(wrong)) {
        struct transfer part = transfer_part(t, at, bits_min32(sizeof(wrong), t->len - at));
        memcpy(wrong, part.from, part.len);
        fault_spoil(fault, wrong, part.len, part.addr);
        part.from = wrong;
        status = part.addr < t->addr ? VNIC_DMA_UNSUPPORTED : dma_issue(f, hint, &part, purpose);
    }
    return status;
}

/* The bytes are not ours to change, so the write goes out in three: before, the corrupted bytes, behind. */
static enum vnic_dma_status dma_issue_corrupt_write(struct pci_function *f, struct dma_hint *hint,
                                                    const struct transfer *t, enum vnic_dma_purpose purpose,
                                                    const struct vnic_fault *fault)
{
    struct vnic_fault here = *fault;
    here.argument = 0;
    uint8_t wrong[8];
    const uint32_t at = (uint32_t)(fault->argument % t->len);
    const uint32_t len = bits_min32(sizeof(wrong), t->len - at);
    memcpy(wrong, t->from + at, len);
    fault_corrupt(&here, wrong, len);
    struct transfer parts[3] = {
        transfer_part(t, 0, at),
        transfer_part(t, at, len),
        transfer_part(t, at + len, t->len - at - len),
    };
    parts[1].from = wrong;
    enum vnic_dma_status status = VNIC_DMA_OK;
    for (unsigned i = 0; i < 3 && status == VNIC_DMA_OK; i++) {
        if (parts[i].len != 0) {
            status = parts[i].addr < t->addr ? VNIC_DMA_UNSUPPORTED : dma_issue(f, hint, &parts[i], purpose);
        }
    }
    return status;
}

/* The transfer ends with the fault's status and moves nothing. */
static enum vnic_dma_status dma_issue_error(const struct pci_function *f, const struct transfer *t,
                                            enum vnic_dma_purpose purpose, const struct vnic_fault *fault)
{
    const enum vnic_dma_status status = (enum vnic_dma_status)fault->argument;
    if (t->into != NULL) {
        memset(t->into, DMA_READ_FILL, t->len);
    }
    dma_emit(f, t, purpose, 0, status);
    return status;
}

/* The bus is gone. */
static enum vnic_dma_status dma_issue_removed(const struct transfer *t)
{
    if (t->into != NULL) {
        memset(t->into, DMA_READ_FILL, t->len);
    }
    return VNIC_DMA_UNSUPPORTED;
}

/* For the function a write is done when it is posted. */
static enum vnic_dma_status dma_keep(struct pci_function *f, const struct transfer *t,
                                     enum vnic_dma_purpose purpose, int id)
{
    const struct fault_item item = {.index = (uint8_t)purpose, .addr = t->addr, .len = t->len};
    pci_keep(f, id, item, t->from);
    return VNIC_DMA_OK;
}

static enum vnic_dma_status dma_issue_twice(struct pci_function *f, struct dma_hint *hint,
                                            const struct transfer *t, enum vnic_dma_purpose purpose,
                                            const struct vnic_fault *fault, int id)
{
    const enum vnic_dma_status status = dma_issue(f, hint, t, purpose);
    if (status != VNIC_DMA_OK) {
        return status;
    }
    return fault_is_keeping(fault) ? dma_keep(f, t, purpose, id) : dma_issue(f, hint, t, purpose);
}

static enum vnic_dma_status dma_issue_faulty(struct pci_function *f, struct dma_hint *hint,
                                             const struct transfer *t, enum vnic_dma_purpose purpose,
                                             const struct vnic_fault *fault, int id)
{
    switch (fault->action) {
    case VNIC_FAULT_ERROR:
        return dma_issue_error(f, t, purpose, fault);
    case VNIC_FAULT_CORRUPT:
        return t->from != NULL ? dma_issue_corrupt_write(f, hint, t, purpose, fault)
                               : dma_issue_spoiled_read(f, hint, t, purpose, fault);
    case VNIC_FAULT_STUCK:
        return t->from != NULL ? dma_issue_stuck_write(f, hint, t, purpose, fault)
                               : dma_issue_spoiled_read(f, hint, t, purpose, fault);
    case VNIC_FAULT_DUPLICATE:
        return dma_issue_twice(f, hint, t, purpose, fault, id);
    case VNIC_FAULT_DELAY:
    case VNIC_FAULT_REORDER:
        return dma_keep(f, t, purpose, id);
    case VNIC_FAULT_REMOVE:
        return dma_issue_removed(t);
    default:
        return VNIC_DMA_OK; /* dropped: nobody hears of it */
    }
}

/* Posted by a function that may meanwhile master the bus no more. */
void dma_write_late(struct pci_function *f, uint64_t addr, const uint8_t *bytes, uint32_t len,
                    enum vnic_dma_purpose purpose)
{
    struct dma_hint none = {0};
    const struct transfer t = {.addr = addr, .from = bytes, .len = len};
    const enum vnic_dma_status status = dma_issue(f, &none, &t, purpose);
    if (status != VNIC_DMA_OK) {
        pci_log_dma_error(f, status);
        f->ops->on_dma_error(f->owner, status);
    }
}

/* --- the choke point */

static enum vnic_dma_status dma_disturb(struct pci_function *f, struct dma_hint *hint,
                                        const struct transfer *t, enum vnic_dma_purpose purpose)
{
    const enum vnic_fault_site site = t->from != NULL ? VNIC_FAULT_DMA_WRITE : VNIC_FAULT_DMA_READ;
    const struct fault_occurrence what = {
        .site = site,
        .index = purpose,
        .first = t->addr,
        .last = t->len - 1 > UINT64_MAX - t->addr ? UINT64_MAX : t->addr + (t->len - 1),
        .len = t->len,
    };
    int id = 0;
    const struct vnic_fault *fault = pci_fault(f, &what, &id);
    const enum vnic_dma_status status =
        fault != NULL ? dma_issue_faulty(f, hint, t, purpose, fault, id) : dma_issue(f, hint, t, purpose);
    pci_let_go_behind(f, site);
    return status;
}

static enum vnic_dma_status dma_transfer(struct pci_function *f, struct dma_hint *hint,
                                         const struct transfer *t, enum vnic_dma_purpose purpose)
{
    struct dma_hint none = {0};
    if (t->len == 0) {
        return VNIC_DMA_OK;
    }
    enum vnic_dma_status status = VNIC_DMA_MASTER_OFF;
    if (f->is_master) {
        status = dma_disturb(f, hint != NULL ? hint : &none, t, purpose);
    } else if (t->into != NULL) {
        memset(t->into, DMA_READ_FILL, t->len);
    }
    if (status != VNIC_DMA_OK) {
        pci_log_dma_error(f, status);
        f->ops->on_dma_error(f->owner, status);
    }
    return status;
}

enum vnic_dma_status dma_read(struct pci_function *f, struct dma_hint *hint, uint64_t addr, void *bytes,
                              uint32_t len, enum vnic_dma_purpose purpose)
{
    const uint8_t *host = hint != NULL ? dma_direct(f, hint, addr, len, VNIC_MAP_READ) : NULL;
    if (host != NULL) {
        memcpy(bytes, host, len);
        return VNIC_DMA_OK;
    }
    const struct transfer t = {.addr = addr, .into = bytes, .len = len};
    return dma_transfer(f, hint, &t, purpose);
}

enum vnic_dma_status dma_write(struct pci_function *f, struct dma_hint *hint, uint64_t addr,
                               const void *bytes, uint32_t len, enum vnic_dma_purpose purpose)
{
    uint8_t *host = hint != NULL ? dma_direct(f, hint, addr, len, VNIC_MAP_WRITE) : NULL;
    if (host != NULL) {
        memcpy(host, bytes, len);
        return VNIC_DMA_OK;
    }
    const struct transfer t = {.addr = addr, .from = bytes, .len = len};
    return dma_transfer(f, hint, &t, purpose);
}
