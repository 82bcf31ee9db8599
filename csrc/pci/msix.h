/* msix.h: MSI-X table and Pending Bit Array of a function, between the rooms of pci/. */
#ifndef VNIC_PCI_MSIX_H
#define VNIC_PCI_MSIX_H

#include "gen/msix_table.h"
#include "pci/function.h"

int msix_create(struct pci_function *f);
bool msix_is_masked(const struct pci_function *f, unsigned vector);
void msix_message(const struct pci_function *f, unsigned vector, struct vnic_interrupt *message);
uint64_t msix_read(struct pci_function *f, uint64_t offset, unsigned width);
void msix_write(struct pci_function *f, uint64_t offset, unsigned width, uint64_t value);

/* The access is to the table or the Pending Bit Array. */
static inline bool msix_is_here(const struct pci_function *f, unsigned bar, uint64_t offset)
{
    return bar == f->identity.msix_bar && offset - f->identity.msix_table_offset < MSIX_MAP_BYTES;
}

static inline uint64_t msix_vectors(const struct pci_function *f)
{
    return UINT64_MAX >> (64 - f->identity.vectors);
}

#endif
