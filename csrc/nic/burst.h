/* burst.h: many steps of the simple kind taken together, with the same outcome as one by one. */
#ifndef VNIC_NIC_BURST_H
#define VNIC_NIC_BURST_H

#include "nic/card.h"

/* As many of the engine's next steps as fit both limits, up to the first that is not simple; how many. The
 * engine is runnable. *bytes: what they moved. */
uint64_t burst_receive(struct vnic *card, uint64_t max_steps, uint64_t max_bytes, uint64_t *bytes);
uint64_t burst_transmit(struct vnic *card, uint64_t max_steps, uint64_t max_bytes, uint64_t *bytes);

#endif
