/* Times the Internet checksum, alone and fused with a copy, next to memcpy followed by a checksum. */
/*
 * Build (the kernels as the package builds them, this file for the machine at hand):
 *   cc -std=gnu11 -O2 -Icsrc -c csrc/wire/checksum.c csrc/wire/checksum_x86.c
 *   cc -std=gnu11 -O2 -march=native -Icsrc tests/perf/checksum_bench.c checksum.o checksum_x86.o
 * Argument: rounds (default 31). A round times both contenders once, in turn; medians are printed, and GB/s
 * of the bytes checksummed. Buffers stay in the first-level cache. glibc's memcpy turns to "rep movsb" near 2
 * KiB.
 */
#include "base/bytes.h"
#include "wire/checksum.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if defined(__AVX512BW__) && defined(__AVX512VNNI__)
#define WITH_VNNI 1
#endif

enum { BUFFERS = 4, STRIDE = 4160, REPEATS = 2000, ROUNDS_MAX = 1001 };

#define NOINLINE __attribute__((noinline, noclone))
#define KEEP() __asm__ volatile("" ::: "memory")

struct bench {
    uint8_t from[BUFFERS][STRIDE];
    uint8_t to[BUFFERS][STRIDE];
    const struct csum_ops *best;
    uint64_t sums[BUFFERS];
};

typedef void contender(struct bench *b, size_t len);

static double thread_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* The word at a time that everyone writes first; the truth the others are held against. */
static NOINLINE uint64_t sum_words(const uint8_t *at, size_t len)
{
    uint64_t sum = 0;

    for (; len >= 2; len -= 2, at += 2) {
        sum += le16_load(at);
    }
    return len > 0 ? sum + *at : sum;
}

#if defined(__x86_64__)
/* 64 bytes a turn through the carry flag, as the kernels of operating systems do. */
static NOINLINE uint64_t sum_adc(const uint8_t *at, size_t len)
{
    uint64_t sum = 0;
    size_t turns = len / 64;

    if (turns > 0) {
        __asm__("clc\n"
                "1:\n"
                "adcq (%1), %0\n"
                "adcq 8(%1), %0\n"
                "adcq 16(%1), %0\n"
                "adcq 24(%1), %0\n"
                "adcq 32(%1), %0\n"
                "adcq 40(%1), %0\n"
                "adcq 48(%1), %0\n"
                "adcq 56(%1), %0\n"
                "leaq 64(%1), %1\n"
                "decq %2\n"
                "jnz 1b\n"
                "adcq $0, %0\n"
                : "+r"(sum), "+r"(at), "+r"(turns)
                :
                : "cc", "memory");
    }
    for (len %= 64; len >= 8; len -= 8, at += 8) {
        const uint64_t word = le64_load(at);

        sum += word;
        sum += sum < word;
    }
    return (sum & 0xffffffff) + (sum >> 32) + sum_words(at, len);
}
#endif

#if defined(WITH_VNNI)
/* Even and odd bytes by VPDPBUSD, 128 bytes a turn: enough chains that its latency does not show. */
static NOINLINE uint64_t sum_vnni(const uint8_t *at, size_t len)
{
    const __m512i even = _mm512_set1_epi16(0x0001);
    const __m512i odd = _mm512_set1_epi16(0x0100);
    __m512i low = _mm512_setzero_si512();
    __m512i high = low, low2 = low, high2 = low;
    uint64_t sum;

    for (; len >= 128; len -= 128, at += 128) {
        const __m512i bytes = _mm512_loadu_si512(at);
        const __m512i bytes2 = _mm512_loadu_si512(at + 64);

        low = _mm512_dpbusd_epi32(low, bytes, even);
        high = _mm512_dpbusd_epi32(high, bytes, odd);
        low2 = _mm512_dpbusd_epi32(low2, bytes2, even);
        high2 = _mm512_dpbusd_epi32(high2, bytes2, odd);
    }
    for (; len > 0; len -= len < 64 ? len : 64, at += 64) {
        const __m512i bytes = _mm512_maskz_loadu_epi8(len < 64 ? (1ULL << len) - 1 : ~0ULL, at);

        low = _mm512_dpbusd_epi32(low, bytes, even);
        high = _mm512_dpbusd_epi32(high, bytes, odd);
    }
    sum = (uint32_t)_mm512_reduce_add_epi32(_mm512_add_epi32(high, high2));
    return (sum << 8) + (uint32_t)_mm512_reduce_add_epi32(_mm512_add_epi32(low, low2));
}
#endif

#define CONTENDER(name, expression)                                                                          \
    static void name(struct bench *b, size_t len)                                                            \
    {                                                                                                        \
        for (size_t i = 0; i < BUFFERS; i++) {                                                               \
            b->sums[i] = (expression);                                                                       \
            KEEP();                                                                                          \
        }                                                                                                    \
    }

CONTENDER(ours_copy, b->best->copy(b->to[i], b->from[i], len, 0))
CONTENDER(ours_copy_portable, csum_copy(b->to[i], b->from[i], len, 0))
CONTENDER(ours_sum, b->best->add(0, b->from[i], len))
CONTENDER(ours_sum_portable, csum_add(0, b->from[i], len))
CONTENDER(peer_words, sum_words(b->from[i], len))
CONTENDER(peer_copy_words, (memcpy(b->to[i], b->from[i], len), sum_words(b->to[i], len)))
#if defined(__x86_64__)
CONTENDER(peer_adc, sum_adc(b->from[i], len))
CONTENDER(peer_copy_adc, (memcpy(b->to[i], b->from[i], len), sum_adc(b->to[i], len)))
#endif
#if defined(WITH_VNNI)
CONTENDER(peer_vnni, sum_vnni(b->from[i], len))
CONTENDER(peer_copy_vnni, (memcpy(b->to[i], b->from[i], len), sum_vnni(b->to[i], len)))
#endif

static double time_once(contender *run, struct bench *b, size_t len)
{
    const double start = thread_ns();

    for (unsigned repeat = 0; repeat < REPEATS; repeat++) {
        run(b, len);
    }
    return (thread_ns() - start) / REPEATS / BUFFERS;
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
    for (size_t i = 0; i < BUFFERS; i++) {
        if (csum_fold(b->sums[i]) != csum_fold(sum_words(b->from[i], len))) {
            fprintf(stderr, "%s: wrong sum of %zu bytes\n", name, len);
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
        "{\"name\": \"%s_%zu\", \"ours_ns\": %.2f, \"ours_gb_s\": %.1f, \"peer\": \"%s\", \"peer_ns\": %.2f, "
        "\"peer_gb_s\": %.1f, \"ratio\": %.2f}\n",
        name, len, ours_median, (double)len / ours_median, peer_name, peer_median, (double)len / peer_median,
        peer_median / ours_median);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static _Alignas(64) struct bench b;
    static const size_t lengths[] = {20, 40, 60, 64, 1500, 4096};
    unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 31;

    rounds = rounds == 0 ? 1 : rounds;
    rounds = rounds > ROUNDS_MAX ? ROUNDS_MAX : rounds;
    b.best = csum_ops_best();
    for (size_t i = 0; i < sizeof(b.from); i++) {
        b.from[i / STRIDE][i % STRIDE] = (uint8_t)(rand() >> 7);
    }
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        const size_t len = lengths[i];

#if defined(WITH_VNNI)
        compare(&b, rounds, len, "checksum_copy", ours_copy, "memcpy then AVX-512 VNNI", peer_copy_vnni);
        compare(&b, rounds, len, "checksum", ours_sum, "AVX-512 VNNI", peer_vnni);
#endif
#if defined(__x86_64__)
        compare(&b, rounds, len, "checksum_copy", ours_copy, "memcpy then adc", peer_copy_adc);
        compare(&b, rounds, len, "checksum_copy_portable", ours_copy_portable, "memcpy then adc",
                peer_copy_adc);
        compare(&b, rounds, len, "checksum", ours_sum, "adc", peer_adc);
        compare(&b, rounds, len, "checksum_portable", ours_sum_portable, "adc", peer_adc);
#endif
        compare(&b, rounds, len, "checksum_copy", ours_copy, "memcpy then 16-bit words", peer_copy_words);
        compare(&b, rounds, len, "checksum", ours_sum, "16-bit words", peer_words);
    }
#if !defined(WITH_VNNI)
    printf(
        "{\"name\": \"checksum_copy\", \"skipped\": \"peer AVX-512 VNNI: needs a processor that has it\"}\n");
#endif
    return 0;
}
