/* Flat entry points to the wire kernels, for tests that hold them against their Python references. */
#ifndef VNIC_WIRE_KERNELS_H
#define VNIC_WIRE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* cdef begin */
/* struct wire_frame with names that do not depend on its layout; l3 and l4 as enum wire_l3, enum wire_l4. */
struct kernel_facts {
    uint32_t len, l2_len, ethertype, vlan_tci, inner_tci, l3, l4, proto, l4_offset, l4_len, header_end;
    uint32_t home_address, routing_address, flags;
};

/* What verify_frame says, and the span it summed. */
struct kernel_verdict {
    uint32_t ip, l4, span;
};

/* Parses frame; is_any skips the shortcut. Returns whether the shortcut applied. */
int kernel_parse(const uint8_t *frame, size_t len, int is_any, struct kernel_facts *facts);

/* Parses frame and returns the RSS type; input is filled with *input_len bytes. */
uint32_t kernel_rss_input(const uint8_t *frame, size_t len, uint32_t enabled_types, uint8_t input[36],
                          uint32_t *input_len);

/* Paths: enum toeplitz_path 0..2. key is 40 bytes; returns 0 and writes nothing when the path is missing. */
int kernel_toeplitz_has(int path);
int kernel_toeplitz_best(void);
int kernel_toeplitz(int path, const uint8_t *key, const uint8_t *in, size_t len, uint32_t *hash);

/* n <= 4096 inputs of len bytes, stride bytes apart. */
int kernel_toeplitz_bulk(int path, const uint8_t *key, const uint8_t *in, size_t stride, size_t len,
                         uint32_t *out, size_t n);

/* Paths: enum csum_path 0..2. Sums go in and out as partial sums; kernel_csum_fold gives the number. */
int kernel_csum_has(int path);
int kernel_csum_best(void);
uint64_t kernel_csum_add(int path, uint64_t acc, const uint8_t *data, size_t len);
uint64_t kernel_csum_copy(int path, uint8_t *dst, const uint8_t *src, size_t len, uint64_t acc);
uint64_t kernel_csum_join(uint64_t acc, uint64_t part, size_t offset);
uint64_t kernel_csum_without16(uint64_t acc, uint16_t field);
uint64_t kernel_csum_pseudo_v4(const uint8_t *addresses, uint8_t proto, uint32_t len);
uint64_t kernel_csum_pseudo_v6(const uint8_t *source, const uint8_t *destination, uint8_t proto,
                               uint32_t len);
uint16_t kernel_csum_fold(uint64_t acc);
void kernel_csum_complete(int path, uint8_t *data, size_t len, size_t field_offset, int is_udp);

/* Parses and verifies frame with a checksum path. */
struct kernel_verdict kernel_verify(const uint8_t *frame, size_t len, int path);

/*
 * Writes segment index of a large send, header and payload, to out and returns its length; -1 - enum
 * segment_error when the template is refused, 0 when there is no such segment. is_field_seed takes the seed
 * from the TCP checksum field.
 */
int64_t kernel_segment(const uint8_t *header, uint32_t header_len, uint32_t l3_offset, uint32_t l4_offset,
                       uint32_t mss, const uint8_t *payload, uint32_t payload_len, uint32_t index,
                       int is_field_seed, uint8_t *out);
/* cdef end */

#endif
