/* Which connection a segment belongs to: a table of 4-tuples under a keyed hash. */
#ifndef VNIC_STACK_LOOKUP_H
#define VNIC_STACK_LOOKUP_H

#include "stack/packet.h"
#include "tcp/connection.h"

#include <string.h>

/*
 * Two addresses, two ports, and for link-local addresses the interface (RFC 4007). The addresses are words as they
 * lie in memory, as in struct tcp_connection.
 */
struct tuple {
    uint64_t local[2], remote[2];
    uint16_t local_port, remote_port; /* host order */
    uint8_t is_ipv6;
    uint8_t zone;                     /* interface + 1; 0 when no address is link-local */
    uint16_t reserved;
};

/* A cache line: the whole hash of each entry, the connections, and how many entries overflowed from here. */
enum { LOOKUP_ENTRIES = 7 };
struct lookup_bucket {
    uint32_t tags[LOOKUP_ENTRIES];
    uint32_t passed;                    /* entries that found this bucket full on their way */
    uint32_t indices[LOOKUP_ENTRIES];   /* 0: free */
    uint32_t reserved;
};

/*
 * Open addressing over buckets. The hash is Multilinear-HM (Lemire and Kaser) with 64-bit keys from the seed, strongly
 * universal: who does not know the keys cannot make tuples collide.
 */
struct lookup {
    struct lookup_bucket *buckets; /* aligned to their size */
    uint32_t bucket_count;
    uint64_t keys[11];
};

struct vnic_stack;

bool lookup_create(struct vnic_stack *s);
void lookup_destroy(struct vnic_stack *s);

void lookup_insert(struct vnic_stack *s, const struct tuple *tuple, uint32_t index);
void lookup_remove(struct vnic_stack *s, const struct tuple *tuple, uint32_t index);
/* 0: none. */
uint32_t lookup_find(const struct vnic_stack *s, const struct tuple *tuple);

static inline uint64_t tuple_word_of_ipv4(const uint8_t *bytes)
{
    uint64_t word = 0;

    memcpy(&word, bytes, 4);
    return word;
}

/* An IPv4 address out of its word, in whichever half it lies. */
static inline uint32_t tuple_brief(uint64_t word)
{
    return (uint32_t)(word | word >> 32);
}

static inline struct tuple tuple_ipv4(const uint8_t *local, const uint8_t *remote, uint16_t local_port,
                                      uint16_t remote_port)
{
    return (struct tuple){
        .local = {tuple_word_of_ipv4(local), 0},
        .remote = {tuple_word_of_ipv4(remote), 0},
        .local_port = local_port,
        .remote_port = remote_port,
    };
}

/* fe80::/10 */
static inline bool tuple_is_link_local(const uint8_t *bytes)
{
    return bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
}

static inline struct tuple tuple_ipv6(const uint8_t *local, const uint8_t *remote, uint16_t local_port,
                                      uint16_t remote_port, uint32_t interface)
{
    struct tuple t = {.local_port = local_port, .remote_port = remote_port, .is_ipv6 = 1};

    memcpy(t.local, local, 16);
    memcpy(t.remote, remote, 16);
    t.zone = tuple_is_link_local(local) || tuple_is_link_local(remote) ? (uint8_t)(interface + 1) : 0;
    return t;
}

static inline struct tuple tuple_of(const struct vnic_address *local, uint16_t local_port,
                                    const struct vnic_address *remote, uint16_t remote_port,
                                    uint32_t interface)
{
    return local->is_ipv6 ? tuple_ipv6(local->bytes, remote->bytes, local_port, remote_port, interface)
                          : tuple_ipv4(local->bytes, remote->bytes, local_port, remote_port);
}

static inline struct tuple tuple_of_connection(const struct tcp_connection *c, uint32_t interface)
{
    return c->is_ipv6 ? tuple_ipv6(c->local, c->remote, c->local_port, c->remote_port, interface)
                      : tuple_ipv4(c->local, c->remote, c->local_port, c->remote_port);
}

static inline struct vnic_address connection_local(const struct tcp_connection *c)
{
    struct vnic_address address = {.is_ipv6 = c->is_ipv6};

    memcpy(address.bytes, c->local, sizeof(address.bytes));
    return address;
}

static inline struct vnic_address connection_remote(const struct tcp_connection *c)
{
    struct vnic_address address = {.is_ipv6 = c->is_ipv6};

    memcpy(address.bytes, c->remote, sizeof(address.bytes));
    return address;
}

static inline uint64_t tuple_load(const uint8_t *at)
{
    uint64_t word;

    memcpy(&word, at, 8);
    return word;
}

static inline bool tuple_matches(const struct tuple *t, const struct tcp_connection *c, uint32_t interface)
{
    uint64_t unlike = (t->local[0] ^ tuple_load(c->local)) | (t->local[1] ^ tuple_load(c->local + 8));

    unlike |= (t->remote[0] ^ tuple_load(c->remote)) | (t->remote[1] ^ tuple_load(c->remote + 8));
    unlike |= (uint64_t)(t->local_port ^ c->local_port) | (uint64_t)(t->remote_port ^ c->remote_port);
    unlike |= (uint64_t)(t->is_ipv6 ^ c->is_ipv6);
    return unlike == 0 && (t->zone == 0 || t->zone == interface + 1);
}

static inline uint32_t lookup_hash(const struct lookup *l, const struct tuple *t)
{
    const uint64_t *k = l->keys;
    const uint32_t ports = (uint32_t)t->local_port << 16 | t->remote_port;
    const uint32_t kind = (uint32_t)t->is_ipv6 << 8 | t->zone;
    uint64_t sum = k[0] + (k[3] + ports) * (k[4] + kind);

    if (!t->is_ipv6) {
        sum += (k[1] + tuple_brief(t->local[0])) * (k[2] + tuple_brief(t->remote[0]));
    } else {
        sum += (k[1] + (uint32_t)t->local[0]) * (k[2] + (uint32_t)t->remote[0]);
        sum += (k[5] + (t->local[0] >> 32)) * (k[6] + (t->remote[0] >> 32));
        sum += (k[7] + (uint32_t)t->local[1]) * (k[8] + (uint32_t)t->remote[1]);
        sum += (k[9] + (t->local[1] >> 32)) * (k[10] + (t->remote[1] >> 32));
    }
    return (uint32_t)(sum >> 32);
}

static inline struct lookup_bucket *lookup_bucket_of(const struct lookup *l, uint32_t hash)
{
    return &l->buckets[(uint64_t)hash * l->bucket_count >> 32];
}

/* The first entry with this hash in its own bucket, for prefetching; 0: none. */
static inline uint32_t lookup_guess(const struct lookup *l, uint32_t hash)
{
    const struct lookup_bucket *bucket = lookup_bucket_of(l, hash);

    for (uint32_t i = 0; i < LOOKUP_ENTRIES; i++) {
        if (bucket->tags[i] == hash && bucket->indices[i] != 0) {
            return bucket->indices[i];
        }
    }
    return 0;
}

#endif
