"""Mistakes in the card's interrupts: levels, deadlines, messages, entries."""

from __future__ import annotations

from tests.seeded.fault import Cites, Fault, Subject

FAULTS = (
    Fault(
        "CC-129",
        Subject.CARD,
        "csrc/pci/interrupt.c",
        "    if (config_is_set(f, CFG_MSIX_CTRL, MSIX_CTRL_ENABLE_MASK)) {\n"
        "        return PCI_MODE_MSIX;\n"
        "    }\n"
        "    return config_is_set(f, CFG_MSI_CTRL, MSI_CTRL_ENABLE_MASK) ? PCI_MODE_MSI "
        ": PCI_MODE_INTX;",
        "    if (config_is_set(f, CFG_MSI_CTRL, MSI_CTRL_ENABLE_MASK)) {\n"
        "        return PCI_MODE_MSI;\n"
        "    }\n"
        "    return config_is_set(f, CFG_MSIX_CTRL, MSIX_CTRL_ENABLE_MASK) ? "
        "PCI_MODE_MSIX : PCI_MODE_INTX;",
        "With both enable bits set MSI is used.",
        Cites("INT-2: use MSI-X when the MSI-X Enable bit is set, else MSI"),
    ),
    Fault(
        "CC-130",
        Subject.CARD,
        "csrc/nic/vector.c",
        "    if (pci_mode(&card->pci) != PCI_MODE_MSIX) {\n"
        "        card->state.cause |= 1ull << vector;\n"
        "    }",
        "    if (pci_mode(&card->pci) == PCI_MODE_INTX) {\n"
        "        card->state.cause |= 1ull << vector;\n"
        "    }",
        "With MSI the cause register stays empty.",
        Cites("INT-3: collect, at the line and MSI levels, each raised vector's bit"),
    ),
    Fault(
        "CC-131",
        Subject.CARD,
        "csrc/nic/vector.c",
        "        uint64_t next = card->state.vector[__builtin_ctzll(waiting)].next_ns;\n"
        "        earliest = next < earliest ? next : earliest;",
        "        uint64_t next = card->state.vector[__builtin_ctzll(waiting)].next_ns;\n"
        "        earliest = earliest == UINT64_MAX ? next : earliest;",
        "The deadline is that of the lowest vector that waits, not of the earliest.",
        Cites("INT-11: say when the earliest vector will be raised"),
    ),
    Fault(
        "CC-132",
        Subject.CARD,
        "csrc/nic/vector.c",
        "    uint64_t waiting = card->state.vector_pending & card->state.vector_enabled "
        "& ~card->scratch.vector_ripe;\n"
        "    if",
        "    uint64_t waiting = card->state.vector_pending & ~card->scratch.vector_ripe;\n    if",
        "A vector that is disabled has a deadline.",
        Cites("INT-11: the earliest vector that waits for nothing but its interval"),
    ),
    Fault(
        "CC-133",
        Subject.CARD,
        "csrc/nic/vector.c",
        "    if (!card_is_set(card, REG_INT_CTRL, INT_CTRL_MASTER_ENABLE_MASK)) {\n"
        "        return earliest;\n"
        "    }",
        "",
        "There is a deadline though the master enable is clear.",
        Cites("INT-11: the earliest vector that waits for nothing but its interval"),
    ),
    Fault(
        "CC-134",
        Subject.CARD,
        "csrc/pci/interrupt.c",
        ".data = (regfile_get(&f->config, CFG_MSI_DATA) & ~low) | number,",
        ".data = regfile_get(&f->config, CFG_MSI_DATA) | number,",
        "A message's number is put into Message Data by OR.",
        Cites("PCI-31: its number in the low bits of Message Data"),
    ),
    Fault(
        "CC-135",
        Subject.CARD,
        "csrc/pci/interrupt.c",
        "return bits_min32(granted, f->identity.msi_capable_log2);",
        "return bits_min32(granted, 5);",
        "More messages than the card is capable of are used when they are granted.",
        Cites("PCI-31: more messages granted than Multiple Message Capable act as that many"),
    ),
    Fault(
        "CC-136",
        Subject.CARD,
        "csrc/pci/interrupt.c",
        "    if (!f->is_master || config_is_set(f, CFG_MSI_MASK, 1u << number)) {",
        "    if (config_is_set(f, CFG_MSI_MASK, 1u << number)) {",
        "MSI sends without Bus Master Enable.",
        Cites("PCI-32: hold a message pending while Bus Master Enable is clear"),
    ),
    Fault(
        "CC-137",
        Subject.CARD,
        "csrc/pci/msix.c",
        "        if (f->msix_span[s].count == MSIX_ENTRY_COUNT) {\n"
        "            f->msix_span[s].count = f->identity.vectors;\n"
        "        }",
        "",
        "All 64 entries of the MSI-X table are there, whatever Table Size says.",
        Cites("PCI-30: words beyond are no registers"),
    ),
    Fault(
        "CC-138",
        Subject.CARD,
        "csrc/pci/msix.c",
        "        if (f->msix_span[s].count == MSIX_ENTRY_COUNT) {\n"
        "            f->msix_span[s].count = f->identity.vectors;",
        "        if (f->msix_span[s].count == MSIX_ENTRY_COUNT) {\n"
        "            f->msix_span[s].count = f->identity.vectors + 1u;",
        "The MSI-X table has one entry more than Table Size says.",
        Cites("PCI-30: have as many table entries as Table Size says"),
    ),
    Fault(
        "CC-139",
        Subject.CARD,
        "csrc/nic/registers.c",
        "    if (vector >= card->config.vectors) {\n        card_count_guest_error(card);\n    }",
        "    if (vector > card->config.vectors) {\n        card_count_guest_error(card);\n    }",
        "Firing the first vector that is not there is no guest error.",
        Cites("INT-1: written to TEST_FIRE it counts as a STAT_GUEST_ERRORS"),
    ),
    Fault(
        "CC-140",
        Subject.CARD,
        "csrc/pci/power.c",
        "    if (level == PCI_RESET_POWER) {\n"
        "        fault_forget(&f->faults);\n"
        "        interrupt_discard(f);",
        "    if (level == PCI_RESET_POWER || level == PCI_RESET_HOT) {\n"
        "        fault_forget(&f->faults);\n"
        "        interrupt_discard(f);",
        "A hot reset takes messages along that had left the card.",
        Cites("PCI-23: interrupts that had left the card before arrive"),
    ),
    Fault(
        "CC-141",
        Subject.CARD,
        "csrc/pci/power.c",
        "    if (level == PCI_RESET_POWER) {\n"
        "        fault_forget(&f->faults);\n"
        "        interrupt_discard(f);",
        "    if (level == PCI_RESET_POWER) {\n"
        "        fault_forget(&f->faults);\n"
        "        interrupt_settle(f);",
        "Messages that nobody took arrive after a power cycle.",
        Cites("PCI-23: only a power cycle forgets them"),
    ),
    Fault(
        "CC-142",
        Subject.CARD,
        "csrc/pci/interrupt.c",
        "        may_be_up |= interrupt_at(f, n)->kind == VNIC_INTX;",
        "",
        "The line does not fall at a power cycle when its edges were not taken.",
        Cites("PCI-23: then the line falls if it may have been up"),
    ),
    Fault(
        "CC-143",
        Subject.CARD,
        "csrc/pci/interrupt.c",
        "    view->word[2] = regfile_get(&f->config, CFG_MSI_CTRL);",
        "    view->word[2] = 0;",
        "Switching MSI on or off is not noticed by the line.",
        Cites("INT-4: deassert it when MSI or MSI-X is enabled"),
    ),
    Fault(
        "CC-144",
        Subject.CARD,
        "csrc/nic/vector.h",
        "    if (vector < card->config.vectors && count > 0) {",
        "    if (vector < CARD_VECTORS_MAX && count > 0) {",
        "Causes of vectors that the card lacks are counted and wait.",
        Cites("INT-1: a number that the card lacks gives no interrupt"),
    ),
    Fault(
        "CC-145",
        Subject.CARD,
        "csrc/nic/vector.c",
        "    card->state.vector[vector].next_ns = now_ns > UINT64_MAX - length ? "
        "UINT64_MAX : now_ns + length;",
        "    card->state.vector[vector].next_ns = now_ns + length;",
        "An interval that reaches behind the end of time is over at once.",
        Cites("INT-6: not raise a vector again before VEC_INTERVAL ns after it was raised"),
    ),
    Fault(
        "CC-146",
        Subject.CARD,
        "csrc/nic/vector.c",
        "        if (card->state.vector[v].next_ns <= card->pci.now_ns) {",
        "        if ((uint32_t)(card->pci.now_ns - card->state.vector[v].next_ns) < 1u << 31) {",
        "The end of an interval is looked for in 31 bits of time.",
        Cites("INT-6: not raise a vector again before VEC_INTERVAL ns after it was raised"),
    ),
)
