/* classify.h: what a received frame is: tag, headers, checksums, hash, queue; and the completion words
 * that say so. */
#ifndef VNIC_NIC_CLASSIFY_H
#define VNIC_NIC_CLASSIFY_H

#include "nic/card.h"
#include "wire/frame.h"

struct rx_class {
    struct wire_frame frame;
    uint32_t hash, hash_type;
    uint32_t pair;
    uint16_t vlan_tci;
    bool is_stripped;
    uint8_t ip_csum, l4_csum; /* enum csum_result */
};

/* Strips the tag when that is on, and parses. */
void classify_parse(const struct vnic *card, struct packet *p, struct rx_class *c);
/* Verifies, hashes and chooses the queue. */
void classify_judge(const struct vnic *card, const struct packet *p, struct rx_class *c);
/* Hash and queue of a frame that is not in the buffer, as things stand. */
void classify_foresee(const struct vnic *card, const uint8_t *frame, uint32_t len, struct rx_class *c);
/* The checksum verdicts of a parsed frame, when verification is on. */
void classify_verify(const struct vnic *card, const uint8_t *frame, struct rx_class *c);
/* Bytes that go to a header buffer of this size; 0: the frame is not split. */
uint32_t classify_split(const struct vnic *card, const struct rx_class *c, uint32_t hdr_buffer);
/* The words that all completions of the frame share. */
void classify_words(const struct rx_class *c, uint32_t len, uint32_t hdr_len, uint64_t words[3]);
void classify_count(struct vnic *card, const struct rx_class *c);

#endif
