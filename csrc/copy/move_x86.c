/* move_x86.c: the copy core on AVX2 and AVX-512: short lengths as two ends, long ones as lines aligned to write. */
#include "copy/move_x86.h"

#include "copy/move_short.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define TARGET_AVX2 __attribute__((target("avx2")))
#define TARGET_AVX512 __attribute__((target("avx2,avx512f,avx512bw,avx512vl")))

/* Bytes; a first cache has 32 KiB. Below NEAR_MAX it holds both ends easily, up to TIGHT_MAX just so, above it does not. */
enum {
    NEAR_MAX = 8192,
    TIGHT_MAX = 16384,
    RISE_AHEAD = 768 /* how far before it is written a line is asked for */
};

bool move_avx2_has(void)
{
    return __builtin_cpu_supports("avx2") != 0;
}

bool move_avx512_has(void)
{
    return move_avx2_has() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
           && __builtin_cpu_supports("avx512vl");
}

/* --- 32 bytes */

TARGET_AVX2 MOVE_INLINE __m256i load32(const uint8_t *from)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)from);
}

TARGET_AVX2 MOVE_INLINE void store32(uint8_t *to, __m256i bytes)
{
    _mm256_storeu_si256((__m256i *)(void *)to, bytes);
}

/* 32 to 64 bytes. */
TARGET_AVX2 MOVE_INLINE void ends32(uint8_t *to, const uint8_t *from, size_t len)
{
    const __m256i head = load32(from), tail = load32(from + len - 32);
    store32(to, head);
    store32(to + len - 32, tail);
}

/* 64 to 128 bytes. */
TARGET_AVX2 MOVE_INLINE void ends32x2(uint8_t *to, const uint8_t *from, size_t len)
{
    const __m256i a = load32(from), b = load32(from + 32);
    const __m256i c = load32(from + len - 64), d = load32(from + len - 32);
    store32(to, a);
    store32(to + 32, b);
    store32(to + len - 64, c);
    store32(to + len - 32, d);
}

/* 128 to 256 bytes. */
TARGET_AVX2 MOVE_INLINE void ends32x4(uint8_t *to, const uint8_t *from, size_t len)
{
    const __m256i a = load32(from), b = load32(from + 32), c = load32(from + 64), d = load32(from + 96);
    const uint8_t *last = from + len - 128;
    const __m256i e = load32(last), f = load32(last + 32), g = load32(last + 64), h = load32(last + 96);
    store32(to, a);
    store32(to + 32, b);
    store32(to + 64, c);
    store32(to + 96, d);
    to += len - 128;
    store32(to, e);
    store32(to + 32, f);
    store32(to + 64, g);
    store32(to + 96, h);
}

/* 128 bytes, all read before any is written. */
TARGET_AVX2 MOVE_INLINE void block32x4(uint8_t *to, const uint8_t *from)
{
    const __m256i a = load32(from), b = load32(from + 32), c = load32(from + 64), d = load32(from + 96);
    store32(to, a);
    store32(to + 32, b);
    store32(to + 64, c);
    store32(to + 96, d);
}

/* Above 256 bytes. Both ends are read first and written last: between them nothing need be aligned to them. */
TARGET_AVX2 static void rise32(uint8_t *to, const uint8_t *from, size_t len)
{
    const __m256i head = load32(from);
    const uint8_t *last = from + len - 128;
    const __m256i e = load32(last), f = load32(last + 32), g = load32(last + 64), h = load32(last + 96);
    for (size_t at = 32 - ((uintptr_t)to & 31); at + 128 < len; at += 128) {
        block32x4(to + at, from + at);
    }
    store32(to, head);
    to += len - 128;
    store32(to, e);
    store32(to + 32, f);
    store32(to + 64, g);
    store32(to + 96, h);
}

TARGET_AVX2 static void fall32(uint8_t *to, const uint8_t *from, size_t len)
{
    const __m256i a = load32(from), b = load32(from + 32), c = load32(from + 64), d = load32(from + 96);
    const __m256i tail = load32(from + len - 32);
    for (size_t left = len - ((uintptr_t)(to + len) & 31); left > 128; left -= 128) {
        block32x4(to + left - 128, from + left - 128);
    }
    store32(to + len - 32, tail);
    store32(to, a);
    store32(to + 32, b);
    store32(to + 64, c);
    store32(to + 96, d);
}

TARGET_AVX2 void move_avx2(uint8_t *to, const uint8_t *from, size_t len)
{
    if (len <= MOVE_SHORT_MAX) {
        move_short(to, from, len);
    } else if (len <= 64) {
        ends32(to, from, len);
    } else if (len <= 128) {
        ends32x2(to, from, len);
    } else if (len <= 256) {
        ends32x4(to, from, len);
    } else if (move_falls(to, from, len)) {
        fall32(to, from, len);
    } else {
        rise32(to, from, len);
    }
}

TARGET_AVX2 void move_avx2_fill(uint8_t *to, uint64_t pattern, unsigned phase, size_t len)
{
    const uint64_t turned = move_turn(pattern, phase);
    if (len < 32) {
        move_fill_short(to, turned, len);
        return;
    }
    const __m256i bytes = _mm256_set1_epi64x((long long)turned);
    for (size_t at = 0; at + 32 < len; at += 32) {
        store32(to + at, bytes);
    }
    store32(to + len - 32, _mm256_set1_epi64x((long long)move_turn(turned, len)));
}

/* --- 64 bytes */

TARGET_AVX512 MOVE_INLINE __m512i load64(const uint8_t *from)
{
    return _mm512_loadu_si512(from);
}

TARGET_AVX512 MOVE_INLINE void store64(uint8_t *to, __m512i bytes)
{
    _mm512_storeu_si512(to, bytes);
}

/* 64 to 128 bytes. */
TARGET_AVX512 MOVE_INLINE void ends64(uint8_t *to, const uint8_t *from, size_t len)
{
    const __m512i head = load64(from), tail = load64(from + len - 64);
    store64(to, head);
    store64(to + len - 64, tail);
}

/* 128 to 256 bytes. */
TARGET_AVX512 MOVE_INLINE void ends64x2(uint8_t *to, const uint8_t *from, size_t len)
{
    const __m512i a = load64(from), b = load64(from + 64);
    const __m512i c = load64(from + len - 128), d = load64(from + len - 64);
    store64(to, a);
    store64(to + 64, b);
    store64(to + len - 128, c);
    store64(to + len - 64, d);
}

/* 256 to 512 bytes. */
TARGET_AVX512 MOVE_INLINE void ends64x4(uint8_t *to, const uint8_t *from, size_t len)
{
    const __m512i a = load64(from), b = load64(from + 64), c = load64(from + 128), d = load64(from + 192);
    const uint8_t *last = from + len - 256;
    const __m512i e = load64(last), f = load64(last + 64), g = load64(last + 128), h = load64(last + 192);
    store64(to, a);
    store64(to + 64, b);
    store64(to + 128, c);
    store64(to + 192, d);
    to += len - 256;
    store64(to, e);
    store64(to + 64, f);
    store64(to + 128, g);
    store64(to + 192, h);
}

/* 256 bytes, all read before any is written. */
TARGET_AVX512 MOVE_INLINE void block64x4(uint8_t *to, const uint8_t *from)
{
    const __m512i a = load64(from), b = load64(from + 64), c = load64(from + 128), d = load64(from + 192);
    store64(to, a);
    store64(to + 64, b);
    store64(to + 128, c);
    store64(to + 192, d);
}

/* Asks for the lines that will be written; for none behind the last. */
MOVE_INLINE void prepare256(uint8_t *to, size_t at, size_t len)
{
    const size_t ahead = at + RISE_AHEAD < len - 256 ? at + RISE_AHEAD : len - 256;
    for (size_t line = 0; line < 256; line += 64) {
        __builtin_prefetch(to + ahead + line, 1);
    }
}

/* Above 256 bytes; see rise32(). */
TARGET_AVX512 MOVE_INLINE void rise64_by(uint8_t *to, const uint8_t *from, size_t len, bool is_tight)
{
    const __m512i head = load64(from);
    const uint8_t *last = from + len - 256;
    const __m512i e = load64(last), f = load64(last + 64), g = load64(last + 128), h = load64(last + 192);
    for (size_t at = 64 - ((uintptr_t)to & 63); at + 256 < len; at += 256) {
        if (is_tight) {
            prepare256(to, at, len);
        }
        block64x4(to + at, from + at);
    }
    store64(to, head);
    to += len - 256;
    store64(to, e);
    store64(to + 64, f);
    store64(to + 128, g);
    store64(to + 192, h);
}

TARGET_AVX512 static void rise64(uint8_t *to, const uint8_t *from, size_t len)
{
    rise64_by(to, from, len, false);
}

/* Lines that were just pushed out of the first cache are asked for early. Above TIGHT_MAX that is slower: the second cache
 * is busy anyway. */
TARGET_AVX512 static void rise64_tight(uint8_t *to, const uint8_t *from, size_t len)
{
    rise64_by(to, from, len, true);
}

TARGET_AVX512 static void fall64(uint8_t *to, const uint8_t *from, size_t len)
{
    const __m512i a = load64(from), b = load64(from + 64), c = load64(from + 128), d = load64(from + 192);
    const __m512i tail = load64(from + len - 64);
    for (size_t left = len - ((uintptr_t)(to + len) & 63); left > 256; left -= 256) {
        block64x4(to + left - 256, from + left - 256);
    }
    store64(to + len - 64, tail);
    store64(to, a);
    store64(to + 64, b);
    store64(to + 128, c);
    store64(to + 192, d);
}

TARGET_AVX512 void move_avx512(uint8_t *to, const uint8_t *from, size_t len)
{
    if (len <= MOVE_SHORT_MAX) {
        move_short(to, from, len);
    } else if (len <= 64) {
        ends32(to, from, len);
    } else if (len <= 128) {
        ends64(to, from, len);
    } else if (len <= 256) {
        ends64x2(to, from, len);
    } else if (len <= 512) {
        ends64x4(to, from, len);
    } else if (move_falls(to, from, len)) {
        fall64(to, from, len);
    } else if (len > NEAR_MAX && len <= TIGHT_MAX) {
        rise64_tight(to, from, len);
    } else {
        rise64(to, from, len);
    }
}

TARGET_AVX512 void move_avx512_fill(uint8_t *to, uint64_t pattern, unsigned phase, size_t len)
{
    if (len < 64) {
        move_avx2_fill(to, pattern, phase, len);
        return;
    }
    const uint64_t turned = move_turn(pattern, phase);
    const __m512i bytes = _mm512_set1_epi64((long long)turned);
    for (size_t at = 0; at + 64 < len; at += 64) {
        store64(to + at, bytes);
    }
    store64(to + len - 64, _mm512_set1_epi64((long long)move_turn(turned, len)));
}

#else

bool move_avx2_has(void)
{
    return false;
}

bool move_avx512_has(void)
{
    return false;
}

void move_avx2(uint8_t *to, const uint8_t *from, size_t len)
{
    memmove(to, from, len);
}

void move_avx2_fill(uint8_t *to, uint64_t pattern, unsigned phase, size_t len)
{
    move_fill_short(to, move_turn(pattern, phase), len);
}

void move_avx512(uint8_t *to, const uint8_t *from, size_t len)
{
    memmove(to, from, len);
}

void move_avx512_fill(uint8_t *to, uint64_t pattern, unsigned phase, size_t len)
{
    move_fill_short(to, move_turn(pattern, phase), len);
}

#endif
