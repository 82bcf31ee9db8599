/* The bus operations of vnic_driver.h over a card in the same process: a polled bus, it grants no interrupt vectors. */
#ifndef PERF_CARD_BUS_H
#define PERF_CARD_BUS_H

#include <vnic/vnic.h>
#include <vnic/vnic_driver.h>

struct card_bus {
    vnic *card;
};

/* Creates a card with that many queue pairs, its BARs placed and its link up; 0, or an enum vnic_result. */
int card_bus_open(struct card_bus *bus, unsigned queue_pairs);
int card_bus_open_with(struct card_bus *bus, const struct vnic_config *config);
void card_bus_close(struct card_bus *bus);

/* What a driver is given. */
struct vnic_bus card_bus_view(struct card_bus *bus);

/* Lets the card work until it has nothing left to do. */
void card_bus_run(struct card_bus *bus);

#endif
