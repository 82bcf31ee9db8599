/* chimney_apply.h: the result of an engine's call together with where its payload is. */
#ifndef VNIC_NIC_CHIMNEY_APPLY_H
#define VNIC_NIC_CHIMNEY_APPLY_H

#include "nic/chimney_place.h"

/* The payload of the segment that was put in. */
struct apply_payload {
    const uint8_t *bytes;
    enum place_early early;
};

/* chimney_apply() with a payload that may be placed already. */
void apply_result(struct vnic *card, uint32_t index, const struct tcp_result *result,
                  const struct apply_payload *payload);

#endif
