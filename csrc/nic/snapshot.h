/* snapshot.h: the whole state of a card as tagged fields. */
#ifndef VNIC_NIC_SNAPSHOT_H
#define VNIC_NIC_SNAPSHOT_H

#include "nic/card.h"

/* One walk for saving, hashing and loading. Loading: an enum vnic_result in *refusal when the header is
 * not ours. */
void snapshot_walk(struct vnic *card, struct archive *a, int *refusal);

#endif
