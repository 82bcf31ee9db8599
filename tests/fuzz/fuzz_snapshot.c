/* fuzz_snapshot.c: libFuzzer target: snapshots at any moment with edited records, refused, or restored and lived with. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acts.h"
#include "chimney_scene.h"
#include "input.h"
#include "world.h"

enum { ACTS_BEFORE = 64, ACTS_AFTER = 64, SAVE_MOST = 1 << 20 };

static uint8_t image[SAVE_MOST], again[SAVE_MOST];

static const char *live(struct scene *scene, struct acts *acts, unsigned most)
{
    const char *wrong = NULL;
    for (unsigned n = 0; wrong == NULL && n < most && acts_next(acts); n++) {
        struct scene_bytes bytes = {acts->act, acts->bytes};
        wrong = scene_act(scene, &bytes);
    }
    return wrong;
}

/* A state that is taken is one that the card could have saved: it saves it again as it was. */
static const char *restore(struct scene *scene, const struct acts *edits)
{
    size_t len = vnic_save(scene->card, image, sizeof image);
    if (len > sizeof image) {
        return "a snapshot of such a size";
    }
    len = world_tamper(image, len, edits->act, edits->bytes);
    const int result = vnic_load(scene->card, image, len);
    const size_t saved = vnic_save(scene->card, again, sizeof again);
    if (result != VNIC_OK) {
        return vnic_now(scene->card) == 0 && vnic_runnable(scene->card) == 0
                   ? scene_start(scene)
                   : "a card that refused is not as after power-on";
    }
    scene->is_forged = true;
    return saved == len && memcmp(image, again, len) == 0 ? NULL : "an accepted snapshot is saved otherwise";
}

/* The first byte: how many acts come before the snapshot; the act behind them edits it, as world_tamper() says. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct scene scene;
    static struct acts acts;
    const char *wrong = scene_start(&scene);

    acts_start(&acts, data, size);
    (void)acts_next(&acts);
    const unsigned before = acts.bytes != 0 ? acts.act[0] % ACTS_BEFORE : 0;
    wrong = wrong != NULL ? wrong : live(&scene, &acts, before);
    (void)acts_next(&acts);
    wrong = wrong != NULL ? wrong : restore(&scene, &acts);
    wrong = wrong != NULL ? wrong : live(&scene, &acts, ACTS_AFTER);
    wrong = wrong != NULL ? wrong : scene_settle(&scene);
    if (wrong != NULL) {
        fprintf(stderr, "snapshot: %s (at byte %zu)\n", wrong, acts.at);
        abort();
    }
    return 0;
}
