/* burst.h: many steps of a channel taken together, with the same outcome as one by one. */
#ifndef VNIC_COPY_BURST_H
#define VNIC_COPY_BURST_H

#include "copy/copy.h"

/* As many of the channel's next steps as fit both limits, up to the first that is not simple; how many. The channel is
 * runnable. *bytes: what they moved. [DMA-51] */
uint64_t burst_take(struct vnic_copy *copy, unsigned n, uint64_t max_steps, uint64_t max_bytes,
                    uint64_t *bytes);

#endif
