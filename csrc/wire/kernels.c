/* The flat entry points: arguments unpacked, one kernel called, results spread out. */
#include "wire/kernels.h"

#include "wire/checksum.h"
#include "wire/frame.h"
#include "wire/rss.h"
#include "wire/segment.h"
#include "wire/toeplitz.h"
#include "wire/verify.h"

enum { BULK_MAX = 4096 };

int kernel_parse(const uint8_t *frame, size_t len, int is_any, struct kernel_facts *facts)
{
    struct wire_frame f;
    const bool is_plain = is_any == 0 && wire_parse_plain(&f, frame, len);

    if (is_any != 0) {
        wire_parse_any(&f, frame, len);
    } else if (!is_plain) {
        wire_parse(&f, frame, len);
    }
    *facts = (struct kernel_facts){
        .len = f.len,
        .l2_len = f.l2_len,
        .ethertype = f.ethertype,
        .vlan_tci = f.vlan_tci,
        .inner_tci = f.inner_tci,
        .l3 = f.l3,
        .l4 = f.l4,
        .proto = f.proto,
        .l4_offset = f.l4_offset,
        .l4_len = f.l4_len,
        .header_end = f.header_end,
        .home_address = f.home_address,
        .routing_address = f.routing_address,
        .flags = f.flags,
    };
    return is_plain;
}

uint32_t kernel_rss_input(const uint8_t *frame, size_t len, uint32_t enabled_types, uint8_t input[36],
                          uint32_t *input_len)
{
    struct wire_frame f;

    wire_parse(&f, frame, len);
    return rss_input(&f, frame, enabled_types, input, input_len);
}

int kernel_toeplitz_has(int path)
{
    return toeplitz_has((enum toeplitz_path)path);
}

int kernel_toeplitz_best(void)
{
    return (int)toeplitz_best();
}

int kernel_toeplitz(int path, const uint8_t *key, const uint8_t *in, size_t len, uint32_t *hash)
{
    struct toeplitz t;

    if (!toeplitz_prepare_path(&t, key, (enum toeplitz_path)path)) {
        return 0;
    }
    *hash = toeplitz_hash(&t, in, len);
    return 1;
}

int kernel_toeplitz_bulk(int path, const uint8_t *key, const uint8_t *in, size_t stride, size_t len,
                         uint32_t *out, size_t n)
{
    struct toeplitz t;
    const uint8_t *inputs[BULK_MAX];

    if (n > BULK_MAX || !toeplitz_prepare_path(&t, key, (enum toeplitz_path)path)) {
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        inputs[i] = in + i * stride;
    }
    toeplitz_hash_bulk(&t, inputs, len, out, n);
    return 1;
}

int kernel_csum_has(int path)
{
    return csum_ops_path((enum csum_path)path) != NULL;
}

int kernel_csum_best(void)
{
    return (int)csum_ops_best()->path;
}

uint64_t kernel_csum_add(int path, uint64_t acc, const uint8_t *data, size_t len)
{
    return csum_ops_path((enum csum_path)path)->add(acc, data, len);
}

uint64_t kernel_csum_copy(int path, uint8_t *dst, const uint8_t *src, size_t len, uint64_t acc)
{
    return csum_ops_path((enum csum_path)path)->copy(dst, src, len, acc);
}

uint64_t kernel_csum_join(uint64_t acc, uint64_t part, size_t offset)
{
    return csum_join(acc, part, offset);
}

uint64_t kernel_csum_without16(uint64_t acc, uint16_t field)
{
    return csum_without16(acc, field);
}

uint64_t kernel_csum_pseudo_v4(const uint8_t *addresses, uint8_t proto, uint32_t len)
{
    return csum_pseudo_v4(addresses, proto, len);
}

uint64_t kernel_csum_pseudo_v6(const uint8_t *source, const uint8_t *destination, uint8_t proto, uint32_t len)
{
    return csum_pseudo_v6(source, destination, proto, len);
}

uint16_t kernel_csum_fold(uint64_t acc)
{
    return csum_fold(acc);
}

void kernel_csum_complete(int path, uint8_t *data, size_t len, size_t field_offset, int is_udp)
{
    csum_complete(csum_ops_path((enum csum_path)path), data, len, field_offset, is_udp != 0);
}

struct kernel_verdict kernel_verify(const uint8_t *frame, size_t len, int path)
{
    struct wire_frame f;
    struct verify_verdict verdict;
    enum verify_result unsummed;

    wire_parse(&f, frame, len);
    verdict = verify_frame(&f, frame, csum_ops_path((enum csum_path)path));
    return (struct kernel_verdict){
        .ip = verdict.ip,
        .l4 = verdict.l4,
        .span = verify_span(&f, frame, &unsummed),
    };
}

int64_t kernel_segment(const uint8_t *header, uint32_t header_len, uint32_t l3_offset, uint32_t l4_offset,
                       uint32_t mss, const uint8_t *payload, uint32_t payload_len, uint32_t index,
                       int is_field_seed, uint8_t *out)
{
    const struct csum_ops *csum = csum_ops_best();
    struct segment_plan plan;
    const enum segment_error error =
        segment_plan_make(&plan, header, header_len, l3_offset, l4_offset, mss, payload_len);
    uint64_t sum;

    if (error != SEGMENT_OK) {
        return -1 - (int64_t)error;
    }
    if (index >= plan.count) {
        return 0;
    }
    if (is_field_seed != 0) {
        plan.seed = segment_seed_field(&plan);
    }
    sum = csum->copy(out + header_len, payload + segment_offset(&plan, index), segment_len(&plan, index), 0);
    segment_header(&plan, index, sum, out);
    return (int64_t)header_len + segment_len(&plan, index);
}
