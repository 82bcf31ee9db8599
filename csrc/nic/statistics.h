/* statistics.h: the card's counters, indexed in the order of the STAT registers. */
#ifndef VNIC_NIC_STATISTICS_H
#define VNIC_NIC_STATISTICS_H

#include "gen/vnic_bar0.h"

/* The number of a counter: its register's distance from the first. */
#define STAT(name) ((REG_STAT_##name - REG_STAT_RX_UNICAST_FRAMES) / 8u)
#define STATS (STAT(GUEST_ERRORS) + 1u)

#endif
