/* fuzz_image.c: libFuzzer target: forged images of connections, loaded, and lived with when they are taken. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acts.h"
#include "forge.h"
#include "input.h"
#include "tcp/handoff.h"
#include "tcp/image.h"
#include "tcp/state.h"
#include "tcp_world.h"

enum { FORGERIES_MOST = 8, STEPS_BEFORE = 24, STEPS_AFTER = 200, RAW = 255 };

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

/* What of an engine's pools is in use. */
struct usage {
    uint32_t connections, nodes, recoveries;
};

static struct usage usage_of(const struct tcp_engine *e)
{
    return (struct usage){e->connection_pool.used, e->node_pool.used, e->recovery_pool.used};
}

/* [IMG-4] */
static const char *judge_refusal(const struct world *w, const struct usage *before,
                                 const struct tcp_connection *c)
{
    const struct usage now = usage_of(w->engine);

    if (now.connections != before->connections || now.nodes != before->nodes
        || now.recoveries != before->recoveries) {
        return "an image that is refused keeps something";
    }
    return c == NULL ? NULL : "refused, but loaded";
}

/* [IMG-1] What is taken is saved again as it was. */
static const char *judge_acceptance(struct world *w, size_t len)
{
    static uint8_t again[WORLD_IMAGE_BYTES];

    if (tcp_save(w->engine, w->c[0], w->now_ns, again, sizeof again) != len
        || memcmp(again, w->image, len) != 0) {
        return "an image that is taken is saved otherwise";
    }
    return tcp_has(w->c[0], TCP_FROZEN) ? thaw_forged(w) : tcp_check(w->engine, w->c[0]);
}

/* One edit of the image; what is taken stays in its place. */
static const char *load_forged(struct world *w, const uint8_t *image, size_t size, const struct acts *acts)
{
    struct tcp_connection *c = NULL;

    if (w->c[0] != NULL) {
        world_drop(w, 0);
    }
    const struct usage before = usage_of(w->engine);
    memcpy(w->image, image, size);
    const size_t len = forge(w->image, size, sizeof w->image, acts->act, acts->bytes);
    if (tcp_load(w->engine, w->now_ns, w->image, len, &c) != TCP_LOAD_OK) {
        return judge_refusal(w, &before, c);
    }
    w->is_forged = true;
    w->ledger[0].is_kept = false;
    w->c[0] = c;
    return judge_acceptance(w, len);
}

/* The last one that is taken is left to the acts that follow. */
static const char *forgeries(struct world *w, struct acts *acts, uint32_t count)
{
    static uint8_t image[WORLD_IMAGE_BYTES];
    const size_t size = tcp_save(w->engine, w->c[0], w->now_ns, image, sizeof image);
    const char *wrong = world_lives_alike(w, image, size);

    for (uint32_t i = 0; i < count && wrong == NULL && acts_next(acts); i++) {
        wrong = load_forged(w, image, size, acts);
        if (wrong == NULL && w->c[0] != NULL && i + 1 < count) {
            wrong = world_exercise(w, 0);
        }
    }
    return wrong;
}

static const char *run(struct world *w, struct acts *acts, uint32_t count)
{
    const char *wrong = NULL;

    if (live(w, acts, &wrong) == NULL || wrong != NULL) {
        return wrong;
    }
    wrong = forgeries(w, acts, count);
    for (unsigned i = 0; i < STEPS_AFTER && wrong == NULL && w->c[0] != NULL && acts_next(acts); i++) {
        struct world_bytes bytes = {acts->act, acts->bytes};
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
    const uint32_t count = 1 + (bytes.left != 0 ? bytes.at[bytes.left - 1] % FORGERIES_MOST : 0u);
    world_start(&world, &bytes);
    wrong = is_raw ? load_raw(&world, &acts) : run(&world, &acts, count);
    wrong = wrong != NULL ? wrong : world_finish(&world);
    if (wrong != NULL) {
        fprintf(stderr, "image: %s (at byte %zu)\n", wrong, acts.at);
        abort();
    }
    world_end(&world);
    return 0;
}
