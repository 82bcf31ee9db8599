/* emit.h: where a finished frame goes: to the link, or back into the card when it loops. */
#ifndef VNIC_NIC_EMIT_H
#define VNIC_NIC_EMIT_H

#include "nic/card.h"

/* Room for a frame of this length where it would go now. */
bool emit_has_room(const struct vnic *card, uint32_t len);
/* OK, or LINK when the link is down. There is room. */
enum tx_status emit_frame(struct vnic *card, unsigned pair, const uint8_t *frame, uint32_t len);
/* One that a fault kept; false: there is no room yet. */
bool emit_late(struct vnic *card, unsigned pair, const uint8_t *frame, uint32_t len);
/* The counters of a frame that was emitted. */
void emit_count(struct vnic *card, const uint8_t *frame, uint32_t len);

#endif
