/* Segments of connections that leave as frames. */
#ifndef VNIC_STACK_SEGMENT_OUT_H
#define VNIC_STACK_SEGMENT_OUT_H

#include "stack/socket.h"

/* Counts a segment with which a connection sent something again; snd_nxt: as it was before. */
void segment_out_count(struct vnic_stack *s, struct socket *socket, const struct tcp_segment *segment,
                       uint32_t snd_nxt);

/*
 * Writes Ethernet, IP and TCP header of a segment, TCP checksum 0; where the TCP header starts. sum: that of the
 * pseudo header, with the TCP length l4_len, 0: left out.
 */
uint32_t segment_out_header(struct vnic_stack *s, const struct socket *socket, const struct tcp_connection *c,
                            const struct tcp_segment *segment, uint8_t *out);
uint64_t segment_out_pseudo(const struct tcp_connection *c, const uint8_t *l4, uint32_t l4_len);

/* Puts a segment into the outbox, as a frame of its own: for a connection whose turn will not come. */
void segment_out_queue(struct vnic_stack *s, struct socket *socket, const struct tcp_connection *c,
                       const struct tcp_segment *segment);

#endif
