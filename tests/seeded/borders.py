"""Mistakes in card and copy engine at borders: bounds, leftovers of resets, order, what is seldom asked."""

from __future__ import annotations

from tests.seeded.fault import Cites, Fault, Subject

CHANNEL = "csrc/copy/channel.c"
INTERRUPT = "csrc/pci/interrupt.c"


FAULTS = (
    # -- the copy engine -------------------------------------------------------------------------------------
    Fault(
        "CE-19",
        Subject.COPY_ENGINE,
        CHANNEL,
        "    if (ch->status == CHAN_STATUS_HALTED) {\n        return;\n    }\n"
        "    if (channel_is_at_hand(ch)) {\n",
        "    if (channel_is_at_hand(ch)) {\n",
        "A halted channel can be suspended, and resumed.",
        Cites("DMA-6: a HALTED channel ignores it"),
    ),
    Fault(
        "CE-20",
        Subject.COPY_ENGINE,
        "csrc/copy/registers.c",
        "        return half(ch->current, ref->high);\n",
        "        return half(ch->current, false);\n",
        "Both halves of CDAR are the lower one.",
        Cites("DMA-20: CDAR names it"),
    ),
    Fault(
        "CE-21",
        Subject.COPY_ENGINE,
        CHANNEL,
        "COPY_CHANERR, n, copy_channel_reg(copy, COPY_CHANERR, n) | errors);\n",
        "COPY_CHANERR, n, errors);\n",
        "A second error takes the place of the first.",
        Cites("DMA-42: when that completion fails, CMPL_ADDR is set, too"),
    ),
    Fault(
        "CE-22",
        Subject.COPY_ENGINE,
        "csrc/copy/copy.c",
        "            copy->span[s].count = copy->config.channels;\n",
        "            copy->span[s].count = COPY_CHAN_COUNT;\n",
        "Channels that the engine lacks have registers.",
        Cites("PCI-9: a word that is no register reads 0, and ignores a write"),
    ),
    # -- rings, frames, vectors ------------------------------------------------------------------------------
    Fault(
        "CC-51",
        Subject.CARD,
        "csrc/nic/receive.c",
        "    if (len < FRAME_MIN) {\n",
        "    if (len <= FRAME_MIN) {\n",
        "A frame of 14 bytes is a runt.",
        Cites("RX-2: fewer than 14 bytes"),
    ),
    Fault(
        "CC-52",
        Subject.CARD,
        "csrc/nic/filter.c",
        "    return id == 0 || (card_reg",
        "    return (card_reg",
        "Frames with a priority and no VLAN are dropped.",
        Cites("RX-5: VLAN id 0 carries a priority only and always passes; IEEE 802.1Q 9.6"),
    ),
    Fault(
        "CC-53",
        Subject.CARD,
        "csrc/nic/pair.c",
        "    rx->cached = bits_min32(rx->cached, ring_owned(&rx->ring));\n",
        "",
        "Receive descriptors that were taken back are used if the card had read them.",
        Cites("RING-7: taking back other entries is allowed; the card then never looks at them"),
    ),
    Fault(
        "CC-54",
        Subject.CARD,
        "csrc/nic/vector.c",
        "wanted = card->state.cause != 0 && card_is_set(card, REG_INT_CTRL, INT_CTRL_MASTER_ENABLE_MASK);\n",
        "wanted = card->state.cause != 0;\n",
        "The master enable does not take the line down.",
        Cites("INT-4: assert the line while INT_CAUSE is not 0 and MASTER_ENABLE is set"),
    ),
    Fault(
        "CC-55",
        Subject.CARD,
        "csrc/nic/offload.c",
        "l4 + context_csum_offset(c) + 2 <= total);\n",
        "l4 + context_csum_offset(c) + 1 <= total);\n",
        "A checksum is put over the end of the frame.",
        Cites("TX-9: a checksum field beyond the frame"),
    ),
    Fault(
        "CC-56",
        Subject.CARD,
        "csrc/nic/reset.c",
        "    vector_reset(card);\n",
        "",
        "Vectors stay enabled, and keep their causes, over a device reset.",
        Cites("RST-1 and the reset table: vectors, their causes and moderation are reset"),
    ),
    # -- PCI, connections ------------------------------------------------------------------------------------
    Fault(
        "CF-51",
        Subject.CARD,
        "csrc/pci/power.c",
        "    f->msi_pending = 0;\n",
        "",
        "Pending messages of MSI outlast a Function Level Reset.",
        Cites("PCI-23: forget pending bits"),
    ),
    Fault(
        "CF-52",
        Subject.CARD,
        INTERRUPT,
        "f->identity.interrupt_pin != 0 && pci_is_d0(f) && !f->is_removed\n",
        "f->identity.interrupt_pin != 0 && !f->is_removed\n",
        "The line stays up in D3hot.",
        Cites("PCI-19: issue no interrupt; the line falls"),
    ),
    Fault(
        "CF-53",
        Subject.CARD,
        "csrc/pci/errors.c",
        "    if (has_first || config_is_set(f, CFG_AER_UNCOR_MASK, bit)) {\n",
        "    if (has_first) {\n",
        "First Error Pointer points to an error that is masked.",
        Cites("PCI-40: at an error that is not masked set First Error Pointer"),
    ),
    Fault(
        "CF-54",
        Subject.CARD,
        "csrc/nic/chimney_report.c",
        "    return (m->fences | m->moving_first) == 0 && cq->ring.is_running && completion_free(cq) != 0;\n",
        "    return cq->ring.is_running && completion_free(cq) != 0;\n",
        "Connections go on reporting before the fences of a new table are written.",
        Cites("CHM-61: report nothing of connections until all of them are written"),
    ),
    Fault(
        "CF-55",
        Subject.CARD,
        "csrc/tcp/reassembly.c",
        "    while (at > 0 && e->nodes[recent[at - 1]].stamp < e->nodes[index].stamp) {\n",
        "    while (at > 0 && e->nodes[recent[at - 1]].stamp > e->nodes[index].stamp) {\n",
        "The first SACK block is the oldest.",
        Cites("RFC 2018 4: the first block holds the segment that triggered the ACK"),
    ),
    Fault(
        "CF-56",
        Subject.CARD,
        "csrc/nic/chimney_frame.c",
        "        be16_store(out + at + 2, (uint16_t)(priority << TCI_PRIORITY_SHIFT | n->vlan));\n",
        "        be16_store(out + at + 2, n->vlan);\n",
        "A connection's tag has no priority.",
        Cites("CHM-26: tag frames if and only if VlanId or UserPriority is not 0"),
    ),
)
