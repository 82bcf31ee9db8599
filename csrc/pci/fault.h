/* fault.h: the registry of faults to inject: what to match, and what happens then. */
#ifndef VNIC_PCI_FAULT_H
#define VNIC_PCI_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pci/fault_held.h"
#include "vnic/vnic.h"

struct fault_slot {
    struct vnic_fault fault; /* its seed moves with the draws */
    uint64_t matched, fired;
    bool is_armed;
};

/* What would happen, as far as a fault looks at it. */
struct fault_occurrence {
    unsigned site, index;
    uint64_t first, last; /* the addresses, or whatever else a range is of, that it covers */
    uint64_t len; /* bytes to keep, should it wait */
};

struct fault_registry {
    struct fault_slot *slot;
    uint32_t capacity;
    uint32_t armed[VNIC_FAULT_SITES]; /* how many are armed a site: 0 costs nothing */
    struct fault_held held;
    /* Of the chimney command at hand, which waits in the card. */
    uint64_t command_due_ns;
    uint32_t command_fault; /* the slot that lets it wait */
    bool is_command_twice;
};

int fault_create(struct fault_registry *f, uint32_t capacity);
void fault_destroy(struct fault_registry *f);
size_t fault_footprint(const struct fault_registry *f);
/* lacks: bits of sites that the function has not. */
int fault_arm(struct fault_registry *f, const struct vnic_fault *fault, uint32_t lacks);
int fault_disarm(struct fault_registry *f, int id);
int64_t fault_fired(const struct fault_registry *f, int id);

/* The fault that behaves from now on as the armed one `id` does; a slot that is free: one that never fires. */
struct vnic_fault fault_left(const struct fault_registry *f, uint32_t id);

/* The fault that fires on this occurrence, or NULL. *id: which. */
const struct vnic_fault *fault_match(struct fault_registry *f, const struct fault_occurrence *what, int *id);
/* XORs the fault's mask into bytes, at its offset modulo len. */
void fault_corrupt(const struct vnic_fault *fault, uint8_t *bytes, uint64_t len);
/* CORRUPT or STUCK, of bytes from `addr` on. */
void fault_spoil(const struct vnic_fault *fault, uint8_t *bytes, uint64_t len, uint64_t addr);
/* The action lets the thing itself wait, or a second of it. */
bool fault_is_keeping(const struct vnic_fault *fault);
/* Keeps it, as the fault that fired says: there is room. item: what it is; bytes: item.len of them. */
void fault_keep(struct fault_registry *f, int id, uint64_t now_ns, struct fault_item item,
                const uint8_t *bytes);
/* A removal, a power cycle: what waited is gone. */
void fault_forget(struct fault_registry *f);

#endif
