"""Mistakes in the reference miniport: values of OIDs, task offloads, processors of RSS."""

from __future__ import annotations

from tests.seeded.fault import Cites, Fault, Subject

CONTEXT = "vnic/miniport/context.py"
OFFLOAD = "vnic/miniport/offload.py"
OIDS = "vnic/miniport/oids.py"
RSS = "vnic/miniport/rss.py"


FAULTS = (
    # -- OIDs and offloads ---------------------------------------------------------------------------------
    Fault(
        "MF-20",
        Subject.MINIPORT,
        OIDS,
        "    if state not in (InterruptModerationState.ENABLED, InterruptModerationState.DISABLED):\n",
        "    if state not in InterruptModerationState:\n",
        "Interrupt moderation set to something else than on or off is off.",
        Cites("NDIS_INTERRUPT_MODERATION_PARAMETERS: NdisInterruptModerationEnabled or -Disabled in a set"),
    ),
    Fault(
        "MF-21",
        Subject.MINIPORT,
        OIDS,
        "    adapter.card.offloads.set_encapsulation(data)\n    _tell_offloads(adapter)\n",
        "    adapter.card.offloads.set_encapsulation(data)\n",
        "After OID_OFFLOAD_ENCAPSULATION nobody is told of the new configuration.",
        Cites("OID_OFFLOAD_ENCAPSULATION: NDIS_STATUS_TASK_OFFLOAD_CURRENT_CONFIG"),
    ),
    Fault(
        "MF-22",
        Subject.MINIPORT,
        OFFLOAD,
        "        if wanted.exceeds(self.able):\n"
        '            raise StructureError(NDIS_STATUS.NOT_SUPPORTED, "an offload that '
        'the hardware does not have")\n        self._wanted = wanted.combined()\n',
        "        self._wanted = wanted.combined()\n        if wanted.exceeds(self.able):\n"
        '            raise StructureError(NDIS_STATUS.NOT_SUPPORTED, "an offload that '
        'the hardware does not have")\n',
        "A refused set of offload parameters is in force with the next one.",
        Cites("OID_TCP_OFFLOAD_PARAMETERS: a set that fails changes nothing"),
    ),
    Fault(
        "MF-23",
        Subject.MINIPORT,
        CONTEXT,
        "        offset += 8 + 8 * length\n",
        "        offset += 8\n",
        "Every IPv6 extension header is taken for one of eight bytes.",
        Cites("RFC 8200 4.3: Hdr Ext Len counts units of 8 octets beyond the first"),
    ),
    Fault(
        "MF-24",
        Subject.MINIPORT,
        CONTEXT,
        '_TAGS = (b"\\x81\\x00", b"\\x88\\xa8")\n',
        '_TAGS = (b"\\x81\\x00",)\n',
        "Behind a service tag the headers are looked for in the wrong place.",
        Cites(
            "IEEE 802.1Q 9.5: the S-TAG has Ethertype 88-A8",
            "CVE-2023-6693: header lengths that do not agree",
        ),
    ),
    # -- RSS -----------------------------------------------------------------------------------------------
    Fault(
        "MF-25",
        Subject.MINIPORT,
        RSS,
        "        default = parameters.default_processor if parameters.revision >= 3 else homes[0]\n",
        "        default = homes[0]\n",
        "Frames without a hash do not go to the default processor.",
        Cites(
            "NDIS_RECEIVE_SCALE_PARAMETERS.DefaultProcessorNumber, revision 3",
            "kvm-guest-drivers #730",
        ),
    ),
    Fault(
        "MF-26",
        Subject.MINIPORT,
        RSS,
        '    base = settings["*RssBaseProcNumber"]\n',
        "    base = 0\n",
        "*RssBaseProcNumber is ignored.",
        Cites("Standardized INF keywords for RSS: *RssBaseProcNumber"),
    ),
    Fault(
        "MF-27",
        Subject.MINIPORT,
        RSS,
        '[: settings["*MaxRssProcessors"]]',
        "",
        "*MaxRssProcessors is ignored.",
        Cites("Standardized INF keywords for RSS: *MaxRssProcessors"),
    ),
    Fault(
        "MF-28",
        Subject.MINIPORT,
        RSS,
        "        return self._commit(HashType(0), bytes(SECRET_KEY_BYTES), (0,), 0, is_on=False)\n",
        "        return True\n",
        "Switched off, RSS stays as it was in the card.",
        Cites("INV-56: DISABLE_RSS leads back to the state after initialization"),
    ),
)
