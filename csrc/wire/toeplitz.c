/* Toeplitz: choosing a path, preparing its tables from a key, and the portable path. */
#include "wire/toeplitz.h"

#include "base/bytes.h"
#include "base/check.h"
#include "wire/toeplitz_gfni.h"

#include <string.h>

/* Two chains of lookups, written out: a vectorised gather would be slower than scalar loads. */
static inline __attribute__((always_inline)) uint32_t look_up(const struct toeplitz *t, const uint8_t *in,
                                                              size_t len)
{
    uint32_t even = 0;
    uint32_t odd = 0;
    size_t i = 0;

#pragma GCC unroll 9
    for (; i + 4 <= len; i += 4) {
        const uint32_t word = le32_load(in + i);

        even ^= t->u.table[i][word & 0xff] ^ t->u.table[i + 2][word >> 16 & 0xff];
        odd ^= t->u.table[i + 1][word >> 8 & 0xff] ^ t->u.table[i + 3][word >> 24];
    }
    for (; i < len; i++) {
        even ^= t->u.table[i][in[i]];
    }
    return even ^ odd;
}

static uint32_t hash_portable(const struct toeplitz *t, const uint8_t *in, size_t len)
{
    if (len == 12) {
        return look_up(t, in, 12);
    }
    if (len == 36) {
        return look_up(t, in, 36);
    }
    vnic_assert(len <= TOEPLITZ_INPUT_MAX);
    return look_up(t, in, len);
}

static void bulk_portable(const struct toeplitz *t, const uint8_t *const in[], size_t len, uint32_t out[],
                          size_t n)
{
    if (len == 12) {
        for (size_t i = 0; i < n; i++) {
            out[i] = look_up(t, in[i], 12);
        }
        return;
    }
    for (size_t i = 0; i < n; i++) {
        out[i] = hash_portable(t, in[i], len);
    }
}

/* Key bits 8 * index .. 8 * index + 39, the windows of one input byte. */
static uint64_t key_window40(const uint8_t *key, size_t index)
{
    return ((uint64_t)be32_load(key + index) << 8) | key[index + 4];
}

static void prepare_table(uint32_t table[256], uint64_t window40)
{
    table[0] = 0;
    for (uint32_t bit = 0; bit < 8; bit++) {
        const uint32_t window =
            (uint32_t)(window40 >> (bit + 1)); /* input bit 7 - bit of the byte, MSB first */
        const uint32_t half = 1U << bit;

        for (uint32_t i = 0; i < half; i++) {
            table[half + i] = table[i] ^ window;
        }
    }
}

static void prepare_portable(struct toeplitz *t)
{
    for (size_t i = 0; i < TOEPLITZ_INPUT_MAX; i++) {
        prepare_table(t->u.table[i], key_window40(t->key, i));
    }
}

/* Row r is byte r: GF2P8AFFINEQB computes output bit 7 - r from matrix byte r. */
static uint64_t key_matrix(const uint8_t *key, size_t p)
{
    const uint32_t window = ((uint32_t)key[p] << 8) | key[p + 1];
    uint64_t matrix = 0;

    for (unsigned row = 0; row < 8; row++) {
        matrix |= (uint64_t)((window >> (8 - row)) & 0xff) << (8 * row);
    }
    return matrix;
}

static void prepare_gfni(struct toeplitz *t)
{
    uint64_t *matrix = t->u.gfni.matrix;

    for (size_t p = 0; p + 1 < TOEPLITZ_KEY_LEN; p++) {
        matrix[p] = key_matrix(t->key, p);
    }
    matrix[TOEPLITZ_KEY_LEN - 1] = 0; /* meets only zero padding */
}

static void prepare_quads(struct toeplitz *t)
{
    for (size_t word = 0; word < TOEPLITZ_INPUT_MAX / 4; word++) {
        for (size_t o = 0; o < 4; o++) {
            for (size_t q = 0; q < 8; q++) {
                t->u.gfni.quad[4 * word + o][q] = t->u.gfni.matrix[4 * word + o + q / 2];
            }
        }
    }
}

bool toeplitz_has(enum toeplitz_path path)
{
    switch (path) {
    case TOEPLITZ_PORTABLE:
        return true;
    case TOEPLITZ_GFNI:
        return toeplitz_gfni_has();
    case TOEPLITZ_GFNI512:
        return toeplitz_gfni512_has();
    case TOEPLITZ_PATHS:
        break;
    }
    return false;
}

enum toeplitz_path toeplitz_best(void)
{
    if (toeplitz_gfni512_has()) {
        return TOEPLITZ_GFNI512;
    }
    return toeplitz_gfni_has() ? TOEPLITZ_GFNI : TOEPLITZ_PORTABLE;
}

bool toeplitz_prepare_path(struct toeplitz *t, const uint8_t key[TOEPLITZ_KEY_LEN], enum toeplitz_path path)
{
    if (!toeplitz_has(path)) {
        return false;
    }
    memcpy(t->key, key, TOEPLITZ_KEY_LEN);
    t->path = path;
    if (path == TOEPLITZ_PORTABLE) {
        t->hash = hash_portable;
        t->bulk = bulk_portable;
        prepare_portable(t);
        return true;
    }
    t->hash = toeplitz_gfni_hash;
    t->bulk = path == TOEPLITZ_GFNI512 ? toeplitz_gfni512_bulk : toeplitz_gfni_bulk;
    prepare_gfni(t);
    prepare_quads(t);
    return true;
}

void toeplitz_prepare(struct toeplitz *t, const uint8_t key[TOEPLITZ_KEY_LEN])
{
    const bool is_prepared = toeplitz_prepare_path(t, key, toeplitz_best());

    vnic_assert(is_prepared);
    (void)is_prepared;
}
