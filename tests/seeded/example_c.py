"""Mistakes in the example driver in C: what a first driver gets wrong."""

from __future__ import annotations

from tests.seeded.fault import Cites, Fault, Subject

CARD = "vnic/examples/minimal_card.h"
MAIN = "vnic/examples/minimal.c"
RECEIVE = "vnic/examples/minimal_receive.h"
SEND = "vnic/examples/minimal_send.h"

FAULTS = (
    # -- rings -----------------------------------------------------------------------------------------------
    Fault(
        "EC-1",
        Subject.C_EXAMPLE,
        CARD,
        "    tx_data_set_len(w, vnic_net_buffer_copy(packet, card->mem->out[card->tx_tail], BUFFER));\n"
        "    card->tx_tail = (card->tx_tail + 1) % RING;\n    vnic_write_barrier();\n"
        "    card_put(card, REG_QP_TX_TAIL, 4, card->tx_tail);\n",
        "    card_put(card, REG_QP_TX_TAIL, 4, (card->tx_tail + 1) % RING);\n"
        "    tx_data_set_len(w, vnic_net_buffer_copy(packet, card->mem->out[card->tx_tail], BUFFER));\n"
        "    card->tx_tail = (card->tx_tail + 1) % RING;\n",
        "The transmit tail is written before the descriptor's length and the packet.",
        Cites("RING-8: a descriptor is complete before the TAIL that hands it over", "QEMU gitlab 402"),
    ),
    Fault(
        "EC-2",
        Subject.C_EXAMPLE,
        CARD,
        "    card->mem->rx[card->rx_tail][0] = BUS_ADDR(card, in[buffer]);\n"
        "    card->rx_tail = (card->rx_tail + 1) % RING;\n    vnic_write_barrier();\n"
        "    card_put(card, REG_QP_RX_TAIL, 4, card->rx_tail);\n",
        "    const uint32_t at = card->rx_tail;\n    card->rx_tail = (card->rx_tail + 1) % RING;\n"
        "    card_put(card, REG_QP_RX_TAIL, 4, card->rx_tail);\n"
        "    card->mem->rx[at][0] = BUS_ADDR(card, in[buffer]);\n",
        "The receive tail is written before the descriptor.",
        Cites("RING-8; Linux memory-barriers: dma_wmb() before the doorbell"),
    ),
    Fault(
        "EC-3",
        Subject.C_EXAMPLE,
        CARD,
        "BUFFER));\n    card->tx_tail = (card->tx_tail + 1) % RING;\n",
        "BUFFER));\n    card->tx_tail = card->tx_tail == RING ? 0 : card->tx_tail + 1;\n",
        "The transmit tail goes one further than the ring before it wraps.",
        Cites("RING-6: TAIL is below COUNT", "CVE-2016-1981"),
    ),
    Fault(
        "EC-4",
        Subject.C_EXAMPLE,
        CARD,
        "    return (card->tx_tail + 1) % RING != card->tx_head;\n",
        "    return card->tx_tail + 1 != card->tx_head;\n",
        "A transmit ring that is full with its tail at the end looks like one with room.",
        Cites("RING-1: HEAD = TAIL means that the device owns nothing"),
    ),
    Fault(
        "EC-5",
        Subject.C_EXAMPLE,
        CARD,
        "    if (rx_completion_gen(w) == (card->cq_next / CQ & 1)) { /* 1 in the first pass */\n",
        "    if (rx_completion_gen(w) == 0) {\n",
        "The generation that is waited for is that of the first pass, always.",
        Cites("RING-11: an entry is new when its GEN is that of the driver's own pass"),
    ),
    Fault(
        "EC-6",
        Subject.C_EXAMPLE,
        CARD,
        "    memset(card->mem->cq, 0, sizeof card->mem->cq);\n",
        "",
        "The completion ring keeps the entries of before a reset.",
        Cites("RING-11: the memory is cleared before the ring is started"),
    ),
    # -- sends -----------------------------------------------------------------------------------------------
    Fault(
        "EC-7",
        Subject.C_EXAMPLE,
        MAIN,
        "    sends_abort(context, NDIS_STATUS_RESET_IN_PROGRESS);\n",
        "    ((struct minimal *)context)->oldest = ((struct minimal *)context)->copying = NULL;\n",
        "Sends that wait at a reset are forgotten.",
        Cites("MINIPORT_RESET: the miniport completes all pending sends", "win-net-test #67"),
    ),
    Fault(
        "EC-8",
        Subject.C_EXAMPLE,
        SEND,
        "    if (m->reported) {\n        return NULL;\n    }\n",
        "",
        "A NET_BUFFER_LIST is completed with the first of its NET_BUFFERs.",
        Cites("NdisMSendNetBufferListsComplete: when all its buffers are sent", "win-net-test #14, #17"),
    ),
    Fault(
        "EC-9",
        Subject.C_EXAMPLE,
        SEND,
        "    if (tx_status != TX_STATUS_OK) {\n"
        "        list->status = tx_status == TX_STATUS_LINK ? NDIS_STATUS_MEDIA_DISCONNECTED : "
        "NDIS_STATUS_FAILURE;\n    }\n",
        "    (void)tx_status;\n",
        "Every send succeeds, whatever the card says.",
        Cites("NET_BUFFER_LIST.Status tells how the send ended", "igb and e1000e of QEMU ignore DMA status"),
    ),
    Fault(
        "EC-10",
        Subject.C_EXAMPLE,
        SEND,
        "        list->status = !m->is_running    ? NDIS_STATUS_PAUSED\n"
        "                       : m->card.is_gone ? NDIS_STATUS_ADAPTER_REMOVED\n"
        "                                         : 0;\n",
        "        list->status = m->card.is_gone ? NDIS_STATUS_ADAPTER_REMOVED : 0;\n",
        "A paused adapter sends.",
        Cites("MINIPORT_PAUSE: new sends are completed NDIS_STATUS_PAUSED"),
    ),
    # -- receives --------------------------------------------------------------------------------------------
    Fault(
        "EC-11",
        Subject.C_EXAMPLE,
        RECEIVE,
        "        } else if (c.status != RX_ERROR_NONE) {\n            card_post(&m->card, c.buffer);\n",
        "",
        "A frame that the card could not deliver is indicated.",
        Cites("RX-12: a completion with ERROR ends a frame that is not whole"),
    ),
    Fault(
        "EC-12",
        Subject.C_EXAMPLE,
        RECEIVE,
        "            (*in)->first_net_buffer->data_length = c.len;\n",
        "            (*in)->first_net_buffer->data_length = c.len + 4;\n",
        "Four bytes of frame check sequence are indicated that are not there.",
        Cites("RX-10: LEN is the bytes of the frame; NET_BUFFER DataLength without FCS"),
    ),
    Fault(
        "EC-13",
        Subject.C_EXAMPLE,
        RECEIVE,
        "    const uint32_t bits = (m->filter & 0xF) << 1 |",
        "    const uint32_t bits = (m->filter & 0x7) << 1 |",
        "Broadcasts are never let in.",
        Cites("OID_GEN_CURRENT_PACKET_FILTER: NDIS_PACKET_TYPE_BROADCAST"),
    ),
    Fault(
        "EC-14",
        Subject.C_EXAMPLE,
        RECEIVE,
        "    for (uint32_t i = 0; i < REG_MAC_MULTICAST_COUNT; i++) {\n",
        "    for (uint32_t i = 0; i < request->bytes_read / 6; i++) {\n",
        "A shorter multicast list leaves addresses of the longer one.",
        Cites("OID_802_3_MULTICAST_LIST: the set replaces the list"),
    ),
    # -- life ------------------------------------------------------------------------------------------------
    Fault(
        "EC-15",
        Subject.C_EXAMPLE,
        MAIN,
        "    m->is_pausing = m->lent || m->oldest;\n",
        "    m->is_pausing = m->oldest;\n",
        "A pause is complete while protocols still have received lists.",
        Cites("MINIPORT_PAUSE: waits until all indicated lists are returned", "xdp #510, #534"),
    ),
    Fault(
        "EC-16",
        Subject.C_EXAMPLE,
        MAIN,
        "        halt(m, NDIS_HALT_INITIALIZATION_FAILED);\n",
        "        card_close(&m->card);\n",
        "An initialization that fails gives only the card's memory back.",
        Cites("MINIPORT_INITIALIZE: a miniport that fails undoes all it has done"),
    ),
    Fault(
        "EC-17",
        Subject.C_EXAMPLE,
        CARD,
        "    card->bus->ops->disable_device(card->bus->opaque);\n    if (card->mem) {\n"
        "        card->bus->ops->free_coherent(card->bus->opaque, card->mem, sizeof *card->mem, "
        "card->addr);\n    }\n",
        "    card->bus->ops->disable_device(card->bus->opaque);\n",
        "A halt keeps the shared memory.",
        Cites("MINIPORT_HALT: everything that was allocated is freed; PROG-21"),
    ),
    Fault(
        "EC-18",
        Subject.C_EXAMPLE,
        MAIN,
        "    card_put(&m->card, REG_VEC_CTRL, 4, VEC_CTRL_ENABLE_MASK | VEC_CTRL_AUTO_MASK_MASK);\n"
        "    (void)message, (void)processor",
        "    if (events) {\n"
        "        card_put(&m->card, REG_VEC_CTRL, 4, VEC_CTRL_ENABLE_MASK | VEC_CTRL_AUTO_MASK_MASK);\n"
        "    }\n    (void)message, (void)processor",
        "The vector is enabled again after events only.",
        Cites("INT-6: with AUTO_MASK a vector waits for the driver", "netkvm #1033"),
    ),
    Fault(
        "EC-19",
        Subject.C_EXAMPLE,
        MAIN,
        "    return *wants_dpc;\n",
        "    return true;\n",
        "On a shared line every interrupt is claimed.",
        Cites("MINIPORT_ISR: FALSE when the device did not interrupt", "QEMU bz1447935"),
    ),
    Fault(
        "EC-20",
        Subject.C_EXAMPLE,
        RECEIVE,
        "    m->card.is_gone = true;\n    sends_abort(m, NDIS_STATUS_ADAPTER_REMOVED);\n",
        "    m->card.is_gone = true;\n",
        "A surprise removal leaves the sends where they are.",
        Cites("Handling surprise removal: all outstanding sends are completed", "win-net-test #67"),
    ),
)
