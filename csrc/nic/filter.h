/* filter.h: which frames the card takes: destination address and VLAN. */
#ifndef VNIC_NIC_FILTER_H
#define VNIC_NIC_FILTER_H

#include "nic/card.h"

#define FILTER_PASS UINT32_MAX

/* FILTER_PASS, or the counter of the reason to drop. frame has at least 14 bytes. */
uint32_t filter_frame(const struct vnic *card, const uint8_t *frame, uint32_t len);

/* The class of a destination: 0 unicast, 1 multicast, 2 broadcast; counters of classes are 2 apart. */
static inline unsigned filter_class(const uint8_t *frame)
{
    if (!(frame[0] & 1)) {
        return 0;
    }
    bool is_broadcast = (frame[0] & frame[1] & frame[2] & frame[3] & frame[4] & frame[5]) == 0xFF;
    return is_broadcast ? 2 : 1;
}

#endif
