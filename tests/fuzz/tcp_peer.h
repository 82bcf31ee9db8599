/* tcp_peer.h: bytes become what a hostile peer sends, and what a user wants of a connection. */
#ifndef TESTS_FUZZ_TCP_PEER_H
#define TESTS_FUZZ_TCP_PEER_H

#include "tcp/engine.h"

/* The bytes that say what happens; behind the last come zeros. */
struct world_bytes {
    const uint8_t *at;
    size_t left;
};

uint32_t world_take8(struct world_bytes *bytes);
uint32_t world_take16(struct world_bytes *bytes);
uint32_t world_take32(struct world_bytes *bytes);

/* A segment for the connection, with numbers around its own. */
struct tcp_segment peer_segment(uint64_t now_ns, const struct tcp_connection *c, struct world_bytes *bytes);

/* The peer's SYN, and what the user opens with. */
struct tcp_segment peer_first(struct world_bytes *bytes);
void peer_open(struct tcp_open *open, struct world_bytes *bytes);

#endif
