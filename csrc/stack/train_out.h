/* A large segment of a connection on its way out: cut into frames one by one, where the link below cuts none. */
#ifndef VNIC_STACK_TRAIN_OUT_H
#define VNIC_STACK_TRAIN_OUT_H

#include "stack/header.h"
#include "wire/tcp_header.h"

/*
 * The engine handed out seq .. seq + left as one segment. The frames that are still to come share a header but for
 * sequence number and checksum; the last one may be shorter and has PSH and FIN. One an interface.
 */
struct train_out {
    uint32_t index; /* connection; 0: none under way */
    uint32_t generation; /* of its socket */
    uint32_t seq, left; /* what is still to be cut */
    uint32_t piece; /* bytes that lie together from `bytes` on, which is byte seq; 0: not looked up */
    const uint8_t *bytes; /* valid while seq is not acknowledged */
    uint64_t sum; /* pseudo header and TCP header of a full packet, without its sequence number */
    uint16_t mss;
    uint16_t l4_offset, header_len;
    uint8_t last_control; /* of the last packet */
    uint8_t is_ipv6;
    uint8_t header[HEADER_MAX + TCP_HEADER_MAX];
};

struct vnic_stack;
struct socket;
struct tcp_connection;

enum { TRAIN_OUT_PACKETS = 32 };

/* On the socket's interface, where none is under way. */
void train_out_start(struct vnic_stack *s, const struct socket *socket, const struct tcp_connection *c,
                     const struct tcp_segment *segment);

/* Writes the next frame of the train; its length, 0: none (any more). */
uint32_t train_out_next(struct vnic_stack *s, uint32_t interface, uint8_t *out,
                        struct vnic_stack_frame *frame);

#endif
