/* fault.h: the registry of faults to inject: what to match, and what happens then. */
#ifndef VNIC_PCI_FAULT_H
#define VNIC_PCI_FAULT_H

#include <stdbool.h>
#include <stdint.h>

#include "vnic/vnic.h"

struct fault_slot {
    struct vnic_fault fault;
    uint64_t matched, fired;
    bool is_armed;
};

struct fault_registry {
    struct fault_slot *slot;
    uint32_t capacity;
    uint32_t armed[VNIC_FAULT_SITES]; /* how many are armed a site: 0 costs nothing */
};

int fault_create(struct fault_registry *f, uint32_t capacity);
void fault_destroy(struct fault_registry *f);
int fault_arm(struct fault_registry *f, const struct vnic_fault *fault);
int fault_disarm(struct fault_registry *f, int id);
int64_t fault_fired(const struct fault_registry *f, int id);

/* The fault that behaves from now on as the armed one `id` does; a slot that is free: one that never fires. */
struct vnic_fault fault_left(const struct fault_registry *f, uint32_t id);

/* The fault that fires on this occurrence, or NULL. first..last: the addresses it covers. *id: which. */
const struct vnic_fault *fault_match(struct fault_registry *f, enum vnic_fault_site site, unsigned index,
                                     uint64_t first, uint64_t last, int *id);
/* XORs the fault's mask into bytes, at its offset modulo len. */
void fault_corrupt(const struct vnic_fault *fault, uint8_t *bytes, uint64_t len);

#endif
