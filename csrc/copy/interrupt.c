/* interrupt.c: interrupts of channels: attention, rearming, delay in virtual time, line and messages. */
#include "copy/interrupt.h"

#include "base/bits.h"

#define NS_PER_US 1000u

static bool interrupt_is_master_enabled(const struct vnic_copy *copy)
{
    return (regfile_get(&copy->regs, COPY_GENERAL) & GENERAL_MASTER_INT_EN_MASK) != 0;
}

static bool interrupt_is_disabled(const struct vnic_copy *copy, unsigned n)
{
    return (copy_channel_reg(copy, COPY_CHANCTRL, n) & CHANCTRL_INT_DISABLE_MASK) != 0;
}

/* When INTRDELAY lets an interrupt of the channel go. */
static uint64_t interrupt_ripe_ns(const struct vnic_copy *copy, unsigned n)
{
    const uint64_t delay_us = regfile_get(&copy->regs, COPY_INTRDELAY) & INTRDELAY_DELAY_MASK;
    const uint64_t enabled_ns = copy->state.channel[n].enabled_ns;
    const uint64_t delay_ns = delay_us * NS_PER_US;
    return delay_ns > UINT64_MAX - enabled_ns ? UINT64_MAX : enabled_ns + delay_ns;
}

void interrupt_set_line(struct vnic_copy *copy)
{
    pci_set_line(&copy->pci, interrupt_is_line_wanted(copy));
}

/* --- raising */

/* [DMA-33] */
static bool interrupt_may_go(const struct vnic_copy *copy, unsigned n)
{
    return interrupt_is_master_enabled(copy) && !interrupt_is_disabled(copy, n)
           && interrupt_ripe_ns(copy, n) <= copy->pci.now_ns;
}

static unsigned interrupt_vector(const struct vnic_copy *copy, unsigned n)
{
    const uint32_t general = regfile_get(&copy->regs, COPY_GENERAL);
    const bool has_own = (general & GENERAL_MSIX_VECTOR_CONTROL_MASK) != 0 && n < copy->config.vectors;
    return has_own ? n : 0;
}

/* [DMA-32] */
static void interrupt_raise(struct vnic_copy *copy, unsigned n)
{
    copy->state.channel[n].is_due = false;
    regfile_set(&copy->regs, COPY_ATTNSTATUS, regfile_get(&copy->regs, COPY_ATTNSTATUS) | 1u << n);
    copy_set_channel_reg(copy, COPY_CHANCTRL, n,
                         copy_channel_reg(copy, COPY_CHANCTRL, n) | CHANCTRL_INT_DISABLE_MASK);
    interrupt_set_line(copy);
    (void)pci_raise(&copy->pci, interrupt_vector(copy, n));
}

void interrupt_cause(struct vnic_copy *copy, unsigned n)
{
    copy->state.channel[n].is_due = true;
    if (interrupt_may_go(copy, n)) {
        interrupt_raise(copy, n);
    }
}

uint32_t interrupt_deliverable(const struct vnic_copy *copy)
{
    uint32_t mask = 0;
    for (unsigned n = 0; n < copy->config.channels; n++) {
        const bool goes = copy->state.channel[n].is_due && interrupt_may_go(copy, n);
        mask |= (uint32_t)goes << n;
    }
    return mask;
}

void interrupt_step(struct vnic_copy *copy)
{
    const uint32_t deliverable = interrupt_deliverable(copy);
    if (deliverable != 0) {
        interrupt_raise(copy, bits_ctz(deliverable));
    }
}

uint64_t interrupt_deadline(const struct vnic_copy *copy)
{
    uint64_t earliest = UINT64_MAX;
    for (unsigned n = 0; n < copy->config.channels && interrupt_is_master_enabled(copy); n++) {
        const uint64_t ripe_ns = interrupt_ripe_ns(copy, n);
        if (copy->state.channel[n].is_due && !interrupt_is_disabled(copy, n) && ripe_ns > copy->pci.now_ns) {
            earliest = bits_min64(earliest, ripe_ns);
        }
    }
    return earliest;
}

/* --- accesses */

/* [DMA-34] INTRCTRL is read whole, then its master enable is cleared. */
uint32_t interrupt_read_general(struct vnic_copy *copy, uint32_t stored, uint32_t enabled)
{
    const bool has_attention = regfile_get(&copy->regs, COPY_ATTNSTATUS) != 0;
    const uint32_t value = stored | (has_attention ? GENERAL_INT_STATUS_MASK : 0)
                           | (interrupt_is_line_wanted(copy) ? GENERAL_INT_MASK : 0);
    if (enabled & GENERAL_MASTER_INT_EN_MASK) {
        regfile_set(&copy->regs, COPY_GENERAL, stored & ~GENERAL_MASTER_INT_EN_MASK);
        interrupt_set_line(copy);
    }
    return value;
}

uint32_t interrupt_read_attention(struct vnic_copy *copy, uint32_t stored, uint32_t enabled)
{
    regfile_set(&copy->regs, COPY_ATTNSTATUS, stored & ~enabled);
    interrupt_set_line(copy);
    return stored;
}

void interrupt_enable(struct vnic_copy *copy, unsigned n)
{
    copy->state.channel[n].enabled_ns = copy->pci.now_ns;
}

/* [DMA-9] [DMA-35] */
void interrupt_reset(struct vnic_copy *copy, unsigned n)
{
    regfile_set(&copy->regs, COPY_ATTNSTATUS, regfile_get(&copy->regs, COPY_ATTNSTATUS) & ~(1u << n));
    copy_set_channel_reg(copy, COPY_CHANCTRL, n,
                         copy_channel_reg(copy, COPY_CHANCTRL, n) & ~CHANCTRL_INT_DISABLE_MASK);
    copy->state.channel[n].is_due = false;
    interrupt_enable(copy, n);
    interrupt_set_line(copy);
}
