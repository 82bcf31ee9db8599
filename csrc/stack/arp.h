/* ARP over Ethernet (RFC 826, RFC 5227). */
#ifndef VNIC_STACK_ARP_H
#define VNIC_STACK_ARP_H

#include "stack/arrival.h"

void arp_receive(struct vnic_stack *s, const struct arrival *arrival, const uint8_t *arp, uint32_t len);
/* Asks for a neighbour: by broadcast, or itself when is_unicast. */
void arp_solicit(struct vnic_stack *s, uint32_t neighbour, bool is_unicast);
/* Does anybody have the address that we would like to have? RFC 5227 2.1.1 */
void arp_probe(struct vnic_stack *s, uint32_t interface, const struct vnic_address *address);
/* It is ours. RFC 5227 2.3 */
void arp_announce(struct vnic_stack *s, uint32_t interface, const struct vnic_address *address);

#endif
