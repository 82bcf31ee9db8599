/* Segments that follow each other in a burst: one input to the engine instead of many. */
#ifndef VNIC_STACK_TRAIN_IN_H
#define VNIC_STACK_TRAIN_IN_H

#include "stack/segment_in.h"

enum { TRAIN_PARTS_MAX = 32 };

/* A plain TCP frame: Ethernet without tag, IP without options. */
struct train_part {
    const uint8_t *frame;
    uint32_t frame_len, flags; /* enum vnic_stack_rx */
    uint32_t l4_len;
    uint16_t l4_offset;
};

/* The IPv4 header's checksum is right, or was verified below. */
static inline bool train_is_ip_good(const uint8_t *ip, uint32_t flags)
{
    return (flags & VNIC_STACK_RX_IP_GOOD) != 0 || csum_fold(csum_words(0, ip, WIRE_IPV4_LEN / 4)) == 0xffff;
}

/*
 * Whether `next`, of which only frame, frame_len and flags are known, continues the payload of a frame that is plain,
 * and says the same but for lengths, identification, number, PSH and checksums. Then the rest of it is filled in.
 */
bool train_follows(const struct train_part *before, struct train_part *next);

/*
 * Takes a train: all parts but the first follow the one before. Those that are predicted and whose checksums are right
 * are one segment (RFC 9293 MUST-58); how many. 0: none, the first has to be taken alone. first: of parts[0], the
 * pseudo header without the length.
 */
uint32_t train_take(struct vnic_stack *s, struct socket *socket, const struct segment_bytes *first,
                    const struct train_part *parts, uint32_t count);

#endif
