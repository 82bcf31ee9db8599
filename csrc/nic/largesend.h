/* largesend.h: the segmentation engine: a large send read piece by piece and sent segment by segment. */
#ifndef VNIC_NIC_LARGESEND_H
#define VNIC_NIC_LARGESEND_H

#include "nic/card.h"

bool largesend_is_runnable(const struct vnic *card);
uint64_t largesend_next_bytes(const struct vnic *card);
uint64_t largesend_step(struct vnic *card); /* bytes moved */
/* On loading: the cursor agrees with the headers, from which the plan is made again. */
bool largesend_is_sound(struct vnic *card);

#endif
