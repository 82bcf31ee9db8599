"""Mistakes in the reference miniport: settings, link, statistics, buffers and errors."""

from __future__ import annotations

from tests.seeded.fault import Cites, Fault, Subject

ADAPTER = "vnic/miniport/adapter.py"
BUFFERS = "vnic/miniport/buffers.py"
FILTERS = "vnic/miniport/filters.py"
INTERRUPTS = "vnic/miniport/interrupts.py"
LINK = "vnic/miniport/link.py"
RECEIVE = "vnic/miniport/receive.py"
STATISTICS = "vnic/miniport/statistics.py"
TRANSMIT = "vnic/miniport/transmit.py"


FAULTS = (
    # -- settings, link and statistics ---------------------------------------------------------------------
    Fault(
        "MP-34",
        Subject.MINIPORT,
        FILTERS,
        "_VLAN_ID_MAX = 4094\n",
        "_VLAN_ID_MAX = 4095\n",
        "VLAN id 4095 is taken.",
        Cites("OID_GEN_VLAN_ID; IEEE 802.1Q 9.6: 0xFFF is reserved", "kvm-guest-drivers #600"),
    ),
    Fault(
        "MP-35",
        Subject.MINIPORT,
        ADAPTER,
        "        self.card.interrupts.quiet()\n        reset_device(self.card.registers)\n"
        "        self.card.bus.set_master(False)\n",
        "        self.card.interrupts.quiet()\n",
        "A shutdown quiets interrupts and lets the rings run.",
        Cites(
            "MINIPORT_SHUTDOWN: the hardware to its initial state; DMA and interrupts are off",
            "kvm-guest-drivers #350",
        ),
    ),
    Fault(
        "MP-36",
        Subject.MINIPORT,
        ADAPTER,
        "        self.check_pause()\n        self._report_link()\n",
        "        self.check_pause()\n",
        "A link that changed while the card was reset is not told of.",
        Cites("NDIS_STATUS_LINK_STATE: each change is indicated"),
    ),
    Fault(
        "MP-37",
        Subject.MINIPORT,
        LINK,
        "        if before == self.state:\n",
        "        if before.connect == self.state.connect:\n",
        "A link that comes back with another speed is no news.",
        Cites("NDIS_STATUS_LINK_STATE: connect state, speed or duplex changed"),
    ),
    Fault(
        "MP-38",
        Subject.MINIPORT,
        STATISTICS,
        '"RX_DROP_QUEUE", "RX_DROP_NO_DESCRIPTOR",\n',
        '"RX_DROP_QUEUE",\n',
        "Frames without a buffer are not among ifInDiscards.",
        Cites("NDIS_STATISTICS_INFO.ifInDiscards; RFC 2863"),
    ),
    Fault(
        "MP-39",
        Subject.MINIPORT,
        STATISTICS,
        '_OUT_DISCARDS = ("TX_DROP_LINK",)\n',
        "_OUT_DISCARDS: tuple[str, ...] = ()\n",
        "Sends that the card dropped for want of a link are counted nowhere.",
        Cites("NDIS_STATISTICS_INFO.ifOutDiscards; RFC 2863"),
    ),
    Fault(
        "MP-40",
        Subject.MINIPORT,
        FILTERS,
        "        self._write_multicast()\n        self._write_vlan()\n        self.write_control()\n",
        "        self._write_multicast()\n        self.write_control()\n",
        "A reset empties the card's VLAN table for good.",
        Cites("MINIPORT_RESET: settings stand over it"),
    ),
    Fault(
        "MP-41",
        Subject.MINIPORT,
        FILTERS,
        "min(self._frame_bytes + _TAG_BYTES, 0xFFFF)",
        "min(self._frame_bytes, 0xFFFF)",
        "The longest frame with a tag is too long.",
        Cites(
            "OID_GEN_MAXIMUM_FRAME_SIZE: the tag is not part of it; IEEE 802.3 3.2.7",
            "ixgbevf: Fix broken trunk vlan",
        ),
    ),
    # -- sends, receives and interrupts --------------------------------------------------------------------
    Fault(
        "MP-42",
        Subject.MINIPORT,
        TRANSMIT,
        "        self._release(packet)\n        if status == NDIS_STATUS.SUCCESS:\n"
        "            packet.send.payload += packet.payload\n"
        "        return packet.send.end_packet(status)\n\n"
        "    def _release(self, packet: Packet) -> None:\n"
        "        if packet.bounce is not None:\n            packet.bounce.is_taken = False\n",
        "        self._release(packet)\n        if status == NDIS_STATUS.SUCCESS:\n"
        "            packet.send.payload += packet.payload\n"
        "            if packet.bounce is not None:\n"
        "                packet.bounce.is_taken = False\n"
        "        return packet.send.end_packet(status)\n\n"
        "    def _release(self, packet: Packet) -> None:\n",
        "A packet that failed keeps the bounce buffer for ever.",
        Cites("What a send held is free when it ends, however it ends"),
    ),
    Fault(
        "MP-43",
        Subject.MINIPORT,
        TRANSMIT,
        "            if self._end(packet, _status(entry.status) if is_named else NDIS_STATUS.SUCCESS):\n",
        "            if self._end(packet, _status(entry.status)):\n",
        "One status is taken for all the packets that a completion covers.",
        Cites("TX-18 and RING-12: STATUS is that of the frame at INDEX"),
    ),
    Fault(
        "MP-44",
        Subject.MINIPORT,
        TRANSMIT,
        "        except Exception:\n"
        "            self._bus.unmap(segments, Direction.TO_DEVICE)\n            raise\n"
        "        return segments\n",
        "        except ValueError:\n"
        "            self._bus.unmap(segments, Direction.TO_DEVICE)\n            raise\n"
        "        return segments\n",
        "A send of which a later piece cannot be mapped leaves the earlier pieces mapped.",
        Cites("Linux core-api/dma-api: what was mapped is unmapped on the error path"),
    ),
    Fault(
        "MP-45",
        Subject.MINIPORT,
        TRANSMIT,
        "        except (AllocationError, CapacityError):\n"
        "            return NDIS_STATUS.RESOURCES\n        self._write(",
        "        except (AllocationError, CapacityError):\n"
        "            return NDIS_STATUS.PENDING\n        self._write(",
        "A send that cannot be mapped waits, though nothing will ever wake it.",
        Cites("MINIPORT_SEND_NET_BUFFER_LISTS: every list is completed"),
    ),
    Fault(
        "MP-46",
        Subject.MINIPORT,
        ADAPTER,
        "        if harvest.must_lend:\n            queue.recycle(nbls)\n",
        "        if queue.receive.is_short:\n            queue.recycle(nbls)\n",
        "Whether lists were only lent is asked a second time, after the protocols had them.",
        Cites(
            "NDIS_RECEIVE_FLAGS_RESOURCES: the flag decides who has the lists when the call returns",
            "kvm-guest-drivers #1576",
        ),
    ),
    Fault(
        "MP-47",
        Subject.MINIPORT,
        BUFFERS,
        "        self.mdl.buffer = self.view[:length]\n        self.mdl.next = None\n",
        "        self.mdl.buffer = self.view[:length]\n",
        "The MDL of a buffer is still linked as in the frame before.",
        Cites("NET_BUFFER: the MDL chain describes the data", "kvm-guest-drivers #1641"),
    ),
    Fault(
        "MP-48",
        Subject.MINIPORT,
        RECEIVE,
        "        tcp = entry.l4_csum if entry.tcp and wanted.tcp_checksum else CsumResult.NONE\n",
        "        tcp = entry.l4_csum if wanted.tcp_checksum else CsumResult.NONE\n",
        "The verdict on a UDP checksum is reported for TCP, too.",
        Cites("NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO: TcpChecksumSucceeded is of TCP"),
    ),
    Fault(
        "MP-49",
        Subject.MINIPORT,
        INTERRUPTS,
        "        self.moderation_ns = interval_ns\n"
        "        for vector in {*(queue.vector for queue in self._queues), "
        "self.event_vector}:\n",
        "        self.moderation_ns = interval_ns\n"
        "        for vector in {self._queues[0].vector, self.event_vector}:\n",
        "A change of interrupt moderation reaches the first queue only.",
        Cites("OID_GEN_INTERRUPT_MODERATION: a set that succeeds is in force; INT-6"),
    ),
    # -- several processors --------------------------------------------------------------------------------
    Fault(
        "MP-50",
        Subject.MINIPORT,
        ADAPTER,
        "        if queue.is_polling:\n            queue.poll_again = True\n            return\n",
        "        if queue.is_polling:\n            return\n",
        "A DPC that finds its queue busy on another processor lets that one not know.",
        Cites("INT-1: a completion that was written before is no new cause", "kvm-guest-drivers #1336"),
    ),
    Fault(
        "MP-51",
        Subject.MINIPORT,
        ADAPTER,
        "        if self._is_pause_pending and not self.card.has_nbls and not self._is_busy():\n",
        "        if self._is_pause_pending and not self.card.has_nbls:\n",
        "A pause is complete while a DPC is about to indicate what it has taken.",
        Cites("MINIPORT_PAUSE: waits until all indications have returned", "npcap #390"),
    ),
)
