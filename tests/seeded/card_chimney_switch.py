"""Mistakes in the card's chimney: on and off, water marks, handles, commands."""

from __future__ import annotations

from tests.seeded.fault import Cites, Fault, Subject

CHIMNEY = "csrc/nic/chimney.c"
CHIMNEY_COMMAND = "csrc/nic/chimney_command.c"
CHIMNEY_CREATE = "csrc/nic/chimney_create.c"
CHIMNEY_OBJECT = "csrc/nic/chimney_object.c"
CHIMNEY_REGISTER = "csrc/nic/chimney_register.c"

FAULTS = (
    Fault(
        "CC-400",
        Subject.CARD,
        CHIMNEY,
        "    return per_second == 10 || per_second == 100 || per_second == 1000;\n",
        "    return per_second >= 10 && per_second <= 1000;\n",
        "Any number of ticks a second from 10 to 1000 is taken.",
        Cites("CHM-1: refuse to run when a parameter is out of its bounds"),
    ),
    Fault(
        "CC-401",
        Subject.CARD,
        CHIMNEY,
        "           && p->fragments <= UINT16_MAX;\n",
        "           && p->fragments < UINT16_MAX;\n",
        "The largest CHM_FRAGMENTS refuses the chimney.",
        Cites("CHM-1"),
    ),
    Fault(
        "CC-402",
        Subject.CARD,
        CHIMNEY,
        "p->small_io <= CHM_SMALL_IO_MAX\n",
        "p->small_io < CHM_SMALL_IO_MAX\n",
        "The largest CHM_SMALL_IO refuses the chimney.",
        Cites("CHM-1"),
    ),
    Fault(
        "CC-403",
        Subject.CARD,
        CHIMNEY,
        "    if (enable && !m->is_enabled) {\n        chimney_switch_on(card);\n",
        "    if (enable && m->is_enabled) {\n"
        "        (void)chimney_latch(card);\n"
        "    } else if (enable) {\n"
        "        chimney_switch_on(card);\n",
        "A write of ENABLE = 1 to a chimney that runs latches its parameters again.",
        Cites("CHM-1: latch when ENABLE goes from 0 to 1"),
    ),
    Fault(
        "CC-404",
        Subject.CARD,
        CHIMNEY,
        "        card_count_guest_error(card);\n        return;\n    }\n    chimney_set_status",
        "        return;\n    }\n    chimney_set_status",
        "Parameters out of their bounds are no guest error.",
        Cites("CHM-1: STAT_GUEST_ERRORS"),
    ),
    Fault(
        "CC-405",
        Subject.CARD,
        CHIMNEY,
        "    m->vlans = 0;\n    m->live_neighbours",
        "    m->live_neighbours",
        "VLAN ids stay in use when the chimney goes off.",
        Cites("CHM-1: forget every object"),
    ),
    Fault(
        "CC-406",
        Subject.CARD,
        CHIMNEY,
        "    m->push_first = m->push_last = 0;\n",
        "",
        "Push timers are not forgotten when the chimney goes off.",
        Cites("CHM-1"),
    ),
    Fault(
        "CC-407",
        Subject.CARD,
        CHIMNEY,
        "    m->held_first = m->held_last = 0;\n",
        "",
        "Who holds data out of order is not forgotten when the chimney goes off.",
        Cites("CHM-1"),
    ),
    Fault(
        "CC-408",
        Subject.CARD,
        CHIMNEY,
        "    m->stat[CHM_STAT(TCP4_ESTABLISHED)] = m->stat[CHM_STAT(TCP6_ESTABLISHED)] = 0;\n",
        "    m->stat[CHM_STAT(TCP4_ESTABLISHED)] = 0;\n",
        "Connections of IPv6 are counted as established after the chimney went off.",
        Cites("CHM-1 and CHM-70"),
    ),
    Fault(
        "CC-409",
        Subject.CARD,
        CHIMNEY,
        "        regfile_set(&card->regs, REG_CHQ_POOL_TAIL + at, 0);\n",
        "",
        "The tail of a pool reads as before when the chimney is off.",
        Cites("CHM-1 and CHM-63"),
    ),
    Fault(
        "CC-412",
        Subject.CARD,
        CHIMNEY_REGISTER,
        "    if (m->is_enabled && (left < low || left >= high)) {\n",
        "    if (m->is_enabled && (left < low || left > high)) {\n",
        "PAUSE is not cleared at the high mark, but above it.",
        Cites("CHM-49: from CHM_BLOCKS_HIGH on PAUSE is cleared"),
    ),
    Fault(
        "CC-413",
        Subject.CARD,
        CHIMNEY_REGISTER,
        "    case REGID_CHM_BLOCKS_LOW:\n"
        "    case REGID_CHM_BLOCKS_HIGH:\n"
        "        chimney_check_pressure(card);\n"
        "        break;\n",
        "",
        "A mark that is written is looked at with the next block only.",
        Cites("CHM-49"),
    ),
    Fault(
        "CC-414",
        Subject.CARD,
        CHIMNEY_REGISTER,
        "        chimney_set_status(card, &m->is_paused, left < low);\n",
        "        m->is_paused = left < low;\n",
        "PAUSE changes without an event.",
        Cites("CHM-49: raise GLB_EVENT.CHIMNEY at each change"),
    ),
    Fault(
        "CC-415",
        Subject.CARD,
        CHIMNEY_REGISTER,
        "    uint32_t high = bits_max32(low, card_reg(card, REG_CHM_BLOCKS_HIGH));\n",
        "    uint32_t high = low;\n",
        "PAUSE is cleared at the low mark.",
        Cites("CHM-49"),
    ),
    Fault(
        "CC-416",
        Subject.CARD,
        CHIMNEY_OBJECT,
        "*last % CHM_GENERATION_MAX + 1",
        "(*last + 1) % (CHM_GENERATION_MAX + 1)",
        "After 1,023 uses of a place a handle has generation 0.",
        Cites("CHM-3 (GENERATION is never 0)"),
    ),
    Fault(
        "CC-417",
        Subject.CARD,
        CHIMNEY_OBJECT,
        "(n->flags & CHM_LIVE) && n->generation == generation;",
        "(n->flags & CHM_LIVE) && (n->generation == generation || generation == 0);",
        "A handle without a generation names the neighbour of its place.",
        Cites("CHM-3: BAD_HANDLE"),
    ),
    Fault(
        "CC-418",
        Subject.CARD,
        CHIMNEY_OBJECT,
        "    if (id != 0 && i < m->vlans && --m->vlan[i].neighbours == 0) {\n"
        "        m->vlan[i] = m->vlan[--m->vlans];\n",
        "    if (id != 0 && i < m->vlans && --m->vlan[i].neighbours == 0) {\n        m->vlans--;\n",
        "When a VLAN id is free the last one in use is forgotten in its place.",
        Cites("CHM-10"),
    ),
    Fault(
        "CC-419",
        Subject.CARD,
        CHIMNEY_OBJECT,
        "    m->vlan[i].neighbours++;\n    return true;\n",
        "    m->vlan[i].neighbours = 1;\n    return true;\n",
        "A VLAN id is free when the first of its neighbours goes.",
        Cites("CHM-10"),
    ),
    Fault(
        "CC-420",
        Subject.CARD,
        CHIMNEY_CREATE,
        "    if (a->target == 0) {\n        chimney_vlan_give(m, vlan);\n",
        "    if (a->target == 0) {\n",
        "A neighbour that found no place keeps a VLAN id.",
        Cites("CHM-3: change nothing when it refuses"),
    ),
    Fault(
        "CC-421",
        Subject.CARD,
        CHIMNEY_CREATE,
        "        if (taken == TCP_OFFLOAD_OK) {\n"
        "            tcp_release(m->engine, t);\n"
        "        }\n"
        "        return status;\n",
        "        return status;\n",
        "A CREATE that is refused late keeps its connection.",
        Cites("CHM-3"),
    ),
    Fault(
        "CC-422",
        Subject.CARD,
        CHIMNEY_COMMAND,
        "(w[6] & ~CHM_COMMAND_SEND_COUNT_MASK) || w[7];\n",
        "(w[6] & ~CHM_COMMAND_SEND_COUNT_MASK);\n",
        "The reserved word of a command is not looked at.",
        Cites("CHM-3: BAD_COMMAND (reserved bits)"),
    ),
    Fault(
        "CC-423",
        Subject.CARD,
        CHIMNEY_COMMAND,
        "           && ((parts & PART_HANDLE) || chm_command_handle(w) == 0)\n",
        "",
        "A CREATE with a handle is taken.",
        Cites("CHM-3: a handle that is not wanted"),
    ),
    Fault(
        "CC-424",
        Subject.CARD,
        CHIMNEY_COMMAND,
        "           && chm_command_out_len(a->command) == (parts & PART_OUT ? bytes : 0);\n",
        "           && chm_command_out_len(a->command) >= (parts & PART_OUT ? bytes : 0);\n",
        "An answer may be longer than the image.",
        Cites("CHM-3: BAD_LENGTH"),
    ),
    Fault(
        "CC-425",
        Subject.CARD,
        CHIMNEY_COMMAND,
        "        return chm_command_queue(w) == 0 && chm_command_send_addr(w) == 0 && !has_list;\n",
        "        return chm_command_send_addr(w) == 0 && !has_list;\n",
        "A queue in a command that takes none is not refused.",
        Cites("CHM-3"),
    ),
    Fault(
        "CC-427",
        Subject.CARD,
        "csrc/nic/chimney_admin.c",
        "    return is_connection ? chimney_report_pair(card, chimney_connection(card->chimney,"
        " a->target)) : a->queue;\n",
        "    return a->queue;\n",
        "Commands of connections end on the ring of CHM_ADMIN_QUEUE.",
        Cites("CHM-2; everything that is reported of a connection travels on one completion ring"),
    ),
)
