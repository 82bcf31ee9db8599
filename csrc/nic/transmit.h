/* transmit.h: the transmit engine: rings in turn, descriptors, gathering, offloads; and the large-send
 * engine behind it. */
#ifndef VNIC_NIC_TRANSMIT_H
#define VNIC_NIC_TRANSMIT_H

#include "nic/card.h"

/* Ends a frame: data with EOP, or what is no descriptor at all and so cannot say where the frame ends. */
static inline bool transmit_is_end(const uint64_t desc[])
{
    uint64_t type = tx_data_type(desc);
    return type != DESC_TYPE_CONTEXT && (type != DESC_TYPE_DATA || tx_data_eop(desc) != 0);
}

bool transmit_is_runnable(const struct vnic *card);
/* The ring of the next step, its turn opened; no frame is being built, and somebody has work. Asked again
 * before that step, the answer is the same. */
unsigned transmit_pick(struct vnic *card);
/* The step that reads descriptors; bytes moved. */
uint64_t transmit_fetch(struct vnic *card, unsigned pair);
uint64_t transmit_next_bytes(const struct vnic *card);
uint64_t transmit_step(struct vnic *card);

/* The pair's ring stops: a frame being built there is discarded. */
void transmit_abandon(struct vnic *card, unsigned pair);
uint64_t transmit_idle_steps(const struct vnic *card);
void transmit_reset(struct vnic *card);
void transmit_archive(struct vnic *card, struct archive *a);

#endif
