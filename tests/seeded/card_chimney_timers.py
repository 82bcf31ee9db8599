"""Mistakes in the card's chimney: losses, timers, windows, and giving up."""

from __future__ import annotations

from tests.seeded.fault import Cites, Fault, Subject

CHIMNEY = "csrc/nic/chimney.c"
TCP_OFFLOAD_TAKE = "csrc/tcp/offload_take.c"
TCP_RECOVERY = "csrc/tcp/recovery.c"
TCP_RECOVERY_TIMEOUT = "csrc/tcp/recovery_timeout.c"
TCP_RTT = "csrc/tcp/rtt.c"
TCP_WINDOW = "csrc/tcp/window.c"

FAULTS = (
    Fault(
        "CC-491",
        Subject.CARD,
        "csrc/tcp/output.c",
        "    range->right = seq_min(range->right, edge);\n    return seq_lt(range->left, range->right);\n",
        "    (void)edge;\n    return seq_lt(range->left, range->right);\n",
        "Bytes beyond a window that shrank are sent again.",
        Cites("WIN-03"),
    ),
    Fault(
        "CC-492",
        Subject.CARD,
        TCP_WINDOW,
        "    return tcp_has(c, TCP_PUSH) && (tcp_has(c, TCP_NODELAY) || (tcp_flight(c) == 0 &&"
        " !is_behind_full));\n",
        "    return tcp_has(c, TCP_PUSH);\n",
        "Nagle's algorithm is never on.",
        Cites("WIN-09"),
    ),
    Fault(
        "CC-493",
        Subject.CARD,
        "csrc/tcp/offload_update.c",
        "    c->flags &= ~(uint32_t)TCP_NODELAY;\n    c->flags |= asks",
        "    c->flags |= asks",
        "An UPDATE that switches Nagle on has no effect.",
        Cites("WIN-09 and CHM-4"),
    ),
    Fault(
        "CC-494",
        Subject.CARD,
        TCP_WINDOW,
        "    return len >= c->max_snd_wnd / 2 && (tcp_has(c, TCP_NODELAY) || tcp_flight(c) == 0);\n",
        "    return len >= c->max_snd_wnd / 64 && (tcp_has(c, TCP_NODELAY) || tcp_flight(c) == 0);\n",
        "A window of a fraction of the largest is used.",
        Cites("WIN-08"),
    ),
    Fault(
        "CC-495",
        Subject.CARD,
        "csrc/tcp/ack.c",
        "        c->snd_wnd = (uint32_t)segment->wnd << c->snd_wscale;\n        c->snd_wl1",
        "        c->snd_wnd = segment->wnd;\n        c->snd_wl1",
        "Windows of the peer are not scaled.",
        Cites("WIN-12"),
    ),
    Fault(
        "CC-496",
        Subject.CARD,
        TCP_RECOVERY,
        "    c->dup_acks = 0;\n    c->retransmits = 0;\n    c->retrans_ms",
        "    c->retransmits = 0;\n    c->retrans_ms",
        "Duplicate ACKs of earlier data are counted with those of later data.",
        Cites("CC-05"),
    ),
    Fault(
        "CC-497",
        Subject.CARD,
        TCP_RECOVERY,
        "    return c->snd_una == ack->prior_una && !ack->window_changed && !ack->has_data &&"
        " c->snd_una != c->snd_nxt;\n",
        "    return c->snd_una == ack->prior_una && !ack->window_changed && c->snd_una != c->snd_nxt;\n",
        "Data of the peer counts as duplicate ACKs.",
        Cites("CC-05: a duplicate ACK has no data"),
    ),
    Fault(
        "CC-498",
        Subject.CARD,
        TCP_RECOVERY,
        "    return c->snd_una == ack->prior_una && !ack->window_changed && !ack->has_data &&"
        " c->snd_una != c->snd_nxt;\n",
        "    return c->snd_una == ack->prior_una && !ack->has_data && c->snd_una != c->snd_nxt;\n",
        "Window updates count as duplicate ACKs.",
        Cites("CC-05: a duplicate ACK has the same window"),
    ),
    Fault(
        "CC-499",
        Subject.CARD,
        TCP_RECOVERY_TIMEOUT,
        "    c->cwnd = congestion_smss(c);\n    c->retransmits",
        "    c->cwnd = c->ssthresh;\n    c->retransmits",
        "After a timeout cwnd is half.",
        Cites("CC-04"),
    ),
    Fault(
        "CC-500",
        Subject.CARD,
        TCP_RECOVERY_TIMEOUT,
        "    if (c->retransmits == 0) {\n"
        "        reduce_by_timeout(e, c, r);\n"
        "    } else {\n"
        "        episode_begin_resend(c, r);\n"
        "    }\n",
        "    episode_begin_resend(c, r);\n",
        "A timeout does not reduce ssthresh.",
        Cites("CC-03"),
    ),
    Fault(
        "CC-501",
        Subject.CARD,
        TCP_RTT,
        "    uint32_t rto = (c->srtt_us >> 3) + spread;\n",
        "    uint32_t rto = (c->srtt_us >> 3) + (spread >> 2);\n",
        "The RTO has one RTTVAR in it.",
        Cites("RTO-01"),
    ),
    Fault(
        "CC-502",
        Subject.CARD,
        TCP_RTT,
        "    if (rto < e->config.rto_min_us) {\n        rto = e->config.rto_min_us;\n    }\n",
        "",
        "There is no smallest RTO.",
        Cites("RTO-03"),
    ),
    Fault(
        "CC-504",
        Subject.CARD,
        TCP_OFFLOAD_TAKE,
        "            timer_set_xmit(t->e, c, TCP_XMIT_RTO, left_us);\n",
        "            timer_set_xmit(t->e, c, TCP_XMIT_RTO, recovery_rto_us(t->e, c));\n",
        "The retransmission timer begins anew at an offload.",
        Cites("CHM-5; CH-05: what is left of a timer is carried"),
    ),
    Fault(
        "CC-505",
        Subject.CARD,
        "csrc/tcp/persist.c",
        "        return c->probes >= ending_tries(e, c);\n",
        "        return c->probes > 2 * ending_tries(e, c) + 4;\n",
        "Probes of a window go on beyond CHM_MAX_RETRANSMISSIONS.",
        Cites("WIN-06"),
    ),
    Fault(
        "CC-506",
        Subject.CARD,
        "csrc/tcp/timeout.c",
        "        return c->retransmits >= ending_tries(e, c);\n",
        "        return c->retransmits > ending_tries(e, c) + 1;\n",
        "Two timeouts more than CHM_MAX_RETRANSMISSIONS are waited for.",
        Cites("CHM-41"),
    ),
    Fault(
        "CC-507",
        Subject.CARD,
        TCP_OFFLOAD_TAKE,
        "        cached->MaxRT == UINT32_MAX ? UINT32_MAX : ticks_of(cached->MaxRT, TICKS_MS, t->rate);\n",
        "        0;\n",
        "MaxRT has no effect.",
        Cites("UTO-01"),
    ),
    Fault(
        "CC-508",
        Subject.CARD,
        "csrc/tcp/sack.c",
        "    return seq_lt(block->left, block->right) && seq_ge(block->left, c->snd_una)\n"
        "           && seq_le(block->right, c->snd_nxt);\n",
        "    return seq_lt(block->left, block->right) && seq_ge(block->left, c->snd_una);\n",
        "SACK blocks beyond what was sent are believed.",
        Cites("CC-12"),
    ),
    Fault(
        "CC-509",
        Subject.CARD,
        "csrc/tcp/ending.c",
        "        result->events |= TCP_EVENT_UPLOAD;\n"
        "        result->reason = TCP_REASON_UPLOAD_TIME_WAIT;\n",
        "        result->reason = TCP_REASON_UPLOAD_TIME_WAIT;\n",
        "In TIME-WAIT nobody is asked to take the connection back.",
        Cites("CHM-41"),
    ),
    Fault(
        "CC-510",
        Subject.CARD,
        "csrc/nic/chimney_apply.c",
        "    } else if (result->reason == TCP_REASON_CLOSED || result->reason =="
        " TCP_REASON_UPLOAD_TIME_WAIT) {\n",
        "    } else if (result->reason == TCP_REASON_CLOSED) {\n",
        "A connection in TIME-WAIT is stopped and acknowledges no FIN.",
        Cites("CHM-41: goes on acknowledging FINs"),
    ),
    Fault(
        "CC-512",
        Subject.CARD,
        CHIMNEY,
        "    p.dup_threshold = card_reg(card, REG_CHM_DUPLICATE_ACK_THRESHOLD);\n",
        "    (void)0;\n",
        "CHM_DUPLICATE_ACK_THRESHOLD has no effect.",
        Cites("CHM-1"),
    ),
    Fault(
        "CC-514",
        Subject.CARD,
        CHIMNEY,
        "    p.ack_every = card_reg(card, REG_CHM_ACK_FREQUENCY);\n",
        "    p.ack_every = card_reg(card, REG_CHM_ACK_FREQUENCY) & 3u;\n",
        "CHM_ACK_FREQUENCY has two bits.",
        Cites("CHM-1"),
    ),
)
