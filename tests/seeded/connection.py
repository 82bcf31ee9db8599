"""Mistakes in how the card runs offloaded connections: lookup, delivery, ends, and TCP itself."""

from __future__ import annotations

from tests.seeded.fault import Cites, Fault, Subject

ACCEPTANCE = "csrc/tcp/acceptance.c"
ACK = "csrc/tcp/ack.c"
PLACE = "csrc/nic/chimney_place.c"
TEXT = "csrc/tcp/text.c"


FAULTS = (
    Fault(
        "CF-35",
        Subject.CARD,
        "csrc/tcp/persist.c",
        "    c->backoff = (uint8_t)(c->backoff + (c->backoff < 31));\n",
        "",
        "Probes of a closed window come at a constant interval.",
        Cites("INV-48: the persist interval doubles each round; RFC 9293 3.8.6.1 SHLD-30"),
    ),
    Fault(
        "CF-36",
        Subject.CARD,
        ACCEPTANCE,
        "    if (seq == c->rcv_nxt) {\n        a->e->statistics.resets_in++;\n",
        "    if (seq - c->rcv_nxt < window_offered(c)) {\n        a->e->statistics.resets_in++;\n",
        "A reset anywhere in the window ends the connection.",
        Cites("INV-33; RFC 5961 3.2", "CVE-2004-0230"),
    ),
    Fault(
        "CF-37",
        Subject.CARD,
        ACK,
        "        || (c->snd_wl1 == segment->seq && seq_le(c->snd_wl2, segment->ack))) {\n",
        "        || seq_le(c->snd_wl2, segment->ack) || segment->wnd != 0) {\n",
        "The window of an old segment takes the place of a newer one.",
        Cites("RFC 9293 3.10.7.4: SND.WND follows only segments that are newer by WL1 and WL2"),
    ),
    Fault(
        "CF-38",
        Subject.CARD,
        ACK,
        "    return seq_le(ack, c->snd_nxt) && seq_le(c->snd_una - c->max_snd_wnd, ack);\n",
        "    return seq_le(ack, c->snd_nxt + 100000) && seq_le(c->snd_una - c->max_snd_wnd, ack);\n",
        "An acknowledgement of what was never sent is taken.",
        Cites("RFC 9293 3.10.7.4: if SEG.ACK > SND.NXT, send an ACK, drop the segment"),
    ),
    Fault(
        "CF-39",
        Subject.CARD,
        ACCEPTANCE,
        "    return (int32_t)(a->segment->ts_val - c->ts_recent) < 0\n",
        "    return false && (int32_t)(a->segment->ts_val - c->ts_recent) < 0\n",
        "Segments with an old timestamp are taken.",
        Cites("RFC 7323 5.3 R1: PAWS"),
    ),
    Fault(
        "CF-40",
        Subject.CARD,
        "csrc/tcp/window.c",
        "    if (window < offered) {\n        window = window_keep_edge(c, offered, room);\n    }\n",
        "    if (window < offered) {\n        window = room >> c->rcv_wscale << c->rcv_wscale;\n    }\n",
        "The right edge that was offered moves back.",
        Cites("CHM-45: the right edge offered never moves back; RFC 9293 SHLD-14"),
    ),
    Fault(
        "CF-41",
        Subject.CARD,
        "csrc/tcp/reassembly.c",
        "        fit.right = seq_min(right, node->left);\n",
        "        fit.right = right;\n",
        "Bytes that are held are replaced by a later copy.",
        Cites("SEG-12: a byte that was delivered or is held is never replaced by a later copy"),
    ),
    Fault(
        "CF-42",
        Subject.CARD,
        "csrc/nic/chimney_lookup.c",
        "    if (vlan == s->vlan) {\n        s->exact = index;\n",
        "    if (vlan == s->vlan || s->vlan != 0) {\n        s->exact = index;\n",
        "A tagged segment is the connection's, whatever its VLAN.",
        Cites("CHM-40 and INV-45: a wrong tag is dropped when VlanId is not 0"),
    ),
    Fault(
        "CF-43",
        Subject.CARD,
        PLACE,
        "    tcp_consume(m->engine, &m->tcp[index], card->pci.now_ns, len, &result);\n",
        "    tcp_consume(m->engine, &m->tcp[index], card->pci.now_ns, len / 2, &result);\n",
        "Half of what is placed in receives is never counted as consumed.",
        Cites("CHM-45: count data as consumed when it is placed in a receive"),
    ),
    Fault(
        "CF-44",
        Subject.CARD,
        PLACE,
        "    } else {\n        push_start(card, index);\n    }\n",
        "    }\n",
        "The push timer never runs.",
        Cites("CHM-44 and INV-26: or TcpPushTicks after its last byte"),
    ),
    Fault(
        "CF-45",
        Subject.CARD,
        "csrc/nic/chimney_receive.c",
        "    return f->l4 == WIRE_L4_TCP && (f->flags & ~(uint32_t)WIRE_VLAN) == 0 && has_known_tag;\n",
        "    return f->l4 == WIRE_L4_TCP && (f->flags & ~(uint32_t)(WIRE_VLAN | WIRE_IP_OPTIONS)) == 0\n"
        "           && has_known_tag;\n",
        "Datagrams with IPv4 options move an offloaded connection.",
        Cites("INV-43 and CHM-40: IPv4 options go the plain way, unchanged"),
    ),
    Fault(
        "CF-46",
        Subject.CARD,
        "csrc/nic/chimney_frame.c",
        "    be16_store(out + 6, IPV4_DONT_FRAGMENT);\n",
        "    be16_store(out + 6, 0);\n",
        "Packets of offloaded connections may be fragmented on the way.",
        Cites("INV-44: DF set; RFC 1191 3"),
    ),
    Fault(
        "CF-47",
        Subject.CARD,
        "csrc/nic/chimney_request.c",
        "        chimney_output_segment(card, index, &rst);\n",
        "        (void)rst;\n",
        "An abortive disconnect tells the peer nothing.",
        Cites("INV-29 and CHM-24: on an abortive one send a RST"),
    ),
    Fault(
        "CF-48",
        Subject.CARD,
        TEXT,
        "        timer_set_delack(e, c, p->delack_us);\n",
        "        timer_set_delack(e, c, 100 * p->delack_us);\n",
        "A lone segment is acknowledged after seconds.",
        Cites("RFC 9293 MUST-40: a delayed ACK waits less than 0.5 s"),
    ),
    Fault(
        "CF-49",
        Subject.CARD,
        "csrc/tcp/timeout.c",
        "    if (c->retransmits >= e->parameters.doubt && !tcp_has(c, TCP_NOTIFIED_R1)) {\n",
        "    if (c->retransmits > 4 * e->parameters.doubt && !tcp_has(c, TCP_NOTIFIED_R1)) {\n",
        "After TcpDoubtReachabilityRetransmissions timeouts nobody is asked about the neighbour.",
        Cites("CHM-41: that many timeouts in a row raise UPLOAD_REQUESTED"),
    ),
    Fault(
        "CF-50",
        Subject.CARD,
        "csrc/tcp/recovery_timeout.c",
        "        c->backoff++;\n",
        "",
        "The retransmission timeout does not double.",
        Cites("RFC 6298 5.5: RTO <- RTO * 2"),
    ),
)
