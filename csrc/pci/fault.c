/* fault.c: arming, matching and applying of injected faults. */
#include "pci/fault.h"

#include <stdlib.h>
#include <string.h>

#define FAULT_ANY_INDEX 0xFFu

int fault_create(struct fault_registry *f, uint32_t capacity)
{
    memset(f, 0, sizeof(*f));
    f->slot = calloc(capacity != 0 ? capacity : 1, sizeof(*f->slot));
    if (f->slot == NULL) {
        return VNIC_ENOMEM;
    }
    f->capacity = capacity;
    return VNIC_OK;
}

void fault_destroy(struct fault_registry *f)
{
    free(f->slot);
    memset(f, 0, sizeof(*f));
}

/* The sites where an action means something, as bits. */
static uint32_t fault_sites_of(unsigned action)
{
    const uint32_t dma = 1u << VNIC_FAULT_DMA_READ | 1u << VNIC_FAULT_DMA_WRITE;
    const uint32_t twice =
        1u << VNIC_FAULT_INTERRUPT | 1u << VNIC_FAULT_FRAME_IN | 1u << VNIC_FAULT_FRAME_OUT;
    switch (action) {
    case VNIC_FAULT_ERROR:
        return dma | 1u << VNIC_FAULT_MMIO_READ;
    case VNIC_FAULT_DROP:
        return twice | 1u << VNIC_FAULT_DMA_WRITE | 1u << VNIC_FAULT_MMIO_WRITE;
    case VNIC_FAULT_CORRUPT:
        return dma | twice | 1u << VNIC_FAULT_MMIO_READ | 1u << VNIC_FAULT_MMIO_WRITE;
    case VNIC_FAULT_DUPLICATE:
        return twice;
    default:
        return 0;
    }
}

static bool fault_is_sound(const struct vnic_fault *fault)
{
    static const uint8_t zero[sizeof(fault->reserved)];
    const bool is_dma = fault->site == VNIC_FAULT_DMA_READ || fault->site == VNIC_FAULT_DMA_WRITE;
    const bool is_status = fault->argument >= VNIC_DMA_UNSUPPORTED && fault->argument <= VNIC_DMA_TIMEOUT;
    if (fault->site >= VNIC_FAULT_SITES || (fault_sites_of(fault->action) >> fault->site & 1u) == 0) {
        return false;
    }
    if (fault->action == VNIC_FAULT_ERROR && is_dma && !is_status) {
        return false;
    }
    if (fault->action == VNIC_FAULT_CORRUPT && fault->mask == 0) {
        return false;
    }
    return fault->first <= fault->last && fault->count != 0
           && memcmp(fault->reserved, zero, sizeof(zero)) == 0;
}

int fault_arm(struct fault_registry *f, const struct vnic_fault *fault)
{
    if (fault == NULL || !fault_is_sound(fault)) {
        return VNIC_EINVAL;
    }
    for (uint32_t id = 0; id < f->capacity && id <= INT32_MAX; id++) {
        if (!f->slot[id].is_armed) {
            f->slot[id] = (struct fault_slot){.fault = *fault, .is_armed = true};
            f->armed[fault->site]++;
            return (int)id;
        }
    }
    return VNIC_ENOSPC;
}

static bool fault_is_armed(const struct fault_registry *f, int id)
{
    return id >= 0 && (uint32_t)id < f->capacity && f->slot[id].is_armed;
}

int fault_disarm(struct fault_registry *f, int id)
{
    if (!fault_is_armed(f, id)) {
        return VNIC_ENOENT;
    }
    f->slot[id].is_armed = false;
    f->armed[f->slot[id].fault.site]--;
    return VNIC_OK;
}

int64_t fault_fired(const struct fault_registry *f, int id)
{
    return fault_is_armed(f, id) ? (int64_t)f->slot[id].fired : VNIC_ENOENT;
}

static bool fault_is_match(const struct fault_slot *slot, unsigned site, unsigned index, uint64_t first,
                           uint64_t last)
{
    const struct vnic_fault *fault = &slot->fault;
    return slot->is_armed && fault->site == site && (fault->index == FAULT_ANY_INDEX || fault->index == index)
           && first <= fault->last && last >= fault->first;
}

/* Counts a match; true when it is one of those on which the fault fires. */
static bool fault_take(struct fault_slot *slot)
{
    const uint64_t turn = slot->matched++;
    return turn >= slot->fault.skip && turn - slot->fault.skip < slot->fault.count;
}

/* [PCI-41] Every armed fault counts the occurrence; of several that would fire the lowest id does. */
const struct vnic_fault *fault_match(struct fault_registry *f, enum vnic_fault_site site, unsigned index,
                                     uint64_t first, uint64_t last, int *id)
{
    struct fault_slot *firing = NULL;
    uint32_t left = f->armed[site];
    for (uint32_t i = 0; left != 0 && i < f->capacity; i++) {
        struct fault_slot *slot = &f->slot[i];
        left -= slot->is_armed && slot->fault.site == site ? 1u : 0u;
        if (fault_is_match(slot, site, index, first, last) && fault_take(slot) && firing == NULL) {
            firing = slot;
            *id = (int)i;
        }
    }
    if (firing == NULL) {
        return NULL;
    }
    firing->fired++;
    return &firing->fault;
}

struct vnic_fault fault_left(const struct fault_registry *f, uint32_t id)
{
    const struct fault_slot *slot = &f->slot[id];
    struct vnic_fault left = slot->fault;
    if (!slot->is_armed || (slot->matched > left.skip && slot->matched - left.skip >= left.count)) {
        return (struct vnic_fault){.site = VNIC_FAULT_DMA_READ,
                                   .action = VNIC_FAULT_ERROR,
                                   .argument = VNIC_DMA_UNSUPPORTED,
                                   .skip = UINT64_MAX,
                                   .count = 1};
    }
    if (slot->matched > left.skip) {
        left.count -= slot->matched - left.skip;
        left.skip = 0;
    } else {
        left.skip -= slot->matched;
    }
    return left;
}

/* [PCI-43] The bytes of the mask that would lie behind the end are not used. */
void fault_corrupt(const struct vnic_fault *fault, uint8_t *bytes, uint64_t len)
{
    if (len == 0) {
        return;
    }
    const uint64_t start = fault->argument % len;
    for (unsigned i = 0; i < 8 && start + i < len; i++) {
        bytes[start + i] ^= (uint8_t)(fault->mask >> 8 * i);
    }
}
