/* power.c: resets of a function by level, surprise removal and return. */
#include "pci/config.h"
#include "pci/function.h"
#include "pci/interrupt.h"

bool pci_is_d0(const struct pci_function *f)
{
    return (regfile_get(&f->config, CFG_PM_CTRL) & PM_CTRL_STATE_MASK) == 0;
}

bool pci_is_memory_enabled(const struct pci_function *f)
{
    return f->is_decoding;
}

/* [PCI-23] Messages that left before the reset are on their way and arrive; only a power cycle takes them
 * along. */
void pci_reset(struct pci_function *f, enum pci_reset level)
{
    config_reset(f, level);
    regfile_reset(&f->msix, false);
    f->msix_pending = 0;
    f->msi_pending = 0;
    f->is_line_asserted = false;
    f->wants_flr = false;
    f->has_mask_changed = false;
    pci_refresh(f);
    if (level == PCI_RESET_POWER) {
        fault_forget(&f->faults);
        interrupt_discard(f);
    } else {
        interrupt_settle(f);
    }
    f->ops->on_reset(f->owner, level);
}

/* [PCI-24] */
void pci_remove(struct pci_function *f)
{
    f->is_removed = true;
    f->is_line_asserted = false;
    fault_forget(&f->faults);
    pci_refresh(f);
    interrupt_discard(f);
}

void pci_insert(struct pci_function *f)
{
    if (f->is_removed) {
        f->is_removed = false;
        pci_reset(f, PCI_RESET_POWER);
    }
}

/* The edge of the line that the power cycle before the load queued was told already, and is still to be
 * fetched. */
void pci_refuse(struct pci_function *f, bool has_edge)
{
    f->is_removed = false;
    f->is_line_out = false;
    f->out_head = 0;
    f->out_count = 0;
    f->now_ns = 0;
    pci_reset(f, PCI_RESET_POWER);
    if (has_edge) {
        f->out[0] = (struct vnic_interrupt){.kind = VNIC_INTX, .data = 0};
        f->out_count = 1;
    }
}
