/* A card with its chimney on and some connections offloaded, and what bytes of a fuzzer can do to it. */
#ifndef FUZZ_CHIMNEY_SCENE_H
#define FUZZ_CHIMNEY_SCENE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vnic/vnic.h>

#include "chimney_stream.h"

enum {
    SCENE_MEMORY = 1 << 19, /* of the guest, at SCENE_IOVA */
    SCENE_IOVA = 1 << 20,
    SCENE_CONNECTIONS = 4,          /* offloaded at the start */
    SCENE_PLACES = 6,               /* for connections */
    SCENE_NEIGHBOUR = SCENE_PLACES, /* places in `handle` behind the connections; each kind has two */
    SCENE_PATHS = SCENE_NEIGHBOUR + 2,
    SCENE_HANDLES = 16,
    SCENE_RING = 32, /* entries of every ring but the completions */
    SCENE_COMPLETIONS = 64,
    SCENE_SAVE_MOST = 1 << 20,
    SCENE_PLAIN = 1 << 8, /* in the cookie of a create whose image is that of scene_image() */
    SCENE_UNSOUND = 1 << 9 /* ... whose image nobody may take */
};

/* Where things are in the guest's memory. */
enum {
    CQ_AT = 0,
    ADMIN_AT = 0x4000,
    SQ_AT = 0x8000,
    POOL_AT = 0x9000,
    RX_AT = 0xB000,
    TX_AT = 0xC000,
    FRAME_AT = 0xD000,
    BUFFERS_AT = 0x10000,
    BUFFER_BYTES = 2048,
    RX_BUFFERS_AT = 0x20000,
    RX_BUFFER_BYTES = 1024,
    IMAGE_AT = 0x28000,
    SENDS_AT = 0x40000, /* what honest sends send; behind it, honest receives */
    RECEIVES_AT = 0x60000,
    AREA_BYTES = 0x20000
};

/* Of every connection at its start. */
enum { SCENE_ISS = 5000, SCENE_IRS = 9000, SCENE_WINDOW = 30000, SCENE_PORT = 4000 };

/* Input that is eaten up; zeros at its end. */
struct scene_bytes {
    const uint8_t *next;
    size_t left;
};

struct scene {
    vnic *card;
    uint8_t *memory;
    uint32_t handle[SCENE_HANDLES]; /* of objects that were made, by their cookies; 0: none */
    uint32_t admin_tail, sq_tail, pool_tail, cq_seen, rx_tail, tx_tail;
    uint32_t pool_taken; /* buffers of the pool that came back */
    uint32_t sends_used, receives_used; /* of their areas */
    uint32_t peer_seq[SCENE_PLACES];
    struct stream stream[SCENE_PLACES];
    uint64_t steps;
    uint64_t said;  /* what the card gave out: frames and interrupts, mixed */
    bool is_forged; /* its state came of a snapshot that was tampered with */
};

/* A card after a power cycle, up, with neighbours, paths and connections; NULL, or what went wrong. */
const char *scene_start(struct scene *s);

/* Another card, whose state and memory are those of `from`; NULL, or what went wrong. */
const char *scene_clone(struct scene *s, const struct scene *from, const uint8_t *image, size_t len);

/* One thing that a driver, a peer, the time or a stranger's snapshot does; NULL, or what must not be. */
const char *scene_act(struct scene *s, struct scene_bytes *bytes);

/* Some of all that can be done, so that what a state says is used; NULL, or what must not be. */
const char *scene_exercise(struct scene *s);

/* To rest, within the bound that the card names [RUN-4]. */
const char *scene_settle(struct scene *s);

/* What the acts are made of. */
void scene_write(struct scene *s, uint32_t offset, uint64_t value);
uint64_t *scene_words(struct scene *s, uint32_t at);
uint64_t *scene_command(struct scene *s, uint64_t op, uint64_t object);
void scene_image(uint64_t *image, uint64_t object, uint32_t number);
/* The driver takes what is there and gives every slot back. NULL, or what is wrong with it. */
const char *scene_take(struct scene *s);
void scene_take_interrupts(struct scene *s);

#endif
