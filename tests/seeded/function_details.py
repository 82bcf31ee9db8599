"""Mistakes in details of the function and the chimney: queues, mappings, tables, windows, timers."""

from __future__ import annotations

from tests.seeded.fault import Cites, Fault, Subject

FAULTS = (
    Fault(
        "CF-57",
        Subject.CARD,
        "csrc/nic/chimney_lookup.c",
        "    if (s.exact == 0) {\n        s = ",
        "    if (s.exact == 0 && !s.has_others) {\n        s = ",
        "Where the first guess has another VLAN id nobody looks for the right one.",
        Cites("CHM-40: it belongs to that whose VlanId is the frame's"),
    ),
    Fault(
        "CF-58",
        Subject.CARD,
        "csrc/nic/chimney_frame.c",
        "    if ((n->vlan | priority) != 0) {",
        "    if (n->vlan != 0) {",
        "A connection with a UserPriority and no VLAN id sends untagged.",
        Cites("CHM-26: tagged if and only if VlanId or UserPriority is not 0"),
    ),
    Fault(
        "CF-59",
        Subject.CARD,
        "csrc/nic/chimney_post.c",
        "    if (data_count != c->pool_count) {",
        "    if (data_count < c->pool_count) {",
        "A DATA_COUNT beyond what the pool got is taken.",
        Cites("CHM-43: a receive whose DATA_COUNT is not the bytes that it gave to the pool is LATE"),
    ),
    Fault(
        "CF-60",
        Subject.CARD,
        "csrc/nic/chimney_push.c",
        "    push_stop(m, index);\n    chimney_connection(m, index)->push_ns = ",
        "    if (chimney_has(chimney_connection(m, index), CHM_PUSH_TIMER)) {\n"
        "        return;\n"
        "    }\n"
        "    chimney_connection(m, index)->push_ns = ",
        "New data does not restart the push timer.",
        Cites("CHM-44: the push timer restarts with new data"),
    ),
    Fault(
        "CF-61",
        Subject.CARD,
        "csrc/nic/chimney_event.c",
        "        c->pending |= c->post_open != 0 ? CHM_PENDING_RECEIVE : 0; /* [CHM-46] */\n",
        "",
        "Receives that are held when the FIN comes do not come back.",
        Cites("CHM-46: receives that are held complete with AFTER_FIN, behind the FIN"),
    ),
    Fault(
        "CF-62",
        Subject.CARD,
        "csrc/nic/chimney_report.c",
        "        report_join(m, report_moving(m), report_starved(m, pair));\n",
        "",
        "A connection that waits for a pool buffer keeps waiting for the old pair's after a new table.",
        Cites("CHM-61: report by the new table"),
    ),
    Fault(
        "CF-63",
        Subject.CARD,
        "csrc/nic/chimney_send.c",
        "    return m->work[send_first(m, c)].before + (send_front(",
        "    return (send_front(",
        "ACKED leaves out the pieces of the send that were acknowledged before.",
        Cites("CHM-7: ACKED bytes of the first send are acknowledged"),
    ),
    Fault(
        "CF-64",
        Subject.CARD,
        "csrc/nic/chimney_change.c",
        "    a->walk_path = has_next ? next : 0;\n",
        "    (void)has_next;\n    a->walk_path = 0;\n",
        "INVALIDATE of a neighbour reaches its first path only.",
        Cites("CHM-8: the object and all that hangs on it"),
    ),
    Fault(
        "CF-65",
        Subject.CARD,
        "csrc/pci/interrupt.c",
        "            interrupt_settle(f);\n            pci_let_go(f, 1u << VNIC_FAULT_INTERRUPT);",
        "            pci_let_go(f, 1u << VNIC_FAULT_INTERRUPT);",
        "A message that found the queue full stays pending when there is room.",
        Cites("PCI-34: any other stays pending until there is room"),
    ),
    Fault(
        "CF-66",
        Subject.CARD,
        "csrc/pci/regfile.c",
        "~(written & word->w1c);",
        "~word->w1c;",
        "Any write to a register clears its W1C bits.",
        Cites("PCI-8: w1c clears the bits written as 1"),
    ),
    Fault(
        "CF-67",
        Subject.CARD,
        "csrc/pci/errors.c",
        "    if (has_first || config_is_set(f, CFG_AER_UNCOR_MASK, bit)) {",
        "    (void)has_first;\n    if (config_is_set(f, CFG_AER_UNCOR_MASK, bit)) {",
        "First Error Pointer points to the last error.",
        Cites("PCI-40: First Error Pointer, unless it points to a status bit that is still set"),
    ),
    Fault(
        "CF-68",
        Subject.CARD,
        "csrc/pci/memmap.c",
        "    m->count = 0;\n    memmap_touch(m);\n",
        "    m->count = 0;\n",
        "DMA still goes to memory that was unmapped all at once.",
        Cites(
            "PCI-15: Unsupported Request where nothing is mapped", "stale device TLB entries, e.g. of vhost"
        ),
    ),
    Fault(
        "CF-69",
        Subject.CARD,
        "csrc/tcp/window.c",
        "    return up <= room ? up : offered & ~(unit - 1);\n",
        "    (void)up;\n    (void)room;\n    return offered & ~(unit - 1);\n",
        "A scaled window is rounded down, so that its right edge moves back.",
        Cites(
            "CHM-45: the right edge offered never moves back",
            "the Linux fix of tcp_select_window, which rounds a kept window up",
        ),
    ),
    Fault(
        "CF-70",
        Subject.CARD,
        "csrc/tcp/output.c",
        "    emit_start(e, c, out, c->snd_nxt - 1);\n",
        "    emit_start(e, c, out, c->snd_nxt);\n",
        "A keepalive probe has the next number, which nobody has to answer.",
        Cites("CHM-41: TCP in the CHIMNEY profile, KA-03"),
    ),
    Fault(
        "CF-71",
        Subject.CARD,
        "csrc/tcp/acceptance.c",
        "    if (seq == c->rcv_nxt) {\n        a->e->statistics.resets_in++;",
        "    if (seq - c->rcv_nxt < window_offered(c) || seq == c->rcv_nxt) {\n"
        "        a->e->statistics.resets_in++;",
        "A RST anywhere in the window ends the connection.",
        Cites("CHM-47: an acceptable RST, RFC 5961 3.2", "RFC 5961 3"),
    ),
)
