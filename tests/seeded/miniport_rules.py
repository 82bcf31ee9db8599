"""Mistakes in the reference miniport that rules without a case had let through: limits and crossings."""

from __future__ import annotations

from tests.seeded.fault import Cites, Fault, Subject

FAULTS = (
    Fault(
        "MP-121",
        Subject.MINIPORT,
        "vnic/miniport/chimney_mood.py",
        (
            "        if self.is_uploading and has_parent(root):\n"
            "            self._refuse(root)  # its parent must go, and cannot as long as it waits\n"
            "        elif"
        ),
        "        if",
        "An initiate below a path that is to be uploaded waits for OFFLOAD_RESUME, and that for its path.",
        Cites("INV-11, INV-41"),
    ),
    Fault(
        "MP-122",
        Subject.MINIPORT,
        "vnic/miniport/adapter.py",
        ("            self._chimney.start()\n            self._chimney.resume()\n"),
        ("            self._chimney.start()\n        self._chimney.resume()\n"),
        "OFFLOAD_RESUME is told when any ring was restarted, though the card still asks for a pause.",
        Cites("INV-41"),
    ),
    Fault(
        "MP-123",
        Subject.MINIPORT,
        "vnic/miniport/chimney_adoption.py",
        ("        if self._has_fin:\n            self._chimney.give_send_work(1)\n"),
        "",
        "A refused connection that was closing keeps the room of its FIN.",
        Cites("CHM-22"),
    ),
    Fault(
        "MP-124",
        Subject.MINIPORT,
        "vnic/miniport/chimney_adoption.py",
        (
            "        for request in self._requests:\n"
            "            self._chimney.give_send_work(request.pieces_posted)\n"
        ),
        "        for request in self._requests:\n",
        "A refused connection keeps the room of its send data.",
        Cites("CHM-22"),
    ),
    Fault(
        "MP-125",
        Subject.MINIPORT,
        "vnic/miniport/rss.py",
        "    if old is not None and wanted.flags & ReceiveHashFlag.HASH_INFO_UNCHANGED:",
        "    if old is not None:",
        "A second set of the receive hash changes the key only.",
        Cites("OID_GEN_RECEIVE_HASH"),
    ),
    Fault(
        "MP-126",
        Subject.MINIPORT,
        "vnic/miniport/chimney_connection.py",
        ("                if is_held:\n                    continue\n"),
        ("                if is_held:\n                    return\n"),
        "An abortive disconnect waits behind a graceful one that waits for room.",
        Cites("INV-29, INV-31"),
    ),
    Fault(
        "MP-127",
        Subject.MINIPORT,
        "vnic/miniport/chimney_requests.py",
        (
            '        """The oldest part came back without being sent; returns its pieces."""\n'
            "        part = self.parts.pop(0)\n"
            "        self.parts_posted -= 1\n"
        ),
        (
            '        """The oldest part came back without being sent; returns its pieces."""\n'
            "        part = self.parts.pop(0)\n"
            "        self.parts_posted -= 1\n"
            "        self.acked += sum(segment.len for segment in part)\n"
        ),
        "A part that the card refused counts as acknowledged.",
        Cites("INV-16, INV-19"),
    ),
    Fault(
        "MP-128",
        Subject.MINIPORT,
        "vnic/miniport/chimney_work.py",
        "        self._receives -= pieces",
        "        self._receives += pieces",
        "The room of a receive is taken a second time when it comes back.",
        Cites("CHM-22"),
    ),
    Fault(
        "MP-129",
        Subject.MINIPORT,
        "vnic/miniport/chimney_adapter.py",
        "            self._adapter.card.mood.refuse_waiting()",
        "            pass",
        "Initiates that wait for the end of a pause are forgotten when the NIC is removed.",
        Cites("INV-1"),
    ),
    Fault(
        "MP-130",
        Subject.MINIPORT,
        "vnic/miniport/chimney_images.py",
        "    image.retransmit_count = delegated.Retransmit.Count\n",
        "",
        "Retransmit.Count is not handed to the card.",
        Cites("INV-14"),
    ),
    Fault(
        "MP-131",
        Subject.MINIPORT,
        "vnic/miniport/oids.py",
        "    if chimney.has_objects or chimney.commands.outstanding:",
        "    if chimney.commands.outstanding:",
        "Parameters of connections are set while connections are offloaded, which ends them.",
        Cites("OID_TCP_CONNECTION_OFFLOAD_PARAMETERS"),
    ),
    Fault(
        "MP-132",
        Subject.MINIPORT,
        "vnic/miniport/oids.py",
        ("        chimney.settings.parameters = before\n        chimney.restart()\n"),
        "        chimney.settings.parameters = before\n",
        "After parameters that the card refused the chimney stays off.",
        Cites("OID_TCP_CONNECTION_OFFLOAD_PARAMETERS"),
    ),
    Fault(
        "MP-133",
        Subject.MINIPORT,
        "vnic/miniport/oids.py",
        "    if is_fixed or wanted.duplex is MediaDuplexState.HALF:",
        "    if is_fixed:",
        "Half duplex is granted by a link that has full duplex only.",
        Cites("OID_GEN_LINK_PARAMETERS"),
    ),
    Fault(
        "MP-134",
        Subject.MINIPORT,
        "vnic/miniport/chimney_receiving.py",
        ("        of.credit(consumed)\n        if of.is_lost"),
        "        if of.is_lost",
        "What the host takes of an indication that it accepts in part never opens the window.",
        Cites("INV-26"),
    ),
    Fault(
        "MP-135",
        Subject.MINIPORT,
        "vnic/miniport/chimney_receiving.py",
        "            if not request.is_posted_whole:",
        "            if False:",
        "A receive follows one that the card has in part only.",
        Cites("INV-24"),
    ),
    Fault(
        "MP-136",
        Subject.MINIPORT,
        "vnic/miniport/chimney_status.py",
        "    return NDIS_STATUS.INVALID_STATE if status == ChmStatus.AFTER_FIN else request_status(status)",
        "    return request_status(status)",
        "A receive that crosses the FIN ends with UPLOAD_IN_PROGRESS.",
        Cites("INV-32"),
    ),
    Fault(
        "MP-137",
        Subject.MINIPORT,
        "vnic/miniport/chimney_initiate.py",
        ("        if self._is_lost:\n            fail_all(self._root)\n"),
        "",
        "Blocks of an initiate that a reset overtook keep SUCCESS without a context.",
        Cites("INV-2"),
    ),
    Fault(
        "MP-138",
        Subject.MINIPORT,
        "vnic/miniport/offload.py",
        ("        able = self.able\n        checksum = ChecksumTask("),
        ("        able = self.on\n        checksum = ChecksumTask("),
        "The query of OID_TCP_TASK_OFFLOAD says what is on, not what can be.",
        Cites("OID_TCP_TASK_OFFLOAD"),
    ),
    Fault(
        "MP-139",
        Subject.MINIPORT,
        "vnic/miniport/offload.py",
        ('    ("udp4", "*UDPChecksumOffloadIPv4"),\n    ("tcp6", "*TCPChecksumOffloadIPv6"),\n'),
        ('    ("udp4", "*TCPChecksumOffloadIPv6"),\n    ("tcp6", "*UDPChecksumOffloadIPv4"),\n'),
        "Two keywords of checksums are crossed.",
        Cites("NDIS: Using Registry Values to Enable and Disable Task Offloading"),
    ),
)
