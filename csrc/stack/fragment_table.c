/* Datagrams in reassembly: found by their key, given up from the oldest on. */
#include "stack/fragment_table.h"

#include "base/bits.h"
#include "base/bytes.h"
#include "stack/network.h"
#include "stack/state.h"

#include <stdlib.h>

enum { BYTES_PER_DATAGRAM = 2048, DATAGRAMS_MIN = 4, DATAGRAMS_MAX = 65536 };

/* IPv4: as Linux, less than RFC 1122 3.3.2 asks, since identifications repeat sooner; IPv6: RFC 8200 4.5. */
static const uint64_t timeout_ns[2] = {30000000000ull, 60000000000ull};

int fragments_create(struct vnic_stack *s)
{
    struct fragments *f = &s->fragments;
    const uint32_t wanted = bits_max32(s->config.fragments_bytes / BYTES_PER_DATAGRAM, DATAGRAMS_MIN);
    const uint32_t datagrams = bits_min32(wanted, DATAGRAMS_MAX);
    const uint32_t buckets = 1u << (bits_log2(datagrams) + 1);
    const uint32_t pieces = s->config.fragments_bytes / CHAIN_BLOCK_BYTES + 1;

    f->datagrams = malloc((datagrams + 1) * sizeof(*f->datagrams));
    f->pieces = malloc((size_t)(pieces + 1) * sizeof(*f->pieces));
    f->buckets = calloc(buckets, sizeof(*f->buckets));
    f->whole = malloc(FRAGMENT_WHOLE_BYTES);
    if (f->datagrams == NULL || f->pieces == NULL || f->buckets == NULL || f->whole == NULL
        || !chains_create(&f->chains, s->config.fragments_bytes)) {
        return VNIC_ENOMEM;
    }
    f->bucket_mask = buckets - 1;
    pool_start(&f->datagrams_pool, f->datagrams, sizeof(*f->datagrams), datagrams);
    pool_start(&f->pieces_pool, f->pieces, sizeof(*f->pieces), pieces);
    return VNIC_OK;
}

void fragments_destroy(struct vnic_stack *s)
{
    free(s->fragments.datagrams);
    free(s->fragments.pieces);
    free(s->fragments.buckets);
    free(s->fragments.whole);
    chains_destroy(&s->fragments.chains);
}

static struct fragment_datagram *at(struct vnic_stack *s, uint32_t index)
{
    return &s->fragments.datagrams[index];
}

static uint32_t *bucket_of(const struct vnic_stack *s, const struct fragment_key *key)
{
    uint8_t bytes[39] = {0};

    memcpy(bytes, key->source.bytes, 16);
    memcpy(bytes + 16, key->destination.bytes, 16);
    le32_store(bytes + 32, key->identification);
    bytes[36] = key->proto;
    bytes[37] = key->interface;
    bytes[38] = key->source.is_ipv6;
    return &s->fragments
                .buckets[secret_hash(s, bytes, sizeof(bytes), SECRET_FRAGMENTS) & s->fragments.bucket_mask];
}

static bool is_same_key(const struct fragment_key *a, const struct fragment_key *b)
{
    return a->identification == b->identification && a->proto == b->proto
           && a->interface == b->interface && address_is_equal(&a->source, &b->source)
           && address_is_equal(&a->destination, &b->destination);
}

uint32_t fragment_find(struct vnic_stack *s, const struct fragment_key *key)
{
    uint32_t index = *bucket_of(s, key);

    while (index != 0 && !is_same_key(&at(s, index)->key, key)) {
        index = at(s, index)->next;
    }
    return index;
}

void fragment_empty(struct vnic_stack *s, struct fragment_datagram *d)
{
    struct fragments *f = &s->fragments;
    uint32_t piece = d->first;

    while (piece != 0) {
        const uint32_t next = f->pieces[piece].next;

        chain_free(&f->chains, &f->pieces[piece].chain);
        pool_give(&f->pieces_pool, piece);
        piece = next;
    }
    chain_free(&f->chains, &d->header);
    d->first = d->last = d->pieces = 0;
}

void fragment_forget(struct vnic_stack *s, uint32_t index)
{
    struct fragments *f = &s->fragments;
    struct fragment_datagram *d = at(s, index);
    const uint8_t family = d->key.source.is_ipv6;
    uint32_t *link = bucket_of(s, &d->key);

    fragment_empty(s, d);
    while (*link != index) {
        link = &at(s, *link)->next;
    }
    *link = d->next;
    *(d->older != 0 ? &at(s, d->older)->newer : &f->oldest[family]) = d->newer;
    *(d->newer != 0 ? &at(s, d->newer)->older : &f->newest[family]) = d->older;
    pool_give(&f->datagrams_pool, index);
}

uint32_t fragment_oldest(struct vnic_stack *s)
{
    const uint32_t a = s->fragments.oldest[0];
    const uint32_t b = s->fragments.oldest[1];

    if (a == 0 || b == 0) {
        return a != 0 ? a : b;
    }
    return at(s, a)->deadline_ns - timeout_ns[0] <= at(s, b)->deadline_ns - timeout_ns[1] ? a : b;
}

void fragment_give_up_oldest(struct vnic_stack *s)
{
    s->statistics.fragments_no_room++;
    fragment_forget(s, fragment_oldest(s));
}

uint32_t fragment_start(struct vnic_stack *s, const struct fragment_arrival *a)
{
    struct fragments *f = &s->fragments;
    const uint8_t family = a->key.source.is_ipv6;
    uint32_t *bucket = bucket_of(s, &a->key);
    uint32_t index;

    if (pool_left(&f->datagrams_pool) == 0) {
        fragment_give_up_oldest(s);
    }
    index = pool_take(&f->datagrams_pool);
    *at(s, index) = (struct fragment_datagram){
        .next = *bucket,
        .older = f->newest[family],
        .key = a->key,
        .deadline_ns = s->now_ns + timeout_ns[family],
        .is_multicast = a->is_multicast,
    };
    memcpy(at(s, index)->mac, a->mac, 6);
    *bucket = index;
    *(f->newest[family] != 0 ? &at(s, f->newest[family])->newer : &f->oldest[family]) = index;
    f->newest[family] = index;
    return index;
}

uint64_t fragments_deadline(const struct vnic_stack *s)
{
    const struct fragments *f = &s->fragments;
    const uint64_t v4 = f->oldest[0] != 0 ? f->datagrams[f->oldest[0]].deadline_ns : UINT64_MAX;
    const uint64_t v6 = f->oldest[1] != 0 ? f->datagrams[f->oldest[1]].deadline_ns : UINT64_MAX;

    return bits_min64(v4, v6);
}

void fragments_flush(struct vnic_stack *s, uint32_t interface)
{
    for (uint32_t family = 0; family < 2; family++) {
        uint32_t index = s->fragments.oldest[family];

        while (index != 0) {
            const uint32_t newer = at(s, index)->newer;

            if (at(s, index)->key.interface == interface) {
                fragment_forget(s, index);
            }
            index = newer;
        }
    }
}
