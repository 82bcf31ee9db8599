/* fuzz_image.c: libFuzzer target: forged images of connections, loaded, and lived with when they are taken. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acts.h"
#include "base/bytes.h"
#include "input.h"
#include "tcp/handoff.h"
#include "tcp/image.h"
#include "tcp_world.h"

enum { RECORD_HEADER = 4, PATCHES_MOST = 32, STEPS_BEFORE = 24, STEPS_AFTER = 200, RAW = 255 };

static struct world_bytes act_take(struct acts *acts)
{
    (void)acts_next(acts);
    return (struct world_bytes){acts->act, acts->bytes};
}

/* A connection with a life behind it: so many steps of the bytes. NULL when it did not survive. */
static struct tcp_connection *live(struct world *w, struct acts *acts, const char **wrong)
{
    struct world_bytes bytes = act_take(acts);
    const uint32_t steps = world_take8(&bytes) % STEPS_BEFORE;

    world_open(w, 0, &bytes);
    for (uint32_t i = 0; i < steps && *wrong == NULL; i++) {
        bytes = act_take(acts);
        *wrong = world_step(w, &bytes);
    }
    return w->c[0] != NULL && w->c[0]->state != TCP_STATE_CLOSED ? w->c[0] : NULL;
}

/* Where record n of an image starts; the image's length when there are fewer. */
static size_t record_at(const uint8_t *image, size_t size, uint32_t n)
{
    size_t at = 0;

    while (n-- > 0 && at + RECORD_HEADER <= size) {
        at += RECORD_HEADER + le16_load(image + at + 2);
    }
    return at;
}

/* Changes values of some records, and now and then anything at all. */
static size_t forge(uint8_t *image, size_t size, struct world_bytes *bytes)
{
    const uint32_t patches = world_take8(bytes) % PATCHES_MOST;

    for (uint32_t i = 0; i < patches; i++) {
        const uint32_t kind = world_take8(bytes);
        const size_t at = record_at(image, size, world_take8(bytes)), value = at + RECORD_HEADER;
        if (kind == 255) {
            const size_t any = world_take16(bytes) % size;
            image[any] = (uint8_t)world_take8(bytes);
        } else if (kind == 254) {
            size = size > 64 ? size - world_take8(bytes) % 64 : size;
        } else if (value + 4 <= size) {
            const uint32_t old = le32_load(image + value);
            const uint32_t width = le16_load(image + at + 2) < 4 ? le16_load(image + at + 2) : 4;
            uint8_t changed[4];
            le32_store(changed, kind < 128 ? old + world_take16(bytes) - (kind & 1 ? 65536U : 0)
                                           : world_take32(bytes));
            memcpy(image + value, changed, width);
        }
    }
    return size;
}

/* What would end a wait is not asked of a frozen connection: if it proves to be none that lives, it goes. */
static const char *thaw_forged(struct world *w)
{
    struct tcp_result result;

    if (tcp_check(w->engine, w->c[0]) != NULL) {
        return "a frozen connection that contradicts itself";
    }
    tcp_thaw(w->engine, w->c[0], w->now_ns, &result);
    if (tcp_check(w->engine, w->c[0]) != NULL) {
        world_drop(w, 0);
    }
    return NULL;
}

static const char *load_forged(struct world *w, struct world_bytes *bytes)
{
    size_t size = tcp_save(w->engine, w->c[0], w->now_ns, w->image, sizeof w->image);
    struct tcp_connection *c = NULL;

    tcp_release(w->engine, w->c[0]);
    w->c[0] = NULL;
    size = forge(w->image, size, bytes);
    if (tcp_load(w->engine, w->now_ns, w->image, size, &c) != TCP_LOAD_OK) {
        return NULL;
    }
    w->is_forged = true;
    w->c[0] = c;
    return tcp_has(c, TCP_FROZEN) ? thaw_forged(w) : tcp_check(w->engine, c);
}

static const char *run(struct world *w, struct acts *acts)
{
    struct world_bytes bytes;
    const char *wrong = NULL;

    if (live(w, acts, &wrong) == NULL || wrong != NULL) {
        return wrong;
    }
    bytes = act_take(acts);
    wrong = load_forged(w, &bytes);
    for (unsigned i = 0; i < STEPS_AFTER && wrong == NULL && w->c[0] != NULL && acts_next(acts); i++) {
        bytes = (struct world_bytes){acts->act, acts->bytes};
        wrong = world_step(w, &bytes);
    }
    return wrong;
}

/* Bytes that never were an image. */
static const char *load_raw(struct world *w, struct acts *acts)
{
    const struct world_bytes bytes = act_take(acts);
    struct tcp_connection *c = NULL;

    return tcp_load(w->engine, w->now_ns, bytes.at, bytes.left, &c) != TCP_LOAD_OK || c != NULL
               ? NULL
               : "loaded, but where?";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world world;
    static struct acts acts;
    struct world_bytes bytes;
    const char *wrong;

    acts_start(&acts, data, size);
    bytes = act_take(&acts);
    const bool is_raw = bytes.left != 0 && bytes.at[0] == RAW;
    world_start(&world, &bytes);
    wrong = is_raw ? load_raw(&world, &acts) : run(&world, &acts);
    wrong = wrong != NULL ? wrong : world_finish(&world);
    if (wrong != NULL) {
        fprintf(stderr, "image: %s (at byte %zu)\n", wrong, acts.at);
        abort();
    }
    world_end(&world);
    return 0;
}
