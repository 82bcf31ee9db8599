/* The Toeplitz hash of RSS under a prepared 40-byte key. */
#ifndef VNIC_WIRE_TOEPLITZ_H
#define VNIC_WIRE_TOEPLITZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TOEPLITZ_KEY_LEN = 40,
    TOEPLITZ_INPUT_MAX = 36, /* a 40-byte key has a 32-bit window for every bit of 36 bytes */
    TOEPLITZ_GROUPS =
        10,    /* 4 matrices each: one per byte of input and 3 for the tail of the window, rounded up */
};

/* Every path gives the same hashes; they differ in what the processor must have. */
enum toeplitz_path {
    TOEPLITZ_PORTABLE, /* a 256-entry table per byte of input */
    TOEPLITZ_GFNI,     /* GFNI and AVX2; bulk is a loop of single calls */
    TOEPLITZ_GFNI512, /* GFNI and AVX-512 VBMI: bulk takes 16 inputs at a time, single calls as above */
    TOEPLITZ_PATHS,
};

/*
 * A prepared key; only the tables of its own path are filled. No pointer into itself: it may be copied.
 *
 * matrix[p] is the 8x8 bit matrix that takes input byte i to output byte o for every i + o == p: row r is the
 * 8 key bits from bit 8p + r on. quad[4j + o] repeats matrix[4j + o .. 4j + o + 3], each twice, for dword j
 * of 16 inputs.
 */
struct toeplitz {
    enum toeplitz_path path;
    uint32_t (*hash)(const struct toeplitz *t, const uint8_t *in, size_t len);
    void (*bulk)(const struct toeplitz *t, const uint8_t *const in[], size_t len, uint32_t out[], size_t n);
    uint8_t key[TOEPLITZ_KEY_LEN];
    union {
        uint32_t table[TOEPLITZ_INPUT_MAX][256];
        struct {
            uint64_t matrix[4 * TOEPLITZ_GROUPS];
            uint64_t quad[TOEPLITZ_INPUT_MAX][8];
        } gfni;
    } u;
};

/* Whether this processor can run the path. */
bool toeplitz_has(enum toeplitz_path path);

/* The fastest path this processor can run. */
enum toeplitz_path toeplitz_best(void);

/* Prepares key for the best path: 1 us, or 5 us without GFNI. */
void toeplitz_prepare(struct toeplitz *t, const uint8_t key[TOEPLITZ_KEY_LEN]);

/* Prepares key for one path; false, with *t untouched, when the processor lacks it. */
bool toeplitz_prepare_path(struct toeplitz *t, const uint8_t key[TOEPLITZ_KEY_LEN], enum toeplitz_path path);

/* The hash of in[0..len), len <= TOEPLITZ_INPUT_MAX; reads nothing beyond. Best at 8, 12, 32 and 36 bytes. */
static inline uint32_t toeplitz_hash(const struct toeplitz *t, const uint8_t *in, size_t len)
{
    return t->hash(t, in, len);
}

/* out[i] = hash of in[i][0..len) for i < n: the same len for all. */
static inline void toeplitz_hash_bulk(const struct toeplitz *t, const uint8_t *const in[], size_t len,
                                      uint32_t out[], size_t n)
{
    t->bulk(t, in, len, out, n);
}

#endif
