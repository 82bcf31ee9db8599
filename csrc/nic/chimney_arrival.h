/* chimney_arrival.h: which received frames are connections', for the engines that deliver the others. */
#ifndef VNIC_NIC_CHIMNEY_ARRIVAL_H
#define VNIC_NIC_CHIMNEY_ARRIVAL_H

#include "nic/chimney.h"
#include "nic/classify.h"

static inline bool chimney_has_connections(const struct vnic *card)
{
    return card->chimney && card->chimney->live_connections != 0;
}

/* Whose a parsed frame is, by its headers. *index is a guess, a connection that is listed, or 0. */
enum chm_match chimney_match(const struct vnic *card, const uint8_t *frame, const struct rx_class *c,
                             uint32_t *index);

/* chimney_receive() with such a guess. */
bool chimney_receive_guessed(struct vnic *card, const uint8_t *frame, const struct rx_class *c,
                             uint32_t guess, uint64_t *bytes);

/* Addresses and ports of a TCP frame. */
void chimney_tuple_of(const struct wire_frame *f, const uint8_t *frame, struct chm_tuple *tuple);

/* Steps of the receive engine, as long as the front frame is a connection's and the budget lasts; how many. */
uint64_t chimney_receive_burst(struct vnic *card, uint64_t max_steps, uint64_t max_bytes, uint64_t *bytes);

#endif
