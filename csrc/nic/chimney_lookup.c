/* chimney_lookup.c: connections by addresses and ports, in buckets of a cache line; VLAN ids are told apart after. */
#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "base/pages.h"
#include "nic/chimney.h"

/*
 * A bucket holds the indices of connections with a byte of their hash each. One that finds its bucket full goes to the
 * next; `overflow` of every bucket that it passed says that there is more behind, and stays at its most once it came
 * there. A connection's VLAN id is its neighbour's, which an UPDATE of its path may change, so it is no part of the
 * hash. Peers choose ports: the key comes of the driver's RSS key, and nothing that can be observed depends on it.
 */
#define BUCKET_SLOTS 12u
#define OVERFLOW_MOST 255u

struct chm_bucket {
    uint32_t index[BUCKET_SLOTS]; /* 0: free */
    uint8_t tag[BUCKET_SLOTS];
    uint8_t overflow;
    uint8_t reserved[3];
};
_Static_assert(sizeof(struct chm_bucket) == 64, "a bucket is a cache line");

/* ---- life ---- */

/* At most three quarters full. */
static uint32_t lookup_buckets(uint32_t connections)
{
    uint32_t least = connections / (BUCKET_SLOTS * 3 / 4) + 1, count = 1;
    while (count < least) {
        count *= 2;
    }
    return count;
}

bool chimney_lookup_create(struct chimney *m, uint32_t connections)
{
    m->bucket_count = lookup_buckets(connections);
    m->bucket_mask = m->bucket_count - 1;
    m->buckets = pages_calloc(m->bucket_count, sizeof *m->buckets);
    return m->buckets != NULL;
}

void chimney_lookup_destroy(struct chimney *m)
{
    if (m->buckets != NULL) {
        pages_free(m->buckets, m->bucket_count, sizeof *m->buckets);
    }
}

size_t chimney_lookup_footprint(const struct chimney *m)
{
    return (size_t)m->bucket_count * sizeof *m->buckets;
}

/* ---- hash ---- */

/* Both halves of the product. */
static uint64_t lookup_mix(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 product;
    product p = (product)a * b;
    return (uint64_t)p ^ (uint64_t)(p >> 64);
}

static void lookup_take_key(struct vnic *card)
{
    static const uint64_t odd[4] = {0x9E3779B97F4A7C15ull, 0xD1B54A32D192ED03ull, 0x8CB92BA72F3D8DD7ull,
                                    0xAEF17502108EF2D9ull};
    for (unsigned i = 0; i < 4; i++) {
        uint64_t secret = le64_load(card->state.rss.key + 8 * i) ^ le64_load(card->state.rss.key + 32);
        card->chimney->lookup_key[i] = lookup_mix(odd[i], secret ^ odd[3 - i]) | 1;
    }
}

/* The numbers of addresses are the same in whatever order the machine keeps bytes. */
static uint64_t lookup_hash(const struct chimney *m, const uint8_t *local, const uint8_t *remote,
                            uint16_t local_port, uint16_t remote_port)
{
    const uint64_t *key = m->lookup_key;
    uint64_t ports = (uint64_t)local_port << 16 | remote_port;
    uint64_t head = lookup_mix(le64_load(remote) ^ key[0], le64_load(local) ^ key[1]);
    uint64_t tail = lookup_mix(le64_load(remote + 8) ^ key[1], le64_load(local + 8) ^ key[2]);
    return lookup_mix(head ^ ports ^ key[2], tail ^ key[3] ^ ports << 32);
}

static uint64_t lookup_hash_of(const struct chimney *m, uint32_t index)
{
    const struct tcp_connection *t = &m->tcp[index];
    return lookup_hash(m, t->local, t->remote, t->local_port, t->remote_port);
}

static uint8_t lookup_tag(uint64_t hash)
{
    return (uint8_t)(hash >> 56);
}

/* ---- change ---- */

static bool lookup_put(struct chm_bucket *b, uint32_t index, uint8_t tag)
{
    for (unsigned i = 0; i < BUCKET_SLOTS; i++) {
        if (b->index[i] == 0) {
            b->index[i] = index;
            b->tag[i] = tag;
            return true;
        }
    }
    return false;
}

static void lookup_count_passing(struct chm_bucket *b, int change)
{
    if (b->overflow != OVERFLOW_MOST) {
        b->overflow = (uint8_t)(b->overflow + change);
    }
}

void chimney_lookup_insert(struct chimney *m, uint32_t index)
{
    uint64_t hash = lookup_hash_of(m, index);
    uint32_t at = (uint32_t)hash & m->bucket_mask;
    while (!lookup_put(&m->buckets[at], index, lookup_tag(hash))) {
        lookup_count_passing(&m->buckets[at], 1);
        at = (at + 1) & m->bucket_mask;
    }
}

static bool lookup_drop(struct chm_bucket *b, uint32_t index)
{
    for (unsigned i = 0; i < BUCKET_SLOTS; i++) {
        if (b->index[i] == index) {
            b->index[i] = 0;
            return true;
        }
    }
    return false;
}

void chimney_lookup_remove(struct chimney *m, uint32_t index)
{
    uint32_t at = (uint32_t)lookup_hash_of(m, index) & m->bucket_mask;
    while (!lookup_drop(&m->buckets[at], index)) {
        lookup_count_passing(&m->buckets[at], -1);
        at = (at + 1) & m->bucket_mask;
    }
}

/* Where few are in it they are taken out: a reset costs what is live. */
void chimney_lookup_clear(struct vnic *card)
{
    struct chimney *m = card->chimney;
    uint32_t top = m->tops[CHM_OBJECT_TCP - 1];
    if (top >= m->bucket_count) {
        memset(m->buckets, 0, chimney_lookup_footprint(m));
    } else {
        for (uint32_t i = 1; i <= top; i++) {
            if (chimney_has(chimney_connection(m, i), CHM_LISTED)) {
                chimney_lookup_remove(m, i);
            }
        }
    }
    lookup_take_key(card);
}

void chimney_lookup_rebuild(struct vnic *card)
{
    struct chimney *m = card->chimney;
    lookup_take_key(card);
    for (uint32_t i = 1; i <= m->tops[CHM_OBJECT_TCP - 1]; i++) {
        if (chimney_has(chimney_connection(m, i), CHM_LISTED)) {
            chimney_lookup_insert(m, i);
        }
    }
}

/* ---- search ---- */

static bool lookup_is_same(const struct tcp_connection *t, const struct chm_tuple *tuple)
{
    return t->local_port == tuple->local_port && t->remote_port == tuple->remote_port
           && memcmp(t->remote, tuple->remote, sizeof t->remote) == 0
           && memcmp(t->local, tuple->local, sizeof t->local) == 0 && t->is_ipv6 == tuple->is_ipv6;
}

struct lookup_search {
    const struct chm_tuple *tuple;
    uint16_t vlan;
    bool has_others; /* the same tuple on another VLAN */
    uint32_t exact, untagged; /* connections on this VLAN, and on VLAN 0 */
};

static void lookup_consider(const struct chimney *m, struct lookup_search *s, uint32_t index)
{
    if (!lookup_is_same(&m->tcp[index], s->tuple)) {
        return;
    }
    uint16_t vlan = chimney_neighbour_of(m, chimney_connection(m, index))->vlan;
    if (vlan == s->vlan) {
        s->exact = index;
    } else if (vlan == 0) {
        s->untagged = index;
    } else {
        s->has_others = true;
    }
}

static void lookup_search(const struct chimney *m, struct lookup_search *s)
{
    uint64_t hash =
        lookup_hash(m, s->tuple->local, s->tuple->remote, s->tuple->local_port, s->tuple->remote_port);
    uint8_t tag = lookup_tag(hash);
    for (uint32_t n = 0, at = (uint32_t)hash & m->bucket_mask; n < m->bucket_count; n++) {
        const struct chm_bucket *b = &m->buckets[at];
        for (unsigned i = 0; i < BUCKET_SLOTS && s->exact == 0; i++) {
            if (b->tag[i] == tag && b->index[i] != 0) {
                lookup_consider(m, s, b->index[i]);
            }
        }
        if (b->overflow == 0 || s->exact != 0) {
            return;
        }
        at = (at + 1) & m->bucket_mask;
    }
}

bool chimney_lookup_has(const struct chimney *m, const struct chm_tuple *tuple, uint16_t vlan)
{
    struct lookup_search s = {.tuple = tuple, .vlan = vlan};
    lookup_search(m, &s);
    return s.exact != 0;
}

uint64_t chimney_lookup_fetch(const struct chimney *m, const struct chm_tuple *tuple)
{
    uint64_t hash = lookup_hash(m, tuple->local, tuple->remote, tuple->local_port, tuple->remote_port);
    __builtin_prefetch(&m->buckets[(uint32_t)hash & m->bucket_mask]);
    return hash;
}

uint32_t chimney_lookup_guess(const struct chimney *m, uint64_t hash)
{
    const struct chm_bucket *b = &m->buckets[(uint32_t)hash & m->bucket_mask];
    for (unsigned i = 0; i < BUCKET_SLOTS; i++) {
        if (b->tag[i] == lookup_tag(hash) && b->index[i] != 0) {
            return b->index[i];
        }
    }
    return 0;
}

/* [CHM-40] */
enum chm_match chimney_lookup(const struct chimney *m, const struct chm_tuple *tuple, uint16_t vlan,
                              uint32_t *index)
{
    struct lookup_search s = {.tuple = tuple, .vlan = vlan};
    if (*index != 0) {
        lookup_consider(m, &s, *index);
    }
    if (s.exact == 0) {
        s = (struct lookup_search){.tuple = tuple, .vlan = vlan};
        lookup_search(m, &s);
    }
    *index = s.exact != 0 ? s.exact : s.untagged;
    if (*index != 0) {
        return CHM_MATCH_FOUND;
    }
    return s.has_others ? CHM_MATCH_WRONG_VLAN : CHM_MATCH_NONE;
}
