/* vector.h: interrupt vectors of the card: causes, enables, moderation, and the three interrupt levels. */
#ifndef VNIC_NIC_VECTOR_H
#define VNIC_NIC_VECTOR_H

#include "nic/card.h"

/* Causes of the vector; those of one that the card lacks are nobody's. */
static inline void vector_causes(struct vnic *card, unsigned vector, uint32_t count)
{
    if (vector < card->config.vectors && count > 0) {
        card->state.vector[vector].causes += count;
        card->state.vector_pending |= 1ull << vector;
    }
}

static inline void vector_cause(struct vnic *card, unsigned vector)
{
    vector_causes(card, vector, 1);
}

/* Vectors that could be raised now. */
static inline uint64_t vector_deliverable(const struct vnic *card)
{
    uint64_t ready = card->state.vector_pending & card->state.vector_enabled & card->scratch.vector_ripe;
    return ready && card_is_set(card, REG_INT_CTRL, INT_CTRL_MASTER_ENABLE_MASK) ? ready : 0;
}

void vector_step(struct vnic *card); /* raises one */
void vector_set_enabled(struct vnic *card, unsigned vector, bool enabled);
void vector_set_time(struct vnic *card); /* after the time changed */
uint64_t vector_deadline(const struct vnic *card);
uint32_t vector_read_cause(struct vnic *card, bool high, uint32_t enabled_bits);
void vector_update_line(struct vnic *card);
void vector_reset(struct vnic *card);
void vector_archive(struct vnic *card, struct archive *a);

#endif
