/* chimney_frame.h: frames of connections. */
#ifndef VNIC_NIC_CHIMNEY_FRAME_H
#define VNIC_NIC_CHIMNEY_FRAME_H

#include "nic/chimney.h"
#include "wire/frame.h"

/* The packets of one segment: what they share is written once, and what differs is put in for each. */
struct frame_run {
    uint32_t index;       /* connection */
    uint32_t len;         /* payload of a packet, the last one's aside */
    uint32_t l3, l4, payload;
    uint64_t ip_sum;      /* of the IPv4 header of such a packet, Identification 0 */
    uint64_t tcp_sum;     /* of its pseudo header and TCP header, sequence number 0 */
    uint8_t last_control; /* of the last packet only */
    bool is_again;        /* the bytes were sent before */
    uint8_t header[WIRE_ETH_LEN + WIRE_VLAN_LEN + WIRE_IPV6_LEN + TCP_HEADER_MAX];
};

/* Of the segment, cut so that packets fit the path [CHM-25]. */
void frame_begin(const struct vnic *card, struct frame_run *run, uint32_t index,
                 const struct tcp_segment *segment, bool is_again);
/* Sends the packet with these bytes. False when they could not be read, and then the connection asks to be uploaded
 * [CHM-27]. What cannot leave now is discarded. */
bool frame_send(struct vnic *card, const struct frame_run *run, uint32_t seq, uint32_t len, bool is_last);

#endif
