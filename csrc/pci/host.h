/* host.h: the host's half of a function: its map of memory, its observer and its faults, each change told. */
#ifndef VNIC_PCI_HOST_H
#define VNIC_PCI_HOST_H

#include "pci/function.h"

/* What the calls of the same names in vnic.h say, of one function. */
int host_map(struct pci_function *f, uint64_t iova, void *host, uint64_t len, unsigned permissions);
int host_unmap(struct pci_function *f, uint64_t iova, uint64_t len);
void host_unmap_all(struct pci_function *f);
void host_set_unmapped(struct pci_function *f, vnic_unmapped answer, void *opaque);

void host_observe(struct pci_function *f, vnic_observer observer, void *opaque, uint32_t mask);

/* Tells the observer of every mapping, and of every fault that is armed. */
void host_retell(struct pci_function *f);

int host_arm(struct pci_function *f, const struct vnic_fault *fault);
int host_disarm(struct pci_function *f, int id);
int64_t host_fired(const struct pci_function *f, int id);

/* Time comes in: VNIC_ETIME when it would go backwards. The owner looks at what is due. */
int host_set_time(struct pci_function *f, uint64_t now_ns);

uint32_t host_kept(const struct pci_function *f);
/* When time alone lets something go that a fault keeps; UINT64_MAX: never. */
uint64_t host_deadline(const struct pci_function *f);

#endif
