"""Mistakes in the card's rings: what they own, latch and promise, and what ends them."""

from __future__ import annotations

from tests.seeded.fault import Cites, Fault, Subject

FAULTS = (
    Fault(
        "CC-78",
        Subject.CARD,
        "csrc/nic/receive.c",
        "uint32_t len = bits_min32(receive_left(card), rx->buf_len);",
        "uint32_t len = bits_min32(receive_left(card), card_reg(card, REG_QP_RX_BUF_LEN "
        "+ pair * REG_QP_STRIDE));",
        "Buffers are filled to what RX_BUF_LEN says now, not to what it said when the ring was started.",
        Cites("RING-2: later writes to those registers take effect at the next start"),
    ),
    Fault(
        "CC-79",
        Subject.CARD,
        "csrc/nic/receive.c",
        "uint32_t hdr_len = classify_split(card, c, p->rx.hdr_len);",
        "uint32_t hdr_len = classify_split(card, c, card_reg(card, REG_QP_RX_HDR_LEN + "
        "c->pair * REG_QP_STRIDE));",
        "Headers are split off by what RX_HDR_LEN says now.",
        Cites("RING-2: later writes to those registers take effect at the next start"),
    ),
    Fault(
        "CC-80",
        Subject.CARD,
        "csrc/nic/pair.c",
        "    error = error ? error : pair_check_buffers(card, pair);\n"
        "    error = error ? error : p->cq.ring.is_running ? RING_ERROR_NONE : "
        "RING_ERROR_NO_CQ;",
        "    error = error ? error : p->cq.ring.is_running ? RING_ERROR_NONE : "
        "RING_ERROR_NO_CQ;\n"
        "    error = error ? error : pair_check_buffers(card, pair);",
        "Whether the completion ring runs is looked at before the buffers' lengths.",
        Cites("RING-3: check in this order: BAD_BUFFER, then NO_CQ"),
    ),
    Fault(
        "CC-81",
        Subject.CARD,
        "csrc/nic/pair.c",
        "    } else if (!enable && r->is_running) {\n        pair_stop_tx(card, pair, RING_ERROR_NONE);",
        "    } else if (!enable) {\n        pair_stop_tx(card, pair, RING_ERROR_NONE);",
        "ENABLE 0 written to a transmit ring that stopped with an error makes it forget the error.",
        Cites("RING-4: writing ENABLE with the value that it has changes nothing"),
    ),
    Fault(
        "CC-82",
        Subject.CARD,
        "csrc/nic/pair.c",
        "    } else if (enable && !r->is_running) {\n        pair_start_rx(card, pair);",
        "    } else if (enable) {\n        pair_start_rx(card, pair);",
        "ENABLE 1 written to a receive ring that runs starts it again.",
        Cites("RING-4: writing ENABLE with the value that it has changes nothing"),
    ),
    Fault(
        "CC-83",
        Subject.CARD,
        "csrc/nic/pair.c",
        "    struct completion_ring *cq = &pair_of(card, pair)->cq;\n"
        "    bool was_running = cq->ring.is_running;\n"
        "    if (!pair_ring_doorbell(card, pair, &cq->ring, tail)) {\n"
        "        if (was_running) {",
        "    struct completion_ring *cq = &pair_of(card, pair)->cq;\n"
        "    bool was_running = cq->ring.is_running;\n"
        "    if (!pair_ring_doorbell(card, pair, &cq->ring, tail)) {\n"
        "        (void)was_running; {",
        "A tail written to a completion ring that does not run is an error of the ring, and an event.",
        Cites("RING-6: a TAIL on a ring that does not run changes nothing except STAT_GUEST_ERRORS"),
    ),
    Fault(
        "CC-84",
        Subject.CARD,
        "csrc/nic/receive.c",
        "if (card->state.rx.is_active && card->state.rx.pair == pair) {",
        "(void)pair; if (card->state.rx.is_active) {",
        "The end of any ring drops the frame that is in delivery to another pair.",
        Cites("RING-5: an error, stop or reset of one pair's ring changes nothing on another pair"),
    ),
    Fault(
        "CC-85",
        Subject.CARD,
        "csrc/nic/transmit.c",
        "bool is_building = card->state.tx.phase != TX_PHASE_NONE && card->state.tx.pair == pair;",
        "bool is_building = card->state.tx.phase != TX_PHASE_NONE;",
        "The end of any ring makes another pair begin its frame anew, with one more slot promised.",
        Cites("RING-5: an error, stop or reset of one pair's ring changes nothing on another pair"),
    ),
    Fault(
        "CC-86",
        Subject.CARD,
        "csrc/nic/pair.c",
        "frame->is_active && frame->pair == pair && ring_owned(&rx->ring) < frame->reserved",
        "frame->is_active && frame->pair == pair && ring_owned(&rx->ring) <= frame->reserved",
        "The last descriptor behind those that a frame in delivery needs may not be taken back.",
        Cites("RING-7: taking back other entries is allowed"),
    ),
    Fault(
        "CC-87",
        Subject.CARD,
        "csrc/nic/pair.c",
        "frame->is_active && frame->pair == pair && ring_owned(&rx->ring) < frame->reserved",
        "frame->is_active && frame->pair == pair && ring_owned(&rx->ring) == 0",
        "Buffers that the frame in delivery needs may be taken back, but for the last.",
        Cites("RING-7: receive descriptors that the frame in delivery needs"),
    ),
    Fault(
        "CC-88",
        Subject.CARD,
        "csrc/nic/pair.c",
        "    if (ring_owned(&cq->ring) < cq->reserved) {",
        "    if (ring_owned(&cq->ring) == 0 && cq->reserved) {",
        "Completion slots that are promised may be taken back, but for the last.",
        Cites("RING-7: completion slots that are promised"),
    ),
    Fault(
        "CC-89",
        Subject.CARD,
        "csrc/nic/pair.c",
        "    if (ring_owned(&tx->ring) < tx->cached) {",
        "    if (ring_owned(&tx->ring) <= tx->cached) {",
        "The last descriptor that was not fetched may not be taken back.",
        Cites("RING-7: taking back other entries is allowed"),
    ),
    Fault(
        "CC-90",
        Subject.CARD,
        "csrc/nic/burst_transmit.c",
        "        p->cq.reserved++;\n        txframe_report(",
        "        p->cq.reserved++;\n        vector_cause(card, p->cq.vector);\n        txframe_report(",
        "The report of a burst counts as two causes.",
        Cites("RING-13: raise the vector for every entry that it wrote"),
    ),
    Fault(
        "CC-91",
        Subject.CARD,
        "csrc/nic/burst_receive.c",
        "vector_causes(card, p->cq.vector, n);",
        "vector_causes(card, p->cq.vector, n > 0);",
        "A train of received frames counts as one cause.",
        Cites("RING-13: raise the vector for every entry that it wrote"),
    ),
    Fault(
        "CC-92",
        Subject.CARD,
        "csrc/nic/pair.c",
        "        pair_stop_tx(card, pair, RING_ERROR_NONE);\n        ring_forget(r);",
        "        pair_fail_tx(card, pair, RING_ERROR_NONE);\n        ring_forget(r);",
        "RESET of a transmit ring is told as an event.",
        Cites("RING-16: set GLB_EVENT.RING whenever it stops a ring by itself"),
    ),
    Fault(
        "CC-93",
        Subject.CARD,
        "csrc/nic/pair.c",
        "    pair_stop_rx(card, pair, p->rx.ring.error);\n    pair_stop_tx(card, pair, p->tx.ring.error);",
        "    pair_stop_rx(card, pair, error);\n    pair_stop_tx(card, pair, error);",
        "An error of the completion ring is shown in the status of the other two as well.",
        Cites("RING-6: of the completion ring all three rings stop; the error is its own"),
    ),
    Fault(
        "CC-94",
        Subject.CARD,
        "csrc/nic/transmit.c",
        "        txframe_report(card, t.pair, t.first, status, t.sent_frames, t.sent_bytes);\n    } else {",
        "        txframe_report(card, t.pair, t.first, status, t.sent_frames, t.sent_bytes);\n"
        "    } else {\n"
        "        vector_cause(card, p->cq.vector);",
        "A frame that was sent without a report is a cause of the vector.",
        Cites("RING-13: raise the vector for every entry that it wrote"),
    ),
    Fault(
        "CC-95",
        Subject.CARD,
        "csrc/nic/transmit.c",
        "    card->state.pair[pair].cq.reserved++;\n    tx->is_skipping = true;",
        "    tx->is_skipping = true;",
        "No slot is promised to a frame that is passed over.",
        Cites("RING-17: reserve completion slots when it accepts work"),
    ),
    Fault(
        "CC-96",
        Subject.CARD,
        "csrc/nic/receive.c",
        "    p->cq.reserved += buffers;",
        "    p->cq.reserved++;",
        "One slot is promised to a frame, however many buffers it takes.",
        Cites("RING-17: one per receive buffer when a frame's delivery begins"),
    ),
    Fault(
        "CC-97",
        Subject.CARD,
        "csrc/nic/completion.c",
        "        pair_fail(card, pair, RING_ERROR_WRITE_DMA);\n        return;",
        "        pair_fail(card, pair, RING_ERROR_WRITE_DMA);",
        "A completion that could not be written is a cause all the same.",
        Cites("RING-15: when a completion cannot be written"),
    ),
)
