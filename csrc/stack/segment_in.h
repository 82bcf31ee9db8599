/* Segments that arrive: whose they are, whether their bytes are right, and into the engine with them. */
#ifndef VNIC_STACK_SEGMENT_IN_H
#define VNIC_STACK_SEGMENT_IN_H

#include "stack/arrived.h"
#include "stack/outcome.h"
#include "stack/socket.h"
#include "wire/checksum.h"

/* A TCP header and payload of a connection that was found; the checksum is not verified yet. */
struct segment_bytes {
    const uint8_t *l4;
    uint32_t len;
    uint64_t pseudo;   /* sum of the pseudo header */
    uint8_t ecn;
    bool is_good;      /* verified below */
    bool is_kept;      /* the bytes stay until copies of them are done */
};

/* Verifies it, copying what is predicted on the way, and gives it to the engine. */
void segment_in_take(struct vnic_stack *s, struct socket *socket, const struct segment_bytes *bytes);

/* The same for a segment whose checksum is good. */
void segment_in_put(struct vnic_stack *s, struct socket *socket, struct tcp_segment *segment,
                    const uint8_t *payload);

/* Gives it to the engine and does what follows. */
void segment_in_apply(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c,
                      const struct tcp_segment *segment, const struct outcome_payload *payload);

/* Sums that verify are all ones (RFC 1071 1). */
static inline bool segment_is_sum_good(uint64_t sum)
{
    return csum_fold(sum) == 0xffff;
}

/* The next in-order data of a connection, and nothing else: where it goes is known before it is taken. */
static inline bool segment_is_predicted(const struct tcp_connection *c, const struct tcp_segment *segment)
{
    const uint8_t others = TCP_FIN | TCP_SYN | TCP_RST | TCP_URG;

    return segment->seq == c->rcv_nxt && c->ranges == 0 && (segment->control & others) == 0
           && segment->len <= c->rcv_adv - c->rcv_nxt && tcp_is_synchronized(c)
           && !tcp_has(c, TCP_FIN_RECEIVED | TCP_CLOSED_BY_USER);
}

#endif
