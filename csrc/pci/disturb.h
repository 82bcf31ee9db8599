/* disturb.h: what faults do to a function: they fire, keep things for later, let them go, and take it away. */
#ifndef VNIC_PCI_DISTURB_H
#define VNIC_PCI_DISTURB_H

#include "pci/function.h"

/* The fault that fires here, told to the observer, or NULL; a removal has begun. *id: for pci_keep(). */
const struct vnic_fault *pci_fault(struct pci_function *f, const struct fault_occurrence *what, int *id);
/* Keeps what the fault that fired says. */
void pci_keep(struct pci_function *f, int id, struct fault_item item, const uint8_t *bytes);
/* Lets go what is due at these sites (bits). */
void pci_let_go(struct pci_function *f, uint32_t sites);
void pci_leave(struct pci_function *f);

/* An occurrence at the site is over: what waited for it goes. */
static inline void pci_let_go_behind(struct pci_function *f, enum vnic_fault_site site)
{
    if (f->faults.held.ripe != 0) {
        pci_let_go(f, 1u << site);
    }
}

/* At the end of every call of the host's in which a fault may have fired: the removal comes to its end. */
static inline void pci_settle_leaving(struct pci_function *f)
{
    if (__builtin_expect(f->is_leaving, 0)) {
        pci_leave(f);
    }
}

#endif
