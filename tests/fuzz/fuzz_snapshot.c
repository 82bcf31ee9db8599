/* fuzz_snapshot.c: libFuzzer target: snapshots at any moment with edited records, refused, or restored and lived with. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acts.h"
#include "chimney_scene.h"
#include "forge.h"
#include "input.h"

enum { ACTS_BEFORE = 64, ACTS_AFTER = 64, FORGERIES_MOST = 8 };

/* A card's snapshot, what becomes of it, and what a card says that refused one. */
struct original {
    size_t len;
    uint64_t hash, refused;
    uint8_t image[SCENE_SAVE_MOST];
};

static uint8_t forged[SCENE_SAVE_MOST], again[SCENE_SAVE_MOST];

static const char *live(struct scene *scene, struct acts *acts, unsigned most)
{
    const char *wrong = NULL;
    for (unsigned n = 0; wrong == NULL && n < most && acts_next(acts); n++) {
        struct scene_bytes bytes = {acts->act, acts->bytes};
        wrong = scene_act(scene, &bytes);
    }
    return wrong;
}

static const char *original_load(struct scene *scene, const struct original *o)
{
    if (vnic_load(scene->card, o->image, o->len) != VNIC_OK) {
        return "a snapshot that the card saved is refused";
    }
    return vnic_state_hash(scene->card) == o->hash ? NULL : "a restored card is another";
}

/* No snapshot at all is refused: what refuses another is to be the same. */
static const char *original_keep(struct scene *scene, struct original *o)
{
    o->hash = vnic_state_hash(scene->card);
    o->len = vnic_save(scene->card, o->image, sizeof o->image);
    if (o->len > sizeof o->image) {
        return "a snapshot of such a size";
    }
    const char *wrong = original_load(scene, o);
    if (wrong == NULL && vnic_load(scene->card, o->image, 0) == VNIC_OK) {
        wrong = "nothing is taken for a snapshot";
    }
    o->refused = vnic_state_hash(scene->card);
    return wrong;
}

static const char *judge_refusal(struct scene *scene, const struct original *o)
{
    if (vnic_now(scene->card) != 0 || vnic_runnable(scene->card) != 0
        || vnic_deadline(scene->card) != UINT64_MAX) {
        return "a card that refused is not as after power-on";
    }
    return vnic_state_hash(scene->card) == o->refused ? NULL : "what was refused has left something";
}

/* A state that is taken is one that the card could have saved: it saves it again as it was. */
static const char *judge_acceptance(struct scene *scene, size_t len)
{
    const size_t saved = vnic_save(scene->card, again, sizeof again);
    if (saved != len || memcmp(forged, again, len) != 0) {
        return "an accepted snapshot is saved otherwise";
    }
    scene->is_forged = true;
    return scene_exercise(scene);
}

/* One edit of the original, and a driver that knows what it knew then. */
static const char *forge_once(struct scene *scene, const struct original *o, const struct acts *acts)
{
    const struct scene before = *scene;
    const char *wrong = original_load(scene, o);
    memcpy(forged, o->image, o->len);
    const size_t len = forge(forged, o->len, sizeof forged, acts->act, acts->bytes);
    const int result = vnic_load(scene->card, forged, len);
    if (wrong == NULL) {
        wrong = result == VNIC_OK ? judge_acceptance(scene, len) : judge_refusal(scene, o);
    }
    *scene = before;
    return wrong;
}

/* The act at hand: how many acts come before the snapshot, how many edit it; the rest is life with the last of these. */
static const char *run(struct scene *scene, struct acts *acts)
{
    static struct original original;
    const unsigned head = acts->bytes != 0 ? acts->act[0] : 0;
    const unsigned forgeries = 1 + (acts->bytes > 1 ? acts->act[1] : 0) % FORGERIES_MOST;
    const char *wrong = live(scene, acts, head % ACTS_BEFORE);
    wrong = wrong != NULL ? wrong : original_keep(scene, &original);
    for (unsigned n = 0; wrong == NULL && n < forgeries && acts_next(acts); n++) {
        wrong = forge_once(scene, &original, acts);
    }
    scene->is_forged = true;
    wrong = wrong != NULL ? wrong : live(scene, acts, ACTS_AFTER);
    return wrong != NULL ? wrong : scene_settle(scene);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct scene scene;
    static struct acts acts;
    const char *wrong = scene_start(&scene);

    acts_start(&acts, data, size);
    (void)acts_next(&acts);
    wrong = wrong != NULL ? wrong : run(&scene, &acts);
    if (wrong != NULL) {
        fprintf(stderr, "snapshot: %s (at byte %zu)\n", wrong, acts.at);
        abort();
    }
    return 0;
}
