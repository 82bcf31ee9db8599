"""Mistakes in resets, identity, decoding, errors and capacities of the card."""

from __future__ import annotations

from tests.seeded.fault import Cites, Fault, Subject

FAULTS = (
    Fault(
        "CC-147",
        Subject.CARD,
        "csrc/nic/transmit.c",
        "    packet_buffer_clear(&card->tx_buffer);",
        "",
        "Frames that the link had not taken leave after a device reset.",
        Cites("RST-11: nothing that was accepted before is sent afterwards"),
    ),
    Fault(
        "CC-148",
        Subject.CARD,
        "csrc/nic/reset.c",
        "    for (unsigned i = 0; i < STATS; i++) {\n        card->state.stat[i] = 0;",
        "    for (unsigned i = 0; i < STATS - 2; i++) {\n        card->state.stat[i] = 0;",
        "The last two counters outlast a device reset.",
        Cites("RST-1: return everything behind BAR0 to its state after power-on"),
    ),
    Fault(
        "CC-149",
        Subject.CARD,
        "csrc/pci/regfile.c",
        "    r->strays = 0;\n}",
        "}",
        "Accesses to no register stay counted over a device reset.",
        Cites("RST-1: return everything behind BAR0 to its state after power-on"),
    ),
    Fault(
        "CC-150",
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
        "CC-151",
        Subject.CARD,
        "csrc/nic/transmit.c",
        "    card->state.tx_turn = 0;\n    card->state.tx_turn_open = false;\n    packet",
        "    packet",
        "Whose turn it is to send outlasts a device reset.",
        Cites("RST-1: return everything behind BAR0 to its state after power-on"),
    ),
    Fault(
        "CC-152",
        Subject.CARD,
        "csrc/nic/reset.c",
        "    card->state.run_engine = 0;\n    card->state.run_steps = 0;\n}",
        "}",
        "Whose turn it is among the engines outlasts a device reset.",
        Cites("RST-1: return everything behind BAR0 to its state after power-on"),
    ),
    Fault(
        "CC-153",
        Subject.CARD,
        "csrc/pci/config.c",
        "    const bool is_flr = level == PCI_RESET_FLR;",
        "    const bool is_flr = level == PCI_RESET_FLR || level == PCI_RESET_D3;",
        "Max_Payload_Size and the like outlast D3hot.",
        Cites("PCI-22: at a reset on the way to D0 do the same without the exception"),
    ),
    Fault(
        "CC-154",
        Subject.CARD,
        "csrc/pci/config.c",
        "    regfile_reset(&f->config, level != PCI_RESET_POWER);",
        "    regfile_reset(&f->config, level == PCI_RESET_FLR || level == PCI_RESET_HOT);",
        "The way from D3hot to D0 resets the errors that were logged.",
        Cites("PCI-22: the fields marked as surviving stay"),
    ),
    Fault(
        "CC-155",
        Subject.CARD,
        "csrc/pci/config.c",
        "        return id->is_multifunction ? CONFIG_MULTI_FUNCTION : 0;",
        "        return 0;",
        "A card in a slot with other functions does not say so.",
        Cites("PCI-2: show its identity"),
    ),
    Fault(
        "CC-156",
        Subject.CARD,
        "csrc/pci/config.c",
        "        return id->class_code << CLASS_CLASS_SHIFT | id->revision;",
        "        return id->class_code << CLASS_CLASS_SHIFT | 1;",
        "The revision is always 1.",
        Cites("PCI-2: show its identity"),
    ),
    Fault(
        "CC-157",
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
        "CC-158",
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
    Fault(
        "CC-159",
        Subject.CARD,
        "csrc/pci/regfile.c",
        "    return width <= 8 && bits_is_pow2(width);",
        "    return width <= 8 && width != 0;",
        "Accesses of 3, 5, 6 and 7 bytes are carried out.",
        Cites("PCI-9: an access of another width reads all ones, writes nothing"),
    ),
    Fault(
        "CC-160",
        Subject.CARD,
        "csrc/pci/errors.c",
        "    if (!config_is_set(f, CFG_AER_COR_MASK, AER_COR_MASK_ADVISORY_MASK)) {\n"
        "        errors_record(f, bit);\n"
        "    }",
        "",
        "An advisory error never has its own bit.",
        Cites("PCI-38: its own bit only while Advisory Non-Fatal Error is not masked"),
    ),
    Fault(
        "CC-161",
        Subject.CARD,
        "csrc/nic/registers.c",
        "    return (stored & ~(GLB_CAPS_QUEUE_PAIRS_MASK | GLB_CAPS_VECTORS_MASK))\n           |",
        "    return",
        "GLB_CAPS has neither the multicast list nor the largest table.",
        Cites("DEV-3: show its capacities in GLB_CAPS"),
    ),
    Fault(
        "CC-162",
        Subject.CARD,
        "csrc/nic/pair.c",
        "    if (pulses & QP_CQ_CTRL_RESET_MASK) {",
        "    if ((pulses & QP_CQ_CTRL_RESET_MASK) && !enable) {",
        "ENABLE wins over RESET of a completion ring.",
        Cites("RST-4: RESET wins over ENABLE written with it"),
    ),
    Fault(
        "CC-163",
        Subject.CARD,
        "csrc/pci/power.c",
        "    f->is_removed = true;\n"
        "    f->is_line_asserted = false;\n"
        "    fault_forget(&f->faults);\n"
        "    pci_refresh(f);\n"
        "    interrupt_discard(f);",
        "    f->is_removed = true;\n"
        "    f->is_line_asserted = false;\n"
        "    fault_forget(&f->faults);\n"
        "    pci_refresh(f);",
        "Interrupts that nobody took arrive from a card that is gone.",
        Cites("PCI-24: forget interrupts not yet taken"),
    ),
    Fault(
        "CC-164",
        Subject.CARD,
        "csrc/nic/registers.c",
        "           | (uint32_t)(run_runnable(card) == 0) << GLB_STATUS_IDLE_SHIFT;",
        "           | (uint32_t)((run_runnable(card) & ~(1u << 8)) == 0) << GLB_STATUS_IDLE_SHIFT;",
        "A card that has a vector to raise says that it is idle.",
        Cites("DEV-6: whether no engine could take a step now"),
    ),
    Fault(
        "CC-165",
        Subject.CARD,
        "csrc/nic/pair.c",
        "    for (uint32_t i = 0; i < card->config.queue_pairs; i++) {\n"
        "        struct queue_pair *p = &card->state.pair[i];\n"
        "        memset(&p->rx, 0, offsetof(struct rx_ring, desc));",
        "    for (uint32_t i = 0; i < card->config.queue_pairs; i++) {\n"
        "        struct queue_pair *p = &card->state.pair[i];\n"
        "        p->rx.ring.is_running = false;\n"
        "        p->rx.cached = 0;",
        "The counters of pairs outlast a device reset.",
        Cites("RST-1: return everything behind BAR0 to its state after power-on"),
    ),
    Fault(
        "CC-166",
        Subject.CARD,
        "csrc/pci/config.c",
        "    if (f->wants_flr) {\n        pci_reset",
        "    if (f->wants_flr && was_d0) {\n        pci_reset",
        "A Function Level Reset is not carried out in D3hot.",
        Cites("PCI-21: in any PowerState"),
    ),
)
