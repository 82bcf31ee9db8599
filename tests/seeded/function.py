"""Mistakes in the card: interrupts, DMA, resets, power, removal, statistics and the chimney."""

from __future__ import annotations

from tests.seeded.fault import Cites, Fault, Subject

INTERRUPT = "csrc/pci/interrupt.c"
VECTOR = "csrc/nic/vector.c"


FAULTS = (
    # -- interrupts ------------------------------------------------------------------------------------------
    Fault(
        "CF-1",
        Subject.CARD,
        VECTOR,
        "        earliest = next < earliest ? next : earliest;\n",
        "        earliest = next > earliest ? next : earliest;\n",
        "The deadline of a moderated vector is never told: moderation swallows the interrupt.",
        Cites("INT-11: the deadline of the earliest vector", "QEMU gitlab 1863, 8e4649cac9"),
    ),
    Fault(
        "CF-2",
        Subject.CARD,
        VECTOR,
        "    card->state.cause &= ~((uint64_t)(value & enabled_bits) << shift);\n",
        "    (void)enabled_bits;\n",
        "Reading the cause does not clear it.",
        Cites("INT-3: a read clears the bits that it read", "QEMU bz1707441, e414270000"),
    ),
    Fault(
        "CF-3",
        Subject.CARD,
        VECTOR,
        "    if (pci_mode(&card->pci) != PCI_MODE_MSIX) {\n"
        "        card->state.cause |= 1ull << vector;\n    }\n",
        "    if (pci_mode(&card->pci) != PCI_MODE_MSIX) {\n"
        "        card->state.cause = 1ull << vector;\n    }\n",
        "A cause takes the place of one that was not read yet.",
        Cites("INT-3: each raised vector's bit is collected", "QEMU bz1449490"),
    ),
    Fault(
        "CF-4",
        Subject.CARD,
        VECTOR,
        "    card->state.vector_pending &= ~(1ull << vector);\n    if",
        "    card->state.vector_pending = 0;\n    if",
        "One vector that is raised takes the causes of all others along.",
        Cites("INT-8: causes stay pending until their vector is raised", "netkvm #1033"),
    ),
    Fault(
        "CF-5",
        Subject.CARD,
        INTERRUPT,
        "    f->msix_pending |= 1ull << vector;\n    return false;\n",
        "    return false;\n",
        "A message that is masked is lost.",
        Cites("PCI 3.0 6.8.3.4: a masked message sets its Pending bit, and is sent when unmasked"),
    ),
    Fault(
        "CF-6",
        Subject.CARD,
        INTERRUPT,
        "    const unsigned number = vector & ((1u << interrupt_msi_log2(f)) - 1);\n",
        "    const unsigned number = vector;\n",
        "With fewer messages granted than vectors MSI sends messages that it has not got.",
        Cites("PCI 3.0 6.8.1.3: Multiple Message Enable", "verilog-pcie #65"),
    ),
    Fault(
        "CF-7",
        Subject.CARD,
        INTERRUPT,
        "    if (wanted == f->is_line_out || interrupt_is_full(f)) {\n",
        "    if ((wanted && f->is_line_out) || interrupt_is_full(f) || (!wanted && f->out_count == 0)) {\n",
        "The line is not taken down again.",
        Cites("INT-4: the line is up exactly while a cause is unread", "QEMU bz1447935"),
    ),
    # -- DMA, reset, power, removal --------------------------------------------------------------------------
    Fault(
        "CF-8",
        Subject.CARD,
        "csrc/pci/function.c",
        "    f->is_master = is_on && config_is_set(f, CFG_COMMAND, COMMAND_MASTER_MASK);\n",
        "    f->is_master = is_on;\n",
        "DMA does not wait for Bus Master Enable.",
        Cites("PCI-13; PCI 3.0 6.2.2: Command, bit 2"),
    ),
    Fault(
        "CF-9",
        Subject.CARD,
        "csrc/nic/txframe.c",
        "tx_data_addr(desc) + t->at_offset, to, n, VNIC_DMA_DATA);",
        "(uint32_t)tx_data_addr(desc) + t->at_offset, to, n,\n"
        "                                           VNIC_DMA_DATA);",
        "Send buffers above 4 GiB are read from below.",
        Cites("TX-18 and the descriptor: ADDR is 64 bits wide"),
    ),
    Fault(
        "CF-10",
        Subject.CARD,
        "csrc/nic/reset.c",
        "    reset_statistics(card);\n    registers_reset(card);\n",
        "    registers_reset(card);\n",
        "A device reset leaves the counters as they are.",
        Cites("RST-1 and the reset table: STAT counters are 0"),
    ),
    Fault(
        "CF-11",
        Subject.CARD,
        "csrc/nic/reset.c",
        "    receive_reset(card);\n    transmit_reset(card);\n",
        "    transmit_reset(card);\n",
        "A frame that was being received goes on after a reset.",
        Cites("RST-11: nothing that was accepted before a reset is delivered after it"),
    ),
    Fault(
        "CF-12",
        Subject.CARD,
        "csrc/pci/function.c",
        "    if (pci_is_refused(f, bar, offset, false)) {\n        return pci_ones(width);\n    }\n",
        "    if (pci_is_refused(f, bar, offset, false)) {\n        return 0;\n    }\n",
        "Registers of a card that was removed read 0.",
        Cites("RST-8 and PCI-24: all ones"),
    ),
    Fault(
        "CF-13",
        Subject.CARD,
        "csrc/nic/registers.c",
        "        vector_set_enabled(card, ref->index, (now & VEC_CTRL_ENABLE_MASK) != 0);\n        break;\n",
        "        vector_set_enabled(card, ref->index, (now & VEC_CTRL_ENABLE_MASK) != 0);\n"
        "        card->state.vector_pending &= ~(1ull << ref->index);\n        break;\n",
        "Enabling a vector throws away what came while it was masked.",
        Cites("INT-8: causes stay pending, and raise the vector when it is enabled", "QEMU bz1447935"),
    ),
    # -- chimney ---------------------------------------------------------------------------------------------
    Fault(
        "CF-14",
        Subject.CARD,
        "csrc/tcp/offload_admit.c",
        "    return shape->SndWindScale <= 14 && shape->RcvWindScale <= 14\n",
        "    return shape->SndWindScale <= 15 && shape->RcvWindScale <= 15\n",
        "A window scale of 15 is taken.",
        Cites("RFC 7323 2.3: the shift count is limited to 14", "ETH TOE #42"),
    ),
    Fault(
        "CF-15",
        Subject.CARD,
        "csrc/tcp/persist.c",
        "        c->probes = 0;\n        timer_set_xmit(e, c, TCP_XMIT_PERSIST, recovery_rto_us(e, c));\n",
        "        c->probes = 0;\n",
        "A window that the peer closed is not probed.",
        Cites("RFC 9293 3.8.6.1: zero window probes are a MUST", "ETH TOE #21"),
    ),
    Fault(
        "CF-16",
        Subject.CARD,
        "csrc/nic/chimney_send.c",
        "    if (c->send_at != 0 && seq_le(c->send_at_seq, seq)) {\n",
        "    if (c->send_at != 0) {\n",
        "A retransmission reads its bytes from where new data comes from.",
        Cites("CHM-21: the bytes of sends in order, straight from host memory", "ETH TOE #31"),
    ),
    Fault(
        "CF-17",
        Subject.CARD,
        "csrc/nic/chimney_receive.c",
        "    return verify_l4_sum(f, frame, f->l4_len, sum) == VERIFY_GOOD;\n",
        "    return verify_l4_sum(f, frame, f->l4_len, sum) != VERIFY_NONE;\n",
        "Segments of offloaded connections are taken with a bad checksum.",
        Cites("CHM-40; RFC 9293 3.1: the receiver MUST check the checksum", "CVE-2024-3567"),
    ),
    Fault(
        "CF-18",
        Subject.CARD,
        "csrc/nic/chimney_receive.c",
        "    return chimney_has(c, CHM_STOPPED | CHM_ABORTED | CHM_ENDING);\n",
        "    return chimney_has(c, CHM_ABORTED);\n",
        "A connection that is being taken back still acknowledges what comes.",
        Cites("CHM-41: a connection that is stopped takes nothing, and acknowledges nothing"),
    ),
    Fault(
        "CF-19",
        Subject.CARD,
        "csrc/nic/chimney_pool.c",
        "    bool is_pushed = chimney_has(c, CHM_PUSHED) && len != 0 && seq_le(c->push_seq, end);\n",
        "    bool is_pushed = false;\n",
        "Data that goes through the pool has no PSH.",
        Cites("CHM-42 and CHM_DATA.PUSH: the bytes end with PSH"),
    ),
)
