/* TCP/IPv4 frames of several flows, their checksums right, or left for the card to insert. */
#ifndef PERF_FLOW_FRAMES_H
#define PERF_FLOW_FRAMES_H

#include <stdbool.h>
#include <stdint.h>

enum {
    FLOW_L3_OFFSET = 14,
    FLOW_L4_OFFSET = 34,
    FLOW_LEN_MIN = 60,
    FLOW_LEN_MAX = 1514,
};

/* Writes the frame of a flow; with is_offloaded the checksum fields are as a driver leaves them for insertion:
   0 in the IPv4 header, the pseudo-header's sum in the TCP header. */
void flow_frame_write(uint8_t *frame, uint32_t len, uint32_t flow, bool is_offloaded);

#endif
