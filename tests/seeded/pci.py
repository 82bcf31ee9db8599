"""Mistakes in what any PCI function has: configuration space, registers, messages, DMA, resets."""

from __future__ import annotations

from tests.seeded.fault import Cites, Fault, Subject

CONFIG = "csrc/pci/config.c"
DMA = "csrc/pci/dma.c"
INTERRUPT = "csrc/pci/interrupt.c"
REGFILE = "csrc/pci/regfile.c"


FAULTS = (
    Fault(
        "CF-20",
        Subject.CARD,
        "csrc/pci/msix.c",
        "        .addr = regfile_get64(&f->msix, MSIX_ENTRY_ADDR_LO + entry),\n",
        "        .addr = regfile_get(&f->msix, MSIX_ENTRY_ADDR_LO + entry),\n",
        "The upper half of a message's address is lost.",
        Cites("PCI-29: the address and data of its table entry as they are then"),
    ),
    Fault(
        "CF-21",
        Subject.CARD,
        INTERRUPT,
        "    case PCI_MODE_MSI:\n        interrupt_settle_msi(f);\n        break;\n",
        "    case PCI_MODE_MSI:\n        interrupt_fold_msi(f);\n        break;\n",
        "An MSI message that was masked is not sent when it is unmasked.",
        Cites("PCI-31: its Pending Bit does what PCI-29 says"),
    ),
    Fault(
        "CF-22",
        Subject.CARD,
        CONFIG,
        "        return (value & ~(id->bar_bytes[i] - 1)) | CONFIG_BAR_64BIT;\n",
        "        return (value & ~0xFFFu) | CONFIG_BAR_64BIT;\n",
        "Every BAR looks like one of 4 KiB.",
        Cites("PCI-5: writing all ones and reading back gives the size"),
    ),
    Fault(
        "CF-23",
        Subject.CARD,
        CONFIG,
        "    if (state != CONFIG_D0 && state != CONFIG_D3HOT) {\n",
        "    if (state > CONFIG_D3HOT) {\n",
        "D1 and D2 are taken, though the card has neither.",
        Cites("PCI-18: ignore a write of 1 or 2 to it"),
    ),
    Fault(
        "CF-24",
        Subject.CARD,
        CONFIG,
        "    if (!was_d0 && pci_is_d0(f)) {\n",
        "    if (!was_d0 && !pci_is_d0(f)) {\n",
        "Nothing is reset on the way back from D3hot.",
        Cites("PCI-20: No_Soft_Reset is 0"),
    ),
    Fault(
        "CF-25",
        Subject.CARD,
        CONFIG,
        "    const uint32_t payload = is_flr ? regfile_get(&f->config, CFG_DEVCTL) & DEVCTL_MPS_MASK : 0;\n",
        "    const uint32_t payload = 0;\n",
        "A Function Level Reset takes Max_Payload_Size with it.",
        Cites("PCI-21; PCIe 6.6.2: Max_Payload_Size is exempt"),
    ),
    Fault(
        "CF-26",
        Subject.CARD,
        REGFILE,
        "& ~(written & word->w1c);\n",
        "& ~((written & word->w1c) != 0 ? word->w1c : 0);\n",
        "Clearing one event clears all of its register.",
        Cites("PCI-8: w1c clears the bits written as 1"),
    ),
    Fault(
        "CF-27",
        Subject.CARD,
        REGFILE,
        "    const uint32_t stores = word->rw & enabled;\n",
        "    const uint32_t stores = word->rw;\n",
        "A write of a byte clears the three others.",
        Cites("PCI-7: a byte that is not enabled is neither read nor written"),
    ),
    Fault(
        "CF-28",
        Subject.CARD,
        DMA,
        "        if (addr >= window->base && addr <= window->last) {\n            return false;\n",
        "        if (addr >= window->base && addr <= window->last) {\n            return true;\n",
        "DMA goes to memory that lies where the card's own BAR is.",
        Cites("PCI-16: Unsupported Request at the first byte that its own BARs decode", "CVE-2021-3750"),
    ),
    Fault(
        "CF-29",
        Subject.CARD,
        DMA,
        "    if (region == NULL || (region->permissions & permissions) != permissions) {\n",
        "    if (region == NULL) {\n",
        "Memory that is mapped for reading only is written.",
        Cites("PCI-15: Completer Abort where the mapping does not permit it"),
    ),
    Fault(
        "CF-30",
        Subject.CARD,
        CONFIG,
        "        return stored | (interrupt_is_line_pending(f) ? COMMAND_INTX_STATUS_MASK : 0);\n",
        "        return stored;\n",
        "Interrupt Status is never set.",
        Cites("PCI-28: read Interrupt Status as 1 while a cause asserts the line"),
    ),
    Fault(
        "CF-31",
        Subject.CARD,
        "csrc/pci/msix.c",
        "    return (uint32_t)(f->msix_pending >> 8 * (ref->offset - MSIX_PBA));\n",
        "    return (uint32_t)(f->msix_pending + 0 * ref->offset);\n",
        "The second word of the Pending Bit Array reads as the first.",
        Cites("PCI-29: a masked vector sets its bit in the Pending Bit Array"),
    ),
    Fault(
        "CF-32",
        Subject.CARD,
        "csrc/pci/power.c",
        "    regfile_reset(&f->msix, false);\n",
        "",
        "The MSI-X table survives a Function Level Reset.",
        Cites("PCI-23: mask every MSI-X table entry, clear its other words"),
    ),
    Fault(
        "CF-33",
        Subject.CARD,
        INTERRUPT,
        "    f->msi_pending |= 1u << number;\n",
        "    f->msi_pending = 1u << number;\n",
        "Of several masked MSI messages the last one alone is pending.",
        Cites("PCI-31 and PCI-29: a masked vector sets its bit"),
    ),
    Fault(
        "CF-34",
        Subject.CARD,
        "csrc/pci/errors.c",
        "    config_set_bits(f, CFG_DEVCTL, DEVCTL_UR_MASK);\n",
        "",
        "Unsupported Request Detected is never set.",
        Cites("PCI-36: log a request that it does not support"),
    ),
)
