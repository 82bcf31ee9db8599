"""Mistakes in what the peer of a connection, its pool or the bus sees: counts, runs, masks, grants."""

from __future__ import annotations

from tests.seeded.fault import Cites, Fault, Subject

FAULTS = (
    Fault(
        "CF-72",
        Subject.CARD,
        "csrc/nic/chimney_habit.c",
        "    chimney_connection(m, index)->habit.unposted = 0;\n",
        "    (void)m;\n    (void)index;\n",
        "A receive taken does not start the count of unposted bytes anew.",
        Cites("CHM-68: without a receive taken in between"),
    ),
    Fault(
        "CF-73",
        Subject.CARD,
        "csrc/nic/chimney_stat.c",
        "m->stat[CHM_STAT(TCP4_ESTABLISHED) + (m->tcp[index].is_ipv6 ? STAT_TCP6 : 0)]--;",
        "m->stat[CHM_STAT(TCP4_ESTABLISHED)]--;",
        "The end of an offloaded IPv6 connection is counted with IPv4's.",
        Cites("CHM-70: IPv4 and IPv6 apart"),
    ),
    Fault(
        "CF-74",
        Subject.CARD,
        "csrc/nic/chimney_pool.c",
        "len = bits_min32(len, c->push_seq - c->deliver_seq);",
        "len = bits_min32(len, pool_of(card, pair)->buf_len);",
        "A pool buffer does not end with the push.",
        Cites("CHM_DATA.PUSH: the last byte came with PSH, or the FIN follows it"),
    ),
    Fault(
        "CF-75",
        Subject.CARD,
        "csrc/nic/chimney_frame.c",
        "#define FLOW_LABEL_MASK 0xFFFFFu",
        "#define FLOW_LABEL_MASK 0xFFFFu",
        "The flow label loses its upper four bits.",
        Cites("CHM-4: a CACHED field is never changed; FLOW_LABEL has 20 bits"),
    ),
    Fault(
        "CF-76",
        Subject.CARD,
        "csrc/nic/chimney_submit.c",
        "    s->cached = 0;\n    ring_stop(&s->ring, error);",
        "    ring_stop(&s->ring, error);",
        "A submission ring that is started anew takes entries that it had read before it stopped.",
        Cites("CHM-63: rings of the chimney stop and start as others; RST-4"),
    ),
    Fault(
        "CF-77",
        Subject.CARD,
        "csrc/nic/chimney_change.c",
        "least = p->is_ipv6 ? 1280 : 68;",
        "least = 68;",
        "UPDATE takes a path MTU below 1280 for IPv6.",
        Cites("CHM-3: an UPDATE is refused for what its image holds; RFC 8200 5: no less than 1,280"),
    ),
    Fault(
        "CF-78",
        Subject.CARD,
        "csrc/pci/interrupt.c",
        "f->msi_pending = (f->msi_pending | f->msi_pending >> span / 2) & ((1u << span / 2) - 1);",
        "f->msi_pending &= (1u << span / 2) - 1;",
        "A message that waits is lost when fewer are granted than before.",
        Cites("PCI-33: a pending message becomes that of its number modulo the messages granted"),
    ),
    Fault(
        "CF-79",
        Subject.CARD,
        "csrc/pci/power.c",
        "    f->msix_pending = 0;\n",
        "",
        "Pending bits of MSI-X survive a reset.",
        Cites("PCI-23: pending messages outlast a device reset alone"),
    ),
    Fault(
        "CF-80",
        Subject.CARD,
        "csrc/pci/errors.c",
        "if (!config_is_set(f, CFG_AER_UNCOR_MASK, bit) && config_is_set(f, CFG_COMMAND, "
        "COMMAND_SERR_MASK)) {",
        "if (config_is_set(f, CFG_COMMAND, COMMAND_SERR_MASK)) {",
        "A masked error is signalled as a system error.",
        Cites("PCI-40: an error that is not masked; PCIe 6.2.6: a masked one is signalled to nobody"),
    ),
    Fault(
        "CF-81",
        Subject.CARD,
        "csrc/pci/interrupt.c",
        "    if (interrupt_is_full(f)) {\n"
        "        return interrupt_is_queued(f, message);\n"
        "    }\n"
        "    interrupt_emit",
        "    if (interrupt_is_full(f)) {\n        return true;\n    }\n    interrupt_emit",
        "A message that finds the queue full is lost.",
        Cites("PCI-34: any other stays pending until there is room"),
    ),
    Fault(
        "CF-82",
        Subject.CARD,
        "csrc/tcp/ack.c",
        "return seq_le(ack, c->snd_nxt) && seq_le(c->snd_una - c->max_snd_wnd, ack);",
        "return seq_le(ack, c->snd_nxt);",
        "An ACK older than the largest window is taken without a challenge.",
        Cites("BL-05: SND.UNA - MAX.SND.WND <= SEG.ACK; RFC 5961 5.2"),
    ),
    Fault(
        "CF-83",
        Subject.CARD,
        "csrc/tcp/reassembly.c",
        "if (next != 0 && e->nodes[next].left == node->right) {",
        "if (next != 0 && seq_lt(e->nodes[next].left, node->right)) {",
        "Two ranges out of order that have come to touch are told as two SACK blocks.",
        Cites("ACK-05: the block holds the segment, with all that touches it; RFC 2018 4"),
    ),
)
