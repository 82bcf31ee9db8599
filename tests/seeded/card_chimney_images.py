"""Mistakes in the card's chimney: images of objects, and how a connection is given back."""

from __future__ import annotations

from tests.seeded.fault import Cites, Fault, Subject

CHIMNEY_ADMIN = "csrc/nic/chimney_admin.c"
CHIMNEY_CHANGE = "csrc/nic/chimney_change.c"
CHIMNEY_COMMAND = "csrc/nic/chimney_command.c"
CHIMNEY_CREATE = "csrc/nic/chimney_create.c"
CHIMNEY_IMAGE = "csrc/nic/chimney_image.c"
TCP_OFFLOAD_ADMIT = "csrc/tcp/offload_admit.c"
TCP_OFFLOAD_STATE = "csrc/tcp/offload_state.c"
TCP_OFFLOAD_TAKE = "csrc/tcp/offload_take.c"

FAULTS = (
    Fault(
        "CC-428",
        Subject.CARD,
        CHIMNEY_ADMIN,
        "    *a = (struct chm_admin){.ring = a->ring, .queue = a->queue};\n"
        "}\n"
        "\n"
        "static uint8_t admin_first_phase",
        "    uint8_t image_keeps = a->has_fin;\n"
        "    *a = (struct chm_admin){.ring = a->ring, .queue = a->queue, .has_fin = image_keeps};\n"
        "}\n"
        "\n"
        "static uint8_t admin_first_phase",
        "The FIN of a send list is remembered with the next command.",
        Cites("CHM-3"),
    ),
    Fault(
        "CC-429",
        Subject.CARD,
        CHIMNEY_IMAGE,
        "    n->host_delta = (uint32_t)chm_neighbour_host_reachability_delta(image);\n",
        "    n->host_delta = (uint32_t)chm_neighbour_host_reachability_delta(image) & 0xFFFFFFu;\n",
        "HostReachabilityDelta is kept with 24 bits.",
        Cites("CHM-4"),
    ),
    Fault(
        "CC-430",
        Subject.CARD,
        CHIMNEY_IMAGE,
        "    c->rcv_indication_size = cached->RcvIndicationSize;\n",
        "    c->rcv_indication_size = cached->RcvIndicationSize & 0x7FFFFFFFu;\n",
        "RcvIndicationSize loses its upper bit.",
        Cites("CHM-4"),
    ),
    Fault(
        "CC-432",
        Subject.CARD,
        CHIMNEY_IMAGE,
        "    n->host_ns = card->pci.now_ns - n->host_delta * image_tick_ns(card);\n    n->is_queried = 0;\n",
        "    n->host_ns = card->pci.now_ns - n->host_delta * image_tick_ns(card);\n"
        "    n->nic_ns = n->host_ns;\n"
        "    n->is_queried = 0;\n",
        "An UPDATE of a neighbour changes NicReachabilityDelta.",
        Cites("CHM-4: UPDATE takes CACHED fields only"),
    ),
    Fault(
        "CC-433",
        Subject.CARD,
        TCP_OFFLOAD_TAKE,
        "    c->ts_recent_ms = engine_ms(t->e) - ticks_of(t->d->TsRecentAge, TICKS_MS, t->rate);\n",
        "    c->ts_recent_ms = engine_ms(t->e);\n",
        "The age of TS.Recent begins anew at an offload.",
        Cites("CHM-9 and DELEGATED fields of an image"),
    ),
    Fault(
        "CC-434",
        Subject.CARD,
        TCP_OFFLOAD_TAKE,
        "    c->rcv_unread = t->d->ReceiveBacklogSize;\n",
        "",
        "What the host holds unconsumed is forgotten at an offload.",
        Cites("CHM-9: RECEIVE_BACKLOG_SIZE"),
    ),
    Fault(
        "CC-435",
        Subject.CARD,
        TCP_OFFLOAD_STATE,
        "    out->SsThresh = c->ssthresh;\n",
        "    out->SsThresh = c->ssthresh & 0xFFFFFFu;\n",
        "SsThresh is told with 24 bits.",
        Cites("CHM-9"),
    ),
    Fault(
        "CC-436",
        Subject.CARD,
        TCP_OFFLOAD_STATE,
        "    out->SendWL1 = c->snd_wl1;\n",
        "    out->SendWL1 = c->rcv_nxt;\n",
        "SendWL1 of an image is RcvNxt.",
        Cites("CHM-9"),
    ),
    Fault(
        "CC-437",
        Subject.CARD,
        TCP_OFFLOAD_STATE,
        "    out->MaxSndWnd = c->max_snd_wnd;\n",
        "    out->MaxSndWnd = c->snd_wnd;\n",
        "MaxSndWnd of an image is the window of now.",
        Cites("CHM-9"),
    ),
    Fault(
        "CC-438",
        Subject.CARD,
        TCP_OFFLOAD_ADMIT,
        "    return sent <= d->SendBacklogSize + ((fins & FIN_OURS) != 0 ? 1U : 0U);\n",
        "    return sent <= d->SendBacklogSize + 1U;\n",
        "More may have been sent than there is send data.",
        Cites("CHM-5"),
    ),
    Fault(
        "CC-439",
        Subject.CARD,
        TCP_OFFLOAD_ADMIT,
        "enum { MSS_LEAST = 48,",
        "enum { MSS_LEAST = 40,",
        "A RemoteMss below 48 is taken.",
        Cites("CHM-3: BAD_VALUE"),
    ),
    Fault(
        "CC-440",
        Subject.CARD,
        TCP_OFFLOAD_ADMIT,
        "shape->SndWindScale <= 14 && shape->RcvWindScale <= 14\n",
        "shape->SndWindScale <= 15 && shape->RcvWindScale <= 14\n",
        "A shift of 15 is taken.",
        Cites("CHM-3; RFC 7323 2.3"),
    ),
    Fault(
        "CC-441",
        Subject.CARD,
        TCP_OFFLOAD_ADMIT,
        "           && (is_scaled || (shape->SndWindScale | shape->RcvWindScale) == 0)",
        "           && (is_scaled || shape->SndWindScale == 0)",
        "A shift of windows without the option is taken.",
        Cites("CHM-3"),
    ),
    Fault(
        "CC-442",
        Subject.CARD,
        CHIMNEY_CREATE,
        "    return len <= CHM_WINDOW_MAX - a->send_bytes ? CHM_STATUS_OK : CHM_STATUS_BAD_LENGTH;\n",
        "    return len <= CHM_WINDOW_MAX ? CHM_STATUS_OK : CHM_STATUS_BAD_LENGTH;\n",
        "The sum of a send list may be more than 2^30.",
        Cites("CHM-5: at most 2^30"),
    ),
    Fault(
        "CC-443",
        Subject.CARD,
        CHIMNEY_CREATE,
        "    case TcpConnectionClosing:\n    case TcpConnectionLastAck:\n        return a->has_fin;\n",
        "    case TcpConnectionClosing:\n        return a->has_fin;\n",
        "LAST-ACK is taken without its FIN.",
        Cites("CHM-5: in FinWait1, Closing and LastAck it has to be there"),
    ),
    Fault(
        "CC-444",
        Subject.CARD,
        CHIMNEY_CREATE,
        "    case TcpConnectionFinWait2:\n        return a->sends_read == 0;\n",
        "    case TcpConnectionFinWait2:\n        return a->send_bytes == 0;\n",
        "A list without bytes is taken in FIN-WAIT-2.",
        Cites("CHM-5: in FinWait2 there is no list"),
    ),
    Fault(
        "CC-445",
        Subject.CARD,
        CHIMNEY_CREATE,
        "    if (a->status == CHM_STATUS_OK && create_list_left(a) == 0 && a->has_more) {\n"
        "        a->status = CHM_STATUS_BAD_COMMAND;\n"
        "    }\n",
        "",
        "A list that ends in the middle of a request is taken.",
        Cites("CHM-20 and CHM-5"),
    ),
    Fault(
        "CC-446",
        Subject.CARD,
        CHIMNEY_CREATE,
        "    return a->status == CHM_STATUS_XMIT_BUFFER\n"
        "           || (a->send_bytes == d->SendBacklogSize && ",
        "    return a->status == CHM_STATUS_XMIT_BUFFER\n"
        "           || (a->send_bytes <= d->SendBacklogSize && ",
        "A backlog that is more than the list holds is taken.",
        Cites("CHM-5: SEND_BACKLOG_SIZE is the sum of its lengths"),
    ),
    Fault(
        "CC-448",
        Subject.CARD,
        CHIMNEY_IMAGE,
        "    uint32_t waiting = bits_min32(chimney_waiting(m, index), s.Delegated.ReceiveBacklogSize);\n",
        "    uint32_t waiting = 0;\n",
        "Data that waits in the card is counted as the host's.",
        Cites("CHM-9: what the host holds unconsumed"),
    ),
    Fault(
        "CC-449",
        Subject.CARD,
        CHIMNEY_CHANGE,
        "    if (tcp_has(t, TCP_FROZEN) && t->state != TCP_STATE_CLOSED) {\n        tcp_thaw",
        "    if (false) {\n        tcp_thaw",
        "An ACK that a stopped connection owes is not sent at TERMINATE.",
        Cites("CHM-7: send an ACK that is owed"),
    ),
    Fault(
        "CC-451",
        Subject.CARD,
        CHIMNEY_CHANGE,
        "    chimney_unlist(m, m->admin.target);\n",
        "",
        "A connection is found until its TERMINATE is complete.",
        Cites("CHM-7: take it out of the lookup"),
    ),
    Fault(
        "CC-452",
        Subject.CARD,
        CHIMNEY_ADMIN,
        "    if (is_over) {\n        chimney_release(card, index);\n    }\n",
        "    chimney_release(card, index);\n",
        "A connection whose image cannot be written is gone.",
        Cites("CHM-7: the connection stays"),
    ),
    Fault(
        "CC-453",
        Subject.CARD,
        CHIMNEY_COMMAND,
        "    if (command_is_late(m, a)) {\n        return CHM_STATUS_BUSY;\n    }\n",
        "",
        "A connection whose TERMINATE failed takes UPDATE and INVALIDATE.",
        Cites("CHM-7: takes nothing but QUERY and another TERMINATE (BUSY)"),
    ),
    Fault(
        "CC-454",
        Subject.CARD,
        CHIMNEY_COMMAND,
        "           && admin_op(a) != CHM_OP_TERMINATE && chimney_has",
        "           && chimney_has",
        "A connection whose TERMINATE failed cannot be terminated again.",
        Cites("CHM-7"),
    ),
    Fault(
        "CC-455",
        Subject.CARD,
        CHIMNEY_IMAGE,
        "    return image_has_only(image, masks, CHM_TCP_WORDS) && chm_tcp_const_flags(image) <="
        " CONST_FLAGS\n",
        "    return chm_tcp_const_flags(image) <= CONST_FLAGS\n",
        "Reserved words of a connection's image are not looked at.",
        Cites("CHM-3: BAD_VALUE"),
    ),
    Fault(
        "CC-456",
        Subject.CARD,
        TCP_OFFLOAD_TAKE,
        "    c->snd_end = d->SndUna + d->SendBacklogSize - is_acked;\n",
        "    c->snd_end = d->SndMax + d->SendBacklogSize - is_acked;\n",
        "Send data is counted from SndMax on.",
        Cites("CHM-5: the bytes from SndUna on"),
    ),
    Fault(
        "CC-457",
        Subject.CARD,
        TCP_OFFLOAD_TAKE,
        "    if (t->d->SndNxt != c->snd_nxt) {\n"
        "        recovery_mark_lost(t->e, c, t->d->SndNxt, c->snd_nxt);\n"
        "        c->dup_acks = t->d->DupAckCount;\n"
        "    }\n",
        "",
        "What lies between SndNxt and SndMax waits for a timer.",
        Cites("CHM-5; CH-02: SndNxt to SndMax goes first"),
    ),
    Fault(
        "CC-459",
        Subject.CARD,
        TCP_OFFLOAD_STATE,
        "    out->ReceiveBacklogSize = c->rcv_unread;\n",
        "    out->ReceiveBacklogSize = c->rcv_unread & 0xFFFFFFu;\n",
        "RECEIVE_BACKLOG_SIZE is told with 24 bits.",
        Cites("CHM-9"),
    ),
)
