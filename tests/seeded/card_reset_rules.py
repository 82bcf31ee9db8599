"""Mistakes in resets, identity, decoding, errors and capacities of the card."""

from __future__ import annotations

from tests.seeded.fault import Cites, Fault, Subject

FAULTS = (
    Fault(
        "CC-139",
        Subject.CARD,
        "csrc/nic/transmit.c",
        "    packet_buffer_clear(&card->tx_buffer);",
        "",
        "Frames that the link had not taken leave after a device reset.",
        Cites("RST-11: nothing that was accepted before is sent afterwards"),
    ),
    Fault(
        "CC-140",
        Subject.CARD,
        "csrc/nic/reset.c",
        "    for (unsigned i = 0; i < STATS; i++) {\n        card->state.stat[i] = 0;",
        "    for (unsigned i = 0; i < STATS - 2; i++) {\n        card->state.stat[i] = 0;",
        "The last two counters outlast a device reset.",
        Cites("RST-1: return everything behind BAR0 to its state after power-on"),
    ),
    Fault(
        "CC-141",
        Subject.CARD,
        "csrc/pci/regfile.c",
        "    r->strays = 0;\n}",
        "}",
        "Accesses to no register stay counted over a device reset.",
        Cites("RST-1: return everything behind BAR0 to its state after power-on"),
    ),
    Fault(
        "CC-142",
        Subject.CARD,
        "csrc/nic/registers.c",
        "    regfile_reset(&card->regs, false);\n    uint64_t mac",
        "    uint32_t event = card_reg(card, REG_GLB_EVENT);\n"
        "    regfile_reset(&card->regs, false);\n"
        "    regfile_set(&card->regs, REG_GLB_EVENT, event);\n"
        "    uint64_t mac",
        "Events stand after a device reset.",
        Cites("RST-1: return everything behind BAR0 to its state after power-on"),
    ),
    Fault(
        "CC-143",
        Subject.CARD,
        "csrc/nic/transmit.c",
        "    card->state.tx_turn = 0;\n    card->state.tx_turn_open = false;\n    packet",
        "    packet",
        "Whose turn it is to send outlasts a device reset.",
        Cites("RST-1: return everything behind BAR0 to its state after power-on"),
    ),
    Fault(
        "CC-144",
        Subject.CARD,
        "csrc/pci/config.c",
        "    const bool is_flr = level == PCI_RESET_FLR;",
        "    const bool is_flr = level == PCI_RESET_FLR || level == PCI_RESET_D3;",
        "Max_Payload_Size and the like outlast D3hot.",
        Cites("PCI-22: at a reset on the way to D0 do the same without the exception"),
    ),
    Fault(
        "CC-145",
        Subject.CARD,
        "csrc/pci/config.c",
        "    regfile_reset(&f->config, level != PCI_RESET_POWER);",
        "    regfile_reset(&f->config, level == PCI_RESET_FLR || level == PCI_RESET_HOT);",
        "The way from D3hot to D0 resets the errors that were logged.",
        Cites("PCI-22: the fields marked as surviving stay"),
    ),
    Fault(
        "CC-146",
        Subject.CARD,
        "csrc/pci/config.c",
        "        return id->is_multifunction ? CONFIG_MULTI_FUNCTION : 0;",
        "        return 0;",
        "A card in a slot with other functions does not say so.",
        Cites("PCI-2: show its identity"),
    ),
    Fault(
        "CC-147",
        Subject.CARD,
        "csrc/pci/config.c",
        "        return id->class_code << CLASS_CLASS_SHIFT | id->revision;",
        "        return id->class_code << CLASS_CLASS_SHIFT | 1;",
        "The revision is always 1.",
        Cites("PCI-2: show its identity"),
    ),
    Fault(
        "CC-148",
        Subject.CARD,
        "csrc/pci/function.c",
        "    if (!f->is_decoding) {\n        pci_log_unsupported(f, is_write);\n        return true;\n    }",
        "    if (!f->is_decoding && !msix_is_here(f, bar, offset)) {\n"
        "        pci_log_unsupported(f, is_write);\n"
        "        return true;\n"
        "    }",
        "BAR2 is decoded without Memory Space Enable.",
        Cites("PCI-6: decode its BARs only while Memory Space Enable is set"),
    ),
    Fault(
        "CC-149",
        Subject.CARD,
        "csrc/pci/function.c",
        "    if (!f->is_decoding) {\n        pci_log_unsupported(f, is_write);\n        return true;\n    }",
        "    if (!f->is_decoding) {\n"
        "        pci_log_unsupported(f, is_write);\n"
        "        return !is_write;\n"
        "    }",
        "A write without Memory Space Enable is logged, and carried out.",
        Cites("PCI-6: otherwise a write is lost"),
    ),
)
