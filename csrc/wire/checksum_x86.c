/* The checksum on AVX2 and AVX-512: 32 or 64 bytes a step, copied on the way when there is a destination. */
/*
 * PMADDWD with ones adds pairs of signed 16-bit words. Flipping the sign bit turns an unsigned word w into
 * the signed w - 0x8000, so a vector of n words comes out n * 0x8000 short, which is made good at the end
 * whatever the data. Over RUN_MAX bytes no lane, and no sum of the lanes, leaves 32 bits: 2^15 words of
 * magnitude 2^15.
 */
#include "wire/checksum_x86.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define TARGET_AVX2 __attribute__((target("avx2")))
#define TARGET_AVX512 __attribute__((target("avx2,avx512f,avx512bw,avx512vl,bmi2")))
#define INLINE static inline __attribute__((always_inline))

enum { RUN_MAX = 65536, SHORTFALL_BITS = 15 };

bool csum_avx2_has(void)
{
    return __builtin_cpu_supports("avx2") != 0;
}

bool csum_avx512_has(void)
{
    return csum_avx2_has() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
           && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("bmi2");
}

/* What flipped signs took away from len bytes of whole words. */
INLINE uint64_t shortfall(size_t len)
{
    return (uint64_t)(len / 2) << SHORTFALL_BITS;
}

/* Where a copy goes on; without one there is no destination, and nothing may be added to it. */
INLINE uint8_t *ahead(uint8_t *dst, size_t n, bool is_copy)
{
    return is_copy ? dst + n : dst;
}

TARGET_AVX2 INLINE __m256i step32(__m256i sum, uint8_t *dst, const uint8_t *src, bool is_copy)
{
    const __m256i bytes = _mm256_loadu_si256((const __m256i *)(const void *)src);
    const __m256i words = _mm256_xor_si256(bytes, _mm256_set1_epi16(-0x8000));

    if (is_copy) {
        _mm256_storeu_si256((__m256i *)(void *)dst, bytes);
    }
    return _mm256_add_epi32(sum, _mm256_madd_epi16(words, _mm256_set1_epi16(1)));
}

TARGET_AVX2 INLINE int32_t sum_lanes(__m256i sum)
{
    __m128i half = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));

    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1));
    return _mm_cvtsi128_si32(half);
}

/* len is a multiple of 32 and at most RUN_MAX. */
TARGET_AVX2 INLINE uint64_t run_avx2(uint8_t *dst, const uint8_t *src, size_t len, bool is_copy)
{
    __m256i sum0 = _mm256_setzero_si256();
    __m256i sum1 = sum0;
    size_t at = 0;

    for (; at + 128 <= len; at += 128) {
        sum0 = step32(sum0, ahead(dst, at, is_copy), src + at, is_copy);
        sum1 = step32(sum1, ahead(dst, at + 32, is_copy), src + at + 32, is_copy);
        sum0 = step32(sum0, ahead(dst, at + 64, is_copy), src + at + 64, is_copy);
        sum1 = step32(sum1, ahead(dst, at + 96, is_copy), src + at + 96, is_copy);
    }
    for (; at < len; at += 32) {
        sum0 = step32(sum0, ahead(dst, at, is_copy), src + at, is_copy);
    }
    return shortfall(len) + (uint64_t)(int64_t)sum_lanes(_mm256_add_epi32(sum0, sum1));
}

TARGET_AVX2 INLINE uint64_t all_avx2(uint64_t acc, uint8_t *dst, const uint8_t *src, size_t len, bool is_copy)
{
    while (len >= 32) {
        const size_t run = len < RUN_MAX ? len & ~(size_t)31 : RUN_MAX;

        acc += run_avx2(dst, src, run, is_copy);
        src += run;
        dst = ahead(dst, run, is_copy);
        len -= run;
    }
    if (len == 0) {
        return acc;
    }
    return is_copy ? csum_copy(dst, src, len, acc) : csum_add(acc, src, len);
}

TARGET_AVX2 uint64_t csum_avx2_add(uint64_t acc, const void *data, size_t len)
{
    return len < 64 ? csum_add(acc, data, len) : all_avx2(acc, NULL, data, len, false);
}

TARGET_AVX2 uint64_t csum_avx2_copy(void *dst, const void *src, size_t len, uint64_t acc)
{
    return len < 64 ? csum_copy(dst, src, len, acc) : all_avx2(acc, dst, src, len, true);
}

TARGET_AVX512 INLINE __m512i sum64(__m512i sum, __m512i bytes)
{
    const __m512i words = _mm512_xor_si512(bytes, _mm512_set1_epi16(-0x8000));

    return _mm512_add_epi32(sum, _mm512_madd_epi16(words, _mm512_set1_epi16(1)));
}

TARGET_AVX512 INLINE __m512i step64(__m512i sum, uint8_t *dst, const uint8_t *src, bool is_copy)
{
    const __m512i bytes = _mm512_loadu_si512(src);

    if (is_copy) {
        _mm512_storeu_si512(dst, bytes);
    }
    return sum64(sum, bytes);
}

/*
 * The last len & 63 bytes, len > 64: summed under a mask, copied by one whole vector that overlaps what is
 * done.
 */
TARGET_AVX512 INLINE __m512i tail64(__m512i sum, uint8_t *dst, const uint8_t *src, size_t len, bool is_copy)
{
    const size_t rest = len & 63;

    if (is_copy) {
        _mm512_storeu_si512(dst + len - 64, _mm512_loadu_si512(src + len - 64));
    }
    return sum64(sum, _mm512_maskz_loadu_epi8(_bzhi_u64(~0ULL, (uint32_t)rest), src + len - rest));
}

/* 64 <= len <= RUN_MAX, and a multiple of 64 unless it is the last run. */
TARGET_AVX512 INLINE uint64_t run_avx512(uint8_t *dst, const uint8_t *src, size_t len, bool is_copy)
{
    __m512i sum0 = _mm512_setzero_si512();
    __m512i sum1 = sum0;
    size_t at = 0;

    for (; at + 256 <= len; at += 256) {
        sum0 = step64(sum0, ahead(dst, at, is_copy), src + at, is_copy);
        sum1 = step64(sum1, ahead(dst, at + 64, is_copy), src + at + 64, is_copy);
        sum0 = step64(sum0, ahead(dst, at + 128, is_copy), src + at + 128, is_copy);
        sum1 = step64(sum1, ahead(dst, at + 192, is_copy), src + at + 192, is_copy);
    }
    for (; at + 64 <= len; at += 64) {
        sum1 = step64(sum1, ahead(dst, at, is_copy), src + at, is_copy);
    }
    if (at < len) {
        sum0 = tail64(sum0, dst, src, len, is_copy);
        at += 64;
    }
    sum0 = _mm512_add_epi32(sum0, sum1);
    return shortfall(at)
           + (uint64_t)(int64_t)sum_lanes(
               _mm256_add_epi32(_mm512_castsi512_si256(sum0), _mm512_extracti64x4_epi64(sum0, 1)));
}

TARGET_AVX512 INLINE uint64_t all_avx512(uint64_t acc, uint8_t *dst, const uint8_t *src, size_t len,
                                         bool is_copy)
{
    while (len > RUN_MAX) {
        acc += run_avx512(dst, src, RUN_MAX - 64, is_copy);
        src += RUN_MAX - 64;
        dst = ahead(dst, RUN_MAX - 64, is_copy);
        len -= RUN_MAX - 64;
    }
    return acc + run_avx512(dst, src, len, is_copy);
}

TARGET_AVX512 uint64_t csum_avx512_add(uint64_t acc, const void *data, size_t len)
{
    return len < 64 ? csum_add(acc, data, len) : all_avx512(acc, NULL, data, len, false);
}

TARGET_AVX512 uint64_t csum_avx512_copy(void *dst, const void *src, size_t len, uint64_t acc)
{
    return len < 64 ? csum_copy(dst, src, len, acc) : all_avx512(acc, dst, src, len, true);
}

#else

bool csum_avx2_has(void)
{
    return false;
}

bool csum_avx512_has(void)
{
    return false;
}

uint64_t csum_avx2_add(uint64_t acc, const void *data, size_t len)
{
    return csum_add(acc, data, len);
}

uint64_t csum_avx2_copy(void *dst, const void *src, size_t len, uint64_t acc)
{
    return csum_copy(dst, src, len, acc);
}

uint64_t csum_avx512_add(uint64_t acc, const void *data, size_t len)
{
    return csum_add(acc, data, len);
}

uint64_t csum_avx512_copy(void *dst, const void *src, size_t len, uint64_t acc)
{
    return csum_copy(dst, src, len, acc);
}

#endif
