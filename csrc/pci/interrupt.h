/* interrupt.h: interrupts of a function, between the rooms of pci/. */
#ifndef VNIC_PCI_INTERRUPT_H
#define VNIC_PCI_INTERRUPT_H

#include "pci/function.h"

/* What decides whether and how an interrupt may go. */
struct interrupt_view {
    uint32_t word[5];
};
void interrupt_look(const struct pci_function *f, struct interrupt_view *view);
bool interrupt_has_changed(const struct pci_function *f, const struct interrupt_view *before);

/* Sends what waited and may go now: the line's edge, then pending messages by rising number. */
void interrupt_settle(struct pci_function *f);
/* One that a fault kept; false: the queue is full. */
bool interrupt_send_late(struct pci_function *f, const struct vnic_interrupt *message);
/* Forgets what was not fetched, and lets the line fall if the system may think it up. */
void interrupt_discard(struct pci_function *f);

/* What Interrupt Status reads. */
bool interrupt_is_line_pending(const struct pci_function *f);

void interrupt_archive(struct pci_function *f, struct archive *a);
bool interrupt_is_sound(const struct pci_function *f);

#endif
