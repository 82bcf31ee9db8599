/* errors.h: error logging of a function, between the rooms of pci/. */
#ifndef VNIC_PCI_ERRORS_H
#define VNIC_PCI_ERRORS_H

#include "pci/function.h"

/* After a configuration write: a First Error Pointer whose status bit was cleared points to nothing. */
void errors_settle(struct pci_function *f);
bool errors_are_sound(const struct pci_function *f);

#endif
