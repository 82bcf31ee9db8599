/* plain_frame.h: TCP and UDP frames without tag, options, extension headers or fragments, and their sums. */
#ifndef VNIC_NIC_PLAIN_FRAME_H
#define VNIC_NIC_PLAIN_FRAME_H

#include "base/bytes.h"
#include "nic/card.h"
#include "wire/frame.h"

/* The addresses precede the transport: what is hashed is in one piece, and so is what the transport's
 * checksum covers. */
struct plain_shape {
    uint8_t l4_offset, addresses;
    uint8_t proto;
    uint8_t offset_at, offset_bits; /* where TCP says how long its header is; no bits in UDP */
    uint64_t bits_12; /* of octets 12 to 19, little-endian: what makes a frame of this shape and length */
    uint32_t bits_20; /* of octets 20 to 23 */
    uint64_t flags; /* of the completion */
};

extern const struct plain_shape plain_shapes[SCALE_KINDS];

struct plain_frame {
    const uint8_t *bytes;
    uint32_t len, l4_len;
    uint8_t kind; /* enum scale_kind */
};

/* ---- what it is ---- */

static inline bool plain_is_ipv4(const struct plain_frame *f)
{
    return f->kind == SCALE_TCP_IPV4 || f->kind == SCALE_UDP_IPV4;
}

static inline bool plain_is_udp(const struct plain_frame *f)
{
    return f->kind == SCALE_UDP_IPV4 || f->kind == SCALE_UDP_IPV6;
}

/* Fills in kind and l4_len; true for the frames that wire_parse_plain takes. */
bool plain_parse(struct plain_frame *f);

/* Of another frame as long as a plain one: are its kind and l4_len the same, and its headers as long? */
static inline bool plain_is_like(const struct plain_frame *f, const uint8_t *other)
{
    const struct plain_shape *shape = &plain_shapes[f->kind];
    uint64_t unlike = (le64_load(f->bytes + 12) ^ le64_load(other + 12)) & shape->bits_12;
    unlike |= (le32_load(f->bytes + 20) ^ le32_load(other + 20)) & shape->bits_20;
    unlike |= (f->bytes[shape->offset_at] ^ other[shape->offset_at]) & (uint32_t)shape->offset_bits;
    return unlike == 0;
}

/* ---- its sums ---- */

/* One's-complement addition, as it divides by 0xffff. */
static inline uint64_t plain_add(uint64_t sum, uint64_t word)
{
    sum += word;
    return sum + (sum < word);
}

/* Sum of at least 8 bytes. */
static inline uint64_t plain_sum(const uint8_t *at, uint32_t len)
{
    const uint8_t *last = at + len - 8;
    uint64_t even = 0, odd = 0;
    for (; len >= 16; len -= 16, at += 16) {
        even = plain_add(even, le64_load(at));
        odd = plain_add(odd, le64_load(at + 8));
    }
    if (len >= 8) {
        even = plain_add(even, le64_load(at));
        len -= 8;
    }
    odd = plain_add(odd, le64_load(last) >> 1 >> (63 - 8 * len)); /* the bytes that are left, nothing of 0 */
    return plain_add(even, odd);
}

/* A sum over data with a right checksum in it is a multiple of 0xffff (there is a bit set in the data, so it
 * does not stand for 0): multiplied by the inverse of 0xffff modulo 2^64, a multiple gives its small
 * quotient. */
static inline bool plain_is_good(uint64_t sum)
{
    return sum * 0xFFFEFFFEFFFEFFFFu <= UINT64_MAX / 0xFFFFu;
}

static inline bool plain_is_header_good(const uint8_t *frame)
{
    const uint8_t *ip = frame + WIRE_ETH_LEN;
    return plain_is_good(plain_add(plain_add(le64_load(ip), le64_load(ip + 8)), le32_load(ip + 16)));
}

/* What the pseudo-header adds besides the addresses. */
static inline uint64_t plain_pseudo(const struct plain_frame *f)
{
    return csum_of16(plain_shapes[f->kind].proto) + csum_of16((uint16_t)f->l4_len);
}

/* UDP that fills its datagram and has a checksum, and all TCP: the sum says all. `frame` is like f. */
static inline bool plain_is_summable(const struct plain_frame *f, const uint8_t *frame)
{
    const uint8_t *l4 = frame + plain_shapes[f->kind].l4_offset;
    return !plain_is_udp(f) || (be16_load(l4 + 4) == f->l4_len && le16_load(l4 + 6) != 0);
}

#endif
