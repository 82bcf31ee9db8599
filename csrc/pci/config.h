/* config.h: configuration space of a function, between the rooms of pci/. */
#ifndef VNIC_PCI_CONFIG_H
#define VNIC_PCI_CONFIG_H

#include "gen/pci_config.h"
#include "pci/function.h"

int config_create(struct pci_function *f);
void config_reset(struct pci_function *f, enum pci_reset level);
/* Where BAR i decodes. */
uint64_t config_bar_base(const struct pci_function *f, unsigned bar);
/* What a snapshot brought is a configuration that accesses can lead to, of this very function. */
bool config_is_sound(const struct pci_function *f);

static inline bool config_is_set(const struct pci_function *f, uint32_t offset, uint32_t mask)
{
    return (regfile_get(&f->config, offset) & mask) != 0;
}

static inline void config_set_bits(struct pci_function *f, uint32_t offset, uint32_t mask)
{
    regfile_set(&f->config, offset, regfile_get(&f->config, offset) | mask);
}

#endif
