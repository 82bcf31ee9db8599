/* offload.h: what a transmit context asks for: checksums, tag, padding, and the segments of a large send. */
#ifndef VNIC_NIC_OFFLOAD_H
#define VNIC_NIC_OFFLOAD_H

#include "nic/card.h"

static inline bool offload_is_large_send(const struct tx_frame *t)
{
    return t->has_context && tx_context_lso(t->context) != 0;
}

/* Where the bytes of the frame go: of a large send, the payload of the segment at hand. */
static inline uint8_t *offload_stage(const struct vnic *card)
{
    return card->stage + TX_STAGE_OFFSET + (card->state.tx.phase == TX_PHASE_SEGMENT ? TX_HEADER_MAX : 0);
}

/* How many of them are there. */
static inline uint32_t offload_staged(const struct vnic *card)
{
    const struct tx_frame *t = &card->state.tx;
    return t->phase == TX_PHASE_SEGMENT ? t->filled : t->taken;
}

/* What can be checked before a byte is read: lengths and offsets. */
enum tx_status offload_check(const struct vnic *card);
/* On loading, the fields that offload and large send keep. */
bool offload_is_sound(struct vnic *card);

/* The length that the frame will have, tag and padding included. */
uint32_t offload_len(const struct vnic *card);
/* Inserts the checksums into a frame that is no large send; OFFLOAD when its bytes contradict the context. */
enum tx_status offload_apply(struct vnic *card);
/* The frame with its tag and padding. start, bytes: where it lies in the stage without. */
const uint8_t *offload_finish(struct vnic *card, uint8_t *start, uint32_t bytes, uint32_t *len);
const uint8_t *offload_frame(struct vnic *card, uint32_t *len);

#endif
