"""Mistakes in the example driver in C: what a first driver gets wrong."""

from __future__ import annotations

from tests.seeded.fault import Cites, Fault, Subject

MAIN = "vnic/examples/minimal.c"
#: The published headers that the example stands on.
CARD = "csrc/include/vnic/vnic_plain_card.h"
LIFE = "csrc/include/vnic/vnic_plain_miniport.h"
TRAFFIC = "csrc/include/vnic/vnic_plain_traffic.h"
#: The end of its DPC.
ENABLE = "    vnic_plain_write32(context, REG_VEC_CTRL, VEC_CTRL_ENABLE_MASK | VEC_CTRL_AUTO_MASK_MASK);\n"
SERVE = f"""\
    vnic_card_events(context); /* PROG-16 */
    vnic_plain_begin(context, &work);
    while (rx_completion_gen(m->mem->cq[m->cq_next % CQ]) != (m->cq_next / CQ & 1) && is_sound && left--) {{
        vnic_read_barrier(); /* PROG-13, PROG-14: GEN is 1 in the first pass */
        memcpy(w, m->mem->cq[m->cq_next++ % CQ], sizeof w);
        is_sound = rx_completion_type(w) == COMPLETION_TYPE_TX ? on_tx(m, &work, w) : on_rx(m, &work, w);
    }}
    vnic_plain_write32(context, REG_QP_CQ_TAIL, (m->cq_next - 1) % CQ);
    vnic_plain_end(&work, is_sound);
{ENABLE}"""

FAULTS = (
    # -- rings -----------------------------------------------------------------------------------------------
    Fault(
        "EC-1",
        Subject.C_EXAMPLE,
        MAIN,
        "    tx_data_set_len(w, vnic_net_buffer_copy(packet, m->mem->out[m->tx_tail], BUFFER));\n"
        "    m->tx_tail = (m->tx_tail + 1) % RING;\n    vnic_write_barrier();\n"
        "    vnic_plain_write32(context, REG_QP_TX_TAIL, m->tx_tail);\n",
        "    vnic_plain_write32(context, REG_QP_TX_TAIL, (m->tx_tail + 1) % RING);\n"
        "    tx_data_set_len(w, vnic_net_buffer_copy(packet, m->mem->out[m->tx_tail], BUFFER));\n"
        "    m->tx_tail = (m->tx_tail + 1) % RING;\n",
        "The transmit tail is written before the descriptor's length and the packet.",
        Cites("RING-8: a descriptor is complete before the TAIL that hands it over", "QEMU gitlab 402"),
    ),
    Fault(
        "EC-2",
        Subject.C_EXAMPLE,
        MAIN,
        "    m->mem->rx[m->rx_tail][0] = BUS_ADDR(m, in[buffer]);\n"
        "    m->rx_tail = (m->rx_tail + 1) % RING;\n    vnic_write_barrier();\n"
        "    vnic_plain_write32(context, REG_QP_RX_TAIL, m->rx_tail);\n",
        "    const uint32_t at = m->rx_tail;\n    m->rx_tail = (m->rx_tail + 1) % RING;\n"
        "    vnic_plain_write32(context, REG_QP_RX_TAIL, m->rx_tail);\n"
        "    m->mem->rx[at][0] = BUS_ADDR(m, in[buffer]);\n",
        "The receive tail is written before the descriptor.",
        Cites("RING-8; Linux memory-barriers: dma_wmb() before the doorbell"),
    ),
    Fault(
        "EC-3",
        Subject.C_EXAMPLE,
        MAIN,
        "BUFFER));\n    m->tx_tail = (m->tx_tail + 1) % RING;\n",
        "BUFFER));\n    m->tx_tail = m->tx_tail == RING ? 0 : m->tx_tail + 1;\n",
        "The transmit tail goes one further than the ring before it wraps.",
        Cites("RING-6: TAIL is below COUNT", "CVE-2016-1981"),
    ),
    Fault(
        "EC-4",
        Subject.C_EXAMPLE,
        MAIN,
        "    if ((m->tx_tail + 1) % RING == m->tx_head) {\n",
        "    if (m->tx_tail + 1 == m->tx_head) {\n",
        "A transmit ring that is full with its tail at the end looks like one with room.",
        Cites("RING-1: HEAD = TAIL means that the device owns nothing"),
    ),
    Fault(
        "EC-5",
        Subject.C_EXAMPLE,
        MAIN,
        "[m->cq_next % CQ]) != (m->cq_next / CQ & 1)",
        "[m->cq_next % CQ]) != 0",
        "The generation that is waited for is that of the first pass, always.",
        Cites("RING-11: an entry is new when its GEN is that of the driver's own pass"),
    ),
    Fault(
        "EC-6",
        Subject.C_EXAMPLE,
        MAIN,
        "    memset(m->mem->cq, 0, sizeof m->mem->cq);\n",
        "",
        "The completion ring keeps the entries of before a reset.",
        Cites("RING-11: the memory is cleared before the ring is started"),
    ),
    # -- sends -----------------------------------------------------------------------------------------------
    Fault(
        "EC-7",
        Subject.C_EXAMPLE,
        LIFE,
        "    chain = vnic_plain_abandon(p, NDIS_STATUS_RESET_IN_PROGRESS);\n",
        "    vnic_plain_abandon(p, NDIS_STATUS_RESET_IN_PROGRESS);\n    chain = NULL;\n",
        "Sends that wait at a reset are forgotten.",
        Cites("MINIPORT_RESET: the miniport completes all pending sends", "win-net-test #67"),
    ),
    Fault(
        "EC-8",
        Subject.C_EXAMPLE,
        TRAFFIC,
        "    if (!p->reported) { /* its last: it goes back */\n",
        "    {\n",
        "A NET_BUFFER_LIST is completed with the first of its NET_BUFFERs.",
        Cites("NdisMSendNetBufferListsComplete: when all its buffers are sent", "win-net-test #14, #17"),
    ),
    Fault(
        "EC-9",
        Subject.C_EXAMPLE,
        CARD,
        "    if (tx_status == TX_STATUS_OK) {\n        return NDIS_STATUS_SUCCESS;\n    }\n"
        "    return tx_status == TX_STATUS_LINK ? NDIS_STATUS_MEDIA_DISCONNECTED : NDIS_STATUS_FAILURE;\n",
        "    (void)tx_status;\n    return NDIS_STATUS_SUCCESS;\n",
        "Every send succeeds, whatever the card says.",
        Cites("NET_BUFFER_LIST.Status tells how the send ended", "igb and e1000e of QEMU ignore DMA status"),
    ),
    Fault(
        "EC-10",
        Subject.C_EXAMPLE,
        TRAFFIC,
        "    if (!p->is_running || p->is_gone) {\n"
        "        return p->is_running ? NDIS_STATUS_ADAPTER_REMOVED : NDIS_STATUS_PAUSED;\n",
        "    if (p->is_gone) {\n        return NDIS_STATUS_ADAPTER_REMOVED;\n",
        "A paused adapter sends.",
        Cites("MINIPORT_PAUSE: new sends are completed NDIS_STATUS_PAUSED"),
    ),
    # -- receives --------------------------------------------------------------------------------------------
    Fault(
        "EC-11",
        Subject.C_EXAMPLE,
        MAIN,
        "    if (rx_completion_error(w) == RX_ERROR_NONE) {\n",
        "    if (rx_completion_type(w) == COMPLETION_TYPE_RX) {\n",
        "A frame that the card could not deliver is indicated.",
        Cites("RX-12: a completion with ERROR ends a frame that is not whole"),
    ),
    Fault(
        "EC-12",
        Subject.C_EXAMPLE,
        MAIN,
        "(uint32_t)rx_completion_len(w));\n",
        "(uint32_t)rx_completion_len(w) + 4);\n",
        "Four bytes of frame check sequence are indicated that are not there.",
        Cites("RX-10: LEN is the bytes of the frame; NET_BUFFER DataLength without FCS"),
    ),
    Fault(
        "EC-13",
        Subject.C_EXAMPLE,
        CARD,
        "    const uint32_t bits = (packet_filter & 0xF) << 1 |",
        "    const uint32_t bits = (packet_filter & 0x7) << 1 |",
        "Broadcasts are never let in.",
        Cites("OID_GEN_CURRENT_PACKET_FILTER: NDIS_PACKET_TYPE_BROADCAST"),
    ),
    Fault(
        "EC-14",
        Subject.C_EXAMPLE,
        CARD,
        "    for (uint32_t i = 0; i < REG_MAC_MULTICAST_COUNT; i++) {\n",
        "    for (uint32_t i = 0; i < count; i++) {\n",
        "A shorter multicast list leaves addresses of the longer one.",
        Cites("OID_802_3_MULTICAST_LIST: the set replaces the list"),
    ),
    # -- life ------------------------------------------------------------------------------------------------
    Fault(
        "EC-15",
        Subject.C_EXAMPLE,
        LIFE,
        "    is_pending = p->is_pausing = p->out > 0;\n",
        "    is_pending = p->is_pausing = p->oldest != NULL;\n",
        "A pause is complete while protocols still have received lists.",
        Cites("MINIPORT_PAUSE: waits until all indicated lists are returned", "xdp #510, #534"),
    ),
    Fault(
        "EC-16",
        Subject.C_EXAMPLE,
        LIFE,
        "        vnic_plain_halt(context, NDIS_HALT_INITIALIZATION_FAILED);\n",
        "        vnic_plain_unshare(p);\n",
        "An initialization that fails gives only the card's memory back.",
        Cites("MINIPORT_INITIALIZE: a miniport that fails undoes all it has done"),
    ),
    Fault(
        "EC-17",
        Subject.C_EXAMPLE,
        LIFE,
        "    vnic_plain_unshare(p);\n    p->ops->free_spin_lock",
        "    p->ops->free_spin_lock",
        "A halt keeps the shared memory.",
        Cites("MINIPORT_HALT: everything that was allocated is freed; PROG-21"),
    ),
    Fault(
        "EC-18",
        Subject.C_EXAMPLE,
        MAIN,
        SERVE,
        SERVE.replace(
            "    vnic_card_events",
            "    const uint32_t events = vnic_plain_read32(context, REG_GLB_EVENT);\n    vnic_card_events",
        ).replace(ENABLE, f"    if (events) {{\n    {ENABLE}    }}\n"),
        "The vector is enabled again after events only.",
        Cites("INT-6: with AUTO_MASK a vector waits for the driver", "netkvm #1033"),
    ),
    Fault(
        "EC-19",
        Subject.C_EXAMPLE,
        TRAFFIC,
        "    return *queue_default_dpc;\n",
        "    return true;\n",
        "On a shared line every interrupt is claimed.",
        Cites("MINIPORT_ISR: FALSE when the device did not interrupt", "QEMU bz1447935"),
    ),
    Fault(
        "EC-20",
        Subject.C_EXAMPLE,
        LIFE,
        "    chain = vnic_plain_abandon(p, NDIS_STATUS_ADAPTER_REMOVED);\n",
        "    chain = NULL;\n",
        "A surprise removal leaves the sends where they are.",
        Cites("Handling surprise removal: all outstanding sends are completed", "win-net-test #67"),
    ),
    Fault(
        "EC-21",
        Subject.C_EXAMPLE,
        TRAFFIC,
        "    list->status = status ? status : list->status;\n",
        "    list->status = status;\n",
        "How the last packet ended is how the whole list did.",
        Cites("NET_BUFFER_LIST.Status: success is of every NET_BUFFER", "win-net-test #14, #17"),
    ),
    Fault(
        "EC-22",
        Subject.C_EXAMPLE,
        CARD,
        "    vnic_plain_write32(p, REG_GLB_EVENT, events);\n",
        "",
        "Events are never cleared.",
        Cites("PROG-16: events are cleared before they are looked at"),
    ),
    Fault(
        "EC-23",
        Subject.C_EXAMPLE,
        TRAFFIC,
        "    from = vnic_plain_unbegun(p);\n",
        "    from = &p->oldest;\n",
        "A cancel takes sends back that the card has.",
        Cites("MINIPORT_CANCEL_SEND: what is with the hardware is sent or waited for"),
    ),
    Fault(
        "EC-24",
        Subject.C_EXAMPLE,
        CARD,
        "        p->ops->reset_miniport(p->ndis->adapter);\n    }\n    if (events & GLB_EVENT_LINK_MASK) {\n",
        "        p->ops->reset_miniport(p->ndis->adapter);\n    } else if (events & GLB_EVENT_LINK_MASK) {\n",
        "A link change that comes with another event is lost.",
        Cites("PROG-16: of several events each is looked at"),
    ),
    Fault(
        "EC-25",
        Subject.C_EXAMPLE,
        TRAFFIC,
        "    is_paused = p->is_pausing && !p->out;\n",
        "    is_paused = p->is_pausing;\n",
        "A pause is complete with the first list that comes back.",
        Cites("MINIPORT_PAUSE: waits until all lists are back", "npcap #390"),
    ),
    Fault(
        "EC-26",
        Subject.C_EXAMPLE,
        LIFE,
        "    const bool is_stuck = p->oldest && p->oldest == p->watched && p->reports == "
        "p->watched_reports;\n",
        "    const bool is_stuck = false;\n",
        "A send that the card never takes is never noticed.",
        Cites("MINIPORT_CHECK_FOR_HANG: TRUE when the hardware does not respond"),
    ),
    Fault(
        "EC-27",
        Subject.C_EXAMPLE,
        TRAFFIC,
        "    vnic_plain_unlock(p);\n    vnic_plain_complete(p, cancelled);\n",
        "    vnic_plain_complete(p, cancelled);\n    vnic_plain_unlock(p);\n",
        "Cancelled sends are completed with the driver's lock held.",
        Cites(
            "NdisMSendNetBufferListsComplete: no lock is held, a protocol may send from it",
            "kvm-guest-drivers #1058",
        ),
    ),
    Fault(
        "EC-28",
        Subject.C_EXAMPLE,
        TRAFFIC,
        "    receive->is_lent = true;\n",
        "",
        "A reset gives the card buffers that protocols have.",
        Cites(
            "NdisMIndicateReceiveNetBufferLists: the data is the protocols' until the list is returned",
            "xdp #510",
        ),
    ),
    Fault(
        "EC-29",
        Subject.C_EXAMPLE,
        CARD,
        "MAC_TX_CTRL_ENABLE_MASK | MAC_TX_CTRL_PAD_MASK",
        "MAC_TX_CTRL_ENABLE_MASK",
        "Short frames leave as they are.",
        Cites("TX-15 and IEEE 802.3 3.2.8: a frame is padded to 60 bytes", "QEMU gitlab 3043"),
    ),
)
