/* A card with its chimney on and some connections offloaded, and what bytes of a fuzzer can do to it. */
#ifndef FUZZ_CHIMNEY_SCENE_H
#define FUZZ_CHIMNEY_SCENE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vnic/vnic.h>

enum {
    SCENE_MEMORY = 1 << 18, /* of the guest, at SCENE_IOVA */
    SCENE_IOVA = 1 << 20,
    SCENE_CONNECTIONS = 4,
    SCENE_HANDLES = 16,
    SCENE_RING = 32 /* entries of every ring but the completions */
};

/* Input that is eaten up; zeros at its end. */
struct scene_bytes {
    const uint8_t *next;
    size_t left;
};

struct scene {
    vnic *card;
    uint8_t *memory;
    uint32_t handle[SCENE_HANDLES]; /* of objects that were made, by kind and number: see scene_start() */
    uint32_t admin_tail, sq_tail, pool_tail, cq_seen;
    uint32_t peer_seq[SCENE_CONNECTIONS];
    uint64_t steps;
    bool is_forged; /* its state came of a snapshot that was tampered with */
};

/* A card after a power cycle, up, with a neighbour, two paths and the connections; NULL, or what went wrong. */
const char *scene_start(struct scene *s);

/* One thing that a driver, a peer, the time or a stranger's snapshot does; NULL, or what must not be. */
const char *scene_act(struct scene *s, struct scene_bytes *bytes);

/* To rest, within the bound that the card names [RUN-4]. */
const char *scene_settle(struct scene *s);

#endif
