/* memcpy_path KIND: the C library's memcpy, a call a copy, without descriptors or completions. */
#include <stdlib.h>
#include <string.h>

#include "../copy_load.h"

static bool memcpy_start(void *opaque, const struct copy_job job[], unsigned count, uint32_t len)
{
    (void)opaque;
    for (unsigned i = 0; i < count; i++) {
        memcpy(job[i].to, job[i].from, len);
    }
    return true;
}

static bool memcpy_finish(void *opaque)
{
    (void)opaque;
    return true;
}

int main(int argc, char **argv)
{
    const struct copier copier = {.start = memcpy_start, .finish = memcpy_finish};
    struct copy_load load;
    if (argc != 2 || !copy_load_open(&load)) {
        return EXIT_FAILURE;
    }
    const bool is_served = copy_load_serve("memcpy", argv[1], &load, &copier);
    copy_load_close(&load);
    return is_served ? EXIT_SUCCESS : EXIT_FAILURE;
}
