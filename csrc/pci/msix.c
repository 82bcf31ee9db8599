/* msix.c: the MSI-X table and its Pending Bit Array, as registers in a BAR. */
#include "pci/msix.h"

#include "base/check.h"
#include "pci/interrupt.h"

_Static_assert(MSIX_ENTRY_COUNT == PCI_VECTORS_MAX, "the table has an entry for every vector");

static uint32_t msix_on_read(void *owner, const struct reg_ref *ref, uint32_t stored, uint32_t enabled)
{
    const struct pci_function *f = owner;
    (void)stored, (void)enabled; /* only the Pending Bit Array has a hook */
    return (uint32_t)(f->msix_pending >> 8 * (ref->offset - MSIX_PBA));
}

static void msix_on_write(void *owner, const struct reg_ref *ref, uint32_t old, uint32_t now, uint32_t pulses,
                          uint32_t written)
{
    struct pci_function *f = owner;
    (void)ref;
    (void)pulses;
    (void)written;
    f->has_mask_changed |= ((old ^ now) & ENTRY_CTRL_MASK_MASK) != 0;
}

static const struct regfile_ops msix_ops = {.on_read = msix_on_read, .on_write = msix_on_write};

/* The generated map, with as many entries as the function has vectors: further ones are no registers. */
static void msix_build_map(struct pci_function *f)
{
    vnic_assert(msix_table_map.spans == PCI_MSIX_SPANS);
    for (uint32_t s = 0; s < PCI_MSIX_SPANS; s++) {
        f->msix_span[s] = msix_table_map.span[s];
        if (f->msix_span[s].count == MSIX_ENTRY_COUNT) {
            f->msix_span[s].count = f->identity.vectors;
        }
    }
    f->msix_map = msix_table_map;
    f->msix_map.span = f->msix_span;
}

int msix_create(struct pci_function *f)
{
    msix_build_map(f);
    return regfile_create(&f->msix, &f->msix_map, &msix_ops, f);
}

bool msix_is_masked(const struct pci_function *f, unsigned vector)
{
    return (regfile_get(&f->msix, MSIX_ENTRY_CTRL + vector * MSIX_ENTRY_STRIDE) & ENTRY_CTRL_MASK_MASK) != 0;
}

void msix_message(const struct pci_function *f, unsigned vector, struct vnic_interrupt *message)
{
    const uint32_t entry = vector * MSIX_ENTRY_STRIDE;
    *message = (struct vnic_interrupt){
        .addr = regfile_get64(&f->msix, MSIX_ENTRY_ADDR_LO + entry),
        .data = regfile_get(&f->msix, MSIX_ENTRY_DATA + entry),
        .kind = VNIC_MSIX,
        .vector = (uint8_t)vector,
    };
}

uint64_t msix_read(struct pci_function *f, uint64_t offset, unsigned width)
{
    return regfile_read(&f->msix, offset - f->identity.msix_table_offset, width);
}

void msix_write(struct pci_function *f, uint64_t offset, unsigned width, uint64_t value)
{
    regfile_write(&f->msix, offset - f->identity.msix_table_offset, width, value);
    if (!f->has_mask_changed) {
        return;
    }
    f->has_mask_changed = false;
    interrupt_settle(f);
    f->ops->on_interrupt_mode(f->owner);
}
