/* fuzz_chimney.c: libFuzzer target: commands, submissions, segments, time, registers and snapshots, on offloaded TCP. */
#include <stdio.h>
#include <stdlib.h>

#include "acts.h"
#include "chimney_scene.h"
#include "input.h"

enum { ACTS_MOST = 500 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct scene scene;
    static struct acts acts;
    const char *wrong = scene_start(&scene);

    acts_start(&acts, data, size);
    for (unsigned n = 0; wrong == NULL && n < ACTS_MOST && acts_next(&acts); n++) {
        struct scene_bytes bytes = {acts.act, acts.bytes};
        wrong = scene_act(&scene, &bytes);
    }
    wrong = wrong != NULL ? wrong : scene_settle(&scene);
    if (wrong != NULL) {
        fprintf(stderr, "chimney: %s (at byte %zu)\n", wrong, acts.at);
        abort();
    }
    return 0;
}
