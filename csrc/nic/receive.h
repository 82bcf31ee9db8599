/* receive.h: the receive engine: filter, classify, choose a queue, deliver into buffers, complete. */
#ifndef VNIC_NIC_RECEIVE_H
#define VNIC_NIC_RECEIVE_H

#include "nic/card.h"

/* A frame arrives from the link (or by loopback); enum vnic_rx_verdict. */
int receive_frame(struct vnic *card, const uint8_t *frame, uint32_t len);
/* Neither too short, too long nor unwanted. */
bool receive_would_take(const struct vnic *card, uint32_t len);
/* Room for one that loopback writes itself; NULL: the buffer is full. *verdict: dropped at the door when
 * not TAKEN. */
uint8_t *receive_slot(struct vnic *card, uint32_t len, int *verdict);

bool receive_is_runnable(const struct vnic *card);
uint64_t receive_next_bytes(const struct vnic *card); /* the most the next step moves */
uint64_t receive_step(struct vnic *card);             /* bytes moved */
/* The step of an untagged front frame, parsed as c, that is a connection's, probably of this one; false: it is none, and
 * nothing happened. */
struct rx_class;
bool receive_step_offloaded(struct vnic *card, const struct rx_class *c, uint32_t guess, uint64_t *bytes);
/* Of a step: descriptors of the ring read. */
uint64_t receive_fetch(struct vnic *card, unsigned pair);
/* The pair's ring stops: a frame in delivery there is discarded. */
void receive_abandon(struct vnic *card, unsigned pair);
uint64_t receive_idle_steps(const struct vnic *card);
void receive_reset(struct vnic *card);
void receive_archive(struct vnic *card, struct archive *a);

#endif
