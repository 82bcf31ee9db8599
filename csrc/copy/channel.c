/* channel.c: the states of a channel, moved by accesses and by what ends a descriptor. */
#include "copy/channel.h"

#include <string.h>

#include "base/bits.h"
#include "copy/interrupt.h"

static void channel_store_count(struct vnic_copy *copy, unsigned n, uint16_t count)
{
    copy_set_channel_reg(copy, COPY_CHANCMD, n, (uint32_t)count << CHANCMD_DMACOUNT_SHIFT);
}

/* Nothing is moved any more: what is at hand, held or waiting to take effect is dropped. */
static void channel_stop(struct channel *ch)
{
    ch->status = CHAN_STATUS_HALTED;
    ch->phase = CHANNEL_BETWEEN;
    ch->report = 0;
    ch->change = 0;
    ch->must_reread = false;
    ch->held.len = 0;
}

/* --- errors */

/* [DMA-42] What an error asks for besides the halt. An error in reporting an error leaves its interrupt. */
static uint8_t channel_error_report(const struct vnic_copy *copy, unsigned n, uint32_t errors)
{
    const uint32_t control = copy_channel_reg(copy, COPY_CHANCTRL, n);
    const uint32_t masked = copy_channel_reg(copy, COPY_CHANERRMSK, n);
    const bool writes = (control & CHANCTRL_ERR_COMPLETION_EN_MASK) && !(errors & CHANERR_CMPL_ADDR_MASK);
    const bool interrupts = (control & CHANCTRL_ERR_INT_EN_MASK) && (errors & ~masked);
    return (uint8_t)((writes ? REPORT_WRITE : 0) | (interrupts ? REPORT_INTERRUPT : 0));
}

void channel_fail(struct vnic_copy *copy, unsigned n, uint32_t errors)
{
    struct channel *ch = &copy->state.channel[n];
    const uint8_t unsaid = ch->status == CHAN_STATUS_HALTED ? ch->report : 0;
    const uint32_t masked = copy_channel_reg(copy, COPY_CHANERRMSK, n);
    copy_set_channel_reg(copy, COPY_CHANERR, n, copy_channel_reg(copy, COPY_CHANERR, n) | errors);
    if (errors & ~masked) {
        pci_log_channel_errors(&copy->pci, errors & ~masked);
    }
    channel_stop(ch);
    ch->report = unsaid | channel_error_report(copy, n, errors);
    ch->phase = ch->report != 0 ? CHANNEL_REPORTING : CHANNEL_BETWEEN;
    copy_note_ready(copy, n);
}

/* --- chains and counts */

static void channel_take_chain(struct vnic_copy *copy, unsigned n)
{
    struct channel *ch = &copy->state.channel[n];
    ch->next = regfile_get64(&copy->regs, copy_channel_offset(COPY_CHAINADDR, n));
    ch->is_first = true;
    ch->must_reread = false;
}

void channel_change(struct vnic_copy *copy, unsigned n)
{
    struct channel *ch = &copy->state.channel[n];
    if (ch->change & CHANNEL_NEW_CHAIN) {
        channel_take_chain(copy, n);
    }
    ch->status = ch->change & CHANNEL_SUSPEND ? CHAN_STATUS_SUSPENDED : channel_rest_status(copy, n);
    ch->change = 0;
}

/* [DMA-1] [DMA-2] The count and a suspension of the old chain are void at once. */
void channel_set_chain(struct vnic_copy *copy, unsigned n)
{
    struct channel *ch = &copy->state.channel[n];
    channel_store_count(copy, n, 0);
    ch->processed = 0;
    if (ch->status == CHAN_STATUS_HALTED) {
        if (copy_channel_reg(copy, COPY_CHANERR, n) != 0) {
            return;
        }
        channel_stop(ch); /* a report that waits is not written any more */
    }
    ch->change = CHANNEL_NEW_CHAIN;
    if (!channel_is_at_hand(ch)) {
        channel_change(copy, n);
    }
    copy_note_ready(copy, n);
}

/* [DMA-3] [DMA-4] */
void channel_set_count(struct vnic_copy *copy, unsigned n, uint16_t count)
{
    struct channel *ch = &copy->state.channel[n];
    const bool is_changed = count != channel_count(copy, n);
    channel_store_count(copy, n, count);
    if (ch->status == CHAN_STATUS_HALTED) {
        if (is_changed) {
            channel_fail(copy, n, CHANERR_DESC_COUNT_MASK);
        }
        return;
    }
    if (ch->status != CHAN_STATUS_SUSPENDED && !channel_is_at_hand(ch)) {
        ch->status = channel_rest_status(copy, n);
    }
    copy_note_ready(copy, n);
}

/* --- commands */

/* [DMA-6] */
static void channel_suspend(struct channel *ch)
{
    if (ch->status == CHAN_STATUS_HALTED) {
        return;
    }
    if (channel_is_at_hand(ch)) {
        ch->change |= CHANNEL_SUSPEND;
        return;
    }
    ch->status = CHAN_STATUS_SUSPENDED;
    ch->must_reread = false;
}

/* [DMA-7] */
static void channel_resume(struct vnic_copy *copy, unsigned n)
{
    struct channel *ch = &copy->state.channel[n];
    ch->change &= (uint8_t)~CHANNEL_SUSPEND;
    if (ch->status == CHAN_STATUS_SUSPENDED) {
        ch->must_reread = !ch->is_first;
        ch->status = channel_rest_status(copy, n);
    }
}

void channel_reset(struct vnic_copy *copy, unsigned n)
{
    struct channel *ch = &copy->state.channel[n];
    *ch = (struct channel){.status = CHAN_STATUS_HALTED, .is_first = true};
    interrupt_reset(copy, n);
    copy_note_ready(copy, n);
}

/* [DMA-9] */
static void channel_forget(struct vnic_copy *copy, unsigned n)
{
    channel_store_count(copy, n, 0);
    copy_set_channel_reg(copy, COPY_CHAINADDR, n, 0);
    copy_set_channel_reg(copy, COPY_CHAINADDR + 4, n, 0);
    copy_set_channel_reg(copy, COPY_CHANERR, n, 0);
    channel_reset(copy, n);
}

/* [DMA-10] One command an access. */
void channel_command(struct vnic_copy *copy, unsigned n, uint32_t commands)
{
    switch (commands) {
    case CHANCMD_SUSPEND_MASK:
        channel_suspend(&copy->state.channel[n]);
        break;
    case CHANCMD_RESUME_MASK:
        channel_resume(copy, n);
        break;
    case CHANCMD_ABORT_MASK: /* [DMA-8] */
        channel_stop(&copy->state.channel[n]);
        break;
    case CHANCMD_RESET_MASK:
        channel_forget(copy, n);
        break;
    default:
        channel_fail(copy, n, CHANERR_CHANCMD_MASK);
        break;
    }
    copy_note_ready(copy, n);
}
