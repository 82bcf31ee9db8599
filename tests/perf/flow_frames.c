/* Frames written byte by byte, with the checksum of RFC 1071 in its plainest form. */
#include "flow_frames.h"

#include <string.h>

static void put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static uint32_t sum16(uint32_t sum, const uint8_t *bytes, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
    }
    return sum;
}

static uint32_t sum_fold(uint32_t sum)
{
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return sum;
}

static void ipv4_write(uint8_t *ip, uint32_t len, uint32_t flow)
{
    static const uint8_t start[20] = {0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 0, 10, 1, 0, 1};

    memcpy(ip, start, sizeof start);
    put16(ip + 2, len);
    put16(ip + 14, 1 + flow);
}

static void tcp_write(uint8_t *tcp, uint32_t len, uint32_t flow)
{
    memset(tcp, 0, 20);
    put16(tcp, 49152 + flow);
    put16(tcp + 2, 443);
    tcp[12] = 0x50; /* Data Offset 5 */
    tcp[13] = 0x10; /* ACK */
    put16(tcp + 14, 0xffff);
    for (uint32_t i = 20; i < len; i++) {
        tcp[i] = (uint8_t)(i * 31 + flow);
    }
}

void flow_frame_write(uint8_t *frame, uint32_t len, uint32_t flow, bool is_offloaded)
{
    static const uint8_t ethernet[FLOW_L3_OFFSET] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0};
    uint8_t *ip = frame + FLOW_L3_OFFSET, *tcp = frame + FLOW_L4_OFFSET;
    uint32_t tcp_len = len - FLOW_L4_OFFSET, sum;

    memcpy(frame, ethernet, sizeof ethernet);
    ipv4_write(ip, len - FLOW_L3_OFFSET, flow);
    tcp_write(tcp, tcp_len, flow);
    sum = sum16(6 + tcp_len, ip + 12, 8); /* RFC 9293 3.1: the pseudo-header */
    if (is_offloaded) {
        put16(tcp + 16, sum_fold(sum));
        return;
    }
    put16(tcp + 16, sum_fold(sum16(sum, tcp, tcp_len)) ^ 0xffff);
    put16(ip + 10, sum_fold(sum16(0, ip, 20)) ^ 0xffff);
}
