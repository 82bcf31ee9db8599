"""Mistakes in the card's chimney: snapshots, UPDATEs, entries, congestion."""

from __future__ import annotations

from tests.seeded.fault import Cites, Fault, Subject

CHIMNEY_EVENT = "csrc/nic/chimney_event.c"
CHIMNEY_POOL = "csrc/nic/chimney_pool.c"
CHIMNEY_SNAPSHOT = "csrc/nic/chimney_snapshot.c"
CHIMNEY_SUBMIT = "csrc/nic/chimney_submit.c"
TCP_OFFLOAD_UPDATE = "csrc/tcp/offload_update.c"

FAULTS = (
    Fault(
        "CC-549",
        Subject.CARD,
        CHIMNEY_SUBMIT,
        "    chimney_submit_stop(card, pair, error);\n    chimney_ring_failed(card, false);\n",
        "    chimney_submit_stop(card, pair, error);\n    chimney_ring_failed(card, true);\n",
        "A submission ring that was not started asks for everything to be uploaded.",
        Cites("CHM-63: stops with an error while it runs"),
    ),
    Fault(
        "CC-550",
        Subject.CARD,
        CHIMNEY_SUBMIT,
        "    chimney_submit_stop(card, pair, error);\n    chimney_ring_failed(card, true);\n",
        "    chimney_submit_stop(card, pair, error);\n    chimney_ring_failed(card, false);\n",
        "UPLOAD_ALL is not set when a submission ring stops with an error.",
        Cites("CHM-63"),
    ),
    Fault(
        "CC-552",
        Subject.CARD,
        CHIMNEY_SNAPSHOT,
        "    ARCHIVE(a, CHM_TAG_LOOK, m->look_ns, UINT64_MAX);\n",
        "",
        "When the next look is due is not saved.",
        Cites("CHM-80"),
    ),
    Fault(
        "CC-553",
        Subject.CARD,
        CHIMNEY_SNAPSHOT,
        "    ARCHIVE(a, CHM_TAG_IDENTIFICATION, m->identification, UINT16_MAX);\n",
        "",
        "The Identification is not saved.",
        Cites("CHM-80"),
    ),
    Fault(
        "CC-554",
        Subject.CARD,
        "csrc/nic/chimney_snapshot_objects.c",
        "    ARCHIVE(a, CHM_TAG_NEIGHBOUR + 5, n->nic_ns, UINT64_MAX);\n",
        "",
        "NicReachabilityDelta begins anew with a snapshot.",
        Cites("CHM-80"),
    ),
    Fault(
        "CC-556",
        Subject.CARD,
        "csrc/tcp/input.c",
        "    if (tcp_has(c, TCP_HAS_TIMESTAMPS) && c->rcv_nxt == c->rcv_acked) {\n",
        "    if (tcp_has(c, TCP_HAS_TIMESTAMPS)) {\n",
        "A delayed ACK echoes the latest timestamp.",
        Cites("TS-03"),
    ),
    Fault(
        "CC-560",
        Subject.CARD,
        TCP_OFFLOAD_UPDATE,
        "    const bool restarts =\n        is_asked || is_on != tcp_has(c, TCP_KEEPALIVE)\n",
        "    const bool restarts =\n        true || is_asked || is_on != tcp_has(c, TCP_KEEPALIVE)\n",
        "Every UPDATE begins the keepalive timer anew.",
        Cites("CHM-4"),
    ),
    Fault(
        "CC-563",
        Subject.CARD,
        TCP_OFFLOAD_UPDATE,
        "    const uint32_t interval_ms = ticks_of(cached->KaInterval, TICKS_MS, rate);\n",
        "    const uint32_t interval_ms = cached->KaInterval;\n",
        "KaInterval of an UPDATE is taken as milliseconds.",
        Cites("CHM-4: ticks"),
    ),
    Fault(
        "CC-571",
        Subject.CARD,
        CHIMNEY_POOL,
        "    chm_data_set_seq(words, c->deliver_seq);\n",
        "    chm_data_set_seq(words, end);\n",
        "SEQ of CHM_DATA is the number behind the bytes.",
        Cites("CHM-42; CHM_DATA.SEQ"),
    ),
    Fault(
        "CC-572",
        Subject.CARD,
        CHIMNEY_POOL,
        "    chm_data_set_data_count(words, c->pool_count + len);\n",
        "    chm_data_set_data_count(words, c->pool_count);\n",
        "DATA_COUNT of CHM_DATA leaves these bytes out.",
        Cites("CHM-42 and CHM-43"),
    ),
    Fault(
        "CC-575",
        Subject.CARD,
        CHIMNEY_EVENT,
        "    if (event_write(card, pair, event_handle(m, index), CHM_EVENT_ABORT, c->placed,\n"
        "                    chimney_send_partial(m, index))) {\n",
        "    if (event_write(card, pair, event_handle(m, index), CHM_EVENT_ABORT, 0,\n"
        "                    chimney_send_partial(m, index))) {\n",
        "COUNT of ABORT is 0.",
        Cites("CHM-47; COUNT bytes are in the first receive"),
    ),
    Fault(
        "CC-576",
        Subject.CARD,
        "csrc/nic/chimney_reach.c",
        "    n->query_delta = delta < UINT32_MAX ? (uint32_t)delta : UINT32_MAX;\n",
        "    n->query_delta = (uint32_t)((now - n->host_ns) / reach_tick_ns(m));\n",
        "NEIGHBOUR_QUERY tells the age that the host knows.",
        Cites("CHM-28: COUNT is NicReachabilityDelta"),
    ),
    Fault(
        "CC-580",
        Subject.CARD,
        CHIMNEY_EVENT,
        "    (void)event_write(card, m->admin.queue, chimney_handle(index, n->generation),"
        " CHM_EVENT_NEIGHBOUR_QUERY,\n",
        "    (void)event_write(card, 0, chimney_handle(index, n->generation), CHM_EVENT_NEIGHBOUR_QUERY,\n",
        "NEIGHBOUR_QUERY comes on pair 0.",
        Cites("CHM-28; what concerns no connection goes to the ring of CHM_ADMIN_QUEUE"),
    ),
)
