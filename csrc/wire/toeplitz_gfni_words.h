/* The Toeplitz hash of one input by GFNI and AVX2, to be inlined where both are known to be there. */
#ifndef VNIC_WIRE_TOEPLITZ_GFNI_WORDS_H
#define VNIC_WIRE_TOEPLITZ_GFNI_WORDS_H

#include "wire/toeplitz.h"

#include <immintrin.h>
#include <string.h>

#define TOEPLITZ_TARGET_GFNI __attribute__((target("avx2,gfni")))
#define TOEPLITZ_INLINE static inline __attribute__((always_inline))

/*
 * One input. Group g broadcasts the 8 input bytes from 4g - 4 on to four qwords and multiplies qword q by
 * matrix[4g + q]. In qword q the products that belong to output byte o then lie at byte q + 4 - o, in every
 * group: so the groups are added as they are, and one shuffle at the end picks the four bytes that count out
 * of each qword. Bytes before and after the input are zero, which adds nothing.
 */
TOEPLITZ_TARGET_GFNI TOEPLITZ_INLINE __m256i toeplitz_gfni_product(const struct toeplitz *t, size_t group,
                                                                   __m256i bytes)
{
    const __m256i matrices =
        _mm256_loadu_si256((const __m256i *)(const void *)(t->u.gfni.matrix + 4 * group));

    return _mm256_gf2p8affine_epi64_epi8(bytes, matrices, 0);
}

TOEPLITZ_TARGET_GFNI TOEPLITZ_INLINE __m256i toeplitz_gfni_broadcast32(const uint8_t *in)
{
    int value;

    memcpy(&value, in, sizeof(value));
    return _mm256_set1_epi32(value);
}

TOEPLITZ_TARGET_GFNI TOEPLITZ_INLINE __m256i toeplitz_gfni_broadcast64(const uint8_t *in)
{
    long long value;

    memcpy(&value, in, sizeof(value));
    return _mm256_set1_epi64x(value);
}

/* The four counting bytes of each qword, least significant output byte first, XORed over the qwords. */
TOEPLITZ_TARGET_GFNI TOEPLITZ_INLINE uint32_t toeplitz_gfni_fold(__m256i sum)
{
    const __m256i pick = _mm256_setr_epi8(1, 2, 3, 4, -1, -1, -1, -1, 10, 11, 12, 13, -1, -1, -1, -1, 3, 4, 5,
                                          6, -1, -1, -1, -1, 12, 13, 14, 15, -1, -1, -1, -1);
    __m128i half;

    sum = _mm256_shuffle_epi8(sum, pick);
    half = _mm_xor_si128(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    half = _mm_xor_si128(half, _mm_unpackhi_epi64(half, half));
    return (uint32_t)_mm_cvtsi128_si32(half);
}

/* words >= 1 dwords of input; a constant for the compiler. */
TOEPLITZ_TARGET_GFNI TOEPLITZ_INLINE uint32_t toeplitz_gfni_words(const struct toeplitz *t, const uint8_t *in,
                                                                  size_t words)
{
    const __m256i low = _mm256_set1_epi64x(0xffffffffLL);
    const __m256i head = _mm256_andnot_si256(low, toeplitz_gfni_broadcast32(in));
    const __m256i tail = _mm256_and_si256(low, toeplitz_gfni_broadcast32(in + 4 * words - 4));
    __m256i sum[2] = {toeplitz_gfni_product(t, 0, head), toeplitz_gfni_product(t, words, tail)};

#pragma GCC unroll 9
    for (size_t group = 1; group < words; group++) {
        const __m256i bytes = toeplitz_gfni_broadcast64(in + 4 * group - 4);

        sum[group % 2] = _mm256_xor_si256(sum[group % 2], toeplitz_gfni_product(t, group, bytes));
    }
    return toeplitz_gfni_fold(_mm256_xor_si256(sum[0], sum[1]));
}

#endif
