/* copy_acts.c: what drivers, hosts, time and strangers do to a copy engine, chosen by a fuzzer's bytes. */
#include <string.h>

#include "copy_scene.h"
#include "forge.h"
#include "gen/copy_bar0.h"
#include "gen/descriptors.h"
#include "gen/pci_config.h"

enum {
    SLOTS =
        16, /* places of descriptors: the first half in a page, the others over the end of it and of the next */
    SLOT_PAGE = 2 * SCENE_PAGE,
    SAVE_MOST = 1 << 16,
    RUN_MOST = 4096 /* steps */
};

static uint64_t slot_at(uint8_t number)
{
    const unsigned slot = number % SLOTS;
    const unsigned at = slot < 8 ? slot * 64 : SCENE_PAGE - 6 * 64 + (slot - 8) * 64;

    return SCENE_IOVA + SLOT_PAGE + at;
}

static unsigned channel_take(const struct scene *s, struct scene_bytes *b)
{
    return byte_take(b) % s->channels;
}

/* -- chains ------------------------------------------------------------------------------------------------- */

static uint64_t next_take(struct scene_bytes *b, uint8_t slot)
{
    const uint8_t pick = byte_take(b);

    return pick < 128 ? slot_at((uint8_t)(slot + 1)) : pick < 240 ? slot_at(pick) : address_take(b);
}

static uint64_t size_take(struct scene_bytes *b)
{
    const uint8_t pick = byte_take(b);
    const uint64_t size = word_take(b, 2);

    return pick < 160 ? size % 300 + 1 : pick < 240 ? size % 0x2800 : size << pick % 20;
}

/* The flags that say what is to be done; those without effect and reserved ones now and then. */
static uint64_t flags_take(struct scene_bytes *b)
{
    const uint8_t pick = byte_take(b);
    const uint64_t useful = COPY_DESCRIPTOR_INT_EN_MASK | COPY_DESCRIPTOR_COMPL_WRITE_MASK
                            | COPY_DESCRIPTOR_FENCE_MASK | COPY_DESCRIPTOR_SRC_BRK_MASK
                            | COPY_DESCRIPTOR_DST_BRK_MASK;

    if (pick < 100) {
        return 0;
    }
    return pick < 220 ? word_take(b, 1) << COPY_DESCRIPTOR_INT_EN_SHIFT & useful : word_take(b, 4) << 32;
}

static void descriptor_take(struct scene_bytes *b, uint8_t slot, uint64_t w[COPY_DESCRIPTOR_WORDS])
{
    static const uint8_t ops[] = {0, 0, 0, 1, 0, 255, 0, 7};
    const uint8_t op = byte_take(b);

    memset(w, 0, COPY_DESCRIPTOR_BYTES);
    w[0] = flags_take(b);
    copy_descriptor_set_size(w, size_take(b));
    w[0] |= (uint64_t)ops[op < 128 ? 0 : op % 8] << COPY_DESCRIPTOR_OP_SHIFT;
    copy_descriptor_set_src(w, address_take(b));
    copy_descriptor_set_dst(w, address_take(b));
    copy_descriptor_set_next(w, next_take(b, slot));
    if ((w[0] & (COPY_DESCRIPTOR_SRC_BRK_MASK | COPY_DESCRIPTOR_DST_BRK_MASK)) != 0) {
        const uint64_t mask = byte_take(b) < 220 ? ~UINT64_C(0xFFF) : UINT64_MAX;
        copy_descriptor_set_next_src(w, address_take(b) & mask);
        copy_descriptor_set_next_dst(w, address_take(b) & mask);
    }
}

static const char *act_descriptors(struct scene *s, struct scene_bytes *b)
{
    uint8_t slot = byte_take(b);

    for (unsigned n = 1 + byte_take(b) % 6; n > 0; n--, slot++) {
        uint64_t w[COPY_DESCRIPTOR_WORDS];
        descriptor_take(b, slot, w);
        const uint64_t at = slot_at(slot);
        const size_t room = SCENE_PAGE - at % SCENE_PAGE;
        scene_poke(s, at, w, room < sizeof w ? room : sizeof w);
    }
    return NULL;
}

static const char *act_bytes(struct scene *s, struct scene_bytes *b)
{
    const uint64_t at = address_take(b), bytes = word_take(b, 8);

    scene_poke(s, at, &bytes, sizeof bytes);
    return NULL;
}

static void count_write(struct scene *s, unsigned n, uint16_t count)
{
    s->count[n] = count;
    scene_write(s, COPY_CHANCMD + n * COPY_CHAN_STRIDE + 2, 2, count);
}

static const char *act_start(struct scene *s, struct scene_bytes *b)
{
    const unsigned n = channel_take(s, b);
    const uint8_t pick = byte_take(b);
    const uint32_t channel = n * COPY_CHAN_STRIDE;

    if (pick >= 224) {
        scene_write(s, COPY_CHANCMP + channel, 8, address_take(b));
    }
    if (pick % 8 != 0) { /* a driver that clears errors first */
        scene_write(s, COPY_CHANERR + channel, 4, UINT32_MAX);
    }
    scene_write(s, COPY_CHAINADDR + channel, 8, pick < 240 ? slot_at(pick) : address_take(b));
    count_write(s, n, pick % 16 == 15 ? (uint16_t)word_take(b, 2) : byte_take(b) % 24);
    return NULL;
}

static const char *act_append(struct scene *s, struct scene_bytes *b)
{
    const unsigned n = channel_take(s, b);
    const uint8_t more = byte_take(b);

    count_write(s, n, (uint16_t)(s->count[n] + (more < 250 ? more % 8 : word_take(b, 2))));
    return NULL;
}

static const char *act_command(struct scene *s, struct scene_bytes *b)
{
    static const uint8_t commands[] = {CHANCMD_SUSPEND_MASK, CHANCMD_RESUME_MASK, CHANCMD_SUSPEND_MASK,
                                       CHANCMD_RESUME_MASK,  CHANCMD_ABORT_MASK,  CHANCMD_RESET_MASK,
                                       CHANCMD_START_MASK,   CHANCMD_APPEND_MASK};
    const unsigned n = channel_take(s, b);
    const uint8_t pick = byte_take(b);

    scene_write(s, COPY_CHANCMD + n * COPY_CHAN_STRIDE, 1, pick < 240 ? commands[pick % 8] : byte_take(b));
    return NULL;
}

/* -- registers ---------------------------------------------------------------------------------------------- */

static const char *act_register(struct scene *s, struct scene_bytes *b)
{
    static const uint16_t blocks[] = {COPY_GENERAL, COPY_CHANCTRL, 0x2000, 0x3000};
    const uint8_t pick = byte_take(b), width = (uint8_t)(1u << byte_take(b) % 4);
    const uint64_t offset =
        pick < 250 ? blocks[pick % 4] + word_take(b, 2) % (pick % 4 == 1 ? 0x200u : 0x40u) : word_take(b, 8);

    if (pick / 4 % 2 != 0) {
        scene_write(s, offset, width, word_take(b, width));
        return NULL;
    }
    const unsigned bar = pick < 200 ? 0 : pick % 8;
    const uint64_t seen = vnic_copy_read(s->side[PLAIN].engine, bar, offset, width);
    return seen == vnic_copy_read(s->side[WATCHED].engine, bar, offset, width) ? NULL
                                                                               : "the twins read differently";
}

static const char *act_config(struct scene *s, struct scene_bytes *b)
{
    static const uint16_t places[] = {CFG_COMMAND,   CFG_BAR,    CFG_PM_CTRL,          CFG_MSI_CTRL,
                                      CFG_MSIX_CTRL, CFG_DEVCTL, CFG_AER_UNCOR_STATUS, CFG_CHANERR_INT};
    const uint8_t pick = byte_take(b), width = (uint8_t)(1u << byte_take(b) % 3);
    const uint32_t offset = pick < 200 ? places[pick % 8] + pick / 8 % 8u : (uint32_t)word_take(b, 4);

    if (byte_take(b) % 2 != 0) {
        scene_config(s, offset, width, (uint32_t)word_take(b, width));
        return NULL;
    }
    return vnic_copy_cfg_read(s->side[PLAIN].engine, offset, width)
                   == vnic_copy_cfg_read(s->side[WATCHED].engine, offset, width)
               ? NULL
               : "the twins' configuration space differs";
}

static const char *act_bring_up(struct scene *s, struct scene_bytes *b)
{
    if (byte_take(b) % 4 == 0) {
        for (unsigned i = 0; i < SIDES; i++) {
            vnic_copy_insert(s->side[i].engine);
        }
    }
    scene_bring_up(s);
    return NULL;
}

/* -- the host ----------------------------------------------------------------------------------------------- */

static const char *act_map(struct scene *s, struct scene_bytes *b)
{
    const uint8_t frame = byte_take(b) % SCENE_FRAMES, page = byte_take(b), how = byte_take(b);

    if (how % 4 == 0) {
        scene_unmap(s, frame);
    } else {
        scene_map(s, frame, page % SCENE_PAGES, how % 4);
    }
    return NULL;
}

/* Memory that is nowhere: gives bytes that follow from the address, and statuses of every kind. */
static int answer(void *opaque, uint64_t iova, uint8_t *bytes, uint32_t len, int is_write)
{
    struct side *side = opaque;

    side->answers = (side->answers ^ iova ^ len ^ (uint64_t)(is_write != 0) << 63) * 0x100000001B3u;
    for (uint32_t i = 0; i < len && !is_write; i++) {
        bytes[i] = (uint8_t)(iova >> 6);
    }
    return (iova >> 12) % 3 == 0 ? (int)(iova >> 12) % 7 : VNIC_DMA_OK;
}

static const char *act_answer(struct scene *s, struct scene_bytes *b)
{
    const bool is_there = byte_take(b) % 3 == 0;

    for (unsigned i = 0; i < SIDES; i++) {
        vnic_copy_set_unmapped(s->side[i].engine, is_there ? answer : NULL, &s->side[i]);
    }
    return NULL;
}

static const char *act_fault(struct scene *s, struct scene_bytes *b)
{
    const uint8_t how = byte_take(b);
    struct vnic_fault fault = {.site = byte_take(b) % (VNIC_FAULT_SITES + 1),
                               .action = byte_take(b) % (VNIC_FAULT_ACTIONS + 1),
                               .index = how < 200 ? 0xFF : byte_take(b) % 8,
                               .last = UINT64_MAX,
                               .skip = byte_take(b) % 8,
                               .count = byte_take(b) % 4,
                               .argument = byte_take(b) % 6,
                               .mask = word_take(b, 2)};
    int result[SIDES];

    s->is_faulty = s->judge->is_blind = true; /* it may be another byte, or another time, that arrives */
    for (unsigned i = 0; i < SIDES; i++) {
        vnic_copy *engine = s->side[i].engine;
        result[i] = how % 2 == 0 ? vnic_copy_fault_arm(engine, &fault)
                                 : vnic_copy_fault_disarm(engine, how / 2 % 5 - (how > 250));
    }
    return result[PLAIN] == result[WATCHED] ? NULL : "the twins' faults differ";
}

/* What an interrupt's handler does [DMA-36]; now and then with another delay. */
static const char *act_service(struct scene *s, struct scene_bytes *b)
{
    const unsigned n = channel_take(s, b);
    const uint8_t how = byte_take(b);

    if (how % 4 == 1) {
        scene_write(s, COPY_INTRDELAY, 2, word_take(b, 2) % 512);
    }
    if (how % 4 != 2) {
        scene_write(s, COPY_CHANCTRL + n * COPY_CHAN_STRIDE, 4, SCENE_CHANCTRL);
    }
    if (how % 4 != 3) {
        scene_write(s, COPY_GENERAL + SCENE_INTRCTRL, 1, SCENE_INTRCTRL_ON);
    }
    return NULL;
}

static const char *act_reset(struct scene *s, struct scene_bytes *b)
{
    const uint8_t how = byte_take(b);

    for (unsigned i = 0; i < SIDES; i++) {
        vnic_copy *engine = s->side[i].engine;
        if (how % 8 < 3) {
            vnic_copy_reset(engine, how % 8);
        } else if (how % 8 < 6) {
            vnic_copy_remove(engine);
        } else {
            vnic_copy_insert(engine);
        }
    }
    if (how % 8 < 3 && how >= 64) {
        scene_bring_up(s);
    }
    return NULL;
}

/* -- time and work ------------------------------------------------------------------------------------------ */

static const char *act_time(struct scene *s, struct scene_bytes *b)
{
    const uint8_t how = byte_take(b);
    const uint64_t by = UINT64_C(1) << how % 41;

    for (unsigned i = 0; i < SIDES; i++) {
        vnic_copy *engine = s->side[i].engine;
        const uint64_t deadline = vnic_copy_deadline(engine), now = vnic_copy_now(engine);
        const bool is_due = how >= 123 && deadline != UINT64_MAX && deadline > now;
        const uint64_t later =
            by < UINT64_MAX - now ? now + by : UINT64_MAX; /* a snapshot may end with time */
        if (vnic_copy_advance(engine, is_due ? deadline : later) != VNIC_OK) {
            return "time does not pass";
        }
    }
    return NULL;
}

static const char *act_steps(struct scene *s, struct scene_bytes *b)
{
    for (unsigned n = byte_take(b) % 16; n > 0; n--) {
        const unsigned most = byte_take(b) % 4 != 0 ? s->channels : 20, part = byte_take(b) % most;
        uint64_t moved[SIDES] = {0, 0};
        int taken[SIDES];
        for (unsigned i = 0; i < SIDES; i++) {
            const uint32_t could = vnic_copy_runnable(s->side[i].engine);
            taken[i] = vnic_copy_step(s->side[i].engine, part, &moved[i]);
            if (taken[i] != (int)(could >> part & 1) || moved[i] > 8192) {
                return "a step that could not be, or moved too much";
            }
        }
        if (taken[PLAIN] != taken[WATCHED] || moved[PLAIN] != moved[WATCHED]) {
            return "the twins' steps differ";
        }
    }
    return NULL;
}

static const char *act_run(struct scene *s, struct scene_bytes *b)
{
    const uint8_t how = byte_take(b);

    return how < 100 ? scene_run(s, how % 40, UINT64_MAX)
                     : scene_run(s, RUN_MOST, how < 200 ? word_take(b, 2) : UINT64_MAX);
}

/* -- snapshots ---------------------------------------------------------------------------------------------- */

static uint8_t image[SAVE_MOST];

/* A stranger's snapshot is refused by both, or taken by both, which then save it again as it was. */
static const char *image_forge(struct scene *s, struct scene_bytes *b, size_t size)
{
    static uint8_t again[SAVE_MOST];
    const size_t len = forge(image, size, sizeof image, b->next, b->left);
    const int result = vnic_copy_load(s->side[PLAIN].engine, image, len);

    s->judge->is_blind = true;
    if (vnic_copy_load(s->side[WATCHED].engine, image, len) != result) {
        return "one of the twins refuses a snapshot";
    }
    if (result != VNIC_OK) {
        return vnic_copy_now(s->side[PLAIN].engine) == 0 && vnic_copy_runnable(s->side[PLAIN].engine) == 0
                   ? NULL
                   : "an engine that refused is not as after power-on";
    }
    return vnic_copy_save(s->side[PLAIN].engine, again, sizeof again) == len && memcmp(image, again, len) == 0
               ? NULL
               : "an accepted snapshot is saved otherwise";
}

/* One twin goes on, the other is restored from it: what the snapshot lacks will show. [DMA-54] What faults keep it does
 * lack: with them both are restored. */
static const char *act_restore(struct scene *s, struct scene_bytes *b)
{
    const bool is_forged = byte_take(b) >= 160;
    const size_t size = vnic_copy_save(s->side[PLAIN].engine, image, sizeof image);

    if (size > sizeof image) {
        return "a snapshot of such a size";
    }
    if (is_forged) {
        return image_forge(s, b, size);
    }
    for (unsigned i = s->is_faulty ? PLAIN : WATCHED; i < SIDES; i++) {
        if (vnic_copy_load(s->side[i].engine, image, size) != VNIC_OK) {
            return "a snapshot is refused";
        }
    }
    return NULL;
}

const char *scene_act(struct scene *s, struct scene_bytes *bytes)
{
    static const char *(*const acts[])(struct scene *, struct scene_bytes *) = {
        act_descriptors, act_start,   act_run,      act_descriptors, act_append,  act_steps,  act_command,
        act_run,         act_start,   act_register, act_config,      act_bytes,   act_map,    act_bring_up,
        act_append,      act_fault,   act_time,     act_restore,     act_command, act_answer, act_reset,
        act_run,         act_service, act_service,  act_time,        act_restore,
    };
    const char *wrong = acts[byte_take(bytes) % (sizeof acts / sizeof acts[0])](s, bytes);

    return wrong != NULL ? wrong : scene_compare(s);
}
