"""Mistakes in the card's chimney: reasons to upload, whose a segment is, blocks, fences."""

from __future__ import annotations

from tests.seeded.fault import Cites, Fault, Subject

CHIMNEY_EVENT = "csrc/nic/chimney_event.c"
CHIMNEY_HABIT = "csrc/nic/chimney_habit.c"
CHIMNEY_HELD = "csrc/nic/chimney_held.c"
CHIMNEY_POST = "csrc/nic/chimney_post.c"
CHIMNEY_RECEIVE = "csrc/nic/chimney_receive.c"

FAULTS = (
    Fault(
        "CC-515",
        Subject.CARD,
        CHIMNEY_HABIT,
        "    return is_over && found * 100 >= rate * CHM_HABIT_SEGMENTS;\n",
        "    return is_over && found * 100 > rate * CHM_HABIT_SEGMENTS;\n",
        "Exactly as many per cent as the rate says are not told.",
        Cites("CHM-65: at least so many per cent"),
    ),
    Fault(
        "CC-516",
        Subject.CARD,
        CHIMNEY_HABIT,
        "    bool is_over = count == CHM_HABIT_SEGMENTS;\n",
        "    bool is_over = count == CHM_HABIT_SEGMENTS - 1;\n",
        "A window has 255 segments.",
        Cites("CHM-65 and CHM-66: of 256"),
    ),
    Fault(
        "CC-517",
        Subject.CARD,
        CHIMNEY_HABIT,
        "    *bad = (uint8_t)(is_over ? 0 : found);\n",
        "    *bad = (uint8_t)found;\n",
        "Segments of one window count in the next.",
        Cites("CHM-65: counted one window after the other"),
    ),
    Fault(
        "CC-520",
        Subject.CARD,
        CHIMNEY_HABIT,
        "    return t->state == TCP_STATE_ESTABLISHED && !tcp_has(t, TCP_FIN_QUEUED | TCP_FIN_RECEIVED);\n",
        "    return !tcp_has(t, TCP_FIN_QUEUED);\n",
        "A connection whose peer has closed is asked for too.",
        Cites("CHM-64"),
    ),
    Fault(
        "CC-521",
        Subject.CARD,
        CHIMNEY_HABIT,
        "    c->flags &= (uint16_t)~CHM_ACTIVE;\n    m->look_found",
        "    m->look_found",
        "Who was active once is never idle.",
        Cites("CHM-69"),
    ),
    Fault(
        "CC-522",
        Subject.CARD,
        CHIMNEY_HABIT,
        "    c->flags |= CHM_ACTIVE;\n    if (rate != 0 && habit_count(&c->habit.in,",
        "    if (rate != 0 && habit_count(&c->habit.in,",
        "Who takes data is idle all the same.",
        Cites("CHM-69"),
    ),
    Fault(
        "CC-523",
        Subject.CARD,
        CHIMNEY_HABIT,
        "    return p->idle_ticks * (SECOND_NS / p->ticks_per_second);\n",
        "    return p->idle_ticks * (SECOND_NS / 1000);\n",
        "CHM_IDLE_TICKS is taken as milliseconds.",
        Cites("CHM-69"),
    ),
    Fault(
        "CC-524",
        Subject.CARD,
        CHIMNEY_HABIT,
        "    if (++h->fragments >= card->chimney->parameters.fragments) {\n",
        "    if (++h->fragments > card->chimney->parameters.fragments) {\n",
        "One fragment more than CHM_FRAGMENTS is waited for.",
        Cites("CHM-51"),
    ),
    Fault(
        "CC-525",
        Subject.CARD,
        CHIMNEY_EVENT,
        "    if (event_is_void(m, index, c->pending)) {\n"
        "        c->pending &= (1u << CHM_PENDING_REASON_SHIFT) - 1 - CHM_PENDING_RETRIEVE;\n"
        "    }\n",
        "",
        "A reason that waits is told though a side has closed meanwhile.",
        Cites("CHM-64: also if that changes before the entry is written"),
    ),
    Fault(
        "CC-526",
        Subject.CARD,
        CHIMNEY_EVENT,
        "        || (!retrieve_is_mandatory(reason) && (c->pending & CHM_PENDING_RETRIEVE) != 0)) {\n",
        "        || (c->pending & CHM_PENDING_RETRIEVE) != 0) {\n",
        "A mandatory reason gives way to an optional one that waits.",
        Cites("CHM-62"),
    ),
    Fault(
        "CC-528",
        Subject.CARD,
        CHIMNEY_EVENT,
        "        m->stat[CHM_STAT(UPLOADS_ASKED)]++;\n",
        "        m->stat[CHM_STAT(UPLOADS_ASKED)] += retrieve_is_mandatory(c->retrieved);\n",
        "Optional reasons are not counted in CHM_UPLOADS_ASKED.",
        Cites("CHM-62 and CHM-70"),
    ),
    Fault(
        "CC-529",
        Subject.CARD,
        CHIMNEY_RECEIVE,
        "    return strange == 0 && has_known_tag && f->proto == WIRE_PROTO_TCP && f->l4_len >="
        " RECEIVE_PORTS\n"
        "           && verify_ipv4_header(f, frame) != VERIFY_BAD;\n",
        "    return strange == 0 && has_known_tag && f->proto == WIRE_PROTO_TCP && f->l4_len >="
        " RECEIVE_PORTS;\n",
        "Fragments with a wrong header checksum count.",
        Cites("CHM-51"),
    ),
    Fault(
        "CC-530",
        Subject.CARD,
        CHIMNEY_RECEIVE,
        "    if (chimney_lookup(m, &tuple, receive_vlan(c), &index) == CHM_MATCH_FOUND\n"
        "        && receive_is_to_us",
        "    if (chimney_lookup(m, &tuple, receive_vlan(c), &index) == CHM_MATCH_FOUND\n"
        "        && true || receive_is_to_us",
        "Fragments to other hosts count.",
        Cites("CHM-51: destination"),
    ),
    Fault(
        "CC-532",
        Subject.CARD,
        CHIMNEY_RECEIVE,
        "    if (!receive_is_to_us(card, chimney_neighbour_of(m, connection), frame)\n"
        "        || receive_is_over",
        "    if (receive_is_over",
        "A segment to another host is the connection's.",
        Cites("CHM-40"),
    ),
    Fault(
        "CC-533",
        Subject.CARD,
        CHIMNEY_RECEIVE,
        "    if (memcmp(n->source, none, sizeof none) != 0) {\n"
        "        return memcmp(frame, n->source, sizeof n->source) == 0;\n"
        "    }\n",
        "",
        "The neighbour's SOURCE_ADDRESS counts only in frames that are sent.",
        Cites("CHM-40"),
    ),
    Fault(
        "CC-535",
        Subject.CARD,
        "csrc/nic/chimney_lookup.c",
        "        if (b->overflow == 0 || s->exact != 0) {\n            return;\n        }\n",
        "        return;\n",
        "Connections beyond a full bucket of the lookup are not found.",
        Cites("CHM-40"),
    ),
    Fault(
        "CC-536",
        Subject.CARD,
        CHIMNEY_RECEIVE,
        "    m->stat[t->is_ipv6 ? CHM_STAT(TCP6_IN_SEGMENTS) : CHM_STAT(TCP4_IN_SEGMENTS)]++;\n"
        "    bool is_its_own",
        "    m->stat[CHM_STAT(TCP4_IN_SEGMENTS)]++;\n    bool is_its_own",
        "Forwarded segments of IPv6 are counted as those of IPv4.",
        Cites("CHM-50 and CHM-70"),
    ),
    Fault(
        "CC-537",
        Subject.CARD,
        CHIMNEY_RECEIVE,
        "    bool is_its_own = len >= WIRE_TCP_LEN && be16_load(segment) == t->remote_port\n"
        "                      && be16_load(segment + 2) == t->local_port;\n",
        "    bool is_its_own = len >= WIRE_TCP_LEN;\n",
        "A forwarded segment with other ports is taken.",
        Cites("CHM-50"),
    ),
    Fault(
        "CC-538",
        Subject.CARD,
        "csrc/nic/chimney_judge.c",
        "        return request_pieces(m, s) < FORWARD_PIECES_MAX ? CHM_STATUS_OK : CHM_STATUS_BAD_LENGTH;\n",
        "        return request_pieces(m, s) < FORWARD_PIECES_MAX - 1 ? CHM_STATUS_OK :"
        " CHM_STATUS_BAD_LENGTH;\n",
        "A FORWARD has at most 31 pieces.",
        Cites("CHM-20: at most 32"),
    ),
    Fault(
        "CC-540",
        Subject.CARD,
        CHIMNEY_POST,
        "    w->flags = (uint8_t)(CHM_WORK_DONE | (is_pushed ? CHM_WORK_PUSHED : 0));\n",
        "    w->flags = (uint8_t)(CHM_WORK_DONE | CHM_WORK_PUSHED);\n",
        "Every receive says PUSHED.",
        Cites("CHM-44"),
    ),
    Fault(
        "CC-541",
        Subject.CARD,
        CHIMNEY_POST,
        "        w->before = before;\n"
        "        if (w->len != 0) {\n"
        "            if (post_is_pushable(m, c)) {\n"
        "                push_start(card, index);\n"
        "            }\n"
        "            return;\n"
        "        }\n",
        "        w->before = before;\n        if (w->len != 0) {\n            return;\n        }\n",
        "The push timer does not run for bytes of the driver's.",
        Cites("CHM-44: or with BEFORE not 0"),
    ),
    Fault(
        "CC-542",
        Subject.CARD,
        CHIMNEY_HELD,
        "    if (chimney_has(chimney_connection(m, index), CHM_HOLDS_RANGES)) {\n"
        "        held_give_up(card, index);\n"
        "    }\n"
        "    for (unsigned n = 0; n < HELD_VICTIMS && m->held_first != 0; n++) {\n"
        "        if (held_has_room(m, index, seq, len)) {\n"
        "            return true;\n"
        "        }\n"
        "        held_give_up(card, m->held_first);\n",
        "    if (chimney_has(chimney_connection(m, index), CHM_HOLDS_RANGES)) {\n"
        "        held_give_up(card, index);\n"
        "    }\n"
        "    for (unsigned n = 0; n < HELD_VICTIMS && m->held_first != 0; n++) {\n"
        "        if (held_has_room(m, index, seq, len)) {\n"
        "            return true;\n"
        "        }\n"
        "        held_give_up(card, m->held_last);\n",
        "Who holds data out of order for the shortest time gives it up first.",
        Cites("CHM-48"),
    ),
    Fault(
        "CC-543",
        Subject.CARD,
        CHIMNEY_HELD,
        "    return missing == 0 || blocks_left(&m->blocks) >= missing + PLACE_RESERVE;\n",
        "    return missing == 0 || blocks_left(&m->blocks) >= missing;\n",
        "No blocks are kept for what cannot be reported.",
        Cites("CHM-48: two blocks are kept"),
    ),
    Fault(
        "CC-545",
        Subject.CARD,
        CHIMNEY_EVENT,
        "    m->stat[CHM_STAT(FENCES)]++;\n",
        "",
        "Fences are not counted.",
        Cites("CHM-61; CHM_FENCES"),
    ),
    Fault(
        "CC-547",
        Subject.CARD,
        "csrc/nic/chimney_pool.c",
        "    if (p->buf_len < PAIR_BUF_LEN_MIN || p->buf_len > PAIR_BUF_LEN_MAX) {\n",
        "    if (p->buf_len < PAIR_BUF_LEN_MIN) {\n",
        "A pool of buffers above 65,536 bytes runs.",
        Cites("CHM-63 and CHQ_POOL_BUF_LEN"),
    ),
)
