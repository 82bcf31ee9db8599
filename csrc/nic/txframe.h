/* txframe.h: the frame that the transmit engine builds: its descriptors checked, its bytes read, its end
 * reported. */
#ifndef VNIC_NIC_TXFRAME_H
#define VNIC_NIC_TXFRAME_H

#include "nic/card.h"

/* Checks the descriptors of the ring's first frame and makes it the one being built (also when it is
 * refused). */
enum tx_status txframe_begin(struct vnic *card, unsigned pair);
/* One DMA: up to want bytes, no further than the descriptor at hand goes. false: it failed. */
bool txframe_gather(struct vnic *card, uint8_t *to, uint32_t want, uint32_t *bytes);
/* A completion in a reserved slot. */
void txframe_report(struct vnic *card, unsigned pair, uint32_t first, enum tx_status status, uint32_t frames,
                    uint32_t bytes);
void txframe_count_status(struct vnic *card, enum tx_status status);
void txframe_archive(struct vnic *card, struct archive *a);

/* transmit.c: the frame leaves its ring. */
void transmit_finish(struct vnic *card, enum tx_status status);

#endif
