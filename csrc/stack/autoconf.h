/* What addresses and interfaces do over time: probing, lifetimes, asking for routers. */
#ifndef VNIC_STACK_AUTOCONF_H
#define VNIC_STACK_AUTOCONF_H

#include "stack/interface.h"

struct vnic_stack;

/* The link came up, or the address is new on a link that is up: it is probed, or ours at once. */
void autoconf_start(struct vnic_stack *s, uint32_t interface, struct interface_address *entry);
void autoconf_start_interface(struct vnic_stack *s, uint32_t interface);
/* Somebody else uses or wants it. */
void autoconf_on_conflict(struct vnic_stack *s, uint32_t interface, struct interface_address *entry);
/* A router answered. */
void autoconf_on_router(struct vnic_stack *s, uint32_t interface);

#endif
