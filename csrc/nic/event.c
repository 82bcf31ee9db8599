/* event.c: the events that are not a queue's, and their vector. */
#include "nic/card.h"
#include "nic/vector.h"

/* [INT-7] Sets bits of GLB_EVENT and raises the event vector for those that are enabled; with 0, for what
 * stands. */
void card_raise_event(struct vnic *card, uint32_t event)
{
    uint32_t standing = card_reg(card, REG_GLB_EVENT) | event;
    uint32_t fresh = event ? event : standing;
    regfile_set(&card->regs, REG_GLB_EVENT, standing);
    if (fresh & card_reg(card, REG_GLB_EVENT_ENABLE)) {
        vector_cause(card, card_reg(card, REG_GLB_EVENT_VECTOR));
    }
}
