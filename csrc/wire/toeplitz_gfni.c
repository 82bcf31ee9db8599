/* Toeplitz by GF(2) matrix products: output byte o of input byte i is matrix[i + o] times the byte. */
#include "wire/toeplitz_gfni.h"

#include "base/bytes.h"
#include "base/check.h"

#include <string.h>

#if defined(__x86_64__)

#include "wire/toeplitz_gfni_words.h"

#define TARGET_GFNI512 __attribute__((target("avx2,avx512f,avx512bw,avx512vl,avx512vbmi,gfni")))

bool toeplitz_gfni_has(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("gfni");
}

bool toeplitz_gfni512_has(void)
{
    return toeplitz_gfni_has() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
           && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi");
}

TOEPLITZ_TARGET_GFNI static uint32_t hash_padded(const struct toeplitz *t, const uint8_t *in, size_t len)
{
    uint8_t padded[TOEPLITZ_INPUT_MAX] = {0};

    vnic_assert(len <= TOEPLITZ_INPUT_MAX);
    memcpy(padded, in, len);
    return toeplitz_gfni_words(t, padded, TOEPLITZ_INPUT_MAX / 4);
}

TOEPLITZ_TARGET_GFNI TOEPLITZ_INLINE uint32_t hash_any(const struct toeplitz *t, const uint8_t *in,
                                                       size_t len)
{
    /* Compared in turn: a switch would become an indirect jump, which costs more than the hash. */
    if (len == 12) {
        return toeplitz_gfni_words(t, in, 3);
    }
    if (len == 36) {
        return toeplitz_gfni_words(t, in, 9);
    }
    if (len == 8) {
        return toeplitz_gfni_words(t, in, 2);
    }
    if (len == 32) {
        return toeplitz_gfni_words(t, in, 8);
    }
    return hash_padded(t, in, len);
}

TOEPLITZ_TARGET_GFNI uint32_t toeplitz_gfni_hash(const struct toeplitz *t, const uint8_t *in, size_t len)
{
    return hash_any(t, in, len);
}

TOEPLITZ_TARGET_GFNI void toeplitz_gfni_bulk(const struct toeplitz *t, const uint8_t *const in[], size_t len,
                                             uint32_t out[], size_t n)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = hash_any(t, in[i], len);
    }
}

/*
 * Sixteen inputs. Dword j of all sixteen is transposed into byte planes: 128-bit lane b holds input byte 4j +
 * b of the sixteen. Its product with quad[4j + o] is what these bytes add to output byte o, every byte of
 * every product counting: 4 * len / 64 products a hash. At the end the lanes of each sum are XORed together.
 */
enum { BATCH = 16 };

/*
 * Replaces the dwords of row that mask names by those at in, counted within its 128-bit lane. One instruction
 * that reads nothing the mask leaves out; as intrinsics it is a load of all 16 bytes, or two instructions.
 */
TARGET_GFNI512 TOEPLITZ_INLINE __m512i merge_lane(__m512i row, __mmask16 mask, const uint8_t *in)
{
    __asm__("vbroadcasti32x4 %1, %0 %{%2%}"
            : "+v"(row)
            : "m"(*(const struct { uint8_t bytes[16]; } *)(const void *)in), "Yk"(mask));
    return row;
}

/* Lane l of the result: up to 16 bytes of input 4 * row + l, the bytes beyond its words zero. */
TARGET_GFNI512 TOEPLITZ_INLINE __m512i load_row(const uint8_t *const *in, size_t offset, unsigned words)
{
    const unsigned mask = (1U << words) - 1;
    __m512i row = _mm512_zextsi128_si512(_mm_maskz_loadu_epi32((__mmask8)mask, in[0] + offset));

    row = merge_lane(row, (__mmask16)(mask << 4), in[1] + offset);
    row = merge_lane(row, (__mmask16)(mask << 8), in[2] + offset);
    return merge_lane(row, (__mmask16)(mask << 12), in[3] + offset);
}

/* Of two rows, eight inputs: lane l gets byte l of each, then byte l + 4 of each. */
#define PLANES_OF_LANE(l)                                                                                    \
    (l), 16 + (l), 32 + (l), 48 + (l), 64 + (l), 80 + (l), 96 + (l), 112 + (l), 4 + (l), 20 + (l), 36 + (l), \
        52 + (l), 68 + (l), 84 + (l), 100 + (l), 116 + (l)
static const uint8_t plane_order[2][64] = {
    {PLANES_OF_LANE(0), PLANES_OF_LANE(1), PLANES_OF_LANE(2), PLANES_OF_LANE(3)},
    {PLANES_OF_LANE(8), PLANES_OF_LANE(9), PLANES_OF_LANE(10), PLANES_OF_LANE(11)},
};

/* Dwords 2 * pair and 2 * pair + 1 of the four rows as byte planes, byte t of each lane being of input t. */
TARGET_GFNI512 TOEPLITZ_INLINE void split_planes(const __m512i row[4], unsigned pair, __m512i planes[2])
{
    const __m512i order = _mm512_loadu_si512(plane_order[pair]);
    const __m512i first = _mm512_permutex2var_epi8(row[0], order, row[1]);
    const __m512i second = _mm512_permutex2var_epi8(row[2], order, row[3]);

    planes[0] = _mm512_unpacklo_epi64(first, second);
    planes[1] = _mm512_unpackhi_epi64(first, second);
}

TARGET_GFNI512 TOEPLITZ_INLINE __m512i xor3(__m512i a, __m512i b, __m512i c)
{
    return _mm512_ternarylogic_epi64(a, b, c, 0x96);
}

TARGET_GFNI512 TOEPLITZ_INLINE __m512i quad_product(const struct toeplitz *t, size_t index, __m512i planes)
{
    return _mm512_gf2p8affine_epi64_epi8(planes, _mm512_loadu_si512(t->u.gfni.quad[index]), 0);
}

/* What words dwords of the inputs, the first of them number first, add to output byte o. */
TARGET_GFNI512 TOEPLITZ_INLINE __m512i sum_products(const struct toeplitz *t, const __m512i planes[4],
                                                    size_t first, unsigned words, size_t o)
{
    const __m512i product = quad_product(t, 4 * first + o, planes[0]);

    if (words == 1) {
        return product;
    }
    if (words == 2) {
        return _mm512_xor_si512(product, quad_product(t, 4 * first + 4 + o, planes[1]));
    }
    return xor3(product, quad_product(t, 4 * first + 4 + o, planes[1]),
                quad_product(t, 4 * first + 8 + o, planes[2]));
}

/* One to four dwords of the inputs: sum[o] is what they add to output byte o, spread over the lanes. */
TARGET_GFNI512 TOEPLITZ_INLINE void sum_piece(const struct toeplitz *t, const uint8_t *const *in,
                                              size_t first, unsigned words, __m512i sum[4])
{
    const __m512i row[4] = {load_row(in, 4 * first, words), load_row(in + 4, 4 * first, words),
                            load_row(in + 8, 4 * first, words), load_row(in + 12, 4 * first, words)};
    __m512i planes[4];

    split_planes(row, 0, planes);
    if (words > 2) {
        split_planes(row, 1, planes + 2);
    }
    sum[0] = sum_products(t, planes, first, words, 0);
    sum[1] = sum_products(t, planes, first, words, 1);
    sum[2] = sum_products(t, planes, first, words, 2);
    sum[3] = sum_products(t, planes, first, words, 3);
    if (words > 3) {
        sum[0] = _mm512_xor_si512(sum[0], quad_product(t, 4 * first + 12, planes[3]));
        sum[1] = _mm512_xor_si512(sum[1], quad_product(t, 4 * first + 13, planes[3]));
        sum[2] = _mm512_xor_si512(sum[2], quad_product(t, 4 * first + 14, planes[3]));
        sum[3] = _mm512_xor_si512(sum[3], quad_product(t, 4 * first + 15, planes[3]));
    }
}

/* Lanes 0 + 2 and 1 + 3 of a, then of b. Blends run on more ports than shuffles do. */
TARGET_GFNI512 TOEPLITZ_INLINE __m512i fold_halves(__m512i a, __m512i b)
{
    return _mm512_xor_si512(_mm512_mask_blend_epi64(0xf0, a, b), _mm512_shuffle_i64x2(a, b, 0x4e));
}

/* The sums of the lanes, in the order a's first pair, b's first pair, a's second pair, b's second pair. */
TARGET_GFNI512 TOEPLITZ_INLINE __m512i fold_pairs(__m512i a, __m512i b)
{
    const __m512i kept = _mm512_mask_blend_epi64(0xcc, a, b);
    const __m512i moved = _mm512_mask_blend_epi64(0xcc, b, a);

    return _mm512_xor_si512(kept, _mm512_shuffle_i64x2(moved, moved, 0xb1));
}

/* Lanes 0 to 3 hold output bytes 0, 2, 1, 3 of the sixteen: into dwords, byte 0 most significant. */
#define DWORD_OF_INPUT(t) 48 + (t), 16 + (t), 32 + (t), (t)
static const uint8_t output_order[64] = {
    DWORD_OF_INPUT(0),  DWORD_OF_INPUT(1),  DWORD_OF_INPUT(2),  DWORD_OF_INPUT(3),
    DWORD_OF_INPUT(4),  DWORD_OF_INPUT(5),  DWORD_OF_INPUT(6),  DWORD_OF_INPUT(7),
    DWORD_OF_INPUT(8),  DWORD_OF_INPUT(9),  DWORD_OF_INPUT(10), DWORD_OF_INPUT(11),
    DWORD_OF_INPUT(12), DWORD_OF_INPUT(13), DWORD_OF_INPUT(14), DWORD_OF_INPUT(15),
};

TARGET_GFNI512 TOEPLITZ_INLINE void store_hashes(const __m512i sum[4], uint32_t *out)
{
    const __m512i lanes = fold_pairs(fold_halves(sum[0], sum[1]), fold_halves(sum[2], sum[3]));

    _mm512_storeu_si512(out, _mm512_permutexvar_epi8(_mm512_loadu_si512(output_order), lanes));
}

/* words is 2, 3, 8 or 9, a constant for the compiler. */
TARGET_GFNI512 TOEPLITZ_INLINE void hash_batch(const struct toeplitz *t, const uint8_t *const *in,
                                               unsigned words, uint32_t *out)
{
    __m512i sum[4], more[4], last[4];

    sum_piece(t, in, 0, words < 4 ? words : 4, sum);
    if (words >= 8) {
        sum_piece(t, in, 4, 4, more);
        if (words == 9) {
            sum_piece(t, in, 8, 1, last);
        }
#pragma GCC unroll 4
        for (unsigned o = 0; o < 4; o++) {
            sum[o] = words == 9 ? xor3(sum[o], more[o], last[o]) : _mm512_xor_si512(sum[o], more[o]);
        }
    }
    store_hashes(sum, out);
}

/* Whole batches, then the rest: a few one by one, more as a batch filled up with the last input. */
TARGET_GFNI512 TOEPLITZ_INLINE void bulk_words(const struct toeplitz *t, const uint8_t *const *in,
                                               unsigned words, uint32_t *out, size_t n)
{
    const uint8_t *filled[BATCH];
    uint32_t hashes[BATCH];

    for (; n >= BATCH; n -= BATCH, in += BATCH, out += BATCH) {
        hash_batch(t, in, words, out);
    }
    if (n > 4) {
        for (size_t i = 0; i < BATCH; i++) {
            filled[i] = in[i < n ? i : n - 1];
        }
        hash_batch(t, filled, words, hashes);
        memcpy(out, hashes, n * sizeof(hashes[0]));
        return;
    }
    for (size_t i = 0; i < n; i++) {
        out[i] = toeplitz_gfni_words(t, in[i], words);
    }
}

TARGET_GFNI512 void toeplitz_gfni512_bulk(const struct toeplitz *t, const uint8_t *const in[], size_t len,
                                          uint32_t out[], size_t n)
{
    switch (len) {
    case 8:
        bulk_words(t, in, 2, out, n);
        break;
    case 12:
        bulk_words(t, in, 3, out, n);
        break;
    case 32:
        bulk_words(t, in, 8, out, n);
        break;
    case 36:
        bulk_words(t, in, 9, out, n);
        break;
    default:
        toeplitz_gfni_bulk(t, in, len, out, n);
        break;
    }
}

#else

bool toeplitz_gfni_has(void)
{
    return false;
}

bool toeplitz_gfni512_has(void)
{
    return false;
}

uint32_t toeplitz_gfni_hash(const struct toeplitz *t, const uint8_t *in, size_t len)
{
    (void)t;
    (void)in;
    (void)len;
    vnic_assert(false);
    return 0;
}

void toeplitz_gfni_bulk(const struct toeplitz *t, const uint8_t *const in[], size_t len, uint32_t out[],
                        size_t n)
{
    (void)t;
    (void)in;
    (void)len;
    (void)out;
    (void)n;
    vnic_assert(false);
}

void toeplitz_gfni512_bulk(const struct toeplitz *t, const uint8_t *const in[], size_t len, uint32_t out[],
                           size_t n)
{
    toeplitz_gfni_bulk(t, in, len, out, n);
}

#endif
