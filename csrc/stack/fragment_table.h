/* The inside of reassembly: entries of datagrams. */
#ifndef VNIC_STACK_FRAGMENT_TABLE_H
#define VNIC_STACK_FRAGMENT_TABLE_H

#include "stack/fragment.h"

/* 0: none. */
uint32_t fragment_find(struct vnic_stack *s, const struct fragment_key *key);
/* A new entry, in the place of the oldest when there is no other. */
uint32_t fragment_start(struct vnic_stack *s, const struct fragment_arrival *arrival);
/* The bytes go back, the entry stays. */
void fragment_empty(struct vnic_stack *s, struct fragment_datagram *datagram);
void fragment_forget(struct vnic_stack *s, uint32_t index);
/* The one that began first, of either family; 0: none. */
uint32_t fragment_oldest(struct vnic_stack *s);
void fragment_give_up_oldest(struct vnic_stack *s);

#endif
