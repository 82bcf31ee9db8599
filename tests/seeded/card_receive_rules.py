"""Mistakes in what the card receives: reasons, tags, what is said of a frame."""

from __future__ import annotations

from tests.seeded.fault import Cites, Fault, Subject

FAULTS = (
    Fault(
        "CC-115",
        Subject.CARD,
        "csrc/nic/receive.c",
        "    if (receive_is_off(card)) {\n"
        "        return STAT(RX_DROP_DISABLED);\n"
        "    }\n"
        "    if (len < FRAME_MIN) {\n"
        "        return STAT(RX_DROP_RUNT);\n"
        "    }",
        "    if (len < FRAME_MIN) {\n"
        "        return STAT(RX_DROP_RUNT);\n"
        "    }\n"
        "    if (receive_is_off(card)) {\n"
        "        return STAT(RX_DROP_DISABLED);\n"
        "    }",
        "A short frame is a runt though the receiver is off.",
        Cites("RX-2: the first of these reasons that holds"),
    ),
    Fault(
        "CC-116",
        Subject.CARD,
        "csrc/nic/receive.c",
        "    } else if (verdict == VNIC_RX_FULL) {\n        card_count(card, STAT(RX_DROP_BUFFER));",
        "    } else if (verdict == VNIC_RX_FULL) {\n"
        "        card->state.pair[0].rx.drops++;\n"
        "        card_count(card, STAT(RX_DROP_BUFFER));",
        "A frame that the packet buffer has no room for counts as a drop of pair 0.",
        Cites("RX-1: drops that happen when a pair is already chosen"),
    ),
    Fault(
        "CC-117",
        Subject.CARD,
        "csrc/nic/receive.c",
        "        card_count(card, STAT(RX_DROP_RESET));\n        card->state.pair[pair].rx.drops++;",
        "        card_count(card, STAT(RX_DROP_RESET));",
        "A frame that is dropped with its ring's reset is no drop of its pair.",
        Cites("RX-1: drops that happen when a pair is already chosen also count in QP_RX_DROPS"),
    ),
    Fault(
        "CC-118",
        Subject.CARD,
        "csrc/nic/filter.c",
        "    case 2:\n        return (ctrl & MAC_RX_CTRL_BROADCAST_MASK) != 0;",
        "    case 2:\n"
        "        return (ctrl & MAC_RX_CTRL_BROADCAST_MASK) || ((ctrl & "
        "MAC_RX_CTRL_MULTICAST_MASK) && filter_is_listed(card, address));",
        "Broadcasts come in when the multicast list has them.",
        Cites("RX-4: multicast other than broadcast"),
    ),
    Fault(
        "CC-119",
        Subject.CARD,
        "csrc/nic/filter.c",
        "    case 0:\n"
        "        return (ctrl & MAC_RX_CTRL_UNICAST_MASK) && address == "
        "regfile_get64(&card->regs, REG_MAC_ADDR);",
        "    case 0:\n"
        "        return ((ctrl & MAC_RX_CTRL_UNICAST_MASK) && address == "
        "regfile_get64(&card->regs, REG_MAC_ADDR)) || ((ctrl & "
        "MAC_RX_CTRL_MULTICAST_MASK) && filter_is_listed(card, address));",
        "Unicast frames come in when the multicast list has their address.",
        Cites("RX-4: unicast, UNICAST set and the address equal to MAC_ADDR"),
    ),
    Fault(
        "CC-120",
        Subject.CARD,
        "csrc/nic/filter.c",
        "if (be16_load(frame + 12) != WIRE_ETHERTYPE_VLAN || len < WIRE_ETH_LEN + WIRE_VLAN_LEN) {",
        "if ((be16_load(frame + 12) != WIRE_ETHERTYPE_VLAN && be16_load(frame + 12) != "
        "WIRE_ETHERTYPE_QINQ) || len < WIRE_ETH_LEN + WIRE_VLAN_LEN) {",
        "The VLAN filter looks into tags of 0x88A8 too.",
        Cites("RX-5: a frame whose EtherType is 0x8100"),
    ),
    Fault(
        "CC-121",
        Subject.CARD,
        "csrc/nic/rx_train.c",
        "    if (!card_is_set(card, REG_MAC_RX_CTRL, MAC_RX_CTRL_CSUM_MASK)) {\n        return;\n    }",
        "",
        "Trains are judged though CSUM is clear.",
        Cites("RX-7: without CSUM both are NONE"),
    ),
    Fault(
        "CC-122",
        Subject.CARD,
        "csrc/nic/classify.c",
        "    if (card_is_set(card, REG_MAC_RX_CTRL, MAC_RX_CTRL_CSUM_MASK)) {",
        "    {",
        "Frames are judged though CSUM is clear.",
        Cites("RX-7: without CSUM both are NONE"),
    ),
    Fault(
        "CC-123",
        Subject.CARD,
        "csrc/nic/receive.c",
        "    uint64_t words[COMPLETION_WORDS] = {r->words[0], r->words[1], r->words[2], COMPLETION_TYPE_RX};",
        "    uint64_t words[COMPLETION_WORDS] = {r->is_first ? r->words[0] : 0, "
        "r->words[1], r->words[2], COMPLETION_TYPE_RX};",
        "The hash is in the first completion of a frame only.",
        Cites("RX-11: all completions of a frame carry the same"),
    ),
    Fault(
        "CC-124",
        Subject.CARD,
        "csrc/nic/receive.c",
        "    uint64_t words[COMPLETION_WORDS] = {r->words[0], r->words[1], r->words[2], COMPLETION_TYPE_RX};",
        "    uint64_t words[COMPLETION_WORDS] = {r->words[0], r->is_first ? r->words[1] "
        ": r->words[1] & RX_COMPLETION_FRAME_LEN_MASK, r->words[2], COMPLETION_TYPE_RX};",
        "Tag and hash type are in the first completion of a frame only.",
        Cites("RX-11: all completions of a frame carry the same"),
    ),
    Fault(
        "CC-125",
        Subject.CARD,
        "csrc/nic/receive.c",
        "    if (status == VNIC_DMA_OK) {\n"
        "        status = dma_write(&card->pci, &card->scratch.hint[pair].rx_data",
        "    {\n        status = dma_write(&card->pci, &card->scratch.hint[pair].rx_data",
        "A header that could not be written is forgotten when the data can be.",
        Cites("RX-12: when a buffer cannot be written, end the frame there"),
    ),
    Fault(
        "CC-126",
        Subject.CARD,
        "csrc/nic/scale.c",
        "    next.is_refused = false;",
        "    next.is_refused = next.is_refused && !next.is_active;",
        "REFUSED outlasts a good commit that switches RSS off.",
        Cites("RSS-7: an accepted commit clears REFUSED"),
    ),
    Fault(
        "CC-127",
        Subject.CARD,
        "csrc/nic/receive.c",
        "    if (len < FRAME_MIN) {\n"
        "        return STAT(RX_DROP_RUNT);\n"
        "    }\n"
        "    return len > receive_longest(card) ? STAT(RX_DROP_OVERSIZE) : FILTER_PASS;",
        "    if (len < FRAME_MIN) {\n"
        "        return STAT(RX_DROP_RUNT);\n"
        "    }\n"
        "    if (!packet_buffer_fits(&card->rx_buffer, len)) {\n"
        "        return STAT(RX_DROP_BUFFER);\n"
        "    }\n"
        "    return len > receive_longest(card) ? STAT(RX_DROP_OVERSIZE) : FILTER_PASS;",
        "A frame that is too long counts as one without room when there is none.",
        Cites("RX-2: the first of these reasons that holds"),
    ),
    Fault(
        "CC-128",
        Subject.CARD,
        "csrc/nic/receive.c",
        "    if (ring_owned(&p->rx.ring) < buffers) {\n"
        "        return STAT(RX_DROP_NO_DESCRIPTOR);\n"
        "    }\n"
        "    if (completion_free(&p->cq) < buffers) {\n"
        "        return STAT(RX_DROP_NO_COMPLETION);\n"
        "    }",
        "    if (completion_free(&p->cq) < buffers) {\n"
        "        return STAT(RX_DROP_NO_COMPLETION);\n"
        "    }\n"
        "    if (ring_owned(&p->rx.ring) < buffers) {\n"
        "        return STAT(RX_DROP_NO_DESCRIPTOR);\n"
        "    }",
        "Slots are looked for before descriptors are.",
        Cites(
            "RX-9: owns every descriptor (else RX_DROP_NO_DESCRIPTOR), and the completion "
            "ring has that many free slots"
        ),
    ),
)
