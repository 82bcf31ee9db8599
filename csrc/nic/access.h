/* access.h: register accesses from the host: the short way to a plain word of BAR0, and the way through
 * the function. */
#ifndef VNIC_NIC_ACCESS_H
#define VNIC_NIC_ACCESS_H

#include "nic/card.h"

static inline uint64_t access_read(struct vnic *card, unsigned bar, uint64_t offset, unsigned width)
{
    uint64_t value;
    if (bar == 0 && width == 4 && card->pci.is_plain && regfile_read_plain(&card->regs, offset, &value)) {
        return value;
    }
    return pci_bar_read(&card->pci, bar, offset, width);
}

#endif
