/* A copy engine and its twin, host memory with holes, and what bytes of a fuzzer can do to them. */
#ifndef FUZZ_COPY_SCENE_H
#define FUZZ_COPY_SCENE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vnic/vnic_copy.h>

#include "copy_judge.h"

/* Host memory: a guard in front of each page, and around the pages that are mapped in one piece. */
enum {
    SCENE_PAGE = 4096,
    SCENE_PAGES = 8,
    SCENE_WIDE_PAGES = 4,
    SCENE_BYTES = (2 * SCENE_PAGES + 1 + SCENE_WIDE_PAGES + 1) * SCENE_PAGE,
    SCENE_WIDE_BYTES = SCENE_WIDE_PAGES * SCENE_PAGE,
    SCENE_WIDE_AT = (2 * SCENE_PAGES + 1) * SCENE_PAGE,
    SCENE_FRAMES = 14, /* bus pages from SCENE_IOVA on, each a hole or one page of host memory */
    SCENE_IOVA = 1 << 20,
    SCENE_WIDE = 1 << 24,
    SCENE_CHANNELS_MAX = 4,
    SCENE_ACTS_MOST = 400,
    SCENE_LAST_STEPS = 1 << 16 /* in which most come to rest */
};

/* Where the BAR goes, if the fuzzer leaves it alone. */
#define SCENE_BAR UINT64_C(0xF0000000)
/* The last page of the address space is mapped, too. */
#define SCENE_TOP (UINT64_MAX - (SCENE_PAGE - 1))

/* What a driver writes there: one byte of GENERAL; interrupts on, or on again. */
enum { SCENE_INTRCTRL = 3, SCENE_INTRCTRL_ON = 9, SCENE_CHANCTRL = 0x1D };

/* Input that is eaten up; zeros at its end. */
struct scene_bytes {
    const uint8_t *next;
    size_t left;
};

/* One engine and its memory. */
struct side {
    vnic_copy *engine;
    uint8_t *memory;     /* SCENE_BYTES */
    uint64_t answers;    /* what was asked of the host for memory that is not mapped, mixed */
    bool is_cut_wrongly; /* a transfer of data crossed a page */
};

enum { PLAIN, WATCHED, SIDES };

/* Both sides get the same inputs; WATCHED has an observer, so that it takes no step together with another. */
struct scene {
    struct side side[SIDES];
    uint8_t *before;              /* the memory as it was when it was last looked at */
    uint8_t is_written[SCENE_PAGES]; /* since then the page was mapped for writing */
    uint8_t frame[SCENE_FRAMES];  /* what is mapped there: 0, or number of the page + 1 */
    uint8_t permissions[SCENE_FRAMES];
    uint8_t channels;
    uint16_t count[SCENE_CHANNELS_MAX]; /* DMACOUNT as last written */
    bool is_faulty;                     /* a fault was armed: it may keep what is in no snapshot */
    struct copy_judge *judge;           /* of WATCHED */
};

/* Made by the first bytes of the input, and set up by a driver; NULL, or what went wrong. */
const char *scene_start(struct scene *s, struct scene_bytes *bytes);
void scene_end(struct scene *s);

/* One thing that a driver, a host, the time or a stranger's snapshot does; NULL, or what must not be. */
const char *scene_act(struct scene *s, struct scene_bytes *bytes);

/* Runs both for so many steps, within the bound that the engine names, and both alike, though WATCHED in two runs where
 * the steps alone are limited. [DMA-51, DMA-52] */
const char *scene_run(struct scene *s, uint64_t steps, uint64_t bytes);

/* The twins are alike, and nothing was written where nothing could be. [DMA-41] */
const char *scene_compare(struct scene *s);

/* What the acts are made of. */
uint8_t byte_take(struct scene_bytes *b);
uint64_t word_take(struct scene_bytes *b, unsigned bytes);
uint64_t address_take(struct scene_bytes *b);
uint8_t *page_at(const struct side *side, unsigned page);
void scene_poke(struct scene *s, uint64_t iova, const void *bytes, size_t len);
void scene_map(struct scene *s, unsigned frame, unsigned page, unsigned permissions);
void scene_unmap(struct scene *s, unsigned frame);
void scene_write(struct scene *s, uint64_t offset, unsigned width, uint64_t value);
void scene_config(struct scene *s, uint32_t offset, unsigned width, uint32_t value);
void scene_bring_up(struct scene *s);

#endif
