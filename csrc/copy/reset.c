/* reset.c: resets of the engine, and what its function asks of it. */
#include "copy/channel.h"
#include "copy/run.h"

/* [DMA-53] Everything behind BAR0; the time is not the driver's and stays. */
void copy_reset(struct vnic_copy *copy)
{
    regfile_reset(&copy->regs, false);
    for (unsigned n = 0; n < copy->config.channels; n++) {
        channel_reset(copy, n);
    }
    copy->state.turn = 0;
    copy->state.turn_steps = 0;
}

static void reset_on_function(void *owner, enum pci_reset level)
{
    (void)level;
    copy_reset(owner);
}

static uint64_t reset_bar_read(void *owner, unsigned bar, uint64_t offset, unsigned width)
{
    struct vnic_copy *copy = owner;
    (void)bar; /* the one with registers: MSI-X is the function's */
    return regfile_read(&copy->regs, offset, width);
}

static void reset_bar_write(void *owner, unsigned bar, uint64_t offset, unsigned width, uint64_t value)
{
    struct vnic_copy *copy = owner;
    (void)bar;
    regfile_write(&copy->regs, offset, width, value);
}

/* The line and pending messages are the function's; what waits here waits for the engine's own registers. */
static void reset_on_interrupt_mode(void *owner)
{
    (void)owner;
}

/* Each transfer's status becomes an error of its channel. */
static void reset_on_dma_error(void *owner, enum vnic_dma_status status)
{
    (void)owner;
    (void)status;
}

const struct pci_ops copy_pci_ops = {
    .on_reset = reset_on_function,
    .on_bar_read = reset_bar_read,
    .on_bar_write = reset_bar_write,
    .on_interrupt_mode = reset_on_interrupt_mode,
    .on_dma_error = reset_on_dma_error,
};
