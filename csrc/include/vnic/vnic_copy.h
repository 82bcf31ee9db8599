/* vnic_copy.h: the copy engine as a C library; this header is its manual, and the marked part is also what Python sees. */
#ifndef VNIC_VNIC_COPY_H
#define VNIC_VNIC_COPY_H

#include "vnic/vnic.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A copy engine is a PCI function of its own, laid out as Intel I/OAT CB 3.2: BAR0 with general registers, a block of
 * registers a channel, the MSI-X table and its Pending Bit Array. What vnic.h says of the card holds here too: a pure
 * function of its inputs, an access marks work, steps take it, outputs are fetched. Budgets, interrupts, events, faults
 * and results are those of vnic.h; an event carries the number of the function that it is of.
 */

/* cdef begin */

typedef struct vnic_copy vnic_copy;

struct vnic_copy_config {
    uint16_t vendor_id, device_id, subsystem_vendor_id, subsystem_id;
    uint8_t revision;
    uint8_t function; /* function number, carried by every event */
    uint8_t channels; /* 1 to 16 */
    uint8_t vectors; /* 1 to 17; a channel without a vector of its own has vector 0 */
    uint8_t msi_capable_log2; /* messages MSI offers, log2, 0 to 5 */
    uint8_t transfer_log2; /* XFERCAP: log2 of the largest transfer, 12 to 30 */
    uint8_t is_overlapping; /* reads overtake the last write of the descriptor before, unless it has FENCE */
    uint8_t reserved;
    uint32_t map_regions; /* capacity of the memory map */
    uint32_t faults; /* capacity of the fault registry */
};

/* Engines, in the order in which vnic_copy_run() visits them: the channels, then interrupts that were delayed. */
enum { VNIC_COPY_CHANNELS_MAX = 16, VNIC_COPY_ENGINES = 17 };
enum vnic_copy_part { VNIC_COPY_ENGINE_IRQ = 16 };

/* Life. An engine is created in D0uninitialized state, every channel halted, time 0, nothing mapped. */
VNIC_API void vnic_copy_config_init(struct vnic_copy_config *config);
VNIC_API int vnic_copy_create(const struct vnic_copy_config *config, vnic_copy **engine);
VNIC_API void vnic_copy_destroy(vnic_copy *engine);
VNIC_API size_t vnic_copy_footprint(const vnic_copy *engine); /* bytes allocated */

/* Registers, as vnic_read() and vnic_write(). */
VNIC_API uint64_t vnic_copy_read(vnic_copy *engine, unsigned bar, uint64_t offset, unsigned width);
VNIC_API void vnic_copy_write(vnic_copy *engine, unsigned bar, uint64_t offset, unsigned width,
                              uint64_t value);
VNIC_API uint32_t vnic_copy_cfg_read(vnic_copy *engine, uint32_t offset, unsigned width);
VNIC_API void vnic_copy_cfg_write(vnic_copy *engine, uint32_t offset, unsigned width, uint32_t value);

/* The map of host memory, as vnic_map() and what follows it. */
VNIC_API int vnic_copy_map(vnic_copy *engine, uint64_t iova, void *host, uint64_t len, unsigned permissions);
VNIC_API int vnic_copy_unmap(vnic_copy *engine, uint64_t iova, uint64_t len);
VNIC_API void vnic_copy_unmap_all(vnic_copy *engine);
VNIC_API void vnic_copy_set_unmapped(vnic_copy *engine, vnic_unmapped answer, void *opaque);

VNIC_API size_t vnic_copy_interrupts(vnic_copy *engine, struct vnic_interrupt *interrupts, size_t max);

/* Time, in virtual ns since power-on. vnic_copy_deadline: when INTRDELAY lets the next interrupt go; UINT64_MAX: never. */
VNIC_API int vnic_copy_advance(vnic_copy *engine, uint64_t now_ns);
VNIC_API uint64_t vnic_copy_now(const vnic_copy *engine);
VNIC_API uint64_t vnic_copy_deadline(const vnic_copy *engine);

/* Work, as vnic_runnable() and what follows it. A step: one descriptor fetched, or one piece moved, or one completion. */
VNIC_API uint32_t vnic_copy_runnable(const vnic_copy *engine);
VNIC_API int vnic_copy_step(vnic_copy *engine, unsigned part, uint64_t *bytes);
VNIC_API uint32_t vnic_copy_run(vnic_copy *engine, const struct vnic_budget *budget,
                                struct vnic_budget *used);
VNIC_API uint64_t vnic_copy_idle_steps(const vnic_copy *engine);

/* Reset from outside (enum vnic_reset_level), surprise removal and return. */
VNIC_API void vnic_copy_reset(vnic_copy *engine, unsigned level);
VNIC_API void vnic_copy_remove(vnic_copy *engine);
VNIC_API void vnic_copy_insert(vnic_copy *engine);

/* Snapshot, as vnic_save(), vnic_load() and vnic_state_hash(). */
VNIC_API size_t vnic_copy_save(vnic_copy *engine, uint8_t *buf, size_t capacity);
VNIC_API int vnic_copy_load(vnic_copy *engine, const uint8_t *buf, size_t len);
VNIC_API uint64_t vnic_copy_state_hash(vnic_copy *engine);

/* Observation and faults, as vnic_observe() and vnic_fault_arm(). */
VNIC_API void vnic_copy_observe(vnic_copy *engine, vnic_observer observer, void *opaque, uint32_t mask);
VNIC_API void vnic_copy_retell(vnic_copy *engine);
VNIC_API int vnic_copy_fault_arm(vnic_copy *engine, const struct vnic_fault *fault);
VNIC_API int vnic_copy_fault_disarm(vnic_copy *engine, int id);
VNIC_API int64_t vnic_copy_fault_fired(const vnic_copy *engine, int id);
VNIC_API uint32_t vnic_copy_fault_kept(const vnic_copy *engine);

/* Names, for traces and messages. NULL when there is none. */
VNIC_API const char *vnic_copy_register_name(unsigned bar, uint64_t offset);
VNIC_API uint64_t vnic_copy_register_map_hash(void);

/* cdef end */

#ifdef __cplusplus
}
#endif
#endif
