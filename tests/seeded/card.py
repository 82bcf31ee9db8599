"""Mistakes in the card: rings, receive path, transmit path, RSS."""

from __future__ import annotations

from tests.seeded.fault import Cites, Fault, Subject

CLASSIFY = "csrc/nic/classify.c"
FILTER = "csrc/nic/filter.c"
OFFLOAD = "csrc/nic/offload.c"
RECEIVE = "csrc/nic/receive.c"
SEGMENT = "csrc/wire/segment.c"
TRANSMIT = "csrc/nic/transmit.c"


FAULTS = (
    # -- rings -----------------------------------------------------------------------------------------------
    Fault(
        "CC-1",
        Subject.CARD,
        "csrc/nic/completion.h",
        "    return (uint64_t)((cq->ring.head & cq->ring.count) == 0) << RX_COMPLETION_GEN_SHIFT;\n",
        "    return (uint64_t)(cq->ring.head < cq->ring.count || cq->ring.head % 2 == 0)\n"
        "           << RX_COMPLETION_GEN_SHIFT;\n",
        "From the second pass on the generation changes with each entry.",
        Cites("RING-10: GEN alternates at each wrap"),
    ),
    Fault(
        "CC-2",
        Subject.CARD,
        TRANSMIT,
        "bits_min32(ring_owned(&tx->ring) - tx->cached, bits_min32(tx->ring.count - index, room));",
        "bits_min32(ring_owned(&tx->ring) - tx->cached, room);",
        "Descriptors are fetched beyond the end of the ring.",
        Cites("RING-1: entries from HEAD to TAIL, modulo COUNT", "CVE-2016-1981"),
    ),
    Fault(
        "CC-3",
        Subject.CARD,
        "csrc/nic/pair.c",
        "        memset(&p->rx, 0, offsetof(struct rx_ring, desc));\n",
        "",
        "A device reset leaves the receive rings running.",
        Cites("RST-1: everything behind BAR0 is as after power-on", "spdk #2043, libvfio-user #461"),
    ),
    Fault(
        "CC-4",
        Subject.CARD,
        "csrc/nic/txframe.c",
        "    words[0] = (uint64_t)ring_index(ring, ring->head) << TX_COMPLETION_HEAD_SHIFT\n",
        "    words[0] = (uint64_t)ring_index(ring, first) << TX_COMPLETION_HEAD_SHIFT\n",
        "A transmit completion's HEAD is the frame's first descriptor.",
        Cites("RING-12: HEAD is the next descriptor that the card takes"),
    ),
    # -- receive ---------------------------------------------------------------------------------------------
    Fault(
        "CC-5",
        Subject.CARD,
        RECEIVE,
        "    return len > receive_longest(card) ? STAT(RX_DROP_OVERSIZE) : FILTER_PASS;\n",
        "    return len >= receive_longest(card) ? STAT(RX_DROP_OVERSIZE) : FILTER_PASS;\n",
        "The longest frame is oversize.",
        Cites("RX-13: frames up to the maximum are received"),
    ),
    Fault(
        "CC-6",
        Subject.CARD,
        RECEIVE,
        "    uint32_t buffers = data == 0 ? 1 : (data + p->rx.buf_len - 1) / p->rx.buf_len;\n"
        "    if (ring_owned",
        "    uint32_t buffers = data / p->rx.buf_len;\n    if (ring_owned",
        "The last, short buffer of a frame is not counted when room is looked for.",
        Cites("RX-9: every descriptor that the frame takes", "QEMU gitlab 537, 9d946d56a2"),
    ),
    Fault(
        "CC-7",
        Subject.CARD,
        RECEIVE,
        "    } else if (receive_left(card) == 0) {\n        receive_count(card, frame, "
        "receive_front(card)->len);\n",
        "    } else if (receive_left(card) == 0) {\n",
        "Frames that are delivered step by step are not counted.",
        Cites("RX-1: every frame is accounted for once"),
    ),
    Fault(
        "CC-8",
        Subject.CARD,
        RECEIVE,
        "        return STAT(RX_DROP_NO_DESCRIPTOR);\n",
        "        return STAT(RX_DROP_ADDRESS);\n",
        "A frame without a buffer counts as one for somebody else.",
        Cites("RX-9: RX_DROP_NO_DESCRIPTOR; ifInDiscards of RFC 2863"),
    ),
    Fault(
        "CC-9",
        Subject.CARD,
        CLASSIFY,
        "    c->vlan_tci = be16_load(frame + 14);\n",
        "    c->vlan_tci = be16_load(frame + 14) & 0xFFF;\n",
        "The priority of a stripped tag is lost.",
        Cites("RX-6: VLAN_TCI is all 16 bits of the tag"),
    ),
    Fault(
        "CC-10",
        Subject.CARD,
        CLASSIFY,
        "    p->offset += WIRE_VLAN_LEN;\n    p->len -= WIRE_VLAN_LEN;\n",
        "    p->offset += WIRE_VLAN_LEN;\n",
        "A frame keeps the length that it had with its tag.",
        Cites("RX-6: the outer tag is removed", "CVE-2023-6693: header lengths that do not agree"),
    ),
    Fault(
        "CC-11",
        Subject.CARD,
        FILTER,
        "    for (uint32_t i = 0; i < REG_MAC_MULTICAST_COUNT; i++) {\n",
        "    for (uint32_t i = 0; i < REG_MAC_MULTICAST_COUNT - 1; i++) {\n",
        "The last address of the multicast list is not looked at.",
        Cites("RX-4: any valid entry of the list"),
    ),
    Fault(
        "CC-12",
        Subject.CARD,
        FILTER,
        "REG_MAC_VLAN + id / 32 * 4)",
        "REG_MAC_VLAN + id / 64 * 4)",
        "The VLAN filter looks into the wrong word above id 31.",
        Cites("RX-5: the bit of the VLAN id; IEEE 802.1Q 9.6"),
    ),
    Fault(
        "CC-13",
        Subject.CARD,
        FILTER,
        "    case 2:\n        return (ctrl & MAC_RX_CTRL_BROADCAST_MASK) != 0;\n",
        "    case 2:\n"
        "        return (ctrl & (MAC_RX_CTRL_BROADCAST_MASK | MAC_RX_CTRL_MULTICAST_MASK)) != 0;\n",
        "Broadcasts come in with multicasts.",
        Cites("RX-4; NDIS_PACKET_TYPE_BROADCAST is a filter of its own"),
    ),
    Fault(
        "CC-14",
        Subject.CARD,
        "csrc/wire/verify.c",
        "        *verdict = f->l3 == WIRE_L3_IPV4 ? VERIFY_UDP_ZERO : VERIFY_BAD;\n",
        "        *verdict = VERIFY_BAD;\n",
        "UDP without a checksum has a bad one.",
        Cites("RX-7; RFC 768: an all zero checksum means that none was generated"),
    ),
    # -- RSS -------------------------------------------------------------------------------------------------
    Fault(
        "CC-15",
        Subject.CARD,
        "csrc/wire/rss.c",
        "{RSS_TYPE_TCP_IPV6, RSS_TYPE_UDP_IPV6, RSS_TYPE_IPV6};",
        "{RSS_TYPE_TCP_IPV6_EX, RSS_TYPE_UDP_IPV6, RSS_TYPE_IPV6};",
        "TCP over IPv6 is hashed and reported as TCP_IPV6_EX.",
        Cites("RSS-3: _EX is for frames that carry its addresses", "lp1879531"),
    ),
    Fault(
        "CC-16",
        Subject.CARD,
        "csrc/nic/scale.c",
        "    rss->is_active = (ctrl & RSS_CTRL_ENABLE_MASK) != 0;\n",
        "    rss->is_active |= (ctrl & RSS_CTRL_ENABLE_MASK) != 0;\n",
        "Once on, RSS cannot be switched off.",
        Cites("RSS-8: the configuration becomes active whole; NDIS_RSS_PARAM_FLAG_DISABLE_RSS"),
    ),
    Fault(
        "CC-17",
        Subject.CARD,
        "csrc/nic/scale.c",
        "        le32_store(rss->table + 4 * i, card_reg(card, REG_RSS_TABLE + 4 * i));\n",
        "        be32_store(rss->table + 4 * i, card_reg(card, REG_RSS_TABLE + 4 * i));\n",
        "The entries of the indirection table are turned round in each word.",
        Cites("RSS-6: entry hash & mask chooses the pair"),
    ),
    # -- transmit --------------------------------------------------------------------------------------------
    Fault(
        "CC-18",
        Subject.CARD,
        OFFLOAD,
        "    return is_padding ? bits_max32(len, TX_PAD_TO) : len;\n",
        "    return is_padding && len < FRAME_MIN ? TX_PAD_TO : len;\n",
        "Short frames are not padded.",
        Cites("TX-15: PAD pads to 60 bytes", "QEMU gitlab 3043, a01344d9d7"),
    ),
    Fault(
        "CC-19",
        Subject.CARD,
        OFFLOAD,
        "csum_field(csum_add(0, ip, header)));",
        "csum_field(csum_add(0, ip, WIRE_IPV4_LEN)));",
        "IPv4 options are left out of the header checksum.",
        Cites("TX-7: the header is as long as its IHL says"),
    ),
    Fault(
        "CC-20",
        Subject.CARD,
        OFFLOAD,
        "    be16_store(l4 + context_csum_offset(c), is_udp ? csum_field_udp(sum) : csum_field(sum));\n",
        "    be16_store(l4 + context_csum_offset(c), csum_field(sum)); (void)is_udp;\n",
        "A UDP checksum that comes out as 0 is sent as 0.",
        Cites("TX-8; RFC 768: a computed 0 is transmitted as all ones"),
    ),
    Fault(
        "CC-21",
        Subject.CARD,
        SEGMENT,
        "    if (index + 1 < plan->count) {\n",
        "    if (index > 0) {\n",
        "FIN and PSH are on the first segment of a large send, not on the last.",
        Cites("TX-19: FIN and PSH only in the last segment"),
    ),
    Fault(
        "CC-22",
        Subject.CARD,
        SEGMENT,
        "    const uint16_t id = (uint16_t)((be16_load(ip + IPV4_ID) + index) & SEGMENT_ID_MASK);\n",
        "    const uint16_t id = (uint16_t)(be16_load(ip + IPV4_ID) & SEGMENT_ID_MASK);\n",
        "All segments of a large send have one Identification.",
        Cites("TX-19; Windows large send offload: Identification incremented by segment"),
    ),
    Fault(
        "CC-23",
        Subject.CARD,
        SEGMENT,
        "csum_of16((uint16_t)(tcp_len + segment_len(plan, index)));",
        "csum_of16((uint16_t)(tcp_len + plan->mss));",
        "The checksum of a short last segment has the length of a full one.",
        Cites("TX-19 and RFC 9293 3.1: TCP length of the pseudo-header", "CVE-2024-3567"),
    ),
    Fault(
        "CC-24",
        Subject.CARD,
        TRANSMIT,
        "card->state.tx = (struct tx_frame){0};\n    transmit_consume(&p->tx, t.descriptors, 1);\n",
        "card->state.tx = (struct tx_frame){0};\n"
        "    status = status == TX_STATUS_DMA ? TX_STATUS_OK : status;\n"
        "    transmit_consume(&p->tx, t.descriptors, 1);\n",
        "A send whose bytes could not be read is reported as sent.",
        Cites("TX-18: DMA when its bytes cannot be read", "igb and e1000e of QEMU ignore DMA status"),
    ),
    Fault(
        "CC-25",
        Subject.CARD,
        OFFLOAD,
        "        start = offload_insert_tag(start, (uint16_t)tx_context_vlan_tci(t->context));\n",
        "        start = offload_insert_tag(start, (uint16_t)(tx_context_vlan_tci(t->context) & 0xFFF));\n",
        "A tag that is put in has no priority.",
        Cites("TX-10: the tag is VLAN_TCI"),
    ),
)
