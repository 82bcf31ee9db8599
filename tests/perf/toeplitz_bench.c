/* Times the Toeplitz hash next to DPDK's and a bit-serial one; prints a line of JSON for each pair. */
/*
 * Build (the kernels as the package builds them, this file for the machine at hand, as DPDK inlines its
 * hash):
 *   cc -std=gnu11 -O2 -Icsrc -c csrc/wire/toeplitz.c csrc/wire/toeplitz_gfni.c
 *   cc -std=gnu11 -O2 -march=native -DWITH_DPDK -Icsrc $(pkg-config --cflags-only-I libdpdk) \
 *      -include rte_config.h tests/perf/toeplitz_bench.c toeplitz.o toeplitz_gfni.o -lrte_hash -lrte_eal
 * Without DPDK leave out -DWITH_DPDK and what belongs to it. Argument: rounds (default 31). A round times
 * both contenders once, in turn; the median of a contender's rounds is its figure. DPDK's functions are
 * inlined; "toeplitz_single" inlines ours too, "toeplitz_single_call" is toeplitz_hash() as the card calls
 * it.
 */
#include "base/bytes.h"
#include "wire/toeplitz.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#if defined(__GFNI__) && defined(__AVX2__)
#include "wire/toeplitz_gfni_words.h"
#define WITH_GFNI 1
#endif

#if defined(WITH_DPDK)
#define ALLOW_EXPERIMENTAL_API
#include <rte_thash.h>
#include <rte_thash_gfni.h>
#if defined(RTE_THASH_GFNI_DEFINED)
#define WITH_DPDK_GFNI 1
#endif
#endif

enum { INPUTS = 64, STRIDE = 44, REPEATS = 400, ROUNDS_MAX = 1001, FIGURES = 32 };

#define NOINLINE __attribute__((noinline, noclone))
#define KEEP() __asm__ volatile("" ::: "memory")

struct bench {
    struct toeplitz best, portable, scratch;
    uint8_t key[TOEPLITZ_KEY_LEN];
    uint64_t matrices[TOEPLITZ_KEY_LEN]; /* DPDK's form of the key */
    uint32_t words[TOEPLITZ_KEY_LEN / 4];
    uint8_t bytes[INPUTS * STRIDE];
    uint32_t swapped[INPUTS][TOEPLITZ_INPUT_MAX / 4]; /* rte_softrss_be takes dwords in host order */
    uint8_t *inputs[INPUTS];
    uint32_t out[INPUTS];
};

typedef void contender(struct bench *b, size_t len);

static double thread_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void ours_bulk(struct bench *b, size_t len)
{
    toeplitz_hash_bulk(&b->best, (const uint8_t *const *)b->inputs, len, b->out, INPUTS);
}

static void ours_single(struct bench *b, size_t len)
{
    for (size_t i = 0; i < INPUTS; i++) {
        b->out[i] = toeplitz_hash(&b->best, b->inputs[i], len);
        KEEP();
    }
}

#if defined(WITH_GFNI)
static void ours_inlined(struct bench *b, size_t len)
{
    if (len == 12) {
        for (size_t i = 0; i < INPUTS; i++) {
            b->out[i] = toeplitz_gfni_words(&b->best, b->inputs[i], 3);
            KEEP();
        }
        return;
    }
    for (size_t i = 0; i < INPUTS; i++) {
        b->out[i] = toeplitz_gfni_words(&b->best, b->inputs[i], 9);
        KEEP();
    }
}
#endif

static void ours_portable(struct bench *b, size_t len)
{
    toeplitz_hash_bulk(&b->portable, (const uint8_t *const *)b->inputs, len, b->out, INPUTS);
}

static void ours_portable_single(struct bench *b, size_t len)
{
    for (size_t i = 0; i < INPUTS; i++) {
        b->out[i] = toeplitz_hash(&b->portable, b->inputs[i], len);
        KEEP();
    }
}

static NOINLINE uint32_t bit_serial(const uint8_t *key, const uint8_t *in, size_t len)
{
    uint32_t window = be32_load(key);
    uint32_t hash = 0;

    for (size_t i = 0; i < len; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            hash ^= (in[i] << bit & 0x80) != 0 ? window : 0;
            window = window << 1 | (key[i + 4] >> (7 - bit) & 1U);
        }
    }
    return hash;
}

static void peer_bit_serial(struct bench *b, size_t len)
{
    for (size_t i = 0; i < INPUTS; i++) {
        b->out[i] = bit_serial(b->key, b->inputs[i], len);
    }
}

#if defined(WITH_DPDK)
static void peer_softrss_be(struct bench *b, size_t len)
{
    for (size_t i = 0; i < INPUTS; i++) {
        b->out[i] = rte_softrss_be(b->swapped[i], (uint32_t)len / 4, (const uint8_t *)b->words);
        KEEP();
    }
}
#endif

#if defined(WITH_DPDK_GFNI)
/* One function per length: DPDK's functions are inlined, and then know the length. */
static void peer_gfni_bulk(struct bench *b, size_t len)
{
    if (len == 12) {
        rte_thash_gfni_bulk(b->matrices, 12, b->inputs, b->out, INPUTS);
    } else {
        rte_thash_gfni_bulk(b->matrices, 36, b->inputs, b->out, INPUTS);
    }
}

static void peer_gfni(struct bench *b, size_t len)
{
    if (len == 12) {
        for (size_t i = 0; i < INPUTS; i++) {
            b->out[i] = rte_thash_gfni(b->matrices, b->inputs[i], 12);
            KEEP();
        }
        return;
    }
    for (size_t i = 0; i < INPUTS; i++) {
        b->out[i] = rte_thash_gfni(b->matrices, b->inputs[i], 36);
        KEEP();
    }
}

static NOINLINE uint32_t gfni_called(const uint64_t *matrices, const uint8_t *in, size_t len)
{
    return rte_thash_gfni(matrices, in, (int)len);
}

static void peer_gfni_call(struct bench *b, size_t len)
{
    uint32_t (*volatile hash)(const uint64_t *, const uint8_t *, size_t) = gfni_called;
    uint32_t (*const called)(const uint64_t *, const uint8_t *, size_t) = hash;

    for (size_t i = 0; i < INPUTS; i++) {
        b->out[i] = called(b->matrices, b->inputs[i], len);
    }
}
#endif

static double time_once(contender *run, struct bench *b, size_t len)
{
    const double start = thread_ns();

    for (unsigned repeat = 0; repeat < REPEATS; repeat++) {
        run(b, len);
        KEEP();
    }
    return (thread_ns() - start) / REPEATS / INPUTS;
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values, unsigned count)
{
    qsort(values, count, sizeof(values[0]), compare_doubles);
    return values[count / 2];
}

static void check_equal(contender *run, struct bench *b, size_t len, const char *name)
{
    run(b, len);
    for (size_t i = 0; i < INPUTS; i++) {
        if (b->out[i] != bit_serial(b->key, b->inputs[i], len)) {
            fprintf(stderr, "%s: input %zu of %zu bytes: wrong hash %08x\n", name, i, len, b->out[i]);
            exit(1);
        }
    }
}

static void compare(struct bench *b, unsigned rounds, size_t len, const char *name, contender *ours,
                    const char *peer_name, contender *peer)
{
    static double ours_ns[ROUNDS_MAX], peer_ns[ROUNDS_MAX];
    double ours_median, peer_median;

    check_equal(ours, b, len, name);
    check_equal(peer, b, len, peer_name);
    for (unsigned round = 0; round < rounds; round++) {
        ours_ns[round] = time_once(ours, b, len);
        peer_ns[round] = time_once(peer, b, len);
    }
    ours_median = median(ours_ns, rounds);
    peer_median = median(peer_ns, rounds);
    printf(
        "{\"name\": \"%s_%zu\", \"ours_ns\": %.3f, \"peer\": \"%s\", \"peer_ns\": %.3f, \"ratio\": %.2f}\n",
        name, len, ours_median, peer_name, peer_median, peer_median / ours_median);
    fflush(stdout);
}

static void prepare(struct bench *b)
{
    for (size_t i = 0; i < sizeof(b->key); i++) {
        b->key[i] = (uint8_t)(rand() >> 7);
    }
    for (size_t i = 0; i < sizeof(b->bytes); i++) {
        b->bytes[i] = (uint8_t)(rand() >> 7);
    }
    for (size_t i = 0; i < INPUTS; i++) {
        b->inputs[i] = b->bytes + i * STRIDE;
        for (size_t word = 0; word < TOEPLITZ_INPUT_MAX / 4; word++) {
            b->swapped[i][word] = be32_load(b->inputs[i] + 4 * word);
        }
    }
    toeplitz_prepare(&b->best, b->key);
    toeplitz_prepare_path(&b->portable, b->key, TOEPLITZ_PORTABLE);
#if defined(WITH_DPDK)
    rte_convert_rss_key((const uint32_t *)b->key, b->words, TOEPLITZ_KEY_LEN);
#endif
#if defined(WITH_DPDK_GFNI)
    rte_thash_complete_matrix(b->matrices, b->key, TOEPLITZ_KEY_LEN);
#endif
}

static void time_prepare(struct bench *b)
{
    static const char *const names[TOEPLITZ_PATHS] = {"portable", "gfni", "gfni512"};

    for (int path = 0; path < TOEPLITZ_PATHS; path++) {
        double start = thread_ns();

        if (!toeplitz_prepare_path(&b->scratch, b->key, (enum toeplitz_path)path)) {
            continue;
        }
        start = thread_ns();
        for (unsigned repeat = 0; repeat < REPEATS; repeat++) {
            toeplitz_prepare_path(&b->scratch, b->key, (enum toeplitz_path)path);
            KEEP();
        }
        printf("{\"name\": \"toeplitz_prepare_%s\", \"ours_ns\": %.0f}\n", names[path],
               (thread_ns() - start) / REPEATS);
    }
}

int main(int argc, char **argv)
{
    static struct bench b;
    static const size_t lengths[] = {12, 36};
    unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 31;

    rounds = rounds == 0 ? 1 : rounds;
    rounds = rounds > ROUNDS_MAX ? ROUNDS_MAX : rounds;
    prepare(&b);
    for (size_t i = 0; i < 2; i++) {
        const size_t len = lengths[i];

#if defined(WITH_DPDK_GFNI)
        compare(&b, rounds, len, "toeplitz_bulk", ours_bulk, "rte_thash_gfni_bulk", peer_gfni_bulk);
        compare(&b, rounds, len, "toeplitz_single", ours_inlined, "rte_thash_gfni", peer_gfni);
        compare(&b, rounds, len, "toeplitz_single_call", ours_single, "rte_thash_gfni behind a call",
                peer_gfni_call);
        compare(&b, rounds, len, "toeplitz_single_call", ours_single, "rte_thash_gfni", peer_gfni);
#endif
#if defined(WITH_DPDK)
        compare(&b, rounds, len, "toeplitz_portable", ours_portable, "rte_softrss_be", peer_softrss_be);
        compare(&b, rounds, len, "toeplitz_portable_single", ours_portable_single, "rte_softrss_be",
                peer_softrss_be);
#endif
        compare(&b, rounds, len, "toeplitz_bulk", ours_bulk, "bit-serial", peer_bit_serial);
        compare(&b, rounds, len, "toeplitz_portable", ours_portable, "bit-serial", peer_bit_serial);
    }
#if !defined(WITH_DPDK_GFNI)
    printf(
        "{\"name\": \"toeplitz_bulk\", \"skipped\": \"peer rte_thash_gfni: needs libdpdk-dev and a processor "
        "with GFNI and AVX-512\"}\n");
#endif
    time_prepare(&b);
    return 0;
}
