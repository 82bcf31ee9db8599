"""Faults of terminates, pauses, frames, neighbors, timers and counters: invariants 37 to 50."""

from __future__ import annotations

from tests.mutants.fault import Fault

CHANGE = "csrc/nic/chimney_change.c"
FRAME = "csrc/nic/chimney_frame.c"
REACH = "csrc/nic/chimney_reach.c"
RECEIVE = "csrc/nic/chimney_receive.c"

FAULTS = (
    Fault(
        "INV-37",
        "vnic/miniport/chimney_terminate.py",
        "            if connection.calls:\n                return\n",
        "",
        "A terminate is complete before its requests are.",
    ),
    Fault(
        "INV-38",
        CHANGE,
        "    chimney_unlist(m, m->admin.target);\n",
        "",
        "Segments that come during and after a terminate are swallowed.",
    ),
    Fault(
        "INV-39",
        CHANGE,
        "        chimney_output_segment(card, index, &owed);\n",
        "",
        "A delayed ACK that is owed is forgotten at terminate.",
    ),
    Fault(
        "INV-39",
        "csrc/tcp/handoff.c",
        "(tcp_has(c, TCP_ACK_NOW | TCP_WINDOW_UPDATE) || timer_is_set(c, TCP_TIMER_DELACK))",
        "tcp_has(c, TCP_ACK_NOW | TCP_WINDOW_UPDATE)",
        "An ACK that waits for its timer is not owed.",
    ),
    Fault(
        "INV-40",
        CHANGE,
        "    case CHM_OBJECT_PATH:\n        a->walk_path = a->target;\n        break;\n",
        "    case CHM_OBJECT_PATH:\n        m->paths[a->target].flags |= CHM_INVALID;\n        break;\n",
        "A path that is invalidated lets its connections send.",
    ),
    Fault(
        "INV-40",
        CHANGE,
        "        c->flags |= CHM_INVALID;\n"
        "        chimney_retrieve(card, index, CHM_REASON_INVALID_STATE);\n",
        "        report_retrieve(card, index, CHM_REASON_INVALID_STATE);\n",
        "An invalidated connection asks to be uploaded, and sends on.",
    ),
    Fault(
        "INV-41",
        "vnic/miniport/chimney_mood.py",
        "            self._waiting.append(root)\n",
        "            self._refuse(root)\n",
        "An initiate that comes after OFFLOAD_PAUSE fails.",
    ),
    Fault(
        "INV-41",
        "vnic/miniport/chimney_mood.py",
        "        self._state = State.OPEN\n        self._indicate(NDIS_STATUS.OFFLOAD_RESUME)\n",
        "        self._state = State.OPEN\n",
        "Nobody says OFFLOAD_RESUME.",
    ),
    Fault(
        "INV-41",
        "vnic/miniport/chimney_mood.py",
        "        if self._state is not State.UPLOADING or self.chimney.has_objects:\n",
        "        if self._state is not State.UPLOADING:\n",
        "OFFLOAD_RESUME comes with the first terminate, not with the last.",
    ),
    Fault(
        "INV-42",
        CHANGE,
        "    if (cached.Flags & ~0x1Fu) {\n",
        "    image_keep_cached(&cached, chimney_connection(m, a->target));\n"
        "    if (cached.Flags & ~0x1Fu) {\n",
        "An update that fails has changed the values.",
    ),
    Fault(
        "INV-43",
        RECEIVE,
        "f->l4 == WIRE_L4_TCP && (f->flags & ~(uint32_t)WIRE_VLAN) == 0 && has_known_tag",
        "f->l4 == WIRE_L4_TCP && has_known_tag",
        "Datagrams with IP options are processed.",
    ),
    Fault(
        "INV-44",
        FRAME,
        "    return (uint16_t)(IDENTIFICATION_UPPER | id);\n",
        "    return id;\n",
        "The Identification is of the lower half, which large sends use.",
    ),
    Fault(
        "INV-44",
        FRAME,
        "#define IPV4_DONT_FRAGMENT 0x4000u\n",
        "#define IPV4_DONT_FRAGMENT 0u\n",
        "Frames may be fragmented on their way.",
    ),
    Fault(
        "INV-45",
        FRAME,
        "    if ((n->vlan | priority) != 0) {\n",
        "    if (n->vlan != 0) {\n",
        "UserPriority without a VLAN has no tag.",
    ),
    Fault(
        "INV-45",
        "csrc/nic/chimney_lookup.c",
        "    return s.has_others ? CHM_MATCH_WRONG_VLAN : CHM_MATCH_NONE;\n",
        "    return CHM_MATCH_NONE;\n",
        "A segment with a wrong tag reaches the host.",
    ),
    Fault(
        "INV-45",
        "vnic/miniport/chimney_initiate.py",
        "        if vlan_id and own and vlan_id != own:\n",
        "        if vlan_id and own and vlan_id < own:\n",
        "A VlanId that is not the interface's is taken.",
    ),
    Fault(
        "INV-46",
        REACH,
        "    return reach_is_over(m, now - n->nic_ns) && reach_is_over(m, now - n->host_ns);\n",
        "    return reach_is_over(m, now - n->nic_ns);\n",
        "The host is asked though it has heard of the neighbor lately.",
    ),
    Fault(
        "INV-46",
        REACH,
        "    return !n->is_queried || reach_is_over(m, now - n->queried_ns);\n",
        "    return true;\n",
        "The host is asked with every segment.",
    ),
    Fault(
        "INV-46",
        "vnic/miniport/chimney_reachability.py",
        "            NEIGHBOR_OFFLOAD_STATE_DELEGATED(delta),\n",
        "            NEIGHBOR_OFFLOAD_STATE_DELEGATED(),\n",
        "A reachability query does not say how old the neighbor is.",
    ),
    Fault(
        "INV-46",
        "csrc/nic/chimney_reach.c",
        "(m->parameters.nce_stale_ticks + 1ull)",
        "(uint64_t)m->parameters.nce_stale_ticks",
        "The host is asked when an age is NceStaleTicks, not when it exceeds them.",
    ),
    Fault(
        "INV-47",
        "csrc/tcp/offload_take.c",
        "    c->ts_offset = t->d->TsTime - engine_ms(t->e);\n",
        "    c->ts_offset = 0;\n",
        "TSval follows the card's own clock.",
    ),
    Fault(
        "INV-47",
        "csrc/tcp/offload_state.c",
        "        out->TsTime = engine_ms(e) + c->ts_offset;\n",
        "        out->TsTime = engine_ms(e);\n",
        "TsTime comes back as the time of the card.",
    ),
    Fault(
        "INV-48",
        "csrc/tcp/persist.c",
        "    c->backoff = (uint8_t)(c->backoff + (c->backoff < 31));\n    c->flags |= TCP_PROBE_PENDING;\n",
        "    c->flags |= TCP_PROBE_PENDING;\n",
        "Window probes come at one pace.",
    ),
    Fault(
        "INV-48",
        "csrc/tcp/offload_take.c",
        "    c->backoff = t->d->SndWndProbeCount;\n    c->probes = (uint8_t)t->d->Retransmit.Count;\n",
        "    c->backoff = (uint8_t)t->d->Retransmit.Count;\n    c->probes = t->d->SndWndProbeCount;\n",
        "SndWndProbeCount and Count of the persist timer are mistaken for each other.",
    ),
    Fault(
        "INV-48",
        "csrc/tcp/persist.c",
        "        return c->probes >= ending_tries(e, c);\n",
        "        return c->probes > ending_tries(e, c);\n",
        "There is one window probe too many.",
    ),
    Fault(
        "INV-49",
        "vnic/protocol/coexistence.py",
        "        self._present.append((component, binding))\n        self._tell()\n",
        "        self._present.append((component, binding))\n",
        "A firewall that comes later leaves connections offloaded.",
    ),
    Fault(
        "INV-49",
        "vnic/protocol/coexistence.py",
        '        """Whether received data of a binding may be copied by a copy engine."""\n'
        "        return not self.obstacles(binding)\n",
        '        """Whether received data of a binding may be copied by a copy engine."""\n'
        "        return True\n",
        "NetDMA goes on beside a firewall.",
    ),
    Fault(
        "INV-50",
        FRAME,
        "        run->is_again ? FRAME_STAT(t, TCP, RETRANSMITTED_SEGMENTS) "
        ": FRAME_STAT(t, TCP, OUT_SEGMENTS);\n",
        "        FRAME_STAT(t, TCP, OUT_SEGMENTS);\n",
        "Retransmissions are OutSegments.",
    ),
    Fault(
        "INV-50",
        "csrc/nic/chimney_stat.c",
        "    return t->state == TCP_STATE_ESTABLISHED || t->state == TCP_STATE_CLOSE_WAIT;\n",
        "    return t->state == TCP_STATE_ESTABLISHED;\n",
        "A connection in CLOSE-WAIT is not counted as established.",
    ),
    Fault(
        "INV-50",
        "vnic/miniport/chimney_statistics.py",
        "        self._kept[group] = [0] * len(self._kept[group])\n        self._registers.write",
        "        self._registers.write",
        "A set leaves what was counted before a reset of the card.",
    ),
)
