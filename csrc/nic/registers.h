/* registers.h: reset of BAR0's registers; the hooks are card_register_ops. */
#ifndef VNIC_NIC_REGISTERS_H
#define VNIC_NIC_REGISTERS_H

#include "nic/card.h"

void registers_reset(struct vnic *card);

#endif
