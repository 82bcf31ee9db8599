/* fault_held.h: what faults keep for later: bounded, made at creation, let go in the order in which it is due. */
#ifndef VNIC_PCI_FAULT_HELD_H
#define VNIC_PCI_FAULT_HELD_H

#include <stdbool.h>
#include <stdint.h>

#define FAULT_HELD_MAX 64u
#define FAULT_HELD_BYTES 131072u /* two frames of the largest size */

/* A write, an interrupt or a frame on its way. Which fields count, its site decides. */
struct fault_item {
    uint64_t due_ns; /* UINT64_MAX: waits for matches to pass it */
    uint64_t passes; /* matches that still go before it */
    uint64_t addr, value;
    uint32_t offset, len; /* its bytes */
    uint32_t fault; /* the slot of the fault that keeps it */
    uint8_t site, index, width;
};

struct fault_held {
    struct fault_item *item; /* oldest first */
    uint8_t *bytes; /* of the items, in their order, without gaps */
    uint32_t count, used;
    uint32_t ripe; /* how many were passed by all that they waited for */
};

/* false: memory is short. */
bool fault_held_create(struct fault_held *h);
void fault_held_destroy(struct fault_held *h);
uint32_t fault_held_footprint(const struct fault_held *h);
bool fault_held_fits(const struct fault_held *h, uint64_t len);
/* There is room. The offset of the item is set here; bytes may be NULL while len is 0. */
void fault_held_put(struct fault_held *h, struct fault_item item, const uint8_t *bytes);
/* The item of these sites (bits) that is due next at this time, behind `after` others that could not go; NULL: none. */
const struct fault_item *fault_held_due(const struct fault_held *h, uint64_t now_ns, uint32_t sites,
                                        uint32_t after);
void fault_held_drop(struct fault_held *h, const struct fault_item *item);
void fault_held_clear(struct fault_held *h);

/* A match of the fault goes by what it keeps. */
void fault_held_pass(struct fault_held *h, uint32_t fault);
bool fault_held_has(const struct fault_held *h, uint32_t fault);
/* All that the fault keeps is due. */
void fault_held_free(struct fault_held *h, uint32_t fault);
/* When the next item is due that time alone lets go, after now; UINT64_MAX: none. */
uint64_t fault_held_deadline(const struct fault_held *h, uint64_t now_ns);

#endif
