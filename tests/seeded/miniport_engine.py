"""More mistakes in the reference miniport and the NetDMA provider: crossings, resets, the forgotten twin."""

from __future__ import annotations

from tests.seeded.fault import Cites, Fault, Subject

FAULTS = (
    Fault(
        "MP-80",
        Subject.MINIPORT,
        "vnic/miniport/filters.py",
        "for word in range(BAR0.MAC_VLAN.count):",
        "for word in (self.vlan_id // 32,):",
        "A new VLAN id is added to the filter; the old one stays in it.",
        Cites("NDIS: OID_GEN_VLAN_ID", "e1000e: e1000_vlan_rx_kill_vid forgotten"),
    ),
    Fault(
        "MP-81",
        Subject.MINIPORT,
        "vnic/miniport/link.py",
        "if before == self.state:",
        "if before.connect is self.state.connect:",
        "A link that only changes its speed is no news.",
        Cites("NDIS: NDIS_STATUS_LINK_STATE", "e1000e: speed change without link loss not reported"),
    ),
    Fault(
        "MP-82",
        Subject.MINIPORT,
        "vnic/miniport/transmit.py",
        "            if self._end(packet, status):\n",
        (
            "            self._bus.unmap(packet.segments, Direction.TO_DEVICE)\n"
            "            if packet.send.end_packet(status):\n"
        ),
        "A reset does not give the bounce buffer back that a packet in the ring had.",
        Cites("NDIS: MiniportResetEx", "mlx5: resources of flushed WQEs leaked on recovery"),
    ),
    Fault(
        "MP-85",
        Subject.MINIPORT,
        "vnic/miniport/rss.py",
        "beyond = [cpu for cpu in (*table, merged.default_processor) if cpu >= self._processors]",
        "beyond = [cpu for cpu in table if cpu >= self._processors]",
        "A default processor that does not exist is taken.",
        Cites("NDIS: NDIS_RECEIVE_SCALE_PARAMETERS, DefaultProcessorNumber"),
    ),
    Fault(
        "MP-86",
        Subject.MINIPORT,
        "vnic/miniport/interrupts.py",
        "            self._registers.write(BAR0.VEC_INTERVAL, self.moderation_ns, vector)\n",
        (
            "            if not self.is_live and not self._owed and vector == self.event_vector:\n"
            "                self._registers.write(BAR0.VEC_INTERVAL, self.moderation_ns, vector)\n"
        ),
        "Only the vector of events is programmed with the interval of moderation.",
        Cites(
            "NDIS: OID_GEN_INTERRUPT_MODERATION", "ixgbe: EITR of the other vectors not restored after reset"
        ),
    ),
    Fault(
        "MP-87",
        Subject.MINIPORT,
        "vnic/miniport/adapter.py",
        (
            "        registers.write(BAR0.GLB_EVENT, events)\n"
            "        if events & GlbEvent.RING:\n"
            "            self._restart_queues()\n"
            "        if events & GlbEvent.CHIMNEY:\n"
            "            self._chimney.look()\n"
            "        if events & GlbEvent.LINK:\n"
            "            self._report_link()\n"
        ),
        (
            "        if events & GlbEvent.RING:\n"
            "            self._restart_queues()\n"
            "        if events & GlbEvent.CHIMNEY:\n"
            "            self._chimney.look()\n"
            "        if events & GlbEvent.LINK:\n"
            "            self._report_link()\n"
            "        registers.write(BAR0.GLB_EVENT, events)\n"
        ),
        "Events are cleared after they were looked at: one that comes meanwhile is lost.",
        Cites("PROG-16: events are cleared, then looked at", "igb: ICR cleared after the link was read"),
    ),
    Fault(
        "MP-88",
        Subject.MINIPORT,
        "vnic/miniport/adapter.py",
        "by_queue.setdefault(self._queue_of(nbl), [])",
        "by_queue.setdefault(self._queue_of(chain), [])",
        "All NBLs of a returned chain go to the queue of its first one.",
        Cites("NDIS: MiniportReturnNetBufferLists"),
    ),
    Fault(
        "MP-89",
        Subject.MINIPORT,
        "vnic/miniport/statistics.py",
        "self._kept = self.counters()",
        "self._kept = self._read()",
        "The second reset forgets what was counted before the first.",
        Cites("NDIS: OID_GEN_STATISTICS", "i40e: statistics lost on the second reset"),
    ),
    Fault(
        "MP-90",
        Subject.MINIPORT,
        "vnic/miniport/offload.py",
        "return on.ip4_rx or on.tcp4_rx or on.udp4_rx or on.tcp6_rx or on.udp6_rx",
        "return on.ip4_rx or on.tcp4_rx or on.udp4_rx",
        "With only IPv6 checksums switched on the card verifies none.",
        Cites("NDIS: OID_TCP_OFFLOAD_PARAMETERS"),
    ),
    Fault(
        "MP-91",
        Subject.MINIPORT,
        "vnic/miniport/context.py",
        "offset += 8 + 8 * length",
        "offset += 8",
        "An IPv6 extension header is taken for the shortest one.",
        Cites("NDIS: offloading checksums; RFC 8200, 4.3", "ipv6_skip_exthdr open-coded in drivers"),
    ),
    Fault(
        "MP-92",
        Subject.MINIPORT,
        "vnic/miniport/adapter.py",
        ("        self._chimney.resume()\n        self._report_link()\n"),
        "        self._chimney.resume()\n",
        "A link that changed while the power was off is not reported.",
        Cites("NDIS: NDIS_STATUS_LINK_STATE; OID_PNP_SET_POWER", "igb: stale carrier after resume"),
    ),
    Fault(
        "MP-93",
        Subject.MINIPORT,
        "vnic/miniport/chimney_sending.py",
        ("            acked = 0 if request.unacked else acked\n            advance(request.nbl, count)\n"),
        "            advance(request.nbl, count)\n",
        "At a terminate the bytes acknowledged of the oldest send are taken from each.",
        Cites("INV-19"),
    ),
    Fault(
        "MP-94",
        Subject.MINIPORT,
        "vnic/miniport/chimney_indication.py",
        "self._pieces.extendleft(reversed(left))",
        "self._pieces.extendleft(left)",
        "Pieces of a refused indication come back in the wrong order.",
        Cites("INV-21", "deque.extendleft reverses"),
    ),
    Fault(
        "MP-96",
        Subject.MINIPORT,
        "vnic/miniport/chimney_rings.py",
        "ring.head += (head - ring.head) % ring.count",
        "ring.head = head",
        "The card's index is taken for the count of submissions: wrong from the first wrap on.",
        Cites("CHQ_SQ_HEAD", "vmxnet3: comp ring index against count"),
    ),
    Fault(
        "MP-97",
        Subject.MINIPORT,
        "vnic/miniport/chimney_reachability.py",
        "NEIGHBOR_OFFLOAD_STATE_CACHED(neighbour.newest.DlDestinationAddress, delta)",
        "NEIGHBOR_OFFLOAD_STATE_CACHED(neighbour.cached.DlDestinationAddress, delta)",
        "The answer to a reachability query undoes an update of the address that is on its way.",
        Cites("INV-46"),
    ),
    Fault(
        "MP-98",
        Subject.MINIPORT,
        "vnic/miniport/chimney_mood.py",
        "return self._state is not State.OPEN or self._is_upload_due",
        "return self._state is not State.OPEN",
        "An initiate while UPLOAD_ALL is due is begun, and UPLOAD_ALL waits for it too.",
        Cites("INV-41"),
    ),
    Fault(
        "MP-99",
        Subject.MINIPORT,
        "vnic/miniport/chimney_terminate.py",
        (
            "        if outcome.is_ok and isinstance(known, Neighbour):\n"
            "            block.delegated = unpack_neighbour(outcome.image)[2]\n"
        ),
        "",
        "The delegated state of a terminated neighbour is not given back.",
        Cites("INV-37"),
    ),
    Fault(
        "ND-40",
        Subject.PROVIDER,
        "vnic/netdma/engine_channel.py",
        (
            "            self._report(status.address, NET_DMA_TRANSFER_STATUS.HALTED)\n"
            "            self.prepare()\n"
            "            return True, status.address"
        ),
        (
            "            self._report(status.address, NET_DMA_TRANSFER_STATUS.HALTED)\n"
            "            return True, status.address"
        ),
        "After an error the channel stays as it is: nothing starts any more.",
        Cites("NetDMA: NetDmaInterruptDpc, error", "ioatdma: channel stays halted after CHANERR"),
    ),
    Fault(
        "ND-41",
        Subject.PROVIDER,
        "vnic/netdma/engine_channel.py",
        (
            "            self._is_suspended = False\n"
            "            last = self.registers.status.address\n"
            "            behind"
        ),
        ("            last = self.registers.status.address\n            behind"),
        "A channel that goes on is still taken for suspended.",
        Cites("NetDMA: ProviderResumeChannel, ProviderAppend"),
    ),
    Fault(
        "ND-42",
        Subject.PROVIDER,
        "vnic/netdma/engine_interrupts.py",
        ("            if self.is_live:\n                self._write_control()\n            return"),
        "            return",
        "An interrupt of another device on the line leaves the engine's own switched off.",
        Cites(
            "INTRCTRL: reading clears MASTER_INT_EN", "ioatdma: intrctrl not restored in the not-mine path"
        ),
    ),
    Fault(
        "ND-43",
        Subject.PROVIDER,
        "vnic/netdma/engine_interrupts.py",
        "self._processors.queue_dpc(cpu, self._dpc,",
        "self._processors.queue_dpc(self._processors.current, self._dpc,",
        "The DPC runs where the interrupt came, not where NetDmaIsr said.",
        Cites("NetDMA: NetDmaIsr"),
    ),
    Fault(
        "ND-44",
        Subject.PROVIDER,
        "vnic/netdma/engine.py",
        "for channel in range(channels):",
        "for channel in range(1):",
        "Only the first channel is halted when the engine is brought up or down.",
        Cites("CHANCMD.RESET", "ioatdma: channels left running by the BIOS or kexec"),
    ),
    Fault(
        "ND-45",
        Subject.PROVIDER,
        "vnic/netdma/engine_channel.py",
        "        self.registers.command(Chancmd.RESUME)  # takes the SUSPEND back\n",
        "",
        "A Suspend that failed for its time stays pending at the engine.",
        Cites("NetDMA: ProviderSuspendChannel"),
    ),
    Fault(
        "ND-46",
        Subject.PROVIDER,
        "vnic/netdma/engine_channel.py",
        (
            "            if self._is_aborted:\n"
            "                self.prepare()  # else CHANSTS might name what was before the abort\n"
        ),
        "",
        "A chain that starts after an abort finds CHANSTS as the aborted one left it.",
        Cites("NetDMA: ProviderAbortChannel, ProviderStartChannel"),
    ),
)
