/* transfer.c: a channel's DMA through the choke point, and which error is which bit of CHANERR. */
#include "copy/transfer.h"

/* By enum vnic_dma_status. [DMA-45] No step is taken while the bus may not be mastered. */
static const uint32_t fetch_errors[] = {
    [VNIC_DMA_UNSUPPORTED] = CHANERR_NEXT_ADDR_MASK,   [VNIC_DMA_ABORTED] = CHANERR_NEXT_ADDR_MASK,
    [VNIC_DMA_POISONED] = CHANERR_DESC_INTEGRITY_MASK, [VNIC_DMA_TIMEOUT] = CHANERR_NEXT_ADDR_MASK,
    [VNIC_DMA_MASTER_OFF] = CHANERR_NEXT_ADDR_MASK,
};
static const uint32_t read_errors[] = {
    [VNIC_DMA_UNSUPPORTED] = CHANERR_SRC_ADDR_MASK,    [VNIC_DMA_ABORTED] = CHANERR_SRC_ADDR_MASK,
    [VNIC_DMA_POISONED] = CHANERR_DATA_INTEGRITY_MASK, [VNIC_DMA_TIMEOUT] = CHANERR_READ_DATA_MASK,
    [VNIC_DMA_MASTER_OFF] = CHANERR_READ_DATA_MASK,
};
static const uint32_t write_errors[] = {
    [VNIC_DMA_UNSUPPORTED] = CHANERR_DEST_ADDR_MASK, [VNIC_DMA_ABORTED] = CHANERR_DEST_ADDR_MASK,
    [VNIC_DMA_POISONED] = CHANERR_WRITE_DATA_MASK,   [VNIC_DMA_TIMEOUT] = CHANERR_WRITE_DATA_MASK,
    [VNIC_DMA_MASTER_OFF] = CHANERR_WRITE_DATA_MASK,
};

/* [PCI-17] */
static enum vnic_dma_status transfer_refuse(struct vnic_copy *copy)
{
    pci_log_dma_error(&copy->pci, VNIC_DMA_UNSUPPORTED);
    return VNIC_DMA_UNSUPPORTED;
}

uint32_t transfer_fetch_slow(struct vnic_copy *copy, unsigned n, uint64_t addr, uint64_t word[COPY_WORDS])
{
    uint8_t bytes[COPY_DESCRIPTOR_BYTES];
    const enum vnic_dma_status status = dma_read(&copy->pci, &copy->scratch.hint[n].descriptor, addr, bytes,
                                                 sizeof bytes, VNIC_DMA_DESCRIPTOR);
    transfer_unpack(bytes, word);
    return fetch_errors[status];
}

uint32_t transfer_read_piece(struct vnic_copy *copy, unsigned n, const struct piece *p, uint8_t *into)
{
    const enum vnic_dma_status status =
        p->is_from_beyond
            ? transfer_refuse(copy)
            : dma_read(&copy->pci, &copy->scratch.hint[n].source, p->from, into, p->len, VNIC_DMA_DATA);
    return read_errors[status];
}

uint32_t transfer_write_piece(struct vnic_copy *copy, unsigned n, const struct piece *p, const uint8_t *from)
{
    const enum vnic_dma_status status =
        p->is_to_beyond
            ? transfer_refuse(copy)
            : dma_write(&copy->pci, &copy->scratch.hint[n].destination, p->to, from, p->len, VNIC_DMA_DATA);
    return write_errors[status];
}

uint32_t transfer_complete(struct vnic_copy *copy, unsigned n, uint64_t completion)
{
    uint8_t bytes[COPY_COMPLETION_BYTES];
    const uint64_t addr = regfile_get64(&copy->regs, copy_channel_offset(COPY_CHANCMP, n));
    le64_store(bytes, completion);
    const enum vnic_dma_status status = dma_write(&copy->pci, &copy->scratch.hint[n].completion, addr, bytes,
                                                  sizeof bytes, VNIC_DMA_COMPLETION);
    return status == VNIC_DMA_OK ? 0 : CHANERR_CMPL_ADDR_MASK;
}
