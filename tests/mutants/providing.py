"""Faults of the NetDMA provider and of the client's side: invariants 58 to 67 in NetDMA's own terms."""

from __future__ import annotations

from tests.mutants.fault import Fault

CHANNEL = "vnic/netdma/engine_channel.py"
COPIES = "vnic/netdma/dma_channel.py"
PLAN = "vnic/netdma/plan.py"

FAULTS = (
    Fault(
        "INV-58",
        CHANNEL,
        "            if added is None or not self._is_started or self._is_halted():\n",
        "            if added is None:\n",
        "Append does not look whether there was a Start.",
    ),
    Fault(
        "INV-59",
        CHANNEL,
        "        if not self._stop():\n            return False\n"
        "        self._add(added)\n        self.registers.command(Chancmd.RESUME)\n",
        "        self._add(added)\n",
        "The engine is not made to read the last descriptor of a 1.x chain again.",
    ),
    Fault(
        "INV-59",
        CHANNEL,
        "        self._count += count\n",
        "        self._count = count\n",
        "DMACOUNT gets the descriptors of the last Append alone.",
    ),
    Fault(
        "INV-60",
        CHANNEL,
        "        registers.start_chain(address)\n",
        "        registers.command(Chancmd.ABORT)\n        registers.start_chain(address)\n",
        "A Start does not wait for the descriptor at hand.",
    ),
    Fault(
        "INV-61",
        CHANNEL,
        "            if not self._is_started or not self._stop():\n",
        "            self.registers.command(Chancmd.SUSPEND)\n            if not self._is_started:\n",
        "Suspend returns before the descriptor at hand is finished.",
    ),
    Fault(
        "INV-61",
        CHANNEL,
        "            if behind == self._behind:\n",
        "            if behind or not behind:\n",
        "The length of a 1.x list is what it was at Suspend.",
    ),
    Fault(
        "INV-62",
        CHANNEL,
        "            self.registers.command(Chancmd.ABORT)\n            self._clear_errors()\n",
        "            self.registers.command(Chancmd.SUSPEND)\n            self._clear_errors()\n",
        "An abort finishes the descriptor at hand.",
    ),
    Fault(
        "INV-62",
        CHANNEL,
        "            self._report(0, NET_DMA_TRANSFER_STATUS.HALTED)\n",
        "            self._report(0, NET_DMA_TRANSFER_STATUS.IDLE)\n",
        "The status after a reset is Idle.",
    ),
    Fault(
        "INV-65",
        COPIES,
        "NET_DMA.SERIALIZE_TRANSFER if index in fences else 0",
        "0",
        "Transfers of one call that overlap are not fenced.",
    ),
    Fault(
        "INV-66",
        PLAN,
        "        return page.addr if page is not None and size > self.plain else 0\n",
        "        return self.addr - self.addr % PAGE if page is not None and size > self.plain else 0\n",
        "A page break goes on in the page that it comes from.",
    ),
    Fault(
        "INV-67",
        CHANNEL,
        "            self.prepare()\n            return True, status.address\n",
        "            return True, status.address\n",
        "A channel that failed stays as it is.",
    ),
)
