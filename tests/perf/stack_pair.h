/* Two host stacks in one process, neighbours on a link that passes frames in bursts. */
#ifndef PERF_STACK_PAIR_H
#define PERF_STACK_PAIR_H

#include <stdbool.h>
#include <stdint.h>

#include <vnic/vnic_stack.h>

#include "tcp_load.h"

enum {
    PAIR_FRAME_BYTES = 1514 + 4,
    /* Not a power of two: equal offsets in all frames would fall into the same few cache sets. */
    PAIR_FRAME_STRIDE = 2048 + 256,
    PAIR_LISTENERS = 16, /* ports LOAD_SERVER_PORT and up: a port pair for each of 512 k connections */
    PAIR_EVENTS = 64,
    PAIR_DELACK_MS = 100, /* below the 200 ms that a tail loss probe grants (RFC 8985 7.2) */
};

struct stack_pair {
    vnic_stack *client, *server;
    vnic_socket listener[PAIR_LISTENERS];
    uint64_t now_ns;
    uint64_t to_server, to_client; /* frames that passed */
    uint8_t frame[LOAD_BURST][PAIR_FRAME_STRIDE];
};

/* Stacks for that many connections, with addresses, permanent neighbours and listeners. NULL, or what failed. */
const char *pair_open(struct stack_pair *pair, uint32_t connections);
void pair_close(struct stack_pair *pair);

/* Up to LOAD_BURST frames from one stack into the other; how many. */
unsigned pair_to_server(struct stack_pair *pair);
unsigned pair_to_client(struct stack_pair *pair);

/* Time passes; timers that are due run. */
void pair_wait(struct stack_pair *pair, uint64_t ns);

struct vnic_endpoint pair_endpoint(uint8_t number, uint16_t port);

/* Opens connection number i with a local port chosen here: below PAIR_LISTENERS * 32768. */
vnic_socket pair_connect(struct stack_pair *pair, uint32_t i);

#endif
