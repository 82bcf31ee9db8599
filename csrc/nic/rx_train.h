/* rx_train.h: frames at the front of the receive buffer that are alike: plain, of one shape and length. */
#ifndef VNIC_NIC_RX_TRAIN_H
#define VNIC_NIC_RX_TRAIN_H

#include "nic/card.h"
#include "nic/copy_small.h"
#include "nic/plain_frame.h"

#define TRAIN_MAX 32u

/* What can be said of all is said once. */
struct rx_train {
    struct plain_frame like; /* the first */
    unsigned class;          /* of the destinations */
    uint32_t count;          /* frames */
    uint32_t delivered;      /* of these */
    uint32_t hash_type;
    bool is_summing;         /* the transport's sums are made while the frames are copied */
    const uint8_t *bytes[TRAIN_MAX];
    uint32_t hash[TRAIN_MAX];
    uint16_t csum[TRAIN_MAX]; /* bits of word 2 of the completion */
};

/* Takes up to max frames, hashes and verifies them as the card is set; false: the front frame is not plain,
 * or unwanted. */
bool rx_train_open(const struct vnic *card, uint32_t max, struct rx_train *t);
/* The n-th frame to a buffer, summed on the way. */
void rx_train_copy_sum(const struct vnic *card, struct rx_train *t, uint32_t n, uint8_t *to);
/* The frames that were delivered are counted and leave the receive buffer. */
void rx_train_close(struct vnic *card, const struct rx_train *t);

static inline void rx_train_copy(const struct vnic *card, struct rx_train *t, uint32_t n, uint8_t *to)
{
    if (t->is_summing) {
        rx_train_copy_sum(card, t, n, to);
    } else {
        copy_small(to, t->bytes[n], t->like.len);
    }
}

#endif
