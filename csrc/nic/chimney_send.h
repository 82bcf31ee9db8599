/* chimney_send.h: reading of what a connection sends, for the frames that carry it. */
#ifndef VNIC_NIC_CHIMNEY_SEND_H
#define VNIC_NIC_CHIMNEY_SEND_H

#include "nic/chimney.h"

/* Bytes of a connection's queue on their way into a frame. */
struct send_read {
    uint32_t seq, len;
    uint64_t sum;   /* of the bytes, from 0 */
    bool is_pushed; /* the last byte of a send with PUSH is among them */
};

/* Copies r->len bytes from r->seq on to out and fills in the rest; false when host memory could not be read. What
 * the engine hands out and is not acknowledged is there. */
bool chimney_send_read(struct vnic *card, uint32_t index, struct send_read *r, uint8_t *out);

/* The same bytes where they are, when they are in one piece of memory and nothing watches; NULL: read them. */
const uint8_t *chimney_send_at(struct vnic *card, uint32_t index, struct send_read *r);

/* The pieces of a request that is given up. */
void chimney_work_give(struct chimney *m, uint32_t first, uint32_t last);

#endif
