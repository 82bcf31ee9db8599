/* chimney_report.h: the lists of connections that have something to report, for those who write it. */
#ifndef VNIC_NIC_CHIMNEY_REPORT_H
#define VNIC_NIC_CHIMNEY_REPORT_H

#include "nic/chimney.h"

/* The connection whose turn it is on a pair, or 0. */
uint32_t report_next(const struct vnic *card, unsigned pair);
/* It had its turn: leaves the lists, waits for pool buffers (is_stuck), or goes to the end. */
void report_settle(struct vnic *card, uint32_t index, bool is_stuck);
/* Some of the connections that a new table moved go to their lists. */
void report_move(struct vnic *card);

#endif
