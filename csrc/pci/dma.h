/* dma.h: the one choke point of DMA: every byte between a function and host memory passes here. */
#ifndef VNIC_PCI_DMA_H
#define VNIC_PCI_DMA_H

#include "pci/function.h"

/* Moves len bytes; checks, faults and observers included. On an error the bytes before the failing 4 KiB
 * granule have been moved, the error is logged and ops->on_dma_error called. */
enum vnic_dma_status dma_read(struct pci_function *f, struct dma_hint *hint, uint64_t addr, void *bytes,
                              uint32_t len, enum vnic_dma_purpose purpose);
enum vnic_dma_status dma_write(struct pci_function *f, struct dma_hint *hint, uint64_t addr,
                               const void *bytes, uint32_t len, enum vnic_dma_purpose purpose);

/* A write that a fault kept: it was posted before. */
void dma_write_late(struct pci_function *f, uint64_t addr, const uint8_t *bytes, uint32_t len,
                    enum vnic_dma_purpose purpose);

/* Points hint at the memory that holds addr (never into an own BAR); false when there is none with these
 * permissions. */
bool dma_seek(struct pci_function *f, struct dma_hint *hint, uint64_t addr, unsigned permissions);

/* Host memory of [addr, addr+len) when nothing watches and it is one piece; NULL: use dma_read or
 * dma_write. */
static inline uint8_t *dma_direct(struct pci_function *f, struct dma_hint *hint, uint64_t addr, uint32_t len,
                                  unsigned permissions)
{
    if (!f->is_direct) {
        return NULL;
    }
    if (hint->generation != f->map.generation || addr < hint->iova || addr > hint->last) {
        if (!dma_seek(f, hint, addr, permissions)) {
            return NULL;
        }
    }
    if (hint->last - addr + 1 < len || (hint->permissions & permissions) != permissions) {
        return NULL;
    }
    return hint->host + (addr - hint->iova);
}

#endif
