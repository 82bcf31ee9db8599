/* tcp_world.h: a few connections of one engine in the hands of a hostile peer, a hostile user and bytes. */
#ifndef TESTS_FUZZ_TCP_WORLD_H
#define TESTS_FUZZ_TCP_WORLD_H

#include "tcp/image.h"
#include "tcp_ledger.h"
#include "tcp_peer.h"

enum { WORLD_CONNECTIONS = 4, WORLD_IMAGE_BYTES = 65536 };

struct world {
    tcp_engine *engine;
    struct tcp_connection *c[WORLD_CONNECTIONS]; /* NULL: none */
    struct ledger ledger[WORLD_CONNECTIONS];
    uint64_t now_ns;
    uint64_t said;  /* all segments that left, mixed */
    bool is_forged; /* a connection is none that the engine made: its states may contradict each other */
    uint8_t image[WORLD_IMAGE_BYTES];
};

/* A fresh engine with small pools at some time; aborts when memory is short. */
void world_start(struct world *w, struct world_bytes *bytes);
void world_end(struct world *w);

/* Opens connection slot as the bytes want it. */
void world_open(struct world *w, unsigned slot, struct world_bytes *bytes);

/* The next operation of the bytes. NULL, or what is wrong with the engine. */
const char *world_step(struct world *w, struct world_bytes *bytes);

/* Saves the connection into w->image and loads it back in its place; what is wrong, or NULL. */
const char *world_reload(struct world *w, unsigned slot);

/* One of all that may happen at the border, as the bytes want it; what is wrong, or NULL. */
const char *world_hand_off(struct world *w, unsigned slot, struct world_bytes *bytes);

/* Some of all that can happen to the connection, so that what it says of itself is used; what is wrong, or NULL. */
const char *world_exercise(struct world *w, unsigned slot);

/* [IMG-2] An image lives the same life in two engines whose clocks differ; what is wrong, or NULL. */
const char *world_lives_alike(const struct world *w, const uint8_t *image, size_t size);

/* Releases the connection. */
void world_drop(struct world *w, unsigned slot);

/* All connections released: every pool must be whole again. */
const char *world_finish(struct world *w);

#endif
