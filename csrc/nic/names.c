/* names.c: names of the card's registers, for traces and messages. */
#include "nic/card.h"

const char *vnic_register_name(unsigned bar, uint64_t offset)
{
    return bar == 0 ? regfile_name(&vnic_bar0_map, offset) : NULL;
}
