/* host.c: what the host does to a function besides accesses: maps, observes, arms faults, moves time. */
#include "pci/host.h"

#include "base/bits.h"
#include "pci/disturb.h"

int host_map(struct pci_function *f, uint64_t iova, void *host, uint64_t len, unsigned permissions)
{
    if (host == NULL || permissions == 0 || permissions > (VNIC_MAP_READ | VNIC_MAP_WRITE)) {
        return VNIC_EINVAL;
    }
    const int result = memmap_add(&f->map, iova, host, len, permissions);
    if (result == VNIC_OK) {
        struct vnic_event event = {
            .type = VNIC_EVENT_MAP, .width = (uint8_t)permissions, .addr = iova, .value = len};
        pci_emit(f, &event);
    }
    return result;
}

int host_unmap(struct pci_function *f, uint64_t iova, uint64_t len)
{
    const int result = memmap_remove(&f->map, iova, len);
    if (result == VNIC_OK) {
        struct vnic_event event = {.type = VNIC_EVENT_UNMAP, .addr = iova, .value = len};
        pci_emit(f, &event);
    }
    return result;
}

void host_unmap_all(struct pci_function *f)
{
    struct vnic_event event = {.type = VNIC_EVENT_UNMAP, .addr = 0, .value = UINT64_MAX};
    memmap_clear(&f->map);
    pci_emit(f, &event);
}

void host_set_unmapped(struct pci_function *f, vnic_unmapped answer, void *opaque)
{
    f->map.answer = answer;
    f->map.answer_opaque = opaque;
    memmap_touch(&f->map);
}

void host_observe(struct pci_function *f, vnic_observer observer, void *opaque, uint32_t mask)
{
    f->observer = observer;
    f->observer_opaque = opaque;
    f->observer_mask = observer != NULL ? mask : 0;
    pci_refresh(f);
}

static void host_tell_fault(const struct pci_function *f, const struct vnic_fault *fault, uint32_t id)
{
    struct vnic_event event = {.type = VNIC_EVENT_ARM, .value = id};
    if (fault != NULL) {
        event.len = fault->seed == 0 ? VNIC_FAULT_BYTES_1 : (uint32_t)sizeof(*fault);
        event.data = (const uint8_t *)fault;
    }
    pci_emit(f, &event);
}

/* Ids are given out from the lowest that is free: free ones before the last are armed and disarmed again. */
static void host_retell_faults(const struct pci_function *f)
{
    uint32_t end = f->faults.capacity;
    while (end != 0 && !f->faults.slot[end - 1].is_armed) {
        end--;
    }
    for (uint32_t id = 0; id < end; id++) {
        const struct vnic_fault left = fault_left(&f->faults, id);
        host_tell_fault(f, &left, id);
    }
    for (uint32_t id = 0; id < end; id++) {
        if (!f->faults.slot[id].is_armed) {
            host_tell_fault(f, NULL, id);
        }
    }
}

void host_retell(struct pci_function *f)
{
    for (uint32_t i = 0; i < f->map.count; i++) {
        const struct memmap_region *r = &f->map.region[i];
        struct vnic_event event = {.type = VNIC_EVENT_MAP,
                                   .width = (uint8_t)r->permissions,
                                   .addr = r->iova,
                                   .value = r->last - r->iova + 1};
        pci_emit(f, &event);
    }
    host_retell_faults(f);
}

int host_arm(struct pci_function *f, const struct vnic_fault *fault)
{
    const int id = fault_arm(&f->faults, fault, f->identity.lacks_fault_sites);
    if (id >= 0) {
        host_tell_fault(f, fault, (uint32_t)id);
    }
    pci_refresh(f);
    return id;
}

int host_disarm(struct pci_function *f, int id)
{
    const int result = fault_disarm(&f->faults, id);
    if (result == VNIC_OK) {
        host_tell_fault(f, NULL, (uint32_t)id);
    }
    pci_refresh(f);
    pci_let_go(f, UINT32_MAX);
    pci_settle_leaving(f);
    return result;
}

int64_t host_fired(const struct pci_function *f, int id)
{
    return fault_fired(&f->faults, id);
}

int host_set_time(struct pci_function *f, uint64_t now_ns)
{
    if (now_ns < f->now_ns) {
        return VNIC_ETIME;
    }
    f->now_ns = now_ns;
    struct vnic_event event = {.type = VNIC_EVENT_TIME, .value = now_ns};
    pci_emit(f, &event);
    if (f->faults.held.count != 0) {
        pci_let_go(f, UINT32_MAX);
        pci_settle_leaving(f);
    }
    return VNIC_OK;
}

uint32_t host_kept(const struct pci_function *f)
{
    return f->faults.held.count + (f->faults.command_due_ns > f->now_ns);
}

uint64_t host_deadline(const struct pci_function *f)
{
    const struct fault_registry *faults = &f->faults;
    const uint64_t held_ns = fault_held_deadline(&faults->held, f->now_ns);
    return faults->command_due_ns > f->now_ns ? bits_min64(held_ns, faults->command_due_ns) : held_ns;
}
