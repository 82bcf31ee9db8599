/* world.h: a card in a guest whose memory has guards, and what programs do to both. */
#ifndef VNIC_FUZZ_WORLD_H
#define VNIC_FUZZ_WORLD_H

#include "oplang.h"

/* Where things are for the card. The same in vnic/fuzz/world.py. */
#define WORLD_RAM 0x10000000ull        /* read and write, one piece */
#define WORLD_RAM_BYTES 0x40000u
#define WORLD_PATCHES 0x11000000ull    /* read and write, granules in the reverse order of host memory */
#define WORLD_PATCHES_BYTES 0x4000u
#define WORLD_ROM 0x20000000ull        /* read only */
#define WORLD_ROM_BYTES 0x2000u
#define WORLD_SINK 0x30000000ull       /* write only */
#define WORLD_SINK_BYTES 0x2000u
#define WORLD_SHADOW 0xC0000000ull     /* read and write, and BAR0 is put over it */
#define WORLD_SHADOW_BYTES 0x2000u
#define WORLD_TOP 0xFFFFFFFFFFFFE000ull /* read and write, up to the end of the address space */
#define WORLD_TOP_BYTES 0x2000u
#define WORLD_BAR0 WORLD_SHADOW
#define WORLD_BAR2 0xC0100000ull
#define WORLD_REGIONS 6u
#define WORLD_GUARD_BYTES 4096u
#define WORLD_HOST_BYTES                                                                                     \
    (WORLD_RAM_BYTES + WORLD_PATCHES_BYTES + WORLD_ROM_BYTES + WORLD_SINK_BYTES + WORLD_SHADOW_BYTES         \
     + WORLD_TOP_BYTES + (WORLD_REGIONS + 1) * WORLD_GUARD_BYTES)

#define WORLD_PAIRS 3u    /* of the card; the bring-up starts the first two */
#define WORLD_VECTORS 4u
#define WORLD_FRAME_MAX 65536u
#define WORLD_RUN_MAX 4096u /* most steps of one operation */
#define WORLD_STEP_BYTES (9728u + 1024u) /* most that a step moves, and enough for any: RUN-3, RUN-5 */
#define WORLD_SNAPSHOT_MAX (1u << 20)

struct world {
    vnic *card;
    uint8_t *host;           /* regions with guards between them */
    uint64_t digest;         /* of everything that the card said */
    uint64_t steps;          /* taken in all */
    uint32_t split;          /* runs are cut into pieces of as many steps; 0: not */
    const char *broken;      /* what was not true, or NULL */
};

/* A fresh world and a card in it, all of memory mapped; false: no memory. */
bool world_create(struct world *w);
void world_destroy(struct world *w);
/* A world at a moment, to go back to. */
struct world_image {
    uint64_t digest;
    size_t len; /* of card */
    uint8_t card[WORLD_SNAPSHOT_MAX];
    uint8_t host[WORLD_HOST_BYTES];
};
size_t world_keep(struct world *w, struct world_image *image);
void world_begin(struct world *w, const struct world_image *image, bool is_answering, uint32_t split);
void world_watch(struct world *w, bool is_watched); /* attaches an observer of everything */
/* No faults, all of memory mapped again, and nothing else answers. */
void world_host_repair(struct world *w);
void world_apply(struct world *w, const struct oplang_program *p, uint32_t from, uint32_t to);
/* Runs to idle; whether that took no more than vnic_idle_steps had said. Gives up at `most` steps: true. */
bool world_settle(struct world *w, uint64_t most);
/* Guards and read-only memory are as they were. */
bool world_is_intact(const struct world *w);
/* The writable memory of both is the same. */
bool world_is_same_memory(const struct world *a, const struct world *b);
/* Guest memory at an address, of one region; NULL when it is not all in one. */
uint8_t *world_memory(struct world *w, uint64_t addr, uint64_t len);
void world_say(struct world *w, const void *bytes, size_t len); /* into the digest */

/* Edits of a snapshot in place; its new length. data: LEB128 triples of record, kind and value. */
size_t world_tamper(uint8_t *image, size_t len, const uint8_t *data, uint32_t data_len);

/* bring_up.c: the steps of spec/programming.md as a program, and the tests of a card that it brought up. */
void bring_up_append(struct oplang_program *p);
const char *bring_up_test(struct world *w); /* what failed, or NULL */
/* Takes a card from any state to where bring_up_append() can start, by a level; what failed, or NULL. */
enum bring_up_level {
    LEVEL_DEVICE,
    LEVEL_QUEUE,
    LEVEL_FLR,
    LEVEL_D3,
    LEVEL_HOT,
    LEVEL_POWER,
    LEVEL_REMOVE,
    LEVELS
};
const char *bring_up_reset(struct world *w, enum bring_up_level level);

#endif
