/* Receive checksum verification of a parsed frame, whole or from a sum taken while its bytes were copied. */
#ifndef VNIC_WIRE_VERIFY_H
#define VNIC_WIRE_VERIFY_H

#include "wire/checksum.h"
#include "wire/frame.h"

enum verify_result {
    VERIFY_NONE,     /* not checked: no such header, a fragment, cut, or a destination not in the packet */
    VERIFY_GOOD,
    VERIFY_BAD,
    VERIFY_UDP_ZERO, /* UDP over IPv4 sent without a checksum: nothing to check, and legal (RFC 768) */
};

struct verify_verdict {
    uint8_t ip; /* enum verify_result: the IPv4 header checksum; never VERIFY_UDP_ZERO */
    uint8_t l4; /* enum verify_result: the TCP or UDP checksum */
};

/* The IPv4 header checksum. */
enum verify_result verify_ipv4_header(const struct wire_frame *f, const uint8_t *frame);

/*
 * How many bytes from l4_offset the TCP or UDP checksum covers; 0 when *verdict is final without them (NONE,
 * UDP_ZERO, or BAD for a UDP length that is below 8 or beyond the datagram, or a zero checksum over IPv6: RFC
 * 8200 8.1).
 */
uint32_t verify_span(const struct wire_frame *f, const uint8_t *frame, enum verify_result *verdict);

/* GOOD or BAD, given the sum of the span (csum_add or csum_copy from 0). Headers are read from frame. */
enum verify_result verify_l4_sum(const struct wire_frame *f, const uint8_t *frame, uint32_t span,
                                 uint64_t sum);

/* Everything at once. */
struct verify_verdict verify_frame(const struct wire_frame *f, const uint8_t *frame,
                                   const struct csum_ops *csum);

#endif
