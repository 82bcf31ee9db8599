/* world.c: guest memory with guards, and the operations of a program on it and on the card. */
#include "world.h"

#include <stdlib.h>

#define GUARD_BYTES WORLD_GUARD_BYTES
#define GUARD_FILL 0xA5
#define GRANULE 4096u
#define FNV_OFFSET 0xCBF29CE484222325ull
#define FNV_PRIME 0x100000001B3ull
#define SCATTERED 1u /* numbers of regions */
#define ROM 2u
#define FAULTS 8

struct region {
    uint64_t addr;
    uint32_t bytes;
    unsigned permissions;
};

static const struct region regions[WORLD_REGIONS] = {
    {WORLD_RAM, WORLD_RAM_BYTES, VNIC_MAP_READ | VNIC_MAP_WRITE},
    {WORLD_PATCHES, WORLD_PATCHES_BYTES, VNIC_MAP_READ | VNIC_MAP_WRITE},
    {WORLD_ROM, WORLD_ROM_BYTES, VNIC_MAP_READ},
    {WORLD_SINK, WORLD_SINK_BYTES, VNIC_MAP_WRITE},
    {WORLD_SHADOW, WORLD_SHADOW_BYTES, VNIC_MAP_READ | VNIC_MAP_WRITE},
    {WORLD_TOP, WORLD_TOP_BYTES, VNIC_MAP_READ | VNIC_MAP_WRITE},
};

static uint32_t region_offset(unsigned n)
{
    uint32_t offset = GUARD_BYTES;
    for (unsigned i = 0; i < n; i++) {
        offset += regions[i].bytes + GUARD_BYTES;
    }
    return offset;
}

/* ---- memory ---- */

uint8_t *world_memory(struct world *w, uint64_t addr, uint64_t len)
{
    for (unsigned i = 0; i < WORLD_REGIONS; i++) {
        uint64_t at = addr - regions[i].addr;
        if (addr >= regions[i].addr && at < regions[i].bytes && len <= regions[i].bytes - at) {
            return w->host + region_offset(i) + at;
        }
    }
    return NULL;
}

/* The scattered region's granules lie in reverse order: a transfer over an edge is in two pieces. */
static void world_map_region(struct world *w, unsigned n, unsigned permissions)
{
    const struct region *r = &regions[n];
    uint8_t *host = w->host + region_offset(n);
    if (n != SCATTERED) {
        (void)vnic_map(w->card, r->addr, host, r->bytes, permissions);
        return;
    }
    for (uint32_t at = 0; at < r->bytes; at += GRANULE) {
        (void)vnic_map(w->card, r->addr + at, host + (r->bytes - GRANULE - at), GRANULE, permissions);
    }
}

/* Guest memory on the first day: zeros between guards, and something to read in the ROM. */
static const uint8_t *world_fresh(void)
{
    static uint8_t fresh[WORLD_HOST_BYTES];
    if (fresh[0] == 0) {
        memset(fresh, GUARD_FILL, sizeof fresh);
        for (unsigned i = 0; i < WORLD_REGIONS; i++) {
            memset(fresh + region_offset(i), 0, regions[i].bytes);
        }
        for (uint32_t i = 0; i < WORLD_ROM_BYTES; i++) {
            fresh[region_offset(ROM) + i] = (uint8_t)(i * 37 + (i >> 8));
        }
    }
    return fresh;
}

bool world_is_intact(const struct world *w)
{
    const uint8_t *fresh = world_fresh();
    uint32_t rom = region_offset(ROM);
    bool is_same = memcmp(w->host + rom, fresh + rom, WORLD_ROM_BYTES) == 0;
    for (unsigned i = 0; i <= WORLD_REGIONS; i++) {
        uint32_t guard = region_offset(i) - GUARD_BYTES;
        is_same = is_same && memcmp(w->host + guard, fresh + guard, GUARD_BYTES) == 0;
    }
    return is_same;
}

bool world_is_same_memory(const struct world *a, const struct world *b)
{
    return memcmp(a->host, b->host, WORLD_HOST_BYTES) == 0;
}

/* ---- what the card says ---- */

void world_say(struct world *w, const void *bytes, size_t len)
{
    const uint8_t *b = bytes;
    uint64_t digest = w->digest;
    for (size_t i = 0; i < len; i++) {
        digest = (digest ^ b[i]) * FNV_PRIME;
    }
    w->digest = digest;
}

static void world_say_number(struct world *w, uint64_t number)
{
    world_say(w, &number, sizeof number);
}

/* Pure: what is read follows from the address. One address in 16 is nobody's. */
static int world_answer(void *opaque, uint64_t iova, uint8_t *bytes, uint32_t len, int is_write)
{
    struct world *w = opaque;
    if ((iova >> 12) % 16 == 15) {
        return VNIC_DMA_UNSUPPORTED;
    }
    if (is_write) {
        world_say_number(w, iova);
        world_say(w, bytes, len);
        return VNIC_DMA_OK;
    }
    for (uint32_t i = 0; i < len; i++) {
        bytes[i] = (uint8_t)((iova + i) * 0x9E3779B97F4A7C15ull >> 57);
    }
    return VNIC_DMA_OK;
}

static void world_see(void *opaque, const struct vnic_event *event)
{
    volatile uint64_t *seen = opaque;
    for (uint32_t i = 0; i < event->len && event->data; i += 64) {
        *seen += event->data[i];
    }
}

void world_watch(struct world *w, bool is_watched)
{
    static uint64_t seen;
    vnic_observe(w->card, is_watched ? world_see : NULL, &seen, UINT32_MAX);
}

/* ---- life ---- */

static void world_check(struct world *w, bool is_so, const char *otherwise)
{
    if (!is_so && !w->broken) {
        w->broken = otherwise;
    }
}

void world_host_repair(struct world *w)
{
    for (int id = 0; id < FAULTS; id++) {
        (void)vnic_fault_disarm(w->card, id);
    }
    vnic_unmap_all(w->card);
    for (unsigned i = 0; i < WORLD_REGIONS; i++) {
        world_map_region(w, i, regions[i].permissions);
    }
    vnic_set_unmapped(w->card, NULL, NULL);
}

bool world_create(struct world *w)
{
    struct vnic_config config;
    vnic_config_init(&config);
    config.queue_pairs = WORLD_PAIRS;
    config.vectors = WORLD_VECTORS;
    config.rx_buffer_bytes = 1u << 16;
    config.tx_buffer_bytes = 1u << 16;
    config.map_regions = 64;
    config.faults = FAULTS;
    *w = (struct world){.digest = FNV_OFFSET, .host = aligned_alloc(GRANULE, WORLD_HOST_BYTES)};
    if (!w->host || vnic_create(&config, &w->card) != VNIC_OK) {
        return false;
    }
    memcpy(w->host, world_fresh(), WORLD_HOST_BYTES);
    world_host_repair(w);
    return true;
}

void world_destroy(struct world *w)
{
    vnic_destroy(w->card);
    free(w->host);
}

size_t world_keep(struct world *w, struct world_image *image)
{
    memcpy(image->host, w->host, WORLD_HOST_BYTES);
    image->digest = w->digest;
    image->len = vnic_save(w->card, image->card, sizeof image->card);
    return image->len;
}

/* A card's time cannot go back but by loading, so the beginning is a snapshot. */
void world_begin(struct world *w, const struct world_image *image, bool is_answering, uint32_t split)
{
    w->digest = image->digest;
    w->steps = 0;
    w->split = split;
    w->broken = NULL;
    world_watch(w, false);
    world_check(w, vnic_load(w->card, image->card, image->len) == VNIC_OK, "a good snapshot is refused");
    memcpy(w->host, image->host, WORLD_HOST_BYTES);
    world_host_repair(w);
    vnic_set_unmapped(w->card, is_answering ? world_answer : NULL, w);
}

/* ---- operations ---- */

/* Whole, or a few steps at a time: what is left of the bytes goes along. */
static uint64_t world_run(struct world *w, uint64_t steps, uint64_t bytes)
{
    uint64_t total = 0;
    steps = steps < WORLD_RUN_MAX ? steps : WORLD_RUN_MAX;
    while (total < steps) {
        uint64_t left = steps - total;
        struct vnic_budget used, budget = {w->split && w->split < left ? w->split : left, bytes};
        uint32_t runnable = vnic_run(w->card, &budget, &used);
        world_check(w, used.steps <= budget.steps && used.bytes <= budget.bytes, "a run exceeded its budget");
        world_check(w, used.bytes <= used.steps * WORLD_STEP_BYTES, "a step moved more than it may");
        world_check(w, used.steps > 0 || budget.bytes < WORLD_STEP_BYTES || runnable == 0, "no progress");
        world_check(w, runnable == vnic_runnable(w->card),
                    "vnic_run returned something else than vnic_runnable");
        total += used.steps;
        bytes -= used.bytes;
        if (used.steps < budget.steps) {
            break;
        }
    }
    w->steps += total;
    return total;
}

bool world_settle(struct world *w, uint64_t most)
{
    uint64_t bound = vnic_idle_steps(w->card), total = 0;
    while (vnic_runnable(w->card) != 0 && total < most) {
        struct vnic_budget used, budget = {most - total, UINT64_MAX};
        (void)vnic_run(w->card, &budget, &used);
        total += used.steps;
        world_check(w, used.steps > 0, "a runnable card took no step");
        if (used.steps == 0) {
            return false;
        }
        world_check(w, total <= bound, "idle took more steps than vnic_idle_steps said");
        /* The link takes what leaves, so that the buffer is never what stops a transmit ring. */
        vnic_frames_release(w->card, SIZE_MAX);
    }
    return w->broken == NULL;
}

static uint64_t world_step(struct world *w, unsigned engine)
{
    uint64_t bytes = 0;
    bool was_runnable = engine < VNIC_ENGINES && (vnic_runnable(w->card) >> engine & 1);
    int taken = vnic_step(w->card, engine, &bytes);
    world_check(w, taken == was_runnable, "vnic_step and vnic_runnable disagree");
    world_check(w, taken || bytes == 0, "a step not taken moved bytes");
    world_check(w, bytes <= WORLD_STEP_BYTES, "a step moved more than it may");
    w->steps += (uint64_t)taken;
    return (uint64_t)taken;
}

static void world_drain(struct world *w)
{
    struct vnic_interrupt interrupts[32];
    struct vnic_frame frames[32];
    for (size_t n; (n = vnic_interrupts(w->card, interrupts, 32)) > 0;) {
        world_say(w, interrupts, n * sizeof interrupts[0]);
    }
    for (size_t n; (n = vnic_frames(w->card, frames, 32)) > 0;) {
        for (size_t i = 0; i < n; i++) {
            world_say_number(w, frames[i].queue);
            world_say_number(w, frames[i].len);
            world_say(w, frames[i].data, frames[i].len);
        }
        vnic_frames_release(w->card, n);
    }
}

static void world_poke(struct world *w, uint64_t addr, const uint8_t *data, uint32_t len)
{
    uint8_t *to = world_memory(w, addr, len);
    if (to && addr >> 28 != WORLD_ROM >> 28 && addr >> 28 != WORLD_SHADOW >> 28) {
        memcpy(to, data, len);
    }
}

static void world_repeat(struct world *w, const struct vnic_op *op, const uint8_t *data, uint32_t len)
{
    uint64_t count = op->value < 4096 ? op->value : 4096, first = 0;
    memcpy(&first, data, len < 8 ? len : 8);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t addr = op->addr + i * op->width, rising = first + (op->index < 64 ? i << op->index : 0);
        world_poke(w, addr, data, len);
        world_poke(w, addr, (const uint8_t *)&rising, len < 8 ? len : 8);
    }
}

static void world_arm(struct world *w, const uint8_t *data, uint32_t len)
{
    struct vnic_fault fault = {0};
    memcpy(&fault, data, len < sizeof fault ? len : sizeof fault);
    world_say_number(w, (uint64_t)vnic_fault_arm(w->card, &fault));
}

/* Who accepts what was tampered with must save it again as it was; who refuses is as after power-on. */
static void world_reload(struct world *w, const uint8_t *data, uint32_t data_len)
{
    static uint8_t image[WORLD_SNAPSHOT_MAX], again[WORLD_SNAPSHOT_MAX];
    size_t len = vnic_save(w->card, image, sizeof image);
    len = world_tamper(image, len, data, data_len);
    int result = vnic_load(w->card, image, len);
    size_t saved = vnic_save(w->card, again, sizeof again);
    world_say_number(w, (uint64_t)result);
    if (result == VNIC_OK) {
        world_check(w, saved == len && memcmp(image, again, len) == 0,
                    "an accepted snapshot is saved otherwise");
        return;
    }
    world_check(w, vnic_now(w->card) == 0 && vnic_runnable(w->card) == 0,
                "a card that refused is not as after power-on");
    vnic_set_link(w->card, 10000);
}

static void world_apply_own(struct world *w, const struct vnic_op *op, const uint8_t *data, uint32_t len)
{
    switch ((enum oplang_code)op->code) {
    case OPLANG_POKE:
        world_poke(w, op->addr, data, len);
        break;
    case OPLANG_FILL:
        world_repeat(w, op, data, len);
        break;
    case OPLANG_MAP:
        world_map_region(w, (unsigned)(op->addr % WORLD_REGIONS), op->index & 3u);
        break;
    case OPLANG_UNMAP:
        world_say_number(w, (uint64_t)vnic_unmap(w->card, op->addr, op->value));
        break;
    case OPLANG_ARM:
        world_arm(w, data, len);
        break;
    case OPLANG_DISARM:
        world_say_number(w, (uint64_t)vnic_fault_disarm(w->card, (int)(op->value & 15)));
        break;
    case OPLANG_TAMPER:
        world_reload(w, data, len);
        break;
    }
}

static void world_apply_one(struct world *w, const struct vnic_op *op, const uint8_t *data, uint32_t len)
{
    struct vnic_op copy = *op;
    switch (op->code) {
    case VNIC_OP_RUN:
        world_say_number(w, world_run(w, op->addr, op->value));
        break;
    case VNIC_OP_STEP:
        world_say_number(w, world_step(w, op->index));
        break;
    case VNIC_OP_DRAIN:
        world_drain(w);
        break;
    case VNIC_OP_RECEIVE:
        copy.addr = 0;
        copy.value = len < WORLD_FRAME_MAX ? len : WORLD_FRAME_MAX;
        /* fall through */
    default:
        if (op->code >= VNIC_OP_CODES) {
            world_apply_own(w, op, data, len);
        } else if (vnic_batch(w->card, &copy, 1, data, len) == 1) {
            world_say_number(w, copy.value);
        }
        break;
    }
}

void world_apply(struct world *w, const struct oplang_program *p, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to && i < p->count; i++) {
        world_apply_one(w, &p->op[i].op, p->bytes + p->op[i].data, p->op[i].data_len);
    }
}
