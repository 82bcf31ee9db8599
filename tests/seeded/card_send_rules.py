"""Mistakes in what the card sends: descriptors, offsets at their bounds, what waits."""

from __future__ import annotations

from tests.seeded.fault import Cites, Fault, Subject

FAULTS = (
    Fault(
        "CC-98",
        Subject.CARD,
        "csrc/nic/transmit.h",
        "return type != DESC_TYPE_CONTEXT && (type != DESC_TYPE_DATA || tx_data_eop(desc) != 0);",
        "return type != DESC_TYPE_CONTEXT && tx_data_eop(desc) != 0;",
        "A descriptor of no kind does not end its frame: the next one goes with it.",
        Cites("TX-3: a descriptor that is neither data nor context ends the frame that it is found in"),
    ),
    Fault(
        "CC-99",
        Subject.CARD,
        "csrc/nic/offload.c",
        "uint32_t l3_min = context_is_ipv4(c) ? (uint32_t)WIRE_IPV4_LEN : (uint32_t)WIRE_IPV6_LEN;",
        "uint32_t l3_min = (uint32_t)WIRE_IPV4_LEN;",
        "For IPv6, too, 20 bytes in front of the transport header are enough.",
        Cites("TX-9: an L4_OFFSET that leaves no room for the IP header between"),
    ),
    Fault(
        "CC-100",
        Subject.CARD,
        "csrc/nic/offload.c",
        "|| (l3 >= WIRE_ETH_LEN && l4 >= l3 + l3_min &&",
        "|| (l4 >= l3 + l3_min &&",
        "For a transport checksum the IP header may lie in the Ethernet header.",
        Cites("TX-9: L3_OFFSET below 14"),
    ),
    Fault(
        "CC-101",
        Subject.CARD,
        "csrc/nic/offload.c",
        "header < WIRE_IPV4_LEN || header > room",
        "header < WIRE_IPV4_LEN",
        "An IPv4 header may reach beyond its frame: what is behind is summed.",
        Cites("TX-9: an IHL below 5 or beyond the frame"),
    ),
    Fault(
        "CC-102",
        Subject.CARD,
        "csrc/nic/offload.c",
        "&& header + mss <= card->config.max_frame",
        "&& header + mss < card->config.max_frame",
        "Segments as long as GLB_MAX_FRAME are refused.",
        Cites("TX-11: HDR_LEN + MSS above GLB_MAX_FRAME"),
    ),
    Fault(
        "CC-103",
        Subject.CARD,
        "csrc/nic/offload.c",
        "header >= TX_HEADER_MIN && header <= TX_HEADER_MAX",
        "header >= TX_HEADER_MIN && header < TX_HEADER_MAX",
        "A large send with 256 bytes of headers is refused.",
        Cites("TX-11: HDR_LEN below 54 or above 256"),
    ),
    Fault(
        "CC-104",
        Subject.CARD,
        "csrc/wire/segment.c",
        "(be16_load(ip + IPV4_FRAGMENT) & 0x3fff) != 0",
        "(be16_load(ip + IPV4_FRAGMENT) & 0x2000) != 0",
        "A later fragment is cut into segments: only the bit for more of them is looked at.",
        Cites("TX-12: an IPv4 fragment"),
    ),
    Fault(
        "CC-105",
        Subject.CARD,
        "csrc/wire/segment.c",
        "if (ip_len % 8 != 0 || (ip_len == WIRE_IPV6_LEN) != (ip[IPV6_NEXT] == WIRE_PROTO_TCP)) {",
        "if (ip_len % 8 != 0 || ip_len < WIRE_IPV6_LEN) {",
        "The next header of a large send over IPv6 is not looked at.",
        Cites("TX-12: a protocol other than TCP"),
    ),
    Fault(
        "CC-106",
        Subject.CARD,
        "csrc/wire/segment.c",
        "if (ip[0] >> 4 != 4 || (uint32_t)(ip[0] & 15) * 4 != ip_len",
        "if ((uint32_t)(ip[0] & 15) * 4 != ip_len",
        "The version of a large send over IPv4 is not looked at.",
        Cites("TX-12: an IP version other than L3_KIND"),
    ),
    Fault(
        "CC-107",
        Subject.CARD,
        "csrc/nic/largesend.c",
        "    if (t->phase != TX_PHASE_SEGMENT || !card->pci.is_master\n"
        "        || !card_is_set(card, REG_MAC_TX_CTRL, MAC_TX_CTRL_ENABLE_MASK)) {",
        "    if (t->phase != TX_PHASE_SEGMENT || !card->pci.is_master) {",
        "A large send goes on with the transmitter off.",
        Cites("TX-1: while either is clear rings wait, and so does a frame that is half gathered"),
    ),
    Fault(
        "CC-108",
        Subject.CARD,
        "csrc/nic/largesend.c",
        "    if (t->phase != TX_PHASE_SEGMENT || !card->pci.is_master\n        || !card_is_set(",
        "    if (t->phase != TX_PHASE_SEGMENT\n        || !card_is_set(",
        "A large send goes on without Bus Master Enable, and fails.",
        Cites("TX-1: while either is clear rings wait; nothing is lost"),
    ),
    Fault(
        "CC-109",
        Subject.CARD,
        "csrc/nic/transmit.c",
        "return card->pci.is_master && card_is_set(card, REG_MAC_TX_CTRL, MAC_TX_CTRL_ENABLE_MASK);",
        "return card_is_set(card, REG_MAC_TX_CTRL, MAC_TX_CTRL_ENABLE_MASK);",
        "Frames are begun without Bus Master Enable, and fail.",
        Cites("TX-1: while either is clear rings wait; nothing is lost"),
    ),
    Fault(
        "CC-110",
        Subject.CARD,
        "csrc/nic/emit.c",
        "return packet_buffer_fits(emit_is_looped(card) ? &card->rx_buffer : &card->tx_buffer, len);",
        "return packet_buffer_fits(&card->tx_buffer, len);",
        "A looped frame waits for room in the transmit buffer, and is lost where it goes.",
        Cites("TX-16: it waits for room there"),
    ),
    Fault(
        "CC-111",
        Subject.CARD,
        "csrc/nic/offload.c",
        "    if (tx_context_ip_csum(t->context) || tx_context_l4_csum(t->context)) {\n"
        "        card_count(card, STAT(TX_CSUM_INSERTED));\n"
        "    }",
        "    if (tx_context_ip_csum(t->context)) {\n"
        "        card_count(card, STAT(TX_CSUM_INSERTED));\n"
        "    }\n"
        "    if (tx_context_l4_csum(t->context)) {\n"
        "        card_count(card, STAT(TX_CSUM_INSERTED));\n"
        "    }",
        "A frame with two checksums put in counts twice.",
        Cites("TX-22: frames with a checksum inserted in STAT_TX_CSUM_INSERTED"),
    ),
    Fault(
        "CC-112",
        Subject.CARD,
        "csrc/nic/offload.c",
        "    if (tx_context_ip_csum(t->context) || tx_context_l4_csum(t->context)) {",
        "    if (t->has_context) {",
        "A frame with a context counts as one with a checksum put in.",
        Cites("TX-22: frames with a checksum inserted in STAT_TX_CSUM_INSERTED"),
    ),
    Fault(
        "CC-113",
        Subject.CARD,
        "csrc/nic/transmit.c",
        "if (tx->ends > 0 || tx->cached == TX_CACHE) {",
        "if (tx->ends > 0 || tx->cached >= TX_CACHE - 1) {",
        "A frame of 127 descriptors whose last is not there yet is passed over.",
        Cites("TX-4: send frames of up to 128 descriptors"),
    ),
    Fault(
        "CC-114",
        Subject.CARD,
        "csrc/nic/largesend.c",
        "        if (!is_read) {\n"
        "            transmit_finish(card, TX_STATUS_DMA);\n"
        "            return bytes + COMPLETION_BYTES;\n"
        "        }\n"
        "    }\n"
        "    if (largesend",
        "        if (!is_read) {\n"
        "            transmit_finish(card, TX_STATUS_DMA);\n"
        "        }\n"
        "        return bytes + COMPLETION_BYTES;\n"
        "    }\n"
        "    if (largesend",
        "A segment leaves one step after its last byte was read.",
        Cites("TX-13: send each segment as soon as its bytes are read"),
    ),
)
