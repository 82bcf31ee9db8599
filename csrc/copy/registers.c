/* registers.c: the hooks of BAR0: which part of the engine a register speaks to. */
#include "copy/channel.h"
#include "copy/interrupt.h"

static uint32_t half(uint64_t value, bool high)
{
    return (uint32_t)(high ? value >> 32 : value);
}

/* --- reads */

static uint32_t registers_general(const struct vnic_copy *copy, uint32_t stored)
{
    return stored | (uint32_t)copy->config.channels << GENERAL_CHANCNT_SHIFT
           | (uint32_t)copy->config.transfer_log2 << GENERAL_XFERCAP_SHIFT;
}

static uint32_t registers_control(struct vnic_copy *copy, const struct reg_ref *ref, uint32_t stored,
                                  uint32_t enabled)
{
    regfile_set(&copy->regs, ref->offset, stored | (enabled & CHANCTRL_IN_USE_MASK));
    return stored;
}

static uint32_t registers_read(void *owner, const struct reg_ref *ref, uint32_t stored, uint32_t enabled)
{
    struct vnic_copy *copy = owner;
    const struct channel *ch = &copy->state.channel[ref->index];
    switch (ref->reg) {
    case COPYID_GENERAL:
        return registers_general(copy, interrupt_read_general(copy, stored, enabled));
    case COPYID_ATTNSTATUS:
        return interrupt_read_attention(copy, stored, enabled);
    case COPYID_CHANCTRL:
        return registers_control(copy, ref, stored, enabled);
    case COPYID_CHANSTS:
        return half(channel_status_word(copy, ref->index, ch->status), ref->high);
    case COPYID_CDAR:
        return half(ch->current, ref->high);
    default:
        return stored;
    }
}

/* --- writes */

/* The command byte comes before DMACOUNT, as if it had been written first. */
static void registers_command(struct vnic_copy *copy, const struct reg_ref *ref, uint32_t old, uint32_t now,
                              uint32_t pulses, uint32_t written)
{
    regfile_set(&copy->regs, ref->offset, old);
    if (pulses != 0) {
        channel_command(copy, ref->index, pulses);
    }
    if (((written | (old ^ now)) & CHANCMD_DMACOUNT_MASK) != 0) {
        channel_set_count(copy, ref->index, (uint16_t)(now >> CHANCMD_DMACOUNT_SHIFT));
    }
}

static void registers_write(void *owner, const struct reg_ref *ref, uint32_t old, uint32_t now,
                            uint32_t pulses, uint32_t written)
{
    struct vnic_copy *copy = owner;
    switch (ref->reg) {
    case COPYID_GENERAL:
        interrupt_set_line(copy);
        break;
    case COPYID_CHANCTRL:
        if (written & CHANCTRL_INT_DISABLE_MASK) {
            interrupt_enable(copy, ref->index);
        }
        break;
    case COPYID_CHANCMD:
        registers_command(copy, ref, old, now, pulses, written);
        break;
    case COPYID_CHAINADDR:
        channel_set_chain(copy, ref->index);
        break;
    default:
        break;
    }
}

const struct regfile_ops copy_register_ops = {.on_read = registers_read, .on_write = registers_write};
