/* Reassembly of IPv4 and IPv6 datagrams in bounded memory. */
#ifndef VNIC_STACK_FRAGMENT_H
#define VNIC_STACK_FRAGMENT_H

#include "stack/address.h"
#include "stack/chain.h"

enum {
    FRAGMENT_PIECES = 256,        /* of one datagram */
    FRAGMENT_MAX_PAYLOAD = 65535,
    FRAGMENT_WHOLE_BYTES = 65536 + 40
};

/* One that arrived: bytes offset to offset + chain.len of the datagram. */
struct fragment_piece {
    uint32_t next; /* in the order of offsets */
    struct chain chain;
    uint32_t offset;
};

/* What makes fragments parts of one datagram (RFC 791 3.2; RFC 8200 4.5, where proto is 0). */
struct fragment_key {
    struct vnic_address source, destination;
    uint32_t identification;
    uint8_t proto;
    uint8_t interface;
    uint8_t reserved[2];
};

struct fragment_datagram {
    uint32_t next;           /* of the hash bucket; the pool's link */
    uint32_t older, newer;   /* of its family */
    uint32_t first, last;    /* pieces */
    uint32_t pieces;
    uint32_t have, total;    /* payload bytes; total 0: the last piece is missing */
    struct fragment_key key;
    struct chain header;     /* IP header, up to and with a Fragment header, of the piece at offset 0 */
    uint64_t deadline_ns;
    uint32_t next_offset;    /* IPv6: where in the header the last next-header field is */
    uint8_t next_header;     /* IPv6: what follows the Fragment header of the piece at offset 0 */
    uint8_t ecn_seen;        /* a bit for each codepoint */
    uint8_t is_void;         /* overlapped: the rest is dropped as well (RFC 5722) */
    uint8_t is_multicast;
    uint8_t mac[6];
    uint8_t reserved[2];
};

struct fragments {
    struct chains chains;
    struct pool datagrams_pool, pieces_pool;
    struct fragment_datagram *datagrams;
    struct fragment_piece *pieces;
    uint32_t *buckets;
    uint32_t bucket_mask;
    uint32_t oldest[2], newest[2]; /* by family: equal timeouts, so in the order of deadlines */
    uint8_t *whole;                /* a datagram put together */
};

/* A fragment as it arrived. */
struct fragment_arrival {
    struct fragment_key key;
    const uint8_t *header; /* IP header with options, or with extension headers up to the Fragment header */
    uint32_t header_len;
    const uint8_t *data;
    uint32_t len, offset;
    bool is_last;
    bool is_multicast;
    uint8_t ecn;
    uint8_t next_header;
    uint32_t next_offset;
    const uint8_t *mac;
};

enum fragment_result {
    FRAGMENT_KEPT,
    FRAGMENT_DROPPED,
    FRAGMENT_WHOLE /* fragments.whole holds an IP datagram of *len bytes without Fragment header */
};

struct vnic_stack;

int fragments_create(struct vnic_stack *s);
void fragments_destroy(struct vnic_stack *s);
enum fragment_result fragment_add(struct vnic_stack *s, const struct fragment_arrival *arrival,
                                  uint32_t *len);
void fragments_run_timers(struct vnic_stack *s);
uint64_t fragments_deadline(const struct vnic_stack *s);
void fragments_flush(struct vnic_stack *s, uint32_t interface);

#endif
