/* The Internet checksum (RFC 1071): sums, copies that sum, pseudo headers, and what goes in the field. */
#ifndef VNIC_WIRE_CHECKSUM_H
#define VNIC_WIRE_CHECKSUM_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A partial sum is a uint64_t: the sum of the little-endian 16-bit words of the bytes, congruent modulo
 * 0xffff. Byte order does not matter to the sum (RFC 1071 2(B)), so it is turned to network order once, in
 * csum_fold(). A run of bytes is taken to start at an even offset of the data summed; an odd last byte counts
 * as if a zero followed. A run that starts at an odd offset is summed on its own from 0 and added with
 * csum_join(). Sums may be added; 2^31 runs of any length fit before a partial sum could overflow.
 */

enum csum_path {
    CSUM_PORTABLE,
    CSUM_AVX2,
    CSUM_AVX512, /* AVX-512 BW */
    CSUM_PATHS,
};

struct csum_ops {
    enum csum_path path;
    /* acc plus the sum of len bytes. */
    uint64_t (*add)(uint64_t acc, const void *data, size_t len);
    /* The same while copying the bytes; dst and src must not overlap. */
    uint64_t (*copy)(void *dst, const void *src, size_t len, uint64_t acc);
};

/* The fastest path this processor can run, chosen by asking the processor each time: keep the pointer. */
const struct csum_ops *csum_ops_best(void);

/* One path, or NULL when the processor lacks it. */
const struct csum_ops *csum_ops_path(enum csum_path path);

/* Portable; the quickest way to sum a header. */
uint64_t csum_add(uint64_t acc, const void *data, size_t len);
uint64_t csum_copy(void *dst, const void *src, size_t len, uint64_t acc);

/*
 * Pseudo headers (RFC 9293 3.1, RFC 8200 8.1). len is the transport length, 0 to leave it out as LSO seeds
 * do.
 */
uint64_t csum_pseudo_v4(const uint8_t source_destination[8], uint8_t proto, uint32_t len);
uint64_t csum_pseudo_v6(const uint8_t source[16], const uint8_t destination[16], uint8_t proto, uint32_t len);

/* acc plus the sum of 32-bit words: headers are shorter than what a call costs. */
static inline uint64_t csum_words(uint64_t acc, const void *data, unsigned words)
{
    const uint8_t *at = data;

    for (unsigned i = 0; i < words; i++) {
        acc += le32_load(at + (size_t)i * 4);
    }
    return acc;
}

/* The same over a TCP header of so many words; the usual lengths without a loop. */
static inline uint64_t csum_tcp_header(uint64_t acc, const void *data, unsigned words)
{
    return words == 8   ? csum_words(acc, data, 8)
           : words == 5 ? csum_words(acc, data, 5)
                        : csum_words(acc, data, words);
}

/* acc congruent to a number of 33 bits. */
static inline uint64_t csum_reduce(uint64_t acc)
{
    return (acc & 0xffffffff) + (acc >> 32);
}

/* What a 16-bit field in network order adds. */
static inline uint64_t csum_of16(uint16_t field)
{
    return __builtin_bswap16(field);
}

/* The 16-bit one's-complement sum as a number in host order: 0xffff over data with a valid checksum in it. */
static inline uint16_t csum_fold(uint64_t acc)
{
    acc = csum_reduce(csum_reduce(acc));
    acc = (acc & 0xffff) + (acc >> 16);
    acc = (acc & 0xffff) + (acc >> 16);
    acc = (acc & 0xffff) + (acc >> 16);
    return __builtin_bswap16((uint16_t)acc);
}

/* Adds part, the sum of a run that starts offset bytes into the data. */
static inline uint64_t csum_join(uint64_t acc, uint64_t part, size_t offset)
{
    return acc + ((offset & 1) == 0 ? csum_reduce(part) : csum_fold(part));
}

/* Removes a 16-bit field from the sum, as if it had been zero. */
static inline uint64_t csum_without16(uint64_t acc, uint16_t field)
{
    return acc + csum_of16((uint16_t)~field);
}

/* The value of a checksum field whose own bytes were summed as zero: to be stored with be16_store(). */
static inline uint16_t csum_field(uint64_t acc)
{
    return (uint16_t)~csum_fold(acc);
}

/* UDP sends a computed zero as 0xffff, since 0 means "no checksum" (RFC 768). */
static inline uint16_t csum_field_udp(uint64_t acc)
{
    const uint16_t field = csum_field(acc);

    return field != 0 ? field : 0xffff;
}

/*
 * Checksum offload on send: the driver left the pseudo-header sum, length included and not complemented, in
 * the field at data + field_offset; the sum over the len bytes of the transport segment, complemented,
 * replaces it.
 */
static inline void csum_complete(const struct csum_ops *ops, uint8_t *data, size_t len, size_t field_offset,
                                 bool is_udp)
{
    const uint64_t acc = ops->add(0, data, len);

    be16_store(data + field_offset, is_udp ? csum_field_udp(acc) : csum_field(acc));
}

#endif
