/* fuzz_chimney.c: libFuzzer target: commands, submissions, segments, time, registers and snapshots, on offloaded TCP. */
#include <stdio.h>
#include <stdlib.h>

#include "chimney_scene.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct scene scene;
    struct scene_bytes bytes = {data, size};
    const char *wrong = scene_start(&scene);

    for (unsigned acts = 0; bytes.left != 0 && wrong == NULL && acts < 500; acts++) {
        wrong = scene_act(&scene, &bytes);
    }
    wrong = wrong != NULL ? wrong : scene_settle(&scene);
    if (wrong != NULL) {
        fprintf(stderr, "chimney: %s (%zu bytes left)\n", wrong, bytes.left);
        abort();
    }
    return 0;
}
