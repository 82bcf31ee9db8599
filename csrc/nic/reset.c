/* reset.c: how far each level of reset goes. */
#include "nic/card.h"
#include "nic/chimney.h"
#include "nic/pair.h"
#include "nic/receive.h"
#include "nic/registers.h"
#include "nic/scale.h"
#include "nic/test_block.h"
#include "nic/transmit.h"
#include "nic/vector.h"

static void reset_statistics(struct vnic *card)
{
    for (unsigned i = 0; i < STATS; i++) {
        card->state.stat[i] = 0;
    }
}

/* [RST-1] Everything behind BAR0. The link and the time are not the driver's: they stay. */
void card_reset_device(struct vnic *card)
{
    receive_reset(card);
    transmit_reset(card);
    chimney_reset(card);
    pair_reset_all(card);
    test_block_reset(card);
    scale_reset(card);
    reset_statistics(card);
    registers_reset(card);
    vector_reset(card);
    card->state.run_engine = 0;
    card->state.run_steps = 0;
}

/* [RST-2] FLR, D3hot to D0, hot reset and power-on all include the device reset; the function resets the
 * rest. */
static void reset_on_function(void *owner, enum pci_reset level)
{
    (void)level;
    card_reset_device(owner);
}

static uint64_t reset_bar_read(void *owner, unsigned bar, uint64_t offset, unsigned width)
{
    struct vnic *card = owner;
    (void)bar; /* the one with registers: MSI-X is the function's */
    return regfile_read(&card->regs, offset, width);
}

static void reset_bar_write(void *owner, unsigned bar, uint64_t offset, unsigned width, uint64_t value)
{
    struct vnic *card = owner;
    (void)bar;
    regfile_write(&card->regs, offset, width, value);
}

static void reset_on_interrupt_mode(void *owner)
{
    vector_update_line(owner);
}

static void reset_on_dma_error(void *owner, enum vnic_dma_status status)
{
    struct vnic *card = owner;
    (void)status;
    card_count(card, STAT(DMA_ERRORS));
    card_raise_event(card, GLB_EVENT_DMA_MASK);
}

const struct pci_ops card_pci_ops = {
    .on_reset = reset_on_function,
    .on_bar_read = reset_bar_read,
    .on_bar_write = reset_bar_write,
    .on_interrupt_mode = reset_on_interrupt_mode,
    .on_dma_error = reset_on_dma_error,
    .on_late_frame = api_take_late,
};
