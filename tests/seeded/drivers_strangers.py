"""Mistakes in drivers and in the provider, by an author who had not read the cases: limits, parts, lists."""

from __future__ import annotations

from tests.seeded.fault import Cites, Fault, Subject

FAULTS = (
    Fault(
        "MP-160",
        Subject.MINIPORT,
        "vnic/miniport/offload.py",
        "            if enabled:\n                families[place] = enabled == 1",
        "            families[place] = enabled == 1",
        "OID_OFFLOAD_ENCAPSULATION: NO_CHANGE for one version of IP switches its offloads off.",
        Cites("OID_OFFLOAD_ENCAPSULATION: NDIS_OFFLOAD_SET_NO_CHANGE"),
    ),
    Fault(
        "MP-161",
        Subject.MINIPORT,
        "vnic/miniport/link.py",
        "        if before == self.state:",
        "        if before.connect == self.state.connect:",
        "A link that comes back with another speed between two looks is not told.",
        Cites(
            "NDIS_STATUS_LINK_STATE: any change of speed, duplex or state",
            "netvsc: link speed change not propagated",
        ),
    ),
    Fault(
        "MP-162",
        Subject.MINIPORT,
        "vnic/miniport/statistics.py",
        "        self._kept = self.counters()",
        "        self._kept = self._read()",
        "What was kept over the first reset is forgotten at the second.",
        Cites("OID_GEN_STATISTICS: since initialization", "ixgbe, bnxt: stats lost over reset"),
    ),
    Fault(
        "MP-163",
        Subject.MINIPORT,
        "vnic/miniport/filters.py",
        "            self._registers.write(BAR0.MAC_VLAN, bit, word)",
        "            if bit:\n                self._registers.write(BAR0.MAC_VLAN, bit, word)",
        "A new VLAN id is written without the old one being taken out of the table.",
        Cites("OID_GEN_VLAN_ID", "igb: stale VFTA entries"),
    ),
    Fault(
        "MP-164",
        Subject.MINIPORT,
        "vnic/miniport/transmit.py",
        "if self._bounce.is_taken or self.ring.room < 1 + int(context is not None):",
        "if self._bounce.is_taken or not self.ring.room:",
        (
            "Room for the context descriptor of a copied packet is forgotten: with one slot left the "
            "ring overflows."
        ),
        Cites("spec/rings.md: one slot stays empty", "e1000e: TSO context descriptor not counted"),
    ),
    Fault(
        "MP-165",
        Subject.MINIPORT,
        "vnic/miniport/transmit.py",
        (
            "            if self._end(packet, status):\n"
            "                done.append(packet.send.finish())\n"
            "        self.ring.clear()"
        ),
        (
            "            self._bus.unmap(packet.segments, Direction.TO_DEVICE)\n"
            "            if packet.send.end_packet(status):\n"
            "                done.append(packet.send.finish())\n"
            "        self.ring.clear()"
        ),
        (
            "The bounce buffer of a packet that a reset ended is not free again: no copied packet goes "
            "out any more."
        ),
        Cites("MiniportResetEx: the adapter works afterwards"),
    ),
    Fault(
        "MP-166",
        Subject.MINIPORT,
        "vnic/miniport/transmit.py",
        "is_named = packet.start % ring.count == entry.index",
        "is_named = (packet.end - 1) % ring.count == entry.index",
        "The status of a completion is looked for at the last descriptor of the frame, not the first.",
        Cites("spec/transmit.md: INDEX is the frame's first descriptor"),
    ),
    Fault(
        "MP-167",
        Subject.MINIPORT,
        "vnic/miniport/receive.py",
        (
            "        if entry.error != RxError.NONE:\n"
            "            self._spare.extend(each for each, _ in frame)"
        ),
        "        if entry.error != RxError.NONE:\n            self._spare.append(buffer)",
        "Of a frame in several buffers that ends with an error only the last buffer is given back.",
        Cites("spec/receive.md: errors of a frame", "e1000: jumbo frame with error leaks buffers"),
    ),
    Fault(
        "MP-168",
        Subject.MINIPORT,
        "vnic/miniport/receive.py",
        "        self._posted.clear()\n        self._frame = []\n",
        "        self._posted.clear()\n",
        "A frame that was half received at a reset is not forgotten: the next one is taken for its rest.",
        Cites("PROG-22: rings begin anew", "ixgbe: stale rx_ring->skb after reset"),
    ),
    Fault(
        "MP-169",
        Subject.MINIPORT,
        "vnic/miniport/interrupts.py",
        (
            "        self.moderation_ns = interval_ns\n"
            "        for vector in {*(queue.vector for queue in self._queues), self.event_vector}:"
        ),
        (
            "        self.moderation_ns = interval_ns\n"
            "        for vector in {self._queues[0].vector, self.event_vector}:"
        ),
        "OID_GEN_INTERRUPT_MODERATION reaches the vector of the first queue only.",
        Cites("OID_GEN_INTERRUPT_MODERATION", "igb: ethtool -C sets only q_vector 0"),
    ),
    Fault(
        "MP-170",
        Subject.MINIPORT,
        "vnic/miniport/oids.py",
        "    request.bytes_read = request.buffer_length",
        "    request.bytes_read = size",
        "BytesRead of a set of variable length is the least length: 0 for a multicast list.",
        Cites("NDIS_OID_REQUEST: BytesRead"),
    ),
    Fault(
        "MP-171",
        Subject.MINIPORT,
        "vnic/miniport/rss.py",
        "        self._check_types(HashType(merged.hash_information & ~0xFF))\n",
        "",
        "OID_GEN_RECEIVE_HASH takes hash types that are not offered.",
        Cites("OID_GEN_RECEIVE_HASH"),
    ),
    Fault(
        "MP-172",
        Subject.MINIPORT,
        "vnic/miniport/adapter.py",
        "        self._chimney.resume()\n        self._report_link()",
        "        self._chimney.resume()",
        "A link that changed while the card slept is not told at D0.",
        Cites("NDIS_STATUS_LINK_STATE; OID_PNP_SET_POWER", "e1000e: link state stale after resume"),
    ),
    Fault(
        "MP-173",
        Subject.MINIPORT,
        "vnic/miniport/chimney_sending.py",
        (
            "            acked = 0 if request.unacked else acked\n"
            "            self._of.account.acked += count\n"
        ),
        "            self._of.account.acked += count\n",
        "The acknowledged bytes of the oldest send are counted for every send that ends by an abort.",
        Cites("INV-17, INV-30: bytes transferred"),
    ),
    Fault(
        "MP-174",
        Subject.MINIPORT,
        "vnic/miniport/queue.py",
        "            elif kind in CHIMNEY_TYPES and self._shape.chimney:\n",
        "            elif kind in CHIMNEY_TYPES:\n",
        "An entry of a chimney that is off is passed over, and the descriptor that it came for with it.",
        Cites("PROG-14, PROG-30"),
    ),
    Fault(
        "ND-80",
        Subject.PROVIDER,
        "vnic/netdma/engine_interrupts.py",
        "            if attention >> channel.number & 1:\n                self._notice(channel)\n",
        (
            "            if attention >> channel.number & 1:\n"
            "                self._notice(channel)\n"
            "                break\n"
        ),
        "One interrupt for two channels serves the first of them; ATTNSTATUS is cleared for both.",
        Cites("NetDmaIsr: for each channel that interrupted", "ioatdma: for_each_set_bit over attnstatus"),
    ),
    Fault(
        "ND-81",
        Subject.PROVIDER,
        "vnic/netdma/engine_interrupts.py",
        ("            if self.is_live:\n                self._write_control()\n            return self._bus"),
        "            return self._bus",
        (
            "After another device's interrupt on the line INTRCTRL is not written again: the engine "
            "stays quiet."
        ),
        Cites("spec: INTRCTRL is cleared by reading", "ioatdma: writeb(intrctrl) on the not-ours path"),
    ),
    Fault(
        "ND-82",
        Subject.PROVIDER,
        "vnic/netdma/engine_channel.py",
        "            self.prepare()\n            return True, status.address",
        "            return True, status.address",
        "A channel that failed is not reset: no later chain is taken.",
        Cites("NetDmaInterruptDpc after an error; ProviderStartDma"),
    ),
    Fault(
        "ND-83",
        Subject.PROVIDER,
        "vnic/netdma/engine_channel.py",
        "            if self._is_counted or self._is_suspended:\n",
        "            if self._is_counted:\n",
        "Version 1.x: an append to a suspended channel lets it go on.",
        Cites("ProviderSuspendDma: until ProviderResumeDma"),
    ),
    Fault(
        "ND-84",
        Subject.PROVIDER,
        "vnic/netdma/engine_channel.py",
        (
            "            if not self._is_started or not self._stop():\n"
            "                return NTSTATUS.UNSUCCESSFUL, 0\n"
            "            self._is_suspended = True\n"
            "            last = self.registers.status.address\n"
        ),
        (
            "            last = self.registers.status.address\n"
            "            if not self._is_started or not self._stop():\n"
            "                return NTSTATUS.UNSUCCESSFUL, 0\n"
            "            self._is_suspended = True\n"
        ),
        "The last processed descriptor is read before the channel stands: Suspend names an older one.",
        Cites("ProviderSuspendDma: LastProcessedDescriptor"),
    ),
    Fault(
        "EC-60",
        Subject.C_EXAMPLE,
        "vnic/examples/minimal.c",
        "m->tx_tail = m->tx_head = m->cq_next = 0;",
        "m->tx_tail = m->tx_head = 0;",
        "The place in the completion ring is not reset with the ring.",
        Cites("PROG-22", "vmxnet3: comp_ring.next2proc after reset"),
    ),
    Fault(
        "EC-61",
        Subject.C_EXAMPLE,
        "vnic/examples/minimal.c",
        "    vnic_plain_end(&work, is_sound);",
        "    vnic_plain_end(&work, true);",
        "A completion that makes no sense leads to no reset.",
        Cites("NdisMResetMiniport: hardware failure"),
    ),
    Fault(
        "EC-62",
        Subject.C_EXAMPLE,
        "vnic/examples/minimal.c",
        "    m->mem->rx[m->rx_tail][0] = BUS_ADDR(m, in[buffer]);",
        "    m->mem->rx[m->rx_tail][0] = BUS_ADDR(m, in[m->rx_tail]);",
        "The descriptor names the buffer of its own number, not the one that is posted.",
        Cites("PROG-9"),
    ),
    Fault(
        "EC-63",
        Subject.C_EXAMPLE,
        "vnic/examples/minimal.c",
        " || rx_completion_index(w) != m->rx_head\n       ",
        "\n       ",
        "A receive completion of another descriptor is taken for that of the oldest.",
        Cites("PROG-14: completions in ring order"),
    ),
    Fault(
        "EP-30",
        Subject.PYTHON_EXAMPLE,
        "vnic/examples/minimal.py",
        (
            "            self.registers.write(BAR0.GLB_EVENT, events)\n"
            "            self.tell(self.link.news(self.handle))\n"
        ),
        (
            "            self.tell(self.link.news(self.handle))\n"
            "            self.registers.write(BAR0.GLB_EVENT, events)\n"
        ),
        "Events are cleared after the look: a link that changes in between is not told.",
        Cites("PROG-16: clear first, then look", "e1000e: icr link event lost"),
    ),
    Fault(
        "EP-31",
        Subject.PYTHON_EXAMPLE,
        "vnic/examples/minimal.py",
        "        while self.spare and not self.is_gone:",
        "        while self.spare:",
        "Buffers that come back after a surprise removal are given to the card that is gone.",
        Cites("PROG-25"),
    ),
    Fault(
        "EP-32",
        Subject.PYTHON_EXAMPLE,
        "vnic/examples/minimal.py",
        "        for ring in (self.rx, self.tx, self.cq):\n            ring.clear()",
        "        for ring in (self.rx, self.tx):\n            ring.clear()",
        "The completion ring is not begun anew after a reset.",
        Cites("PROG-22"),
    ),
)
