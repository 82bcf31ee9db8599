/* SipHash-2-4, and the keys that the seed makes for each purpose. */
#include "stack/secret.h"

#include "base/bytes.h"
#include "stack/network.h"
#include "stack/state.h"

struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate(uint64_t value, unsigned bits)
{
    return value << bits | value >> (64 - bits);
}

static inline void sip_round(struct sip *v)
{
    v->v0 += v->v1;
    v->v1 = rotate(v->v1, 13) ^ v->v0;
    v->v0 = rotate(v->v0, 32);
    v->v2 += v->v3;
    v->v3 = rotate(v->v3, 16) ^ v->v2;
    v->v0 += v->v3;
    v->v3 = rotate(v->v3, 21) ^ v->v0;
    v->v2 += v->v1;
    v->v1 = rotate(v->v1, 17) ^ v->v2;
    v->v2 = rotate(v->v2, 32);
}

static inline void sip_absorb(struct sip *v, uint64_t word)
{
    v->v3 ^= word;
    sip_round(v);
    sip_round(v);
    v->v0 ^= word;
}

static uint64_t last_word(const uint8_t *bytes, size_t left, size_t len)
{
    uint64_t word = (uint64_t)len << 56;

    for (size_t i = 0; i < left; i++) {
        word |= (uint64_t)bytes[i] << (8 * i);
    }
    return word;
}

uint64_t siphash(uint64_t k0, uint64_t k1, const void *data, size_t len)
{
    const uint8_t *bytes = data;
    struct sip v = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du, k0 ^ 0x6c7967656e657261u,
                    k1 ^ 0x7465646279746573u};
    size_t at = 0;

    for (; len - at >= 8; at += 8) {
        sip_absorb(&v, le64_load(bytes + at));
    }
    sip_absorb(&v, last_word(bytes + at, len - at, len));
    v.v2 ^= 0xff;
    for (int i = 0; i < 4; i++) {
        sip_round(&v);
    }
    return v.v0 ^ v.v1 ^ v.v2 ^ v.v3;
}

/* SplitMix64's finalizer: one seed, unrelated keys. */
static uint64_t mix(uint64_t value)
{
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
    value = (value ^ value >> 27) * 0x94d049bb133111ebu;
    return value ^ value >> 31;
}

uint64_t secret_hash(const struct vnic_stack *s, const void *data, uint32_t len, uint32_t purpose)
{
    const uint64_t base = s->config.seed + 0x9e3779b97f4a7c15u * (2u * (uint64_t)purpose + 1);

    return siphash(mix(base), mix(base + 0x9e3779b97f4a7c15u), data, len);
}

uint32_t secret_random(struct vnic_stack *s)
{
    s->secret.counter++;
    return (uint32_t)secret_hash(s, &s->secret.counter, sizeof(s->secret.counter), SECRET_RANDOM);
}
