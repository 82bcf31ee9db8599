/* fuzz_chimney.c: libFuzzer target: commands, submissions, segments, time, registers and snapshots, on offloaded TCP. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acts.h"
#include "chimney_scene.h"
#include "input.h"

enum { ACTS_MOST = 500, NEVER = ACTS_MOST };

/* What a card was, and what then happened to it. */
struct moment {
    struct scene scene;
    size_t at; /* in the input */
    unsigned acts;
    size_t len;
    uint8_t memory[SCENE_MEMORY], image[SCENE_SAVE_MOST];
};

static const char *moment_keep(struct moment *m, struct scene *s, const struct acts *acts, unsigned number)
{
    const char *wrong = scene_take(s);

    m->scene = *s;
    m->at = acts->at;
    m->acts = number;
    memcpy(m->memory, s->memory, SCENE_MEMORY);
    m->len = vnic_save(s->card, m->image, sizeof m->image);
    return wrong != NULL ? wrong : m->len > sizeof m->image ? "a snapshot of such a size" : NULL;
}

/* From act `first` on; the moment before act `kept` is kept. */
static const char *live(struct scene *s, struct acts *acts, unsigned first, unsigned kept, struct moment *m)
{
    const char *wrong = NULL;

    for (unsigned n = first; wrong == NULL && n < ACTS_MOST; n++) {
        wrong = n == kept ? moment_keep(m, s, acts, n) : NULL;
        if (wrong != NULL || !acts_next(acts)) {
            break;
        }
        struct scene_bytes bytes = {acts->act, acts->bytes};
        wrong = scene_act(s, &bytes);
    }
    wrong = wrong != NULL ? wrong : scene_settle(s);
    return wrong != NULL ? wrong : scene_take(s);
}

/* A card that goes on from a snapshot does what the one does that was never saved [CHM-80]. */
static const char *live_again(const struct scene *first, const struct moment *m, struct acts *acts)
{
    static struct scene twin;
    const char *wrong = scene_clone(&twin, &m->scene, m->image, m->len);

    memcpy(twin.memory, m->memory, SCENE_MEMORY);
    acts->at = m->at;
    wrong = wrong != NULL ? wrong : live(&twin, acts, m->acts, NEVER, NULL);
    if (wrong != NULL) {
        return wrong;
    }
    if (twin.said != first->said || memcmp(twin.memory, first->memory, SCENE_MEMORY) != 0) {
        return "a restored card does something else";
    }
    return vnic_state_hash(twin.card) == vnic_state_hash(first->card) ? NULL
                                                                      : "a restored card becomes another";
}

/* The first byte: before which act the snapshot is taken, if any. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct scene scene;
    static struct acts acts;
    static struct moment moment;
    const char *wrong = scene_start(&scene);

    acts_start(&acts, data, size);
    (void)acts_next(&acts);
    const unsigned head = acts.bytes != 0 ? acts.act[0] : 0, kept = head % 2 != 0 ? head / 2 : NEVER;
    moment.len = 0;
    wrong = wrong != NULL ? wrong : live(&scene, &acts, 0, kept, &moment);
    if (wrong == NULL && moment.len != 0 && !moment.scene.is_forged) {
        wrong = live_again(&scene, &moment, &acts);
    }
    if (wrong != NULL) {
        fprintf(stderr, "chimney: %s (at byte %zu)\n", wrong, acts.at);
        abort();
    }
    return 0;
}
