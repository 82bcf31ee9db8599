/* function.h: one PCI function, on which a device is built: configuration, BARs, DMA, interrupts, power. */
#ifndef VNIC_PCI_FUNCTION_H
#define VNIC_PCI_FUNCTION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/archive.h"
#include "pci/fault.h"
#include "pci/memmap.h"
#include "pci/regfile.h"

#define PCI_BARS 6
#define PCI_VECTORS_MAX 64
#define PCI_MSIX_SPANS 2
#define PCI_CONFIG_SPANS 3
/* Interrupts not yet fetched; when it is full, equal messages are one and others wait. */
#define PCI_OUT_MAX 256

/* What makes this function itself; constant after creation. */
struct pci_identity {
    uint16_t vendor, device, subsystem_vendor, subsystem;
    uint32_t class_code; /* 24 bits */
    uint8_t revision, function, interrupt_pin, is_multifunction;
    uint32_t bar_bytes[PCI_BARS]; /* 0: none; memory, 64-bit: the next BAR is its upper half and has 0 here */
    uint8_t vectors, msi_capable_log2;
    uint8_t msix_bar;
    uint32_t msix_table_offset, msix_pba_offset; /* the Pending Bit Array MSIX_PBA bytes behind the table */
    uint32_t map_regions, faults;
    uint32_t lacks_fault_sites; /* bits: nothing happens there in this kind of function */
    bool has_channel_errors; /* CHANERR_INT and CHANERRMSK_INT are registers */
};

/* How far a reset of the function goes. */
enum pci_reset { PCI_RESET_FLR, PCI_RESET_D3, PCI_RESET_HOT, PCI_RESET_POWER };

struct pci_ops {
    void (*on_reset)(void *owner, enum pci_reset level);
    /* An access to a BAR that is not the MSI-X table. */
    uint64_t (*on_bar_read)(void *owner, unsigned bar, uint64_t offset, unsigned width);
    void (*on_bar_write)(void *owner, unsigned bar, uint64_t offset, unsigned width, uint64_t value);
    /* Interrupt Disable, MSI or MSI-X enable, a mask or the power state changed: what waited may go. */
    void (*on_interrupt_mode)(void *owner);
    void (*on_dma_error)(void *owner, enum vnic_dma_status status);
    /* A frame that a fault kept goes on, FRAME_IN or FRAME_OUT; false: there is no room. NULL: lacks the sites. */
    bool (*on_late_frame)(void *owner, enum vnic_fault_site site, unsigned pair, const uint8_t *frame,
                          uint32_t len);
};

/* Where a BAR decodes: DMA must not go there. */
struct pci_window {
    uint64_t base, last;
};

enum pci_interrupt_mode { PCI_MODE_INTX, PCI_MODE_MSI, PCI_MODE_MSIX };

struct pci_function {
    struct pci_identity identity;
    const struct pci_ops *ops;
    void *owner;

    /* state */
    struct regfile config;
    struct regfile msix;
    uint64_t msix_pending;
    uint32_t msi_pending;
    bool is_line_asserted; /* what the device wants */
    bool is_line_out; /* what the system was told */
    bool is_removed;
    uint64_t now_ns;
    struct vnic_interrupt out[PCI_OUT_MAX]; /* a ring */
    uint32_t out_head, out_count;

    /* the host's */
    struct memmap map;
    struct fault_registry faults;
    vnic_observer observer;
    void *observer_opaque;
    uint32_t observer_mask;

    /* derived */
    bool is_master; /* D0, Bus Master Enable, present */
    bool is_direct; /* is_master, and nothing watches or disturbs DMA */
    bool is_decoding; /* D0, Memory Space Enable, present */
    bool is_plain; /* is_decoding, and nothing watches or disturbs register accesses */
    struct pci_window window[PCI_BARS]; /* of the BARs, while is_decoding */
    uint32_t windows;
    struct reg_map msix_map; /* as generated, with the entries that this function has */
    struct reg_span msix_span[PCI_MSIX_SPANS];
    struct reg_map config_map; /* as generated, with the registers that this function has */
    struct reg_span config_span[PCI_CONFIG_SPANS];
    bool wants_flr, has_mask_changed; /* noted by register hooks during an access */
    bool is_leaving; /* a fault removes it at the end of this call */
};

/* The function is where it is created for life: it points into itself. ops->on_reset is not called. */
int pci_create(struct pci_function *f, const struct pci_identity *identity, const struct pci_ops *ops,
               void *owner);
void pci_destroy(struct pci_function *f);
size_t pci_footprint(const struct pci_function *f);

uint32_t pci_config_read(struct pci_function *f, uint32_t offset, unsigned width);
void pci_config_write(struct pci_function *f, uint32_t offset, unsigned width, uint32_t value);
uint64_t pci_bar_read(struct pci_function *f, unsigned bar, uint64_t offset, unsigned width);
void pci_bar_write(struct pci_function *f, unsigned bar, uint64_t offset, unsigned width, uint64_t value);
/* One that a fault kept: its event was told. */
void pci_bar_write_late(struct pci_function *f, unsigned bar, uint64_t offset, unsigned width,
                        uint64_t value);

/* Reset of configuration space, MSI-X and pending interrupts by level; calls ops->on_reset. */
void pci_reset(struct pci_function *f, enum pci_reset level);
void pci_remove(struct pci_function *f);
void pci_insert(struct pci_function *f);
bool pci_is_d0(const struct pci_function *f);
bool pci_is_memory_enabled(const struct pci_function *f); /* and D0 and present: BARs decode */

/* Interrupts. pci_raise: one message of the vector by the mode in force; not for the line. false: it waits
 * in the pending bits of that mode and goes by itself when it may; the line, and a vector that the
 * function lacks, have none. */
enum pci_interrupt_mode pci_mode(const struct pci_function *f);
bool pci_raise(struct pci_function *f, unsigned vector);
void pci_set_line(struct pci_function *f, bool asserted);
/* Takes up to max interrupts, oldest first. */
size_t pci_interrupts(struct pci_function *f, struct vnic_interrupt *out, size_t max);

/* Errors into Status, Device Status and AER. */
void pci_log_dma_error(struct pci_function *f, enum vnic_dma_status status);
void pci_log_unsupported(struct pci_function *f, bool is_posted); /* a request to us that we do not support */
void pci_log_channel_errors(struct pci_function *f, uint32_t bits); /* of a function that has them */

/* Recomputes what is derived; called by everything that changes what it follows from: also after arming or
 * disarming a fault, and after a change of the observer. */
void pci_refresh(struct pci_function *f);

void pci_archive(struct pci_function *f, struct archive *a);
/* A snapshot was refused half-way: as after the power cycle that came before, time 0. has_edge: that left
 * something in the queue. */
void pci_refuse(struct pci_function *f, bool has_edge);

static inline bool pci_is_observed(const struct pci_function *f, enum vnic_event_type type)
{
    return (f->observer_mask >> type & 1u) != 0;
}
/* Fills in function and time_ns, and calls the observer if it asked for this type. From here: accesses, DMA,
 * interrupts, faults that fire. */
void pci_emit(const struct pci_function *f, struct vnic_event *event);
#endif
