/* fuzz_segment.c: libFuzzer target: any segments, user calls and times, and the engine's invariants after each. */
#include <stdio.h>
#include <stdlib.h>

#include "acts.h"
#include "input.h"
#include "tcp_world.h"

enum { STEPS_MOST = 2000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world world;
    static struct acts acts;
    struct world_bytes bytes;
    const char *wrong = NULL;

    acts_start(&acts, data, size);
    (void)acts_next(&acts);
    bytes = (struct world_bytes){acts.act, acts.bytes};
    world_start(&world, &bytes);
    for (unsigned step = 0; wrong == NULL && step < STEPS_MOST && acts_next(&acts); step++) {
        bytes = (struct world_bytes){acts.act, acts.bytes};
        wrong = world_step(&world, &bytes);
    }
    wrong = wrong != NULL ? wrong : world_finish(&world);
    if (wrong != NULL) {
        fprintf(stderr, "segment: %s (at byte %zu)\n", wrong, acts.at);
        abort();
    }
    world_end(&world);
    return 0;
}
