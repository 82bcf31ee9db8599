"""Mistakes in the example driver in Python."""

from __future__ import annotations

from tests.seeded.fault import Cites, Fault, Subject

FILE = "vnic/examples/minimal.py"

FAULTS = (
    Fault(
        "EP-1",
        Subject.PYTHON_EXAMPLE,
        FILE,
        "        self.out.view[start : start + packet.data_length] = packet.data()\n"
        "        self.tx.put(TxData(self.out.addr + start, packet.data_length, DescType.DATA, eop=1, "
        "rs=1).pack())\n"
        "        self.registers.write(BAR0.QP_TX_TAIL, self.tx.tail_index)  # PROG-12\n",
        "        self.tx.put(TxData(self.out.addr + start, packet.data_length, DescType.DATA, eop=1, "
        "rs=1).pack())\n"
        "        self.registers.write(BAR0.QP_TX_TAIL, self.tx.tail_index)  # PROG-12\n"
        "        self.out.view[start : start + packet.data_length] = packet.data()\n",
        "The packet is copied after the doorbell.",
        Cites("RING-8: the memory that a descriptor names is ready before the TAIL"),
    ),
    Fault(
        "EP-2",
        Subject.PYTHON_EXAMPLE,
        FILE,
        "        self.bus.unmap(segments, Direction.FROM_DEVICE)\n",
        "",
        "Receive buffers are never unmapped.",
        Cites("Linux core-api/dma-api: the processor reads a streaming buffer after it is unmapped"),
    ),
    Fault(
        "EP-3",
        Subject.PYTHON_EXAMPLE,
        FILE,
        "            segments = self.bus.map(mdl.address, BUFFER, Direction.FROM_DEVICE)\n",
        "            segments = self.bus.map(mdl.address, BUFFER, Direction.TO_DEVICE)\n",
        "Receive buffers are mapped for reading only.",
        Cites("Linux core-api/dma-api: DMA_FROM_DEVICE is memory that the device writes"),
    ),
    Fault(
        "EP-4",
        Subject.PYTHON_EXAMPLE,
        FILE,
        "self.tx.head += min((done.head - self.tx.head) % RING, self.tx.tail - self.tx.head)\n",
        "self.tx.head = done.head\n",
        "HEAD, an index, is taken for the count of all descriptors.",
        Cites("RING-12 and PROG-13: HEAD is an index modulo COUNT", "CVE-2016-1981"),
    ),
    Fault(
        "EP-5",
        Subject.PYTHON_EXAMPLE,
        FILE,
        "sent.append(ENDS.get(done.status, NDIS_STATUS.FAILURE))\n",
        "sent.append(NDIS_STATUS.SUCCESS)\n",
        "Every send succeeds, whatever the card says.",
        Cites("NET_BUFFER_LIST.Status tells how the send ended", "igb and e1000e of QEMU ignore DMA status"),
    ),
    Fault(
        "EP-6",
        Subject.PYTHON_EXAMPLE,
        FILE,
        "        self.poll()\n        if not self.is_gone:\n",
        "        self.poll()\n        if events:\n",
        "The vector is enabled again after events only.",
        Cites("INT-6: with AUTO_MASK a vector waits for the driver", "netkvm #1033"),
    ),
    Fault(
        "EP-7",
        Subject.PYTHON_EXAMPLE,
        FILE,
        "        self.reclaim()\n        for ring in (self.rx, self.tx, self.cq):\n",
        "        for ring in (self.rx, self.tx, self.cq):\n",
        "A reset leaves the receive buffers where the card no longer is.",
        Cites("PROG-22: all descriptors of the pair are the driver's again"),
    ),
    Fault(
        "EP-8",
        Subject.PYTHON_EXAMPLE,
        FILE,
        "            elif entry.error != RxError.NONE or not",
        "            elif not",
        "A frame that the card could not deliver is indicated.",
        Cites("RX-12: a completion with ERROR ends a frame that is not whole"),
    ),
    Fault(
        "EP-9",
        Subject.PYTHON_EXAMPLE,
        FILE,
        "        if events == ALL_ONES:\n            self.lose(tells=True)\n        elif events:\n",
        "        if events:\n",
        "All ones are taken for events.",
        Cites(
            "PROG-25 and RST-9: a register that reads all ones says that the card is gone",
            "openvmm #3022",
        ),
    ),
    Fault(
        "EP-10",
        Subject.PYTHON_EXAMPLE,
        FILE,
        "self.memory.alloc(BUFFER, align=BUFFER)",
        "self.memory.alloc(BUFFER, align=64)",
        "A receive buffer may cross a page, and only its first segment is known to the card.",
        Cites("MapTransfer: a buffer may be many segments", "QEMU gitlab 537"),
    ),
    Fault(
        "EP-11",
        Subject.PYTHON_EXAMPLE,
        FILE,
        "            self.tell(self.link.news(self.handle))\n"
        "            if events & GlbEvent.RING:\n"
        "                self.handle.m_reset_miniport()\n",
        "            if events & GlbEvent.RING:\n"
        "                self.handle.m_reset_miniport()\n            else:\n"
        "                self.tell(self.link.news(self.handle))\n",
        "A link change that comes with another event is lost.",
        Cites("NDIS_STATUS_LINK_STATE: each change is indicated"),
    ),
    Fault(
        "EP-12",
        Subject.PYTHON_EXAMPLE,
        FILE,
        "                self.handle.m_reset_miniport()  # no card that works writes that\n",
        "                pass\n",
        "A completion that makes no sense is passed over.",
        Cites("PROG-14: what the driver's own records contradict leads to a reset", "CVE-2016-1981"),
    ),
)
