"""Faults of closing, aborting, and of what attackers send: invariants 28 to 36."""

from __future__ import annotations

from tests.mutants.fault import Fault

ACCEPTANCE = "csrc/tcp/acceptance.c"
APPLY = "csrc/nic/chimney_apply.c"
CHALLENGE = "csrc/tcp/challenge.c"
RECEIVING = "vnic/miniport/chimney_receiving.py"

FAULTS = (
    Fault(
        "INV-28",
        RECEIVING,
        "        is_early = self.kept or self.requests or self._is_indicating or of.ending is not None\n",
        "        is_early = self.requests or self._is_indicating or of.ending is not None\n",
        "Disconnect is indicated before the data that came earlier.",
    ),
    Fault(
        "INV-28",
        "csrc/nic/chimney_event.c",
        "    uint32_t fin = is_starved ? CHM_PENDING_FIN : 0;\n",
        "    uint32_t fin = 0;\n    (void)is_starved;\n",
        "The FIN overtakes data that waits for a pool buffer.",
    ),
    Fault(
        "INV-29",
        APPLY,
        "        chimney_retrieve(card, index, apply_reason(result->reason));\n",
        "        struct tcp_segment rst = {.seq = card->chimney->tcp[index].snd_nxt, .control = TCP_RST};\n"
        "        chimney_output_segment(card, index, &rst);\n"
        "        chimney_retrieve(card, index, apply_reason(result->reason));\n",
        "A SYN at RcvNxt is answered with a RST.",
    ),
    Fault(
        "INV-29",
        "csrc/nic/chimney_change.c",
        "        chimney_output_segment(card, index, &owed);\n    }\n    return false;\n",
        "        owed.control |= TCP_RST;\n        chimney_output_segment(card, index, &owed);\n    }\n"
        "    return false;\n",
        "What is uploaded is reset.",
    ),
    Fault(
        "INV-30",
        "vnic/miniport/chimney_connection.py",
        "        self.end_requests(_ABORTED, placed=entry.count, acked=entry.acked)\n",
        "        self.end_requests(_UPLOAD, placed=entry.count, acked=entry.acked)\n",
        "After a RST the host is told to send what was outstanding itself.",
    ),
    Fault(
        "INV-30",
        "csrc/nic/chimney_request.c",
        "    chimney_output_forget(m, index);\n    chimney_send_drop(m, index);\n    if (is_closing) {\n",
        "    chimney_output_forget(m, index);\n    if (is_closing) {\n",
        "An abortive disconnect keeps the sends in the card.",
    ),
    Fault(
        "INV-31",
        "csrc/nic/chimney_send.c",
        "    return w->op != CHM_SUBMISSION_OP_DISCONNECT || "
        "!send_is_last_piece(w) || send_is_fin_acked(t);\n",
        "    return true;\n",
        "A graceful disconnect is complete before its FIN is acknowledged.",
    ),
    Fault(
        "INV-31",
        "vnic/miniport/chimney_connection.py",
        "        if self.sending.is_waiting:\n            return False\n",
        "",
        "A disconnect overtakes sends that wait for room in the card.",
    ),
    Fault(
        "INV-32",
        "vnic/miniport/chimney_receiving.py",
        "NDIS_STATUS.INVALID_STATE if is_nothing else _SUCCESS",
        "_SUCCESS",
        "A receive that is posted after Disconnect succeeds.",
    ),
    Fault(
        "INV-33",
        ACCEPTANCE,
        "    if (seq == c->rcv_nxt) {\n",
        "    if (seq - c->rcv_nxt < window_offered(c)) {\n",
        "Any RST in the window ends the connection.",
    ),
    Fault(
        "INV-33",
        CHALLENGE,
        "        challenge_once(e, c, CHALLENGE_RST);\n",
        "        challenge_grant(e, c);\n",
        "Every RST in the window is challenged.",
    ),
    Fault(
        "INV-33",
        ACCEPTANCE,
        "    } else if (seq - c->rcv_nxt < window_offered(c)) {\n        challenge_rst(a->e, c);\n",
        "    } else {\n        challenge_rst(a->e, c);\n",
        "A RST out of the window is challenged.",
    ),
    Fault(
        "INV-33",
        "csrc/tcp/challenge.c",
        "~(CHALLENGE_MITIGATING | CHALLENGE_RST);",
        "~CHALLENGE_MITIGATING;",
        "After an acceptable segment no RST in the window is challenged any more.",
    ),
    Fault(
        "INV-34",
        CHALLENGE,
        "        challenge_start_period(e, c);\n        challenge_once(e, c, CHALLENGE_SYN);\n",
        "        challenge_once(e, c, CHALLENGE_SYN);\n",
        "A SYN in the window is challenged once and never again.",
    ),
    Fault(
        "INV-34",
        ACCEPTANCE,
        "        ending_upload_closed(a->e, c, a->result, TCP_REASON_UPLOAD_SYN);\n",
        "        challenge_syn(a->e, c);\n",
        "A SYN at RcvNxt is challenged.",
    ),
    Fault(
        "INV-34",
        ACCEPTANCE,
        "    } else if (distance < window_offered(c)) {\n",
        "    } else if (c->state != TCP_STATE_TIME_WAIT) {\n",
        "SYNs out of the window are acknowledged once only.",
    ),
    Fault(
        "INV-35",
        "csrc/tcp/urgent.c",
        "        ending_upload(c, a->result, TCP_REASON_UPLOAD_URGENT);\n        return false;\n",
        "        ending_upload(c, a->result, TCP_REASON_UPLOAD_URGENT);\n        return true;\n",
        "Urgent data is taken, and the connection uploaded behind it.",
    ),
    Fault(
        "INV-35",
        APPLY,
        "        return CHM_REASON_RECEIVED_URGENT_DATA;\n",
        "        return CHM_REASON_UPLOAD_REQUESTED;\n",
        "Nobody says that it was urgent data.",
    ),
    Fault(
        "INV-36",
        "csrc/nic/chimney_change.c",
        "        c->flags |= CHM_INVALID;\n",
        "        void post_drop(struct chimney *m, uint32_t index);\n        c->flags |= CHM_INVALID;\n"
        "        post_drop(card->chimney, index);\n",
        "The receives of a connection that is invalidated are freed.",
    ),
    Fault(
        "INV-36",
        "csrc/nic/chimney_event.c",
        "        chimney_send_drop(m, index);\n        post_drop(m, index);\n",
        "        chimney_send_drop(m, index);\n        post_drop(m, index);\n"
        "        place_forget_waiting(card, index);\n",
        "Received data is thrown away when the peer resets.",
    ),
)
