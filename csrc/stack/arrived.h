/* A TCP segment that arrived, with a good checksum. */
#ifndef VNIC_STACK_ARRIVED_H
#define VNIC_STACK_ARRIVED_H

#include "stack/lookup.h"

struct arrived {
    struct vnic_address local, remote;
    uint16_t local_port, remote_port;
    uint8_t interface;
    bool is_multicast;
    struct tcp_segment segment;
    const uint8_t *payload;
    uint32_t above_snd_nxt; /* a SYN that takes the place of a TIME_WAIT: the least ISS; 0: any */
};

#endif
