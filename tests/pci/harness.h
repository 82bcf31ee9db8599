/* harness.h: a device with nothing but a PCI function and the card's register map, for tests of csrc/pci. */
#ifndef TESTS_PCI_HARNESS_H
#define TESTS_PCI_HARNESS_H

#include "pci/function.h"

/* cdef begin */

typedef struct harness harness;

struct harness_config {
    uint8_t vectors, msi_capable_log2, interrupt_pin, is_multifunction, has_channel_errors;
    uint32_t map_regions, faults;
    uint32_t bar_bytes[6];
    uint8_t msix_bar;
    uint32_t msix_table_offset, msix_pba_offset;
};

/* What a register hook was told. */
struct harness_hook {
    uint8_t is_write, high;
    uint16_t reg;
    uint32_t index, offset, first, now, pulses, written; /* first: the stored word, or the old one */
};

/* An event with the first bytes of its data. */
struct harness_event {
    struct vnic_event event;
    uint8_t head[64];
};

/* What the device was told by the function. */
struct harness_counts {
    uint32_t resets[4];
    uint32_t mode_changes, dma_errors, bar_reads, bar_writes;
    uint32_t last_dma_status;
    uint32_t last_reset;
};

int harness_create(const struct harness_config *config, harness **h);
void harness_destroy(harness *h);
uint64_t harness_footprint(const harness *h);
void harness_counts(const harness *h, struct harness_counts *counts);

uint32_t harness_cfg_read(harness *h, uint32_t offset, unsigned width);
void harness_cfg_write(harness *h, uint32_t offset, unsigned width, uint32_t value);
uint64_t harness_read(harness *h, unsigned bar, uint64_t offset, unsigned width);
void harness_write(harness *h, unsigned bar, uint64_t offset, unsigned width, uint64_t value);

void harness_poke(harness *h, uint32_t offset, uint32_t value);
uint32_t harness_peek(const harness *h, uint32_t offset);
uint64_t harness_strays(const harness *h);
uint32_t harness_hooks(harness *h, struct harness_hook *hooks, uint32_t max);
void harness_reset_registers(harness *h, int keep);
void harness_reset_instance(harness *h, uint32_t base, uint32_t index);

int harness_map(harness *h, uint64_t iova, void *host, uint64_t len, unsigned permissions);
int harness_unmap(harness *h, uint64_t iova, uint64_t len);
void harness_unmap_all(harness *h);
uint32_t harness_regions(const harness *h);
uint32_t harness_generation(const harness *h);
void harness_set_generation(harness *h, uint32_t generation);
int harness_find(const harness *h, uint64_t addr, uint64_t *first, uint64_t *last, unsigned *permissions);
void harness_set_unmapped(harness *h, vnic_unmapped answer, void *opaque);
/* Of purpose VNIC_DMA_DESCRIPTOR without a hint, else with one for reads and one for writes. */
int harness_dma_read(harness *h, uint64_t addr, void *bytes, uint32_t len, unsigned purpose);
int harness_dma_write(harness *h, uint64_t addr, const void *bytes, uint32_t len, unsigned purpose);
void *harness_direct(harness *h, uint64_t addr, uint32_t len, unsigned permissions);
int harness_seek(harness *h, uint64_t addr, unsigned permissions, uint64_t *first, uint64_t *last);

int harness_raise_vector(harness *h, unsigned vector);
void harness_set_line(harness *h, int asserted);
size_t harness_interrupts(harness *h, struct vnic_interrupt *out, size_t max);
int harness_mode(const harness *h);
int harness_is_memory_enabled(const harness *h);
int harness_is_master(const harness *h);
int harness_is_direct(const harness *h);

void harness_reset(harness *h, unsigned level);
void harness_remove(harness *h);
void harness_insert(harness *h);
int harness_set_now(harness *h, uint64_t now_ns);
uint64_t harness_deadline(const harness *h);
void harness_log_unsupported(harness *h, int is_posted);
void harness_log_channel_errors(harness *h, uint32_t bits);

int harness_arm(harness *h, const struct vnic_fault *fault);
int harness_disarm(harness *h, int id);
int64_t harness_fired(const harness *h, int id);
void harness_observe(harness *h, uint32_t mask);
uint32_t harness_events(harness *h, struct harness_event *events, uint32_t max);

size_t harness_save(harness *h, uint8_t *buf, size_t capacity);
int harness_load(harness *h, const uint8_t *buf, size_t len);
uint64_t harness_hash(harness *h);

/* The archive by itself: a value with a field of every size, a count and raw bytes. */
struct harness_value {
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;
    uint8_t flag;
    uint32_t count;
    uint64_t element[8];
    uint32_t len;
    uint8_t *bytes;
};
size_t harness_value_save(struct harness_value *value, uint8_t *buf, size_t capacity);
uint64_t harness_value_hash(struct harness_value *value);
int harness_value_load(struct harness_value *value, const uint8_t *buf, size_t len);

/* cdef end */

#endif
