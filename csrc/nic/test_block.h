/* test_block.h: the bring-up registers: a driver's first reads, writes, interrupt and DMA. */
#ifndef VNIC_NIC_TEST_BLOCK_H
#define VNIC_NIC_TEST_BLOCK_H

#include "nic/card.h"

void test_block_command(struct vnic *card, uint32_t pulses);
uint32_t test_block_status(const struct vnic *card);
uint64_t test_block_next_bytes(const struct vnic *card);
uint64_t test_block_step(struct vnic *card);
void test_block_reset(struct vnic *card);
void test_block_archive(struct vnic *card, struct archive *a);

#endif
