/* Which checksums of a received frame can be judged, and the judgement. */
#include "wire/verify.h"

enum { UDP_LENGTH = 4, UDP_CHECKSUM = 6, SUM_OF_VALID = 0xffff };

enum verify_result verify_ipv4_header(const struct wire_frame *f, const uint8_t *frame)
{
    const uint8_t *ip = frame + f->l2_len;

    if (f->l3 != WIRE_L3_IPV4) {
        return VERIFY_NONE;
    }
    return csum_fold(csum_tcp_header(0, ip, ip[0] & 15)) == SUM_OF_VALID ? VERIFY_GOOD : VERIFY_BAD;
}

static uint32_t udp_span(const struct wire_frame *f, const uint8_t *udp, enum verify_result *verdict)
{
    const uint32_t len = be16_load(udp + UDP_LENGTH);

    if (be16_load(udp + UDP_CHECKSUM) == 0) {
        *verdict = f->l3 == WIRE_L3_IPV4 ? VERIFY_UDP_ZERO : VERIFY_BAD;
        return 0;
    }
    if (len < WIRE_UDP_LEN || len > f->l4_len) {
        *verdict = VERIFY_BAD;
        return 0;
    }
    return len;
}

uint32_t verify_span(const struct wire_frame *f, const uint8_t *frame, enum verify_result *verdict)
{
    *verdict = VERIFY_NONE;
    if ((f->flags & (WIRE_CUT | WIRE_ROUTED)) != 0) {
        return 0;
    }
    if (f->l4 == WIRE_L4_TCP) {
        return f->l4_len;
    }
    return f->l4 == WIRE_L4_UDP ? udp_span(f, frame + f->l4_offset, verdict) : 0;
}

/*
 * The final addresses count: those of mobility headers where there are any (RFC 6275 6.3, 6.4; RFC 8200 8.1).
 */
static uint64_t pseudo_header(const struct wire_frame *f, const uint8_t *frame, uint32_t span)
{
    const uint8_t proto = f->l4 == WIRE_L4_TCP ? WIRE_PROTO_TCP : WIRE_PROTO_UDP;
    const uint32_t source = f->home_address != 0 ? f->home_address : f->l2_len + 8U;
    const uint32_t destination = f->routing_address != 0 ? f->routing_address : f->l2_len + 24U;

    if (f->l3 == WIRE_L3_IPV4) {
        return csum_pseudo_v4(frame + f->l2_len + 12, proto, span);
    }
    return csum_pseudo_v6(frame + source, frame + destination, proto, span);
}

enum verify_result verify_l4_sum(const struct wire_frame *f, const uint8_t *frame, uint32_t span,
                                 uint64_t sum)
{
    sum = csum_reduce(sum) + pseudo_header(f, frame, span);
    return csum_fold(sum) == SUM_OF_VALID ? VERIFY_GOOD : VERIFY_BAD;
}

struct verify_verdict verify_frame(const struct wire_frame *f, const uint8_t *frame,
                                   const struct csum_ops *csum)
{
    enum verify_result l4;
    const uint32_t span = verify_span(f, frame, &l4);

    if (span > 0) {
        l4 = verify_l4_sum(f, frame, span, csum->add(0, frame + f->l4_offset, span));
    }
    return (struct verify_verdict){
        .ip = (uint8_t)verify_ipv4_header(f, frame),
        .l4 = (uint8_t)l4,
    };
}
