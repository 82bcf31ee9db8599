/* tags.h: the tags of the fields that every PCI function saves; a number is never used again for something
 * else. */
#ifndef VNIC_PCI_TAGS_H
#define VNIC_PCI_TAGS_H

enum pci_tag {
    TAG_REG_STRAYS = 0x200,
    TAG_REG_COUNT,
    TAG_REG_WORD,

    TAG_PCI_NOW = 0x210,
    TAG_PCI_REMOVED,
    TAG_PCI_LINE_ASSERTED,
    TAG_PCI_LINE_OUT,
    TAG_PCI_MSIX_PENDING,
    TAG_PCI_MSI_PENDING,
    TAG_PCI_OUT_COUNT,
    TAG_PCI_OUT_KIND,
    TAG_PCI_OUT_VECTOR,
    TAG_PCI_OUT_ADDR,
    TAG_PCI_OUT_DATA
};

#endif
