/* random_bytes.c: a libFuzzer target without libFuzzer: random inputs for some seconds, or the files named. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MOST = 4096 };

static double seconds_now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* splitmix64: every input follows from its own number. */
static uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;

    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* Small bytes are as likely as all others together: they choose the usual, the others the rest. */
static size_t input_write(uint64_t number, uint8_t *out)
{
    uint64_t state = number;
    const size_t size = 16 + (size_t)(random_next(&state) % (INPUT_MOST - 16));

    for (size_t i = 0; i < size; i++) {
        const uint64_t r = random_next(&state);
        out[i] = (uint8_t)((r >> 40 & 3) == 0 ? r & 7 : r);
    }
    return size;
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
        const size_t size = input_write((seed << 32) + n, in);
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
