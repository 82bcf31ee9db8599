"""Mistakes in the card's chimney: sends, and what a peer of a connection sees as it receives."""

from __future__ import annotations

from tests.seeded.fault import Cites, Fault, Subject

CHIMNEY_FRAME = "csrc/nic/chimney_frame.c"
CHIMNEY_JUDGE = "csrc/nic/chimney_judge.c"
CHIMNEY_OUTPUT = "csrc/nic/chimney_output.c"
CHIMNEY_REQUEST = "csrc/nic/chimney_request.c"
CHIMNEY_SEND = "csrc/nic/chimney_send.c"
TCP_ACCEPTANCE = "csrc/tcp/acceptance.c"
TCP_TEXT = "csrc/tcp/text.c"

FAULTS = (
    Fault(
        "CC-463",
        Subject.CARD,
        CHIMNEY_SEND,
        "    return end == piece_end && w->len != 0 && send_is_last_piece(w) && (w->flags &"
        " CHM_WORK_PUSH) != 0;\n",
        "    return end == piece_end && w->len != 0 && (w->flags & CHM_WORK_PUSH) != 0;\n",
        "PSH is on the segment that ends a piece of a send.",
        Cites("CHM-23 (pieces)"),
    ),
    Fault(
        "CC-465",
        Subject.CARD,
        CHIMNEY_SEND,
        "        r->is_pushed |= send_ends_pushed(w, r->seq + done, at.seq + w->len);\n",
        "        r->is_pushed = send_ends_pushed(w, r->seq + done, at.seq + w->len);\n",
        "The push of a send that ends inside of a segment is lost.",
        Cites("CHM-23"),
    ),
    Fault(
        "CC-466",
        Subject.CARD,
        CHIMNEY_JUDGE,
        "    return queued + s->bytes + chm_submission_len(w) <= CHM_WINDOW_MAX ? CHM_STATUS_OK : none;\n",
        "    return s->bytes + chm_submission_len(w) <= CHM_WINDOW_MAX ? CHM_STATUS_OK : none;\n",
        "More than 2^30 bytes may be unacknowledged in several sends.",
        Cites("CHM-22"),
    ),
    Fault(
        "CC-467",
        Subject.CARD,
        CHIMNEY_JUDGE,
        "    if (request_needs_work(s, w) && pool_left(&m->work_pool) == 0) {\n        return none;\n    }\n",
        "    if (request_needs_work(s, w) && pool_left(&m->work_pool) <= 1) {\n        return none;\n    }\n",
        "The last work entry is never used.",
        Cites("CHM-22: at most CHM_MAX_WORK pieces"),
    ),
    Fault(
        "CC-468",
        Subject.CARD,
        CHIMNEY_REQUEST,
        "    return request_sends(w) ? c->sends != 0 : request_is(w, CHM_SUBMISSION_OP_RECEIVE)"
        " && c->posts != 0;\n",
        "    return false;\n",
        "A refused send has an entry though older ones are held.",
        Cites("CHM-22: entries stand for the oldest requests"),
    ),
    Fault(
        "CC-470",
        Subject.CARD,
        CHIMNEY_REQUEST,
        "    } else if (is_short && request_is(w, CHM_SUBMISSION_OP_RECEIVE)) {\n"
        "        chimney_retrieve(card, index, CHM_REASON_UPLOAD_REQUESTED);\n"
        "    }\n",
        "    }\n",
        "A receive without room asks for nothing.",
        Cites("CHM-22"),
    ),
    Fault(
        "CC-471",
        Subject.CARD,
        CHIMNEY_REQUEST,
        "    if (status == CHM_STATUS_OK) {\n"
        "        request_add(m, s, w);\n"
        "    } else {\n"
        "        request_drop_pieces(m, s);\n"
        "    }\n",
        "    if (status == CHM_STATUS_OK) {\n        request_add(m, s, w);\n    }\n",
        "Pieces of a request that found no room are kept.",
        Cites("CHM-22"),
    ),
    Fault(
        "CC-472",
        Subject.CARD,
        CHIMNEY_FRAME,
        "        chimney_retrieve(card, run->index, CHM_REASON_HARDWARE_FAILURE); /* [CHM-27] */\n"
        "        return false;\n",
        "        chimney_retrieve(card, run->index, CHM_REASON_HARDWARE_FAILURE); /* [CHM-27] */\n"
        "        return true;\n",
        "Behind data that cannot be read the rest of the queue is sent.",
        Cites("CHM-27: send nothing more on the connection"),
    ),
    Fault(
        "CC-473",
        Subject.CARD,
        CHIMNEY_FRAME,
        "chimney_retrieve(card, run->index, CHM_REASON_HARDWARE_FAILURE); /* [CHM-27] */",
        "report_retrieve(card, run->index, CHM_REASON_HARDWARE_FAILURE); /* [CHM-27] */",
        "A connection whose data cannot be read goes on.",
        Cites("CHM-27"),
    ),
    Fault(
        "CC-474",
        Subject.CARD,
        CHIMNEY_FRAME,
        "    return (uint16_t)(IDENTIFICATION_UPPER | id);\n",
        "    return id;\n",
        "Identifications of the chimney begin with 0.",
        Cites("CHM-25: 0x8000 to 0xFFFF"),
    ),
    Fault(
        "CC-475",
        Subject.CARD,
        CHIMNEY_OUTPUT,
        "    return card->pci.is_master && card_is_set(card, REG_MAC_TX_CTRL,"
        " MAC_TX_CTRL_ENABLE_MASK)\n"
        "           && (card->state.link_mbps != 0",
        "    return card->pci.is_master && (card->state.link_mbps != 0",
        "Connections send though the transmitter is off.",
        Cites("CHM-29"),
    ),
    Fault(
        "CC-476",
        Subject.CARD,
        CHIMNEY_OUTPUT,
        "           && (card->state.link_mbps != 0 || card_is_set(card, REG_GLB_CTRL,"
        " GLB_CTRL_LOOPBACK_MASK))\n"
        "           && emit_has_room(card, card->config.max_frame + VLAN_TAG_BYTES);\n",
        "           && emit_has_room(card, card->config.max_frame + VLAN_TAG_BYTES);\n",
        "What is sent while the link is down is lost.",
        Cites("CHM-29: what is to be sent waits"),
    ),
    Fault(
        "CC-477",
        Subject.CARD,
        TCP_ACCEPTANCE,
        "    return seq - c->rcv_nxt < window || (len != 0 && seq + len - 1 - c->rcv_nxt < window);\n",
        "    return seq - c->rcv_nxt < window || (len != 0 && seq + len - c->rcv_nxt < window);\n",
        "A segment that ends before the window is taken as one in it.",
        Cites("SEG-04"),
    ),
    Fault(
        "CC-478",
        Subject.CARD,
        TCP_ACCEPTANCE,
        "    if (a->len > room || (a->len == room && a->has_fin) || a->segment->refused) {\n",
        "    if (a->len > room || a->segment->refused) {\n",
        "A FIN behind the right edge is taken.",
        Cites("SEG-06"),
    ),
    Fault(
        "CC-480",
        Subject.CARD,
        TCP_ACCEPTANCE,
        "           && engine_ms(a->e) - c->ts_recent_ms < TIMESTAMP_VALID_MS;\n",
        "           && engine_ms(a->e) - c->ts_recent_ms < 2 * TIMESTAMP_VALID_MS;\n",
        "A TS.Recent is valid for 48 days.",
        Cites("TS-05"),
    ),
    Fault(
        "CC-481",
        Subject.CARD,
        TCP_ACCEPTANCE,
        "        ending_upload_closed(a->e, c, a->result, TCP_REASON_UPLOAD_SYN);\n",
        "        ending_upload(c, a->result, TCP_REASON_UPLOAD_SYN);\n",
        "A connection that a SYN at RcvNxt ended is not CLOSED.",
        Cites("CHM-41 and the profile's table"),
    ),
    Fault(
        "CC-482",
        Subject.CARD,
        TCP_ACCEPTANCE,
        "    } else if (distance < window_offered(c)) {\n        challenge_syn(a->e, c);\n",
        "    } else if (distance < window_offered(c)) {\n        challenge_send(a->e, c);\n",
        "Every SYN in the window is answered.",
        Cites("CHM-41: at most one challenge ACK in 3 s"),
    ),
    Fault(
        "CC-486",
        Subject.CARD,
        TCP_TEXT,
        "    if (c->rcv_nxt - c->rcv_acked >= p->ack_every * c->rcv_mss ||",
        "    if (c->rcv_nxt - c->rcv_acked > p->ack_every * c->rcv_mss ||",
        "One segment more than CHM_ACK_FREQUENCY waits for its ACK.",
        Cites("ACK-02"),
    ),
    Fault(
        "CC-487",
        Subject.CARD,
        "csrc/tcp/urgent.c",
        "        ending_upload(c, a->result, TCP_REASON_UPLOAD_URGENT);\n        return false;\n",
        "        ending_upload(c, a->result, TCP_REASON_UPLOAD_URGENT);\n        return true;\n",
        "Urgent data is taken and acknowledged before it asks for an upload.",
        Cites("CHM-41: what a RETRIEVE is raised for is not acknowledged"),
    ),
    Fault(
        "CC-490",
        Subject.CARD,
        TCP_TEXT,
        "    if (a->is_ack_due && !tcp_has(c, TCP_HAS_SACK) && c->ack_owed < UINT8_MAX) {\n",
        "    if (tcp_has(c, TCP_ACK_NOW) && !tcp_has(c, TCP_HAS_SACK) && c->ack_owed < UINT8_MAX) {\n",
        "A segment that is cut and lies behind a gap is answered twice.",
        Cites("ACK-04"),
    ),
)
