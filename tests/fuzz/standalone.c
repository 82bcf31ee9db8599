/* standalone.c: a fuzz target without libFuzzer: random inputs for some seconds, or the files named. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "input.h"

static double seconds_now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int run_file(const char *path)
{
    static uint8_t in[1 << 20];
    FILE *file = fopen(path, "rb");

    if (file == NULL) {
        fprintf(stderr, "%s: cannot be read\n", path);
        return 2;
    }
    const size_t size = fread(in, 1, sizeof in, file);
    (void)fclose(file);
    (void)LLVMFuzzerTestOneInput(in, size);
    return 0;
}

static int run_random(double seconds, uint64_t seed)
{
    static uint8_t in[INPUT_MOST];
    const double start = seconds_now();
    uint64_t n = 0;

    do {
        size_t size = input_write((seed << 32) + n, in, sizeof in);
        if (n % 2 != 0) {
            size = LLVMFuzzerCustomMutator(in, size, sizeof in, (unsigned)n);
        }
        FILE *file = fopen("fuzz.input", "wb"); /* left behind by an input that kills us */
        if (file != NULL) {
            (void)fwrite(in, 1, size, file);
            (void)fclose(file);
        }
        (void)LLVMFuzzerTestOneInput(in, size);
        n++;
    } while (seconds_now() - start < seconds);
    (void)remove("fuzz.input");
    printf("%" PRIu64 " inputs in %.1f s\n", n, seconds_now() - start);
    return 0;
}

int main(int argc, char **argv)
{
    double seconds = 10;
    uint64_t seed = 1;
    int files = 0;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc) {
            seconds = strtod(argv[++i], NULL);
        } else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            seed = strtoull(argv[++i], NULL, 10);
        } else if (run_file(argv[i]) != 0) {
            return 2;
        } else {
            files++;
        }
    }
    return files != 0 ? 0 : run_random(seconds, seed);
}
