"""Mistakes in the map of memory, in transfers, and in faults that are made."""

from __future__ import annotations

from tests.seeded.fault import Cites, Fault, Subject

FAULTS = (
    Fault(
        "CC-167",
        Subject.CARD,
        "csrc/pci/memmap.c",
        "    return is_aligned && len != 0 && len - 1 <= UINT64_MAX - iova;",
        "    return is_aligned && len != 0;",
        "A mapping may reach beyond 2^64.",
        Cites("PCI-11: that does not reach beyond 2^64"),
    ),
    Fault(
        "CC-168",
        Subject.CARD,
        "csrc/pci/memmap.c",
        "const bool is_aligned = (iova | len) % MEMMAP_GRANULE == 0;",
        "const bool is_aligned = iova % MEMMAP_GRANULE == 0;",
        "A mapping may be of an odd length.",
        Cites("PCI-11: a mapping of whole 4 KiB granules"),
    ),
    Fault(
        "CC-169",
        Subject.CARD,
        "csrc/pci/memmap.c",
        "    if (at < m->count && m->region[at].iova <= new.last) {",
        "    if (at < m->count && m->region[at].iova <= iova) {",
        "A mapping may overlap one that begins in its middle.",
        Cites("PCI-11: overlaps no other"),
    ),
    Fault(
        "CC-170",
        Subject.CARD,
        "csrc/pci/memmap.c",
        "    if (m->count == m->capacity) {\n"
        "        return VNIC_ENOSPC;\n"
        "    }\n"
        "    memmap_replace(m, at, 0, &new, 1);",
        "    memmap_replace(m, at, 0, &new, 1);\n"
        "    if (m->count == m->capacity) {\n"
        "        return VNIC_ENOSPC;\n"
        "    }",
        "A mapping that is refused for lack of room is there all the same.",
        Cites("PCI-11: leave the map as it was when it refuses"),
    ),
    Fault(
        "CC-171",
        Subject.CARD,
        "csrc/pci/memmap.c",
        "        remains[count++].host = final->host + (last + 1 - final->iova);",
        "        remains[count++].host = final->host;",
        "What is left behind a range that was taken away begins with the memory of its front.",
        Cites("PCI-12: leave the rest of those mappings in place"),
    ),
    Fault(
        "CC-172",
        Subject.CARD,
        "csrc/pci/memmap.c",
        "    if (m->count - gone + count > m->capacity) {",
        "    if (m->count - gone + count >= m->capacity) {",
        "A full map refuses to have anything taken away.",
        Cites("PCI-12: refuse when a split would exceed the capacity"),
    ),
    Fault(
        "CC-173",
        Subject.CARD,
        "csrc/pci/memmap.c",
        "    for (uint32_t i = at; i < m->count && m->region[i].iova <= next; i++) {",
        "    for (uint32_t i = at; i < m->count; i++) {",
        "A range with a hole in it is taken away.",
        Cites("PCI-12: refuse it, map unchanged, when a granule is not mapped"),
    ),
    Fault(
        "CC-174",
        Subject.CARD,
        "csrc/pci/memmap.c",
        "        remains[count++].last = iova - 1;",
        "        remains[count++].last = iova;",
        "What is left in front of a range that was taken away is a byte too long.",
        Cites("PCI-12: take away a range of whole granules"),
    ),
    Fault(
        "CC-175",
        Subject.CARD,
        "csrc/pci/dma.c",
        "        status = rest.addr < t->addr ? VNIC_DMA_UNSUPPORTED : dma_move_piece(f, hint, &rest, &n);",
        "        status = dma_move_piece(f, hint, &rest, &n);",
        "A transfer goes on at 0 behind 2^64.",
        Cites("PCI-17: it does not go on at 0"),
    ),
    Fault(
        "CC-176",
        Subject.CARD,
        "csrc/pci/fault.c",
        "        if (fault_has_turn(f, i, what) && firing == NULL) {",
        "        if (firing == NULL && fault_has_turn(f, i, what)) {",
        "A fault does not count the matches at which one before it fires.",
        Cites("PCI-41: every armed fault counts every match"),
    ),
    Fault(
        "CC-177",
        Subject.CARD,
        "csrc/pci/fault.c",
        "        if (fault_has_turn(f, i, what) && firing == NULL) {",
        "        if (fault_has_turn(f, i, what)) {",
        "Of several faults the one with the highest id fires.",
        Cites("PCI-41: the one with the lowest id does"),
    ),
    Fault(
        "CC-178",
        Subject.CARD,
        "csrc/pci/fault.c",
        "    for (unsigned i = 0; i < 8 && start + i < len; i++) {\n        bytes[start + i] ^=",
        "    for (unsigned i = 0; i < 8; i++) {\n        bytes[(start + i) % len] ^=",
        "The mask of a corruption goes on at the front behind the end.",
        Cites("PCI-43: mask bytes behind the end have no effect"),
    ),
    Fault(
        "CC-179",
        Subject.CARD,
        "csrc/pci/fault.c",
        "    const uint64_t start = fault->argument % len;",
        "    const uint64_t start = fault->argument < len ? fault->argument : len - 1;",
        "A corruption behind the end hits the last byte.",
        Cites("PCI-43: from offset argument modulo the length"),
    ),
    Fault(
        "CC-180",
        Subject.CARD,
        "csrc/pci/dma.c",
        "    const uint32_t at = (uint32_t)(fault->argument % t->len);\n"
        "    const uint32_t len = bits_min32(sizeof(wrong), t->len - at);",
        "    const uint32_t at = (uint32_t)(fault->argument % t->len) & ~7u;\n"
        "    const uint32_t len = bits_min32(sizeof(wrong), t->len - at);",
        "A corrupted DMA write is corrupted at multiples of 8.",
        Cites("PCI-43: into the 8 bytes from offset argument modulo the length"),
    ),
    Fault(
        "CC-181",
        Subject.CARD,
        "csrc/pci/fault.c",
        "what->first <= fault->last\n           && what->last >= fault->first;",
        "what->first <= fault->last\n           && what->first >= fault->first;",
        "A fault matches a transfer by its first byte only.",
        Cites("PCI-41: count every match"),
    ),
    Fault(
        "CC-182",
        Subject.CARD,
        "csrc/pci/function.c",
        "    if (fault->action == VNIC_FAULT_ERROR || fault->action == VNIC_FAULT_REMOVE) {\n"
        "        return pci_ones(width);\n"
        "    }",
        "    if (fault->action == VNIC_FAULT_REMOVE) {\n        return pci_ones(width);\n    }",
        "A register read that ought to fail is answered.",
        Cites("PCI-42: one of a register read returns all ones"),
    ),
    Fault(
        "CC-183",
        Subject.CARD,
        "csrc/pci/dma.c",
        "                               .len = moved,\n",
        "                               .len = t->len,\n",
        "A transfer that failed is told of with all of its bytes.",
        Cites("PCI-44: a DMA transfer with the bytes that moved over the bus"),
    ),
    Fault(
        "CC-184",
        Subject.CARD,
        "csrc/pci/function.c",
        "        pci_bar_emit(f, VNIC_EVENT_MMIO_WRITE, bar, offset, width, value);\n"
        "        pci_bar_write_slow(f, bar, offset, width, value);",
        "        pci_bar_write_slow(f, bar, offset, width, value);\n"
        "        pci_bar_emit(f, VNIC_EVENT_MMIO_WRITE, bar, offset, width, value);",
        "A register write that is watched is told of behind what it causes.",
        Cites("PCI-44: a write before what it causes"),
    ),
    Fault(
        "CC-185",
        Subject.CARD,
        "csrc/pci/dma.c",
        "    const uint32_t len = (uint32_t)bits_min64(t->len - 1, last - t->addr) + 1;\n"
        "    const enum vnic_dma_status status = dma_ask(f, t, len);",
        "    const uint32_t len = (uint32_t)bits_min64(t->len - 1, MEMMAP_GRANULE - 1) + 1;\n"
        "    (void)last;\n"
        "    const enum vnic_dma_status status = dma_ask(f, t, len);",
        "The host is asked for bytes of two granules at once.",
        Cites("PCI-14: end at the first granule that fails"),
    ),
    Fault(
        "CC-186",
        Subject.CARD,
        "csrc/pci/dma.c",
        "    *moved = status == VNIC_DMA_OK ? len : 0;",
        "    *moved = len;",
        "Bytes that the host refused count as moved.",
        Cites("PCI-14: the bytes before it have been moved, none behind it"),
    ),
)
