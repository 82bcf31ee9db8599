/* disturb.c: faults of a function: firing, keeping, letting go in order, and the removal that a match sets off. */
#include "pci/disturb.h"

#include <string.h>

#include "pci/dma.h"
#include "pci/interrupt.h"

/* [FLT-9] What goes on in this step finds the bus gone; the state goes with the end of the call. */
static void disturb_begin_leaving(struct pci_function *f)
{
    f->is_removed = true;
    f->is_leaving = true;
    pci_refresh(f);
}

const struct vnic_fault *pci_fault(struct pci_function *f, const struct fault_occurrence *what, int *id)
{
    if (f->faults.armed[what->site] == 0 || f->is_removed) {
        return NULL;
    }
    const struct vnic_fault *fault = fault_match(&f->faults, what, id);
    if (fault == NULL) {
        return NULL;
    }
    struct vnic_event event = {
        .type = VNIC_EVENT_FAULT, .index = (uint8_t)what->index, .addr = what->first, .value = (uint64_t)*id};
    pci_emit(f, &event);
    if (fault->action == VNIC_FAULT_REMOVE) {
        disturb_begin_leaving(f);
    }
    return fault;
}

void pci_keep(struct pci_function *f, int id, struct fault_item item, const uint8_t *bytes)
{
    fault_keep(&f->faults, id, f->now_ns, item, bytes);
}

static bool disturb_send_interrupt(struct pci_function *f, const uint8_t *bytes)
{
    struct vnic_interrupt message;
    memcpy(&message, bytes, sizeof(message));
    return interrupt_send_late(f, &message);
}

/* false: there is no room for it yet. */
static bool disturb_release(struct pci_function *f, const struct fault_item *item, const uint8_t *bytes)
{
    switch (item->site) {
    case VNIC_FAULT_DMA_WRITE:
        dma_write_late(f, item->addr, bytes, item->len, (enum vnic_dma_purpose)item->index);
        return true;
    case VNIC_FAULT_INTERRUPT:
        return disturb_send_interrupt(f, bytes);
    case VNIC_FAULT_MMIO_WRITE:
        pci_bar_write_late(f, item->index, item->addr, item->width, item->value);
        return true;
    default:
        return f->ops->on_late_frame(f->owner, (enum vnic_fault_site)item->site, item->index, bytes,
                                     item->len);
    }
}

/* A register write that goes may set off more; so each is looked for anew, and none is held on to. A write is gone
 * from the store before it is done. */
void pci_let_go(struct pci_function *f, uint32_t sites)
{
    struct fault_held *held = &f->faults.held;
    uint32_t stuck = 0;
    const struct fault_item *found;
    while ((found = fault_held_due(held, f->now_ns, sites, stuck)) != NULL) {
        const struct fault_item item = *found;
        if (item.site == VNIC_FAULT_MMIO_WRITE) {
            fault_held_drop(held, found);
            (void)disturb_release(f, &item, NULL);
        } else if (disturb_release(f, &item, held->bytes + item.offset)) {
            fault_held_drop(held, found);
        } else {
            stuck++;
        }
    }
}

void pci_leave(struct pci_function *f)
{
    f->is_leaving = false;
    pci_remove(f);
    f->ops->on_reset(f->owner, PCI_RESET_POWER);
}
