"""More mistakes in the card: filters, buffers, rings, checksums, RSS, large sends, vectors, resets."""

from __future__ import annotations

from tests.seeded.fault import Cites, Fault, Subject

FRAME = "csrc/wire/frame.c"
OFFLOAD = "csrc/nic/offload.c"
PAIR = "csrc/nic/pair.c"
RECEIVE = "csrc/nic/receive.c"
REGISTERS = "csrc/nic/registers.c"
SCALE = "csrc/nic/scale.c"
SEGMENT = "csrc/wire/segment.c"
TRANSMIT = "csrc/nic/transmit.c"
VECTOR = "csrc/nic/vector.c"


FAULTS = (
    # -- receive ---------------------------------------------------------------------------------------------
    Fault(
        "CC-26",
        Subject.CARD,
        "csrc/nic/filter.c",
        "&& address == regfile_get64(&card->regs, REG_MAC_ADDR);",
        "&& (uint32_t)address == (uint32_t)regfile_get64(&card->regs, REG_MAC_ADDR);",
        "Of the station address four octets are compared.",
        Cites("RX-4: unicast, and the address equal to MAC_ADDR"),
    ),
    Fault(
        "CC-27",
        Subject.CARD,
        RECEIVE,
        "    return bits_min32(card_reg(card, REG_MAC_RX_MAX), card->config.max_frame);\n",
        "    return card->config.max_frame;\n",
        "MAC_RX_MAX is not looked at: longer frames come in.",
        Cites("RX-2: more bytes than the smaller of MAC_RX_MAX and GLB_MAX_FRAME", "CVE-2012-6075"),
    ),
    Fault(
        "CC-28",
        Subject.CARD,
        "csrc/nic/classify.c",
        "c->frame.l3 != WIRE_L3_NONE && c->frame.header_end <= hdr_buffer;",
        "c->frame.l3 != WIRE_L3_NONE && (hdr_buffer | 1u) != 0;",
        "Headers longer than the header buffer are written into it all the same.",
        Cites("RX-8: whose headers are longer than RX_HDR_LEN is not split", "QEMU gitlab 537"),
    ),
    Fault(
        "CC-29",
        Subject.CARD,
        RECEIVE,
        "    bool is_last = error != RX_ERROR_NONE || receive_left(card) == 0;\n",
        "    bool is_last = receive_left(card) == 0;\n",
        "A frame that ends with an error has no EOP.",
        Cites("RX-12: a completion that has ERROR = DMA and EOP"),
    ),
    Fault(
        "CC-30",
        Subject.CARD,
        RECEIVE,
        "    uint32_t len = bits_min32(receive_left(card), rx->buf_len);\n    if (status",
        "    uint32_t len = bits_min32(receive_left(card), rx->buf_len - (r->is_first ? 2 : 0));\n"
        "    if (status",
        "The first buffer of a frame is not filled.",
        Cites("RX-10: each but the last is filled to RX_BUF_LEN"),
    ),
    Fault(
        "CC-31",
        Subject.CARD,
        FRAME,
        "    f->l4_len = ip_len - header_len;\n",
        "    f->l4_len = (ip_len < 46 ? available : ip_len) - header_len;\n",
        "Ethernet padding of short frames is part of the datagram.",
        Cites("RX-7: Ethernet padding is not part of the sum"),
    ),
    Fault(
        "CC-32",
        Subject.CARD,
        FRAME,
        "    if ((fragment & 0x3fff) != 0) {\n",
        "    if ((fragment & 0x1fff) != 0) {\n",
        "A first fragment is taken for a whole datagram.",
        Cites("RX-7 and RX-11: L4_CSUM is NONE for fragments; INV-43"),
    ),
    # -- RSS -------------------------------------------------------------------------------------------------
    Fault(
        "CC-33",
        Subject.CARD,
        "csrc/wire/rss.c",
        "        memcpy(input + 8, frame + f->l4_offset, 4);\n",
        "        memcpy(input + 8, frame + f->l2_len + WIRE_IPV4_LEN, 4);\n",
        "With IPv4 options the hash takes them for the ports.",
        Cites("RSS-2: IPv4 options are skipped over"),
    ),
    Fault(
        "CC-34",
        Subject.CARD,
        SCALE,
        "        if (rss->table[i] >= card->config.queue_pairs) {\n",
        "        if (rss->table[i] > card->config.queue_pairs) {\n",
        "A table may name the pair behind the last one.",
        Cites("RSS-7: refused when an entry names no pair of the card"),
    ),
    Fault(
        "CC-35",
        Subject.CARD,
        SCALE,
        "        card->state.rss.is_refused = true;\n",
        "        memcpy(card->state.rss.key, next.key, sizeof next.key);\n"
        "        scale_prepare_key(card);\n        card->state.rss.is_refused = true;\n",
        "A commit that is refused changes the key all the same.",
        Cites("RSS-7: a refusal changes nothing else"),
    ),
    # -- transmit --------------------------------------------------------------------------------------------
    Fault(
        "CC-36",
        Subject.CARD,
        TRANSMIT,
        "            if (tx->credit > 0) {\n                return pair;\n",
        "            if (tx->credit > -0x40000000) {\n                return pair;\n",
        "A ring that always has work never passes its turn on.",
        Cites("TX-14: deficit round robin"),
    ),
    Fault(
        "CC-37",
        Subject.CARD,
        OFFLOAD,
        "    memset(start + bytes, 0, *len - bytes);\n",
        "",
        "Padding is what was in the buffer before.",
        Cites("TX-15: with zeros to 60", "CVE-2003-0001 (Etherleak)"),
    ),
    Fault(
        "CC-38",
        Subject.CARD,
        SEGMENT,
        "        tcp[TCP_FLAGS] = (uint8_t)(tcp[TCP_FLAGS] & ~TCP_CWR);\n",
        "",
        "All segments of a large send have CWR.",
        Cites("TX-19: CWR on the first only; RFC 3168 6.1.2"),
    ),
    Fault(
        "CC-39",
        Subject.CARD,
        SEGMENT,
        "(uint16_t)((be16_load(ip + IPV4_ID) + index) & SEGMENT_ID_MASK);",
        "(uint16_t)(be16_load(ip + IPV4_ID) + index);",
        "Identifications of large sends run into those of offloaded connections.",
        Cites("TX-19: Identification (ID + i) modulo 0x8000"),
    ),
    Fault(
        "CC-40",
        Subject.CARD,
        TRANSMIT,
        "    } else {\n        p->cq.reserved--;\n    }\n",
        "    }\n",
        "A frame sent without RS keeps its completion slot.",
        Cites("TX-5: a frame that was sent without RS returns its slot"),
    ),
    # -- rings -----------------------------------------------------------------------------------------------
    Fault(
        "CC-41",
        Subject.CARD,
        PAIR,
        "    if (ring_owned(&tx->ring) < tx->cached) {\n",
        "    if (ring_owned(&tx->ring) + tx->ring.count < tx->cached) {\n",
        "A doorbell may take back descriptors that the card has fetched.",
        Cites("RING-7: transmit descriptors that it has fetched"),
    ),
    Fault(
        "CC-42",
        Subject.CARD,
        "csrc/nic/ring.c",
        "    *r = (struct ring){0};\n    if (count",
        "    *r = (struct ring){.head = r->head & (count - 1)};\n    if (count",
        "A ring that is started again goes on where it stopped.",
        Cites("RING-2: set HEAD and TAIL to 0"),
    ),
    Fault(
        "CC-43",
        Subject.CARD,
        PAIR,
        "    pair_stop_tx(card, pair, p->tx.ring.error);\n",
        "",
        "The transmit ring survives the end of its completion ring.",
        Cites("RING-4: stopping the completion ring also stops the receive and the transmit ring"),
    ),
    Fault(
        "CC-44",
        Subject.CARD,
        PAIR,
        "        return half(p->tx.bytes, ref->high);\n",
        "        return half(p->rx.bytes, ref->high);\n",
        "A pair's bytes sent read as its bytes received.",
        Cites("TX-22: QP_TX_FRAMES and QP_TX_BYTES"),
    ),
    # -- vectors, events, resets -----------------------------------------------------------------------------
    Fault(
        "CC-45",
        Subject.CARD,
        VECTOR,
        "        if (card->state.vector[v].next_ns <= card->pci.now_ns) {\n",
        "        if (card->state.vector[v].next_ns < card->pci.now_ns) {\n",
        "When its deadline has come a vector is not raised yet.",
        Cites("INT-11: raise it when time reaches that point"),
    ),
    Fault(
        "CC-46",
        Subject.CARD,
        VECTOR,
        "    card->state.vector_turn = (uint8_t)((vector + 1) % CARD_VECTORS_MAX);\n",
        "    card->state.vector_turn = 0;\n",
        "The lowest vector goes first, every time.",
        Cites("INT-10: in ascending order from the one after the last raised"),
    ),
    Fault(
        "CC-47",
        Subject.CARD,
        REGISTERS,
        "    case REGID_GLB_EVENT_ENABLE:\n        card_raise_event(card, 0);\n        break;\n",
        "    case REGID_GLB_EVENT_ENABLE:\n        break;\n",
        "An event that stands when it is enabled raises nothing.",
        Cites("INT-7: or when a write to GLB_EVENT_ENABLE leaves a standing bit enabled"),
    ),
    Fault(
        "CC-48",
        Subject.CARD,
        "csrc/nic/reset.c",
        "    scale_reset(card);\n",
        "",
        "RSS goes on after a device reset.",
        Cites("RSS-11: return to the state after initialisation at each reset"),
    ),
    Fault(
        "CC-49",
        Subject.CARD,
        "csrc/nic/emit.c",
        "    if (!emit_is_looped(card) && card->state.link_mbps == 0) {\n        return TX_STATUS_LINK;\n",
        "    if (card->state.link_mbps == 0) {\n        return TX_STATUS_LINK;\n",
        "Loopback needs a link.",
        Cites("TX-16: whatever the link; TX-17"),
    ),
    Fault(
        "CC-50",
        Subject.CARD,
        "csrc/nic/test_block.c",
        "        .dst = regfile_get64(&card->regs, REG_TEST_DMA_DST),\n",
        "        .dst = card_reg(card, REG_TEST_DMA_DST),\n",
        "Bring-up DMA writes below 4 GiB only.",
        Cites("TEST-3: latch operation, addresses, length and pattern"),
    ),
)
