/* copy_scene.c: two copy engines that get the same inputs, their memory, and what must hold of them. */
#include "copy_scene.h"

#include <stdlib.h>
#include <string.h>

#include "gen/copy_bar0.h"
#include "gen/pci_config.h"
#include "see.h"

enum { GUARD = 0xA5 };

uint8_t byte_take(struct scene_bytes *b)
{
    if (b->left == 0) {
        return 0;
    }
    b->left--;
    return *b->next++;
}

uint64_t word_take(struct scene_bytes *b, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes; i++) {
        value |= (uint64_t)byte_take(b) << 8 * i;
    }
    return value;
}

/* -- memory ------------------------------------------------------------------------------------------------- */

uint8_t *page_at(const struct side *side, unsigned page)
{
    return side->memory + (2 * page + 1) * SCENE_PAGE;
}

/* Mostly where memory is; else in frames that may be holes, in the BAR, at the end of the address space, anywhere. */
uint64_t address_take(struct scene_bytes *b)
{
    const uint8_t pick = byte_take(b);
    const uint64_t low = word_take(b, 2);

    if (pick < 128) {
        return SCENE_WIDE + low % ((unsigned)SCENE_WIDE_BYTES - (pick < 120 ? 512u : 0u));
    }
    if (pick < 240) {
        return SCENE_IOVA + (pick % (SCENE_FRAMES + 1u)) * SCENE_PAGE + low % SCENE_PAGE;
    }
    switch (pick % 4) {
    case 0:
        return SCENE_BAR + low % 0x4000;
    case 1:
        return SCENE_TOP + low % SCENE_PAGE;
    case 2:
        return low << pick % 48;
    default:
        return word_take(b, 8);
    }
}

void scene_poke(struct scene *s, uint64_t iova, const void *bytes, size_t len)
{
    const uint64_t offset = iova - SCENE_IOVA;
    const uint64_t at = offset % SCENE_PAGE;

    if (offset >= SCENE_FRAMES * SCENE_PAGE || s->frame[offset / SCENE_PAGE] == 0 || at + len > SCENE_PAGE) {
        return;
    }
    const unsigned page = s->frame[offset / SCENE_PAGE] - 1u;
    for (unsigned i = 0; i < SIDES; i++) {
        memcpy(page_at(&s->side[i], page) + at, bytes, len);
    }
    memcpy(s->before + (2 * page + 1) * SCENE_PAGE + at, bytes, len);
}

void scene_unmap(struct scene *s, unsigned frame)
{
    for (unsigned i = 0; i < SIDES && s->frame[frame] != 0; i++) {
        (void)vnic_copy_unmap(s->side[i].engine, SCENE_IOVA + frame * UINT64_C(4096), SCENE_PAGE);
    }
    s->frame[frame] = 0;
}

void scene_map(struct scene *s, unsigned frame, unsigned page, unsigned permissions)
{
    scene_unmap(s, frame);
    for (unsigned i = 0; i < SIDES; i++) {
        if (vnic_copy_map(s->side[i].engine, SCENE_IOVA + frame * UINT64_C(4096), page_at(&s->side[i], page),
                          SCENE_PAGE, permissions)
            != VNIC_OK) {
            return; /* no permission at all: a hole */
        }
    }
    s->frame[frame] = (uint8_t)(page + 1);
    s->permissions[frame] = (uint8_t)permissions;
    s->is_written[page] |= (permissions & VNIC_MAP_WRITE) != 0;
}

/* -- registers ---------------------------------------------------------------------------------------------- */

void scene_write(struct scene *s, uint64_t offset, unsigned width, uint64_t value)
{
    for (unsigned i = 0; i < SIDES; i++) {
        vnic_copy_write(s->side[i].engine, 0, offset, width, value);
    }
}

void scene_config(struct scene *s, uint32_t offset, unsigned width, uint32_t value)
{
    for (unsigned i = 0; i < SIDES; i++) {
        vnic_copy_cfg_write(s->side[i].engine, offset, width, value);
    }
}

/* What a driver does first; again after a reset. */
void scene_bring_up(struct scene *s)
{
    scene_config(s, CFG_PM_CTRL, 2, 0);
    scene_config(s, CFG_BAR, 4, (uint32_t)SCENE_BAR);
    scene_config(s, CFG_BAR + CFG_BAR_STRIDE, 4, 0);
    scene_config(s, CFG_COMMAND, 2, COMMAND_MEMORY_MASK | COMMAND_MASTER_MASK);
    scene_write(s, COPY_GENERAL + SCENE_INTRCTRL, 1, SCENE_INTRCTRL_ON);
    for (unsigned n = 0; n < s->channels; n++) {
        const uint32_t channel = n * COPY_CHAN_STRIDE;
        scene_write(s, COPY_CHANCMD + channel, 1, CHANCMD_RESET_MASK);
        scene_write(s, COPY_CHANCTRL + channel, 4, SCENE_CHANCTRL);
        scene_write(s, COPY_CHANCMP + channel, 8, SCENE_IOVA + n * 8u);
        s->count[n] = 0;
    }
}

/* -- life --------------------------------------------------------------------------------------------------- */

static void config_take(struct scene *s, struct scene_bytes *b, struct vnic_copy_config *config)
{
    const uint8_t pick = byte_take(b);

    s->channels = (uint8_t)(1 + pick % SCENE_CHANNELS_MAX);
    vnic_copy_config_init(config);
    config->channels = s->channels;
    config->vectors = (uint8_t)(1 + pick / 4 % 5);
    config->transfer_log2 = (uint8_t)(12 + pick / 32 % 3 * 2);
    config->is_overlapping = pick >= 192;
    config->faults = 4;
}

static void on_event(void *opaque, const struct vnic_event *event)
{
    struct scene *s = opaque;

    s->side[WATCHED].is_cut_wrongly |=
        event->index == VNIC_DMA_DATA && event->addr % SCENE_PAGE + event->len > SCENE_PAGE;
    copy_judge_event(s->judge, event);
}

static bool side_make(struct side *side, const struct vnic_copy_config *config)
{
    side->memory = aligned_alloc(SCENE_PAGE, SCENE_BYTES);
    return side->memory != NULL && vnic_copy_create(config, &side->engine) == VNIC_OK;
}

/* No two places are likely to be alike. */
static void stretch_fill(uint8_t *memory, size_t pages)
{
    for (size_t i = 0; i < pages * SCENE_PAGE; i++) {
        memory[i] = (uint8_t)(i * 167 + (i >> 8) * 31);
    }
}

static void memory_fill(struct scene *s)
{
    memset(s->before, GUARD, SCENE_BYTES);
    for (size_t page = 0; page < SCENE_PAGES; page++) {
        stretch_fill(s->before + (2 * page + 1) * SCENE_PAGE, 1);
    }
    stretch_fill(s->before + SCENE_WIDE_AT, SCENE_WIDE_PAGES);
    for (unsigned i = 0; i < SIDES; i++) {
        memcpy(s->side[i].memory, s->before, SCENE_BYTES);
    }
}

/* A hole, a page that is read only, a frame that shows the page of another. */
static void memory_map(struct scene *s)
{
    const unsigned both = VNIC_MAP_READ | VNIC_MAP_WRITE;

    for (unsigned frame = 0; frame < SCENE_PAGES; frame++) {
        const bool is_readable_only = frame == 5;
        if (frame != 3) {
            scene_map(s, frame, frame, is_readable_only ? VNIC_MAP_READ : both);
        }
    }
    scene_map(s, SCENE_PAGES, 1, both);
    s->is_written[SCENE_PAGES - 1] = true;
    for (unsigned i = 0; i < SIDES; i++) {
        struct side *side = &s->side[i];
        (void)vnic_copy_map(side->engine, SCENE_TOP, page_at(side, SCENE_PAGES - 1), SCENE_PAGE, both);
        (void)vnic_copy_map(side->engine, SCENE_WIDE, side->memory + SCENE_WIDE_AT, SCENE_WIDE_BYTES, both);
    }
}

const char *scene_start(struct scene *s, struct scene_bytes *bytes)
{
    static struct copy_judge judge;
    struct vnic_copy_config config;
    const uint32_t watched = 1u << VNIC_EVENT_DMA_READ | 1u << VNIC_EVENT_DMA_WRITE;

    *s = (struct scene){.before = malloc(SCENE_BYTES), .judge = &judge};
    copy_judge_start(s->judge);
    config_take(s, bytes, &config);
    if (s->before == NULL || !side_make(&s->side[PLAIN], &config) || !side_make(&s->side[WATCHED], &config)) {
        return "no memory for two engines";
    }
    memory_fill(s);
    memory_map(s);
    vnic_copy_observe(s->side[WATCHED].engine, on_event, s, watched);
    scene_bring_up(s);
    return NULL;
}

void scene_end(struct scene *s)
{
    for (unsigned i = 0; i < SIDES; i++) {
        vnic_copy_destroy(s->side[i].engine);
        free(s->side[i].memory);
    }
    free(s->before);
}

/* -- what must hold ----------------------------------------------------------------------------------------- */

static const char *side_run(struct side *side, const struct vnic_budget *budget, struct vnic_budget *used)
{
    const uint64_t bound = vnic_copy_idle_steps(side->engine);
    const uint32_t left = vnic_copy_runnable(side->engine);
    const uint32_t runnable = vnic_copy_run(side->engine, budget, used);

    if (used->steps > budget->steps || used->bytes > budget->bytes) {
        return "a budget is exceeded";
    }
    if (used->steps > bound || (runnable != 0 && used->steps == bound)) {
        return "more steps than the bound";
    }
    if (left != 0 && runnable == left && used->steps == 0 && budget->steps != 0 && budget->bytes >= 8192) {
        return "a run that takes no step";
    }
    return runnable == vnic_copy_runnable(side->engine) ? NULL : "what can run is not what it says";
}

/* [DMA-51] How a budget of steps is cut up changes nothing. */
static const char *side_run_in_two(struct side *side, const struct vnic_budget *budget,
                                   struct vnic_budget *used)
{
    const struct vnic_budget first = {budget->steps / 3, UINT64_MAX};
    const struct vnic_budget second = {budget->steps - first.steps, UINT64_MAX};
    struct vnic_budget more;
    const char *wrong = side_run(side, &first, used);

    if (wrong == NULL && used->steps == first.steps) {
        wrong = side_run(side, &second, &more);
        used->steps += more.steps;
        used->bytes += more.bytes;
    }
    return wrong;
}

const char *scene_run(struct scene *s, uint64_t steps, uint64_t bytes)
{
    const struct vnic_budget budget = {steps, bytes};
    struct vnic_budget plain, watched;
    const char *wrong = side_run(&s->side[PLAIN], &budget, &plain);

    if (wrong == NULL) {
        wrong = (bytes == UINT64_MAX ? side_run_in_two : side_run)(&s->side[WATCHED], &budget, &watched);
    }
    if (wrong != NULL) {
        return wrong;
    }
    return plain.steps == watched.steps && plain.bytes == watched.bytes ? NULL
                                                                        : "the twins took different budgets";
}

static bool interrupts_differ(struct scene *s)
{
    struct vnic_interrupt taken[SIDES][32];
    size_t count[SIDES];

    for (unsigned i = 0; i < SIDES; i++) {
        memset(taken[i], 0, sizeof taken[i]);
        count[i] = vnic_copy_interrupts(s->side[i].engine, taken[i], 32);
        see_bytes(taken[i], count[i] * sizeof taken[i][0]);
    }
    return count[PLAIN] != count[WATCHED] || memcmp(taken[PLAIN], taken[WATCHED], sizeof taken[PLAIN]) != 0;
}

/* Guards, and pages that were not mapped for writing. */
static bool has_stray_byte(struct scene *s)
{
    for (unsigned i = 0; i < SCENE_BYTES / SCENE_PAGE; i++) {
        const size_t at = (size_t)i * SCENE_PAGE;
        const bool is_wide = at >= SCENE_WIDE_AT && at < SCENE_WIDE_AT + SCENE_WIDE_BYTES;
        const bool is_paged = i % 2 != 0 && i / 2 < SCENE_PAGES && s->is_written[i / 2] != 0;
        if (!is_wide && !is_paged && memcmp(s->before + at, s->side[PLAIN].memory + at, SCENE_PAGE) != 0) {
            return true;
        }
    }
    return false;
}

static void look_anew(struct scene *s)
{
    memcpy(s->before, s->side[PLAIN].memory, SCENE_BYTES);
    memset(s->is_written, 0, sizeof s->is_written);
    for (unsigned frame = 0; frame < SCENE_FRAMES; frame++) {
        if (s->frame[frame] != 0) {
            s->is_written[s->frame[frame] - 1] |= (s->permissions[frame] & VNIC_MAP_WRITE) != 0;
        }
    }
    s->is_written[SCENE_PAGES - 1] = true;
}

const char *scene_compare(struct scene *s)
{
    const struct side *plain = &s->side[PLAIN], *watched = &s->side[WATCHED];

    see_bytes(watched->memory, SCENE_BYTES);
    if (memcmp(plain->memory, watched->memory, SCENE_BYTES) != 0) {
        return "the twins' memory differs";
    }
    if (has_stray_byte(s)) {
        return "a byte was written where nothing is mapped for writing";
    }
    look_anew(s);
    if (interrupts_differ(s)) {
        return "the twins' interrupts differ";
    }
    if (plain->answers != watched->answers) {
        return "the twins ask for different memory";
    }
    if (watched->is_cut_wrongly) {
        return "a transfer of data crosses a page";
    }
    if (s->judge->wrong != NULL) {
        return s->judge->wrong;
    }
    const bool is_foreseeable = !s->is_faulty; /* what a fault keeps is not in a snapshot */
    if (is_foreseeable
        && (vnic_copy_deadline(plain->engine) != vnic_copy_deadline(watched->engine)
            || vnic_copy_runnable(plain->engine) != vnic_copy_runnable(watched->engine))) {
        return "the twins wait for different things";
    }
    return vnic_copy_state_hash(plain->engine) == vnic_copy_state_hash(watched->engine)
               ? NULL
               : "the twins' states differ";
}
