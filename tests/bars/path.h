/* The emulated path: a bottleneck with a drop-tail queue, a delay each way, and random loss or reordering. */
#ifndef VNIC_TESTS_BARS_PATH_H
#define VNIC_TESTS_BARS_PATH_H

#include "wire/tcp_header.h"

#include <stdbool.h>
#include <stdint.h>

/* What the path does to packets of the data direction; times in ns, shares in parts per million. */
struct path_config {
    uint64_t bits_per_second;
    uint64_t delay_ns; /* one way, after the bottleneck */
    uint64_t extra_ns; /* of a packet that is reordered */
    uint32_t queue_bytes;
    uint32_t loss_ppm, reorder_ppm;
    uint64_t seed;
};

struct path_packet {
    struct tcp_segment segment;
    uint64_t at_ns; /* when it arrives */
    uint32_t flow;
};

/* Packets in the order of their arrival; the delay of all of them is the same. */
struct path_lane {
    struct path_packet *packets;
    uint32_t head, tail; /* positions, modulo the size */
};

struct path {
    struct path_config config;
    struct path_lane forward, late, back; /* data, reordered data, ACKs */
    uint64_t free_at_ns; /* when the bottleneck has sent what it holds */
    uint64_t random;
};

bool path_open(struct path *p, const struct path_config *config);
void path_close(struct path *p);

/* A packet towards the receiver: false when it is lost. frame_bytes: with all that the wire needs for it. */
bool path_send(struct path *p, uint64_t now_ns, uint32_t flow, const struct tcp_segment *segment,
               uint32_t frame_bytes);

/* A packet towards the sender: never lost, never queued. */
void path_return(struct path *p, uint64_t now_ns, uint32_t flow, const struct tcp_segment *segment);

/* When the next packet arrives at either end; UINT64_MAX: there is none. */
uint64_t path_next(const struct path *p);

/* Takes a packet that has arrived by now; NULL: none. *is_data: it goes to the receiver. */
const struct path_packet *path_take(struct path *p, uint64_t now_ns, bool *is_data);

#endif
