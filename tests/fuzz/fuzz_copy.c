/* fuzz_copy.c: libFuzzer target: chains, registers, memory maps, faults, steps and snapshots, on a copy engine. */
#include <stdio.h>
#include <stdlib.h>

#include "acts.h"
#include "copy_scene.h"
#include "input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct acts acts;
    struct scene_bytes bytes;
    struct scene scene;

    acts_start(&acts, data, size);
    (void)acts_next(&acts);
    bytes = (struct scene_bytes){acts.act, acts.bytes};
    const char *wrong = scene_start(&scene, &bytes);
    for (unsigned n = 0; wrong == NULL && n < SCENE_ACTS_MOST && acts_next(&acts); n++) {
        bytes = (struct scene_bytes){acts.act, acts.bytes};
        wrong = scene_act(&scene, &bytes);
    }
    wrong = wrong != NULL ? wrong : scene_run(&scene, SCENE_LAST_STEPS, UINT64_MAX);
    wrong = wrong != NULL ? wrong : scene_compare(&scene);
    if (wrong != NULL) {
        fprintf(stderr, "copy engine: %s (at byte %zu)\n", wrong, acts.at);
        abort();
    }
    scene_end(&scene);
    return 0;
}
