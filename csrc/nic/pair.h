/* pair.h: a queue pair: its three rings as a driver starts, stops, resets and rings them. */
#ifndef VNIC_NIC_PAIR_H
#define VNIC_NIC_PAIR_H

#include "nic/card.h"

#define PAIR_BUF_LEN_MIN 64u
#define PAIR_BUF_LEN_MAX 65536u
#define PAIR_HDR_LEN_MIN 64u
#define PAIR_HDR_LEN_MAX 1024u

void pair_on_rx_ctrl(struct vnic *card, unsigned pair, uint32_t now, uint32_t pulses);
void pair_on_tx_ctrl(struct vnic *card, unsigned pair, uint32_t now, uint32_t pulses);
void pair_on_cq_ctrl(struct vnic *card, unsigned pair, uint32_t now, uint32_t pulses);
void pair_on_rx_tail(struct vnic *card, unsigned pair, uint32_t tail);
void pair_on_tx_tail(struct vnic *card, unsigned pair, uint32_t tail);
void pair_on_cq_tail(struct vnic *card, unsigned pair, uint32_t tail);

/* A ring stops with an error; of pair_fail: all three. */
void pair_fail_rx(struct vnic *card, unsigned pair, uint8_t error);
void pair_fail_tx(struct vnic *card, unsigned pair, uint8_t error);
void pair_fail(struct vnic *card, unsigned pair, uint8_t error);

/* Every pair as after reset, registers aside. */
void pair_reset_all(struct vnic *card);
void pair_archive(struct vnic *card, unsigned pair, struct archive *a);
uint32_t pair_read(const struct vnic *card, unsigned pair, const struct reg_ref *ref, uint32_t stored);

#endif
