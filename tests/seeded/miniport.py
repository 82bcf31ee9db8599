"""Mistakes in the reference miniport: rings, sends, receives, life, interrupts, power and removal."""

from __future__ import annotations

from tests.seeded.fault import Cites, Fault, Subject

ADAPTER = "vnic/miniport/adapter.py"
CARD = "vnic/miniport/card.py"
INTERRUPTS = "vnic/miniport/interrupts.py"
RECEIVE = "vnic/miniport/receive.py"
RING = "vnic/miniport/ring.py"
TRANSMIT = "vnic/miniport/transmit.py"


FAULTS = (
    # -- rings -----------------------------------------------------------------------------------------------
    Fault(
        "MP-1",
        Subject.MINIPORT,
        TRANSMIT,
        "            self._ask_report(self._posted[-1])\n            self._announce(self.ring.tail_index)\n",
        "            self._announce(self.ring.tail_index)\n            self._ask_report(self._posted[-1])\n",
        "The tail is written before the last descriptor is complete.",
        Cites("RING-8: a descriptor is complete before the TAIL that hands it over", "QEMU gitlab 402"),
    ),
    Fault(
        "MP-2",
        Subject.MINIPORT,
        RING,
        "        return self.tail % self.count\n",
        "        return (self.tail - 1) % self.count + 1\n",
        "At the end of the ring the tail is the size, not 0.",
        Cites("RING-6: TAIL is below COUNT", "CVE-2016-1981"),
    ),
    Fault(
        "MP-3",
        Subject.MINIPORT,
        RING,
        "        return self.count - 1 - (self.tail - self.head)\n",
        "        return self.count - (self.tail - self.head)\n",
        "A full ring looks like an empty one: no slot is left free.",
        Cites("RING-1: HEAD = TAIL means that the device owns nothing"),
    ),
    Fault(
        "MP-4",
        Subject.MINIPORT,
        RING,
        "        is_odd_pass = self._taken // self.count % 2 == 0\n",
        "        is_odd_pass = True\n",
        "The generation that is waited for does not change at the ring's end.",
        Cites("RING-11: an entry is new when its GEN is that of the driver's own pass"),
    ),
    Fault(
        "MP-5",
        Subject.MINIPORT,
        RING,
        "        return (self._taken - 1) % self.count\n",
        "        return self._taken % self.count\n",
        "One completion slot more is given back than was read.",
        Cites("RING-1: COUNT - 1 entries at the most are the device's"),
    ),
    # -- sends -----------------------------------------------------------------------------------------------
    Fault(
        "MP-6",
        Subject.MINIPORT,
        TRANSMIT,
        "            if self._end(packet, status):\n                done.append(packet.send.finish())\n"
        "        self.ring.clear()\n",
        "            self._release(packet)\n        self.ring.clear()\n",
        "Sends that are in the ring at a reset are never completed.",
        Cites("MINIPORT_RESET: the miniport completes all pending sends", "win-net-test #67"),
    ),
    Fault(
        "MP-7",
        Subject.MINIPORT,
        TRANSMIT,
        "        self.left -= 1\n        return self.left == 0\n",
        "        self.left -= 1\n        return True\n",
        "A NET_BUFFER_LIST is completed with each of its NET_BUFFERs.",
        Cites("NdisMSendNetBufferListsComplete: once for each list", "win-net-test #14, #17"),
    ),
    Fault(
        "MP-8",
        Subject.MINIPORT,
        TRANSMIT,
        "                segments += self._bus.map(address, len(part), Direction.TO_DEVICE)\n",
        "                segments += self._bus.map(address, len(part), Direction.TO_DEVICE)[:1]\n",
        "Of a buffer that crosses a page only the first fragment is sent.",
        Cites("MapTransfer and scatter/gather lists: an MDL may be many segments", "QEMU gitlab 537"),
    ),
    Fault(
        "MP-9",
        Subject.MINIPORT,
        TRANSMIT,
        "        self._write(\n"
        "            Packet(send, self.ring.tail, segments, None, send.offload.payload(packet, context)),\n"
        "            context,\n            segments,\n        )\n",
        "        self._write(\n"
        "            Packet(send, self.ring.tail, [], None, send.offload.payload(packet, context)),\n"
        "            context,\n            segments,\n        )\n"
        "        self._bus.unmap(segments, Direction.TO_DEVICE)\n",
        "A send is unmapped as soon as it is in the ring, before the card has read it.",
        Cites("RING-8: what a descriptor names is left alone until its completion"),
    ),
    Fault(
        "MP-10",
        Subject.MINIPORT,
        TRANSMIT,
        "self._bus.map(address, len(part), Direction.TO_DEVICE)",
        "self._bus.map(address, len(part), Direction.FROM_DEVICE)",
        "Sends are mapped in the wrong direction.",
        Cites("Linux core-api/dma-api: DMA_TO_DEVICE is memory that the device reads"),
    ),
    Fault(
        "MP-11",
        Subject.MINIPORT,
        TRANSMIT,
        "send.cancel_id == cancel_id and not send.has_begun]",
        "not send.has_begun]",
        "Whatever waits is cancelled, whoever asked for what.",
        Cites("MINIPORT_CANCEL_SEND: those that are marked with the CancelId"),
    ),
    Fault(
        "MP-12",
        Subject.MINIPORT,
        TRANSMIT,
        "        named = [send for send, _ in self._waiting if send.cancel_id == cancel_id "
        "and not send.has_begun]\n",
        "        return []\n        named = []\n",
        "A cancelled send that waits is sent all the same.",
        Cites("MINIPORT_CANCEL_SEND: removed from the queue and completed NDIS_STATUS_SEND_ABORTED"),
    ),
    Fault(
        "MP-13",
        Subject.MINIPORT,
        TRANSMIT,
        "_status(entry.status) if is_named else NDIS_STATUS.SUCCESS",
        "NDIS_STATUS.SUCCESS",
        "The status of a transmit completion is not looked at.",
        Cites("NET_BUFFER_LIST.Status tells how the send ended", "igb and e1000e of QEMU ignore DMA status"),
    ),
    Fault(
        "MP-14",
        Subject.MINIPORT,
        TRANSMIT,
        "            if status == NDIS_STATUS.PENDING:\n                break\n",
        "            if status == NDIS_STATUS.PENDING:\n                status = NDIS_STATUS.RESOURCES\n",
        "When the ring is full sends fail instead of waiting.",
        Cites("MINIPORT_SEND_NET_BUFFER_LISTS: without resources a miniport queues the list"),
    ),
    # -- receives --------------------------------------------------------------------------------------------
    Fault(
        "MP-15",
        Subject.MINIPORT,
        RECEIVE,
        "        if entry.error != RxError.NONE:\n"
        "            self._spare.extend(each for each, _ in frame)\n            return None\n",
        "",
        "A receive completion's error is not looked at.",
        Cites(
            "RX-12: a completion with ERROR ends a frame that is not whole",
            "igb and e1000e of QEMU ignore DMA status",
        ),
    ),
    Fault(
        "MP-16",
        Subject.MINIPORT,
        RECEIVE,
        "        if not entry.eop:\n            return None\n        frame, self._frame = self._frame, []\n",
        "        if not entry.eop and len(self._frame) < 2:\n            return None\n"
        "        frame, self._frame = self._frame[-1:] if len(self._frame) > 2 else self._frame, []\n",
        "A frame in more than two buffers loses the others.",
        Cites("PROG-14: a frame is what lies from SOP to EOP", "QEMU 6da0c98281"),
    ),
    Fault(
        "MP-17",
        Subject.MINIPORT,
        RECEIVE,
        "Vlan(tci >> 13, bool(tci >> 12 & 1), tci & 0xFFF).value",
        "Vlan(0, False, tci & 0xFFF).value",
        "A stripped tag loses its priority.",
        Cites("NDIS_NET_BUFFER_LIST_8021Q_INFO: UserPriority, CanonicalFormatId and VlanId of the tag"),
    ),
    Fault(
        "MP-18",
        Subject.MINIPORT,
        RECEIVE,
        "        nbl.clear_info()\n",
        "",
        "Out-of-band information of the frame before is still there.",
        Cites("NET_BUFFER_LIST_INFO: what is not set is zero", "msquic #5080"),
    ),
    Fault(
        "MP-19",
        Subject.MINIPORT,
        ADAPTER,
        "        if harvest.must_lend:\n            flags |= ReceiveFlag.RESOURCES\n",
        "",
        "Buffers are taken back at once though RESOURCES was not set.",
        Cites("NDIS_RECEIVE_FLAGS_RESOURCES: only then the lists are the miniport's when the call returns"),
    ),
    # -- life ------------------------------------------------------------------------------------------------
    Fault(
        "MP-20",
        Subject.MINIPORT,
        ADAPTER,
        "        card.program()\n\n    def _give_up",
        "        card.program()\n        self.is_running = True\n        card.filter.open(True)\n"
        "        self._early = card.filter.set_packet_filter(0x0B)\n\n    def _give_up",
        "Frames are received before MiniportRestart.",
        Cites("Miniport adapter states: an initialized adapter is Paused, and indicates nothing", "xdp #125"),
    ),
    Fault(
        "MP-21",
        Subject.MINIPORT,
        ADAPTER,
        "        if self.card.has_nbls:\n            self._is_pause_pending = True\n",
        "        if self.card.packets_outstanding:\n            self._is_pause_pending = True\n",
        "A pause is complete while protocols still have received lists.",
        Cites("MINIPORT_PAUSE: waits until all indicated lists are returned", "xdp #510, #534"),
    ),
    Fault(
        "MP-22",
        Subject.MINIPORT,
        ADAPTER,
        "        if not self.is_running:\n            return NDIS_STATUS.PAUSED\n",
        "",
        "A paused adapter sends.",
        Cites("MINIPORT_PAUSE: new sends are completed NDIS_STATUS_PAUSED"),
    ),
    Fault(
        "MP-23",
        Subject.MINIPORT,
        ADAPTER,
        "        if not self.is_running:\n            queue.recycle(nbls)\n            return\n        flags",
        "        flags",
        "Frames that were in the ring at a pause are indicated in it.",
        Cites("MINIPORT_PAUSE: no receive is indicated any more", "xdp #125"),
    ),
    Fault(
        "MP-24",
        Subject.MINIPORT,
        ADAPTER,
        "        if self._card is not None:\n            self._card.close()\n"
        "        self._card = self._handle = None\n"
        "        return status\n",
        "        self._card = self._handle = None\n        return status\n",
        "What was allocated stays allocated when initialization fails.",
        Cites("MINIPORT_INITIALIZE: a miniport that fails undoes all it has done"),
    ),
    Fault(
        "MP-25",
        Subject.MINIPORT,
        ADAPTER,
        "            if not self.is_low_power:\n                card.program()\n        except RingFault:\n",
        "            if not self.is_low_power:\n                card.filter.packet_filter = 0\n"
        "                card.filter.multicast = ()\n                card.program()\n"
        "        except RingFault:\n",
        "A reset loses the packet filter and the multicast list.",
        Cites("MINIPORT_RESET: without AddressingReset the filters are as before"),
    ),
    # -- interrupts ------------------------------------------------------------------------------------------
    Fault(
        "MP-26",
        Subject.MINIPORT,
        INTERRUPTS,
        "            # A message was ours whatever the register says: an earlier ISR read the cause.\n"
        "            return InterruptResult(self.kind != InterruptKind.INTX)\n",
        "            return InterruptResult(True)\n",
        "On a shared line every interrupt is claimed.",
        Cites("MINIPORT_ISR: FALSE when the device did not interrupt", "QEMU bz1447935"),
    ),
    Fault(
        "MP-27",
        Subject.MINIPORT,
        ADAPTER,
        "        else:\n            interrupts.end_queue(queue)\n",
        "        elif harvest.received:\n            interrupts.end_queue(queue)\n",
        "The vector is not enabled again when the DPC found no received frame.",
        Cites("INT-6: with AUTO_MASK a vector waits for the driver", "netkvm #1033"),
    ),
    Fault(
        "MP-28",
        Subject.MINIPORT,
        ADAPTER,
        "        if harvest.has_more or queue.poll_again:\n",
        "        if queue.poll_again:\n",
        "A DPC that used up its budget does not come back for the rest.",
        Cites("INT-1: a completion that was written before is no new cause", "netkvm #1312"),
    ),
    # -- power and removal -----------------------------------------------------------------------------------
    Fault(
        "MP-29",
        Subject.MINIPORT,
        "vnic/miniport/bringup.py",
        "    registers.write(BAR0.GLB_CTRL, GlbCtrl.RESET)\n",
        "    registers.write(BAR0.GLB_CTRL, GlbCtrl.RESET)\n"
        "    while registers.read(BAR0.GLB_CTRL) & GlbCtrl.RESET:\n        pass\n",
        "A wait for the end of a reset never ends when the card is gone.",
        Cites("PROG-25 and RST-9: when the card is gone, waiting ends", "openvmm #3022"),
    ),
    Fault(
        "MP-30",
        Subject.MINIPORT,
        ADAPTER,
        "        self._complete_sends(self.card.forget(NDIS_STATUS.ADAPTER_REMOVED))\n",
        "        self.card.forget(NDIS_STATUS.ADAPTER_REMOVED)\n",
        "A surprise removal loses the sends that are in the ring.",
        Cites("Handling surprise removal: all outstanding sends are completed", "win-net-test #67"),
    ),
    Fault(
        "MP-31",
        Subject.MINIPORT,
        ADAPTER,
        "        reset_device(self.card.registers)\n        try:\n            self.card.program()\n"
        "        except RingFault:\n            self.handle.m_reset_miniport()\n"
        "        self.is_low_power = False\n",
        "        self.is_low_power = False\n",
        "Back in D0 the card is taken for programmed.",
        Cites("PROG-24 and OID_PNP_SET_POWER: after D3hot the card is programmed anew"),
    ),
    Fault(
        "MP-32",
        Subject.MINIPORT,
        ADAPTER,
        "        self._chimney.resume()\n        self._report_link()\n\n    # -- trouble",
        "        self._chimney.resume()\n        self.card.link.news(self.handle)\n\n    # -- trouble",
        "A link that changed during D3 is not told of at D0.",
        Cites("NDIS_STATUS_LINK_STATE: each change is indicated", "RHEL-21867"),
    ),
    Fault(
        "MP-33",
        Subject.MINIPORT,
        CARD,
        "        self.interrupts.quiet()\n        self.statistics.keep()\n",
        "        self.interrupts.quiet()\n",
        "A reset sets the statistics back to zero.",
        Cites("OID_GEN_STATISTICS: counters since initialization, and they never go back"),
    ),
)
