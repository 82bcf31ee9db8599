/* The table of connections: insertion, removal without tombstones, search. */
#include "stack/lookup.h"

#include "base/pages.h"
#include "stack/network.h"
#include "stack/state.h"

/* Three entries a bucket of seven: one bucket in eighty overflows. */
enum { LOOKUP_LOAD = 3 };

bool lookup_create(struct vnic_stack *s)
{
    struct lookup *l = &s->sockets.lookup;
    _Static_assert(sizeof(struct lookup_bucket) == 64, "a bucket is a cache line");
    l->bucket_count = s->config.connections / LOOKUP_LOAD + 1;
    l->buckets = pages_calloc(l->bucket_count, sizeof(struct lookup_bucket));
    if (l->buckets == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < sizeof(l->keys) / sizeof(l->keys[0]); i++) {
        l->keys[i] = secret_hash(s, &i, sizeof(i), SOCKETS_SECRET_LOOKUP);
    }
    return true;
}

void lookup_destroy(struct vnic_stack *s)
{
    pages_free(s->sockets.lookup.buckets, s->sockets.lookup.bucket_count, sizeof(struct lookup_bucket));
    s->sockets.lookup = (struct lookup){.buckets = NULL};
}

static struct lookup_bucket *lookup_next(const struct lookup *l, struct lookup_bucket *bucket)
{
    return ++bucket == l->buckets + l->bucket_count ? l->buckets : bucket;
}

/* Where this index stands, or a free place for index 0; LOOKUP_ENTRIES: not here. */
static uint32_t lookup_place(const struct lookup_bucket *bucket, uint32_t tag, uint32_t index)
{
    uint32_t i = 0;

    while (i < LOOKUP_ENTRIES && (bucket->indices[i] != index || (index != 0 && bucket->tags[i] != tag))) {
        i++;
    }
    return i;
}

void lookup_insert(struct vnic_stack *s, const struct tuple *tuple, uint32_t index)
{
    const struct lookup *l = &s->sockets.lookup;
    const uint32_t hash = lookup_hash(l, tuple);
    struct lookup_bucket *bucket = lookup_bucket_of(l, hash);
    uint32_t place = lookup_place(bucket, 0, 0);

    while (place == LOOKUP_ENTRIES) {
        bucket->passed++;
        bucket = lookup_next(l, bucket);
        place = lookup_place(bucket, 0, 0);
    }
    bucket->tags[place] = hash;
    bucket->indices[place] = index;
}

void lookup_remove(struct vnic_stack *s, const struct tuple *tuple, uint32_t index)
{
    const struct lookup *l = &s->sockets.lookup;
    const uint32_t hash = lookup_hash(l, tuple);
    struct lookup_bucket *bucket = lookup_bucket_of(l, hash);
    uint32_t place = lookup_place(bucket, hash, index);

    while (place == LOOKUP_ENTRIES) {
        bucket->passed--;
        bucket = lookup_next(l, bucket);
        place = lookup_place(bucket, hash, index);
    }
    bucket->indices[place] = 0;
}

uint32_t lookup_find(const struct vnic_stack *s, const struct tuple *tuple)
{
    const struct lookup *l = &s->sockets.lookup;
    const uint32_t hash = lookup_hash(l, tuple);
    struct lookup_bucket *bucket = lookup_bucket_of(l, hash);

    for (uint32_t tried = 0; tried < l->bucket_count; tried++, bucket = lookup_next(l, bucket)) {
        for (uint32_t i = 0; i < LOOKUP_ENTRIES; i++) {
            const uint32_t index = bucket->indices[i];

            if (bucket->tags[i] == hash && index != 0
                && tuple_matches(tuple, &s->connections[index], s->sockets.list[index].path.interface)) {
                return index;
            }
        }
        if (bucket->passed == 0) {
            break;
        }
    }
    return 0;
}
