/* fuzz_copy.c: libFuzzer target: chains, registers, memory maps, faults, steps and snapshots, on a copy engine. */
#include <stdio.h>
#include <stdlib.h>

#include "copy_scene.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scene_bytes bytes = {data, size};
    struct scene scene;
    const char *wrong = scene_start(&scene, &bytes);

    for (unsigned acts = 0; bytes.left != 0 && wrong == NULL && acts < SCENE_ACTS_MOST; acts++) {
        wrong = scene_act(&scene, &bytes);
    }
    wrong = wrong != NULL ? wrong : scene_run(&scene, SCENE_LAST_STEPS, UINT64_MAX);
    wrong = wrong != NULL ? wrong : scene_compare(&scene);
    if (wrong != NULL) {
        fprintf(stderr, "copy engine: %s (%zu bytes left)\n", wrong, bytes.left);
        abort();
    }
    scene_end(&scene);
    return 0;
}
