/* The portable Internet checksum, pseudo headers and the choice among instruction-set paths. */
#include "wire/checksum.h"

#include "wire/checksum_x86.h"

/*
 * One's-complement addition of 64-bit words: the carry out comes back in, so any 16-bit split of it agrees.
 */
static inline uint64_t add_carry(uint64_t sum, uint64_t word)
{
    sum += word;
    return sum + (sum < word);
}

/* The last 0 to 7 bytes as a little-endian number. */
static inline uint64_t load_tail(const uint8_t *src, size_t len)
{
    uint64_t word = 0;
    unsigned at = 0;

    if ((len & 4) != 0) {
        word = le32_load(src);
        at = 4;
    }
    if ((len & 2) != 0) {
        word |= (uint64_t)le16_load(src + at) << (8 * at);
        at += 2;
    }
    if ((len & 1) != 0) {
        word |= (uint64_t)src[at] << (8 * at);
    }
    return word;
}

static inline void store_tail(uint8_t *dst, uint64_t word, size_t len)
{
    if ((len & 4) != 0) {
        le32_store(dst, (uint32_t)word);
        word >>= 32;
        dst += 4;
    }
    if ((len & 2) != 0) {
        le16_store(dst, (uint16_t)word);
        word >>= 16;
        dst += 2;
    }
    if ((len & 1) != 0) {
        *dst = (uint8_t)word;
    }
}

uint64_t csum_add(uint64_t acc, const void *data, size_t len)
{
    const uint8_t *at = data;
    uint64_t sum[4] = {0, 0, 0, 0};

    for (; len >= 32; len -= 32, at += 32) {
        sum[0] = add_carry(sum[0], le64_load(at));
        sum[1] = add_carry(sum[1], le64_load(at + 8));
        sum[2] = add_carry(sum[2], le64_load(at + 16));
        sum[3] = add_carry(sum[3], le64_load(at + 24));
    }
    for (; len >= 8; len -= 8, at += 8) {
        sum[0] = add_carry(sum[0], le64_load(at));
    }
    sum[1] = add_carry(sum[1], load_tail(at, len));
    sum[0] = add_carry(add_carry(sum[0], sum[1]), add_carry(sum[2], sum[3]));
    return acc + csum_reduce(sum[0]);
}

uint64_t csum_copy(void *dst, const void *src, size_t len, uint64_t acc)
{
    const uint8_t *from = src;
    uint8_t *to = dst;
    uint64_t sum[2] = {0, 0};

    for (; len >= 16; len -= 16, from += 16, to += 16) {
        const uint64_t a = le64_load(from);
        const uint64_t b = le64_load(from + 8);

        sum[0] = add_carry(sum[0], a);
        sum[1] = add_carry(sum[1], b);
        le64_store(to, a);
        le64_store(to + 8, b);
    }
    if (len >= 8) {
        const uint64_t a = le64_load(from);

        sum[0] = add_carry(sum[0], a);
        le64_store(to, a);
        from += 8;
        to += 8;
        len -= 8;
    }
    if (len > 0) {
        const uint64_t tail = load_tail(from, len);

        sum[1] = add_carry(sum[1], tail);
        store_tail(to, tail, len);
    }
    return acc + csum_reduce(add_carry(sum[0], sum[1]));
}

uint64_t csum_pseudo_v4(const uint8_t source_destination[8], uint8_t proto, uint32_t len)
{
    return csum_reduce(le64_load(source_destination)) + csum_of16(proto) + csum_of16((uint16_t)len)
           + csum_of16((uint16_t)(len >> 16));
}

uint64_t csum_pseudo_v6(const uint8_t source[16], const uint8_t destination[16], uint8_t proto, uint32_t len)
{
    return csum_reduce(le64_load(source)) + csum_reduce(le64_load(source + 8))
           + csum_reduce(le64_load(destination)) + csum_reduce(le64_load(destination + 8)) + csum_of16(proto)
           + csum_of16((uint16_t)len) + csum_of16((uint16_t)(len >> 16));
}

static const struct csum_ops ops_portable = {CSUM_PORTABLE, csum_add, csum_copy};
static const struct csum_ops ops_avx2 = {CSUM_AVX2, csum_avx2_add, csum_avx2_copy};
static const struct csum_ops ops_avx512 = {CSUM_AVX512, csum_avx512_add, csum_avx512_copy};

const struct csum_ops *csum_ops_path(enum csum_path path)
{
    switch (path) {
    case CSUM_PORTABLE:
        return &ops_portable;
    case CSUM_AVX2:
        return csum_avx2_has() ? &ops_avx2 : NULL;
    case CSUM_AVX512:
        return csum_avx512_has() ? &ops_avx512 : NULL;
    case CSUM_PATHS:
        break;
    }
    return NULL;
}

const struct csum_ops *csum_ops_best(void)
{
    if (csum_avx512_has()) {
        return &ops_avx512;
    }
    return csum_avx2_has() ? &ops_avx2 : &ops_portable;
}
