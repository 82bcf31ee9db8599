/* fuzz_segment.c: libFuzzer target: any segments, user calls and times, and the engine's invariants after each. */
#include <stdio.h>
#include <stdlib.h>

#include "tcp_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world world;
    struct world_bytes bytes = {data, size};
    const char *wrong = NULL;

    world_start(&world, &bytes);
    for (unsigned step = 0; bytes.left != 0 && wrong == NULL && step < 2000; step++) {
        wrong = world_step(&world, &bytes);
    }
    wrong = wrong != NULL ? wrong : world_finish(&world);
    if (wrong != NULL) {
        fprintf(stderr, "engine: %s (%zu bytes left)\n", wrong, bytes.left);
        abort();
    }
    world_end(&world);
    return 0;
}
