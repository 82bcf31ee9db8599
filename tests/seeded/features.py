"""Mistakes in the reference miniport: OIDs, filters, task offloads, RSS and the chimney."""

from __future__ import annotations

from tests.seeded.fault import Cites, Fault, Subject

CONTEXT = "vnic/miniport/context.py"
FILTERS = "vnic/miniport/filters.py"
OIDS = "vnic/miniport/oids.py"
RSS = "vnic/miniport/rss.py"
TERMINATE = "vnic/miniport/chimney_terminate.py"


FAULTS = (
    # -- OIDs and filters ------------------------------------------------------------------------------------
    Fault(
        "MF-1",
        Subject.MINIPORT,
        OIDS,
        "    if request.accept(size) != NDIS_STATUS.SUCCESS:\n        return NDIS_STATUS.INVALID_LENGTH\n",
        "",
        "A set reads its buffer without a look at the length.",
        Cites("NDIS_OID_REQUEST: INVALID_LENGTH with BytesNeeded", "kvm-guest-drivers #730, #734"),
    ),
    Fault(
        "MF-2",
        Subject.MINIPORT,
        OIDS,
        "    if request.accept(size) != NDIS_STATUS.SUCCESS:\n        return NDIS_STATUS.INVALID_LENGTH\n",
        "    if request.accept(size) != NDIS_STATUS.SUCCESS:\n        return NDIS_STATUS.BUFFER_TOO_SHORT\n",
        "A set that is too short ends with the status of a query.",
        Cites("MINIPORT_OID_REQUEST: NDIS_STATUS_INVALID_LENGTH for a set"),
    ),
    Fault(
        "MF-3",
        Subject.MINIPORT,
        FILTERS,
        "        self.packet_filter = wanted\n",
        "        self.packet_filter |= wanted\n",
        "Packet filters are added up and never taken away.",
        Cites("OID_GEN_CURRENT_PACKET_FILTER: the set replaces the filter"),
    ),
    Fault(
        "MF-4",
        Subject.MINIPORT,
        FILTERS,
        "        for place in range(self.list_size):\n",
        "        for place in range(len(self.multicast)):\n",
        "A shorter multicast list leaves addresses of the longer one.",
        Cites("OID_802_3_MULTICAST_LIST: the set replaces the list"),
    ),
    Fault(
        "MF-5",
        Subject.MINIPORT,
        OIDS,
        "    adapter.card.interrupts.set_moderation(MODERATION_NS if state is "
        "InterruptModerationState.ENABLED else 0)\n",
        "    adapter.card.interrupts.moderation_ns = (\n"
        "        MODERATION_NS if state is InterruptModerationState.ENABLED else 0\n    )\n",
        "A change of interrupt moderation is remembered, and the card is not told.",
        Cites("OID_GEN_INTERRUPT_MODERATION: a set that succeeds is in force; INT-6"),
    ),
    # -- task offloads ---------------------------------------------------------------------------------------
    Fault(
        "MF-6",
        Subject.MINIPORT,
        CONTEXT,
        "vlan_insert=int(self.tci != 0)",
        "vlan_insert=int(self.tci & 0xFFF != 0)",
        "A priority without a VLAN is not sent.",
        Cites("NDIS_NET_BUFFER_LIST_8021Q_INFO: VlanId 0 with a UserPriority is a priority tag"),
    ),
    Fault(
        "MF-7",
        Subject.MINIPORT,
        CONTEXT,
        "        headers = l4 + (_part(packet, l4 + 12, 1)[0] >> 4) * 4\n",
        "        headers = l4 + 20\n",
        "A large send's TCP options are taken for payload.",
        Cites("Large send offload: TCP options are in the header of every segment"),
    ),
    Fault(
        "MF-8",
        Subject.MINIPORT,
        CONTEXT,
        "        return l3 + (_part(packet, l3, 1)[0] & 0xF) * 4\n",
        "        return l3 + 20\n",
        "IPv4 options are taken for the transport header.",
        Cites("RFC 791, IHL; NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO: IP options", "CVE-2024-3567"),
    ),
    Fault(
        "MF-9",
        Subject.MINIPORT,
        "vnic/miniport/transmit.py",
        "        if self.offload.is_large_send:\n"
        "            nbl.set_info(Slot.TCP_LARGE_SEND, self.offload.large_send.completed(self.payload))\n",
        "",
        "LSOv1 does not say how much TCP payload was sent.",
        Cites("NDIS_TCP_LARGE_SEND_OFFLOAD: TcpPayload at completion, type cleared in LSOv2"),
    ),
    Fault(
        "MF-10",
        Subject.MINIPORT,
        "vnic/miniport/offload.py",
        "        if not (tcp or udp or ip):\n            return ChecksumOffload()\n",
        "",
        "Switched off, a checksum offload still names its encapsulation and options.",
        Cites("NDIS_TCP_IP_CHECKSUM_OFFLOAD: NDIS_ENCAPSULATION_NOT_SUPPORTED when it is off"),
    ),
    # -- RSS -------------------------------------------------------------------------------------------------
    Fault(
        "MF-11",
        Subject.MINIPORT,
        RSS,
        'int.from_bytes(key[4 * word : 4 * word + 4], "little")',
        'int.from_bytes(key[4 * word : 4 * word + 4], "big")',
        "The key's bytes are turned round in each register.",
        Cites("Verifying the RSS hash calculation: the key in network order", "DPDK and Linux rss key swaps"),
    ),
    Fault(
        "MF-12",
        Subject.MINIPORT,
        RSS,
        "        merged = wanted.merged_over(self.parameters)\n        self._check_types",
        "        merged = self.parameters = wanted.merged_over(self.parameters)\n        self._check_types",
        "A rejected RSS set is in force after the next reset.",
        Cites("INV-52: a set that fails leaves the previous one in force", "1c_Mini6RSSOids"),
    ),
    Fault(
        "MF-13",
        Subject.MINIPORT,
        RSS,
        "        beyond = [cpu for cpu in (*table, merged.default_processor) if cpu >= self._processors]\n",
        "        beyond = [cpu for cpu in () if cpu >= self._processors]\n",
        "A table that names processors that are not there is taken.",
        Cites("NDIS_RECEIVE_SCALE_PARAMETERS: entries name RSS processors", "kvm-guest-drivers #730"),
    ),
    Fault(
        "MF-14",
        Subject.MINIPORT,
        "vnic/miniport/receive.py",
        "            nbl.set_hash(entry.hash_type << _HASH_TYPE_SHIFT, HASH_FUNCTION_TOEPLITZ, entry.hash)\n",
        "            nbl.set_hash(0x100, HASH_FUNCTION_TOEPLITZ, entry.hash)\n",
        "Every hash is said to be of IPv4.",
        Cites("INV-53: NET_BUFFER_LIST_SET_HASH_TYPE is what was hashed", "lp1879531"),
    ),
    # -- chimney ---------------------------------------------------------------------------------------------
    Fault(
        "MF-15",
        Subject.MINIPORT,
        TERMINATE,
        "        state.BufferedData = connection.receiving.give_out()\n",
        "        connection.receiving.drop()\n",
        "Received data that nobody has read is thrown away at terminate.",
        Cites("INV-20: bytes delivered and BufferedData are all that RcvNxt moved by"),
    ),
    Fault(
        "MF-16",
        Subject.MINIPORT,
        "vnic/miniport/chimney_receiving.py",
        "_SUCCESS if is_whole else status",
        "_SUCCESS",
        "A receive that is cut off by a reset succeeds.",
        Cites("INV-30: after a RST every request ends NDIS_STATUS_REQUEST_ABORTED"),
    ),
    Fault(
        "MF-17",
        Subject.MINIPORT,
        "vnic/miniport/chimney_receiving.py",
        "        self._of.credit(used)\n        return done\n",
        "        return done\n",
        "Data that came through the pool opens no window when it is read.",
        Cites("CHM-45: the window opens by what CREDIT says was consumed", "ETH TOE #21"),
    ),
    Fault(
        "MF-18",
        Subject.MINIPORT,
        TERMINATE,
        "        yield from bottom_up(each.DependentBlockList)\n        yield each\n",
        "        yield each\n        yield from bottom_up(each.DependentBlockList)\n",
        "Neighbors and paths are terminated before the connections on them.",
        Cites("INV-11: no neighbor or path is terminated under its dependents"),
    ),
    Fault(
        "MF-19",
        Subject.MINIPORT,
        "vnic/miniport/chimney_sending.py",
        "            done.append(request.end(status, request.acked))\n        return done\n",
        "            done.append(request.end(status, request.length))\n        return done\n",
        "A send that failed is said to be transferred whole.",
        Cites("INV-18: bytes reported transferred are bytes acknowledged"),
    ),
)
