"""Mistakes in the NetDMA provider and in the copy engine under it."""

from __future__ import annotations

from tests.seeded.fault import Cites, Fault, Subject

CHANNEL = "vnic/netdma/engine_channel.py"
INTERRUPTS = "vnic/netdma/engine_interrupts.py"
PROVIDER = "vnic/netdma/provider.py"
STEP = "csrc/copy/step.c"


FAULTS = (
    Fault(
        "ND-1",
        Subject.PROVIDER,
        CHANNEL,
        "        if self.use is not None:\n"
        "            self.registers.write(COPY_BAR0.CHANCMP, self.use.completion_address)\n",
        "",
        "The engine is not told where the completion status goes.",
        Cites("DMA-12: CHANCMP is written before completions are asked for"),
    ),
    Fault(
        "ND-2",
        Subject.PROVIDER,
        CHANNEL,
        "        registers.start_chain(address)\n",
        "        registers.count(count)\n        registers.start_chain(address)\n        return\n",
        "The count is written before the chain that it counts.",
        Cites("DMA-1: a new chain address sets the count to 0"),
    ),
    Fault(
        "ND-3",
        Subject.PROVIDER,
        INTERRUPTS,
        "            channel.rearm()\n",
        "            pass\n",
        "A channel interrupts once and never again.",
        Cites("DMA-36: INT_REARM is written after each interrupt"),
    ),
    Fault(
        "ND-4",
        Subject.PROVIDER,
        INTERRUPTS,
        "            return self._bus.vector_kind != InterruptKind.INTX\n        attention",
        "            return True\n        attention",
        "The engine claims interrupts of others on its line.",
        Cites("KSERVICE_ROUTINE: FALSE when it was not the device", "QEMU bz1447935"),
    ),
    Fault(
        "ND-5",
        Subject.PROVIDER,
        PROVIDER,
        "        for channel in self.channels:\n            channel.prepare()\n        self._running.enable",
        "        self._running.enable",
        "After D3 the channels are not set up again.",
        Cites("DMA-53: on the way to D0 the engine is reset"),
    ),
    Fault(
        "ND-6",
        Subject.PROVIDER,
        CHANNEL,
        "        self._chain, self._count = first, count\n",
        "        self._chain, self._count = first, self._count + count\n",
        "A new chain is counted on from the one before.",
        Cites("DMA-1: a new chain address sets the count to 0"),
    ),
    Fault(
        "ND-7",
        Subject.PROVIDER,
        CHANNEL,
        "            self.registers.command(Chancmd.ABORT)\n            self._clear_errors()\n"
        "            self._forget()\n",
        "            self.registers.command(Chancmd.ABORT)\n            self._forget()\n",
        "An abort leaves the errors of the channel.",
        Cites("INV-62: after Abort the channel is ready for Start"),
    ),
    Fault(
        "ND-8",
        Subject.PROVIDER,
        CHANNEL,
        "            self.prepare()\n            self._report(0, NET_DMA_TRANSFER_STATUS.HALTED)\n",
        "            self.prepare()\n",
        "A reset leaves the completion status of before.",
        Cites("INV-62: the status reads Halted"),
    ),
    Fault(
        "ND-9",
        Subject.PROVIDER,
        CHANNEL,
        "        self._quiet()\n        self.registers.write(COPY_BAR0.CHANCMP, 0)\n",
        "        self.registers.write(COPY_BAR0.CHANCMP, 0)\n",
        "A channel that is freed goes on with its chain.",
        Cites("ProviderFreeDmaChannel: nothing of the client's is touched afterwards"),
    ),
    Fault(
        "ND-10",
        Subject.PROVIDER,
        PROVIDER,
        "                    self._netdma.interrupt_dpc(channel.use.handle, None)\n",
        "                    pass\n",
        "After a surprise removal nobody hears that his copies failed.",
        Cites("NetDmaInterruptDpc with NULL: the channel failed"),
    ),
    Fault(
        "ND-11",
        Subject.PROVIDER,
        PROVIDER,
        "        self._set_power(_D0)\n        self._bus.set_master()\n",
        "        self._set_power(_D0)\n",
        "Back in D0 the engine may not master the bus.",
        Cites("PCI PM 3.2.4: D3hot to D0 loses the Command register"),
    ),
    Fault(
        "ND-12",
        Subject.PROVIDER,
        CHANNEL,
        "            if self.registers.status.status in _STANDING:\n"
        "                return not self._is_halted()\n",
        "            return not self._is_halted()\n",
        "A suspend does not wait until the descriptor at hand is done.",
        Cites("INV-61: Suspend finishes exactly the current descriptor"),
    ),
    Fault(
        "ND-13",
        Subject.PROVIDER,
        PROVIDER,
        "            parameters.cpu_number = (mask & -mask).bit_length() - 1 if mask else 0\n",
        "            parameters.cpu_number = 0\n",
        "A channel without a vector of its own says processor 0, whatever was asked.",
        Cites("NET_DMA_CHANNEL_PARAMETERS.CpuNumber: one of ProcessorAffinityMask"),
    ),
    Fault(
        "CE-1",
        Subject.COPY_ENGINE,
        "csrc/copy/held.c",
        "           && !copy_descriptor_fence(ch->word) && channel_left(copy, n) != 1;\n",
        "           && channel_left(copy, n) != 1;\n",
        "A fence is not looked at: the next read overtakes the write.",
        Cites(
            "DMA-26: all data of a descriptor with FENCE is written before the next is read",
            "Linux 77873803363c: data from a stale page",
        ),
    ),
    Fault(
        "CE-2",
        Subject.COPY_ENGINE,
        STEP,
        "    channel_note_processed(ch, ch->current);\n    if (ch->report",
        "    channel_note_processed(ch, ch->next);\n    if (ch->report",
        "The completion names the descriptor that comes next.",
        Cites("DMA-30: the completion has the address of this descriptor"),
    ),
    Fault(
        "CE-3",
        Subject.COPY_ENGINE,
        STEP,
        "descriptor_src(ch->word), ch->moved % 8, p->len);",
        "descriptor_src(ch->word), 0, p->len);",
        "A fill starts its pattern anew with each page.",
        Cites("DMA-24: the 8 bytes are written over and over, from the first byte on"),
    ),
    Fault(
        "CE-4",
        Subject.COPY_ENGINE,
        "csrc/copy/interrupt.c",
        "    return delay_ns > UINT64_MAX - enabled_ns ? UINT64_MAX : enabled_ns + delay_ns;\n",
        "    return delay_ns == 0 ? 0 : UINT64_MAX - (enabled_ns != 0 || delay_ns != 0);\n",
        "With a delay an interrupt never comes.",
        Cites("DMA-33: INTRDELAY since the interrupt was enabled"),
    ),
    Fault(
        "CE-5",
        Subject.COPY_ENGINE,
        "csrc/copy/transfer.c",
        "    const uint64_t addr = regfile_get64(&copy->regs, copy_channel_offset(COPY_CHANCMP, n));\n",
        "    const uint64_t addr =\n"
        "        (uint32_t)regfile_get64(&copy->regs, copy_channel_offset(COPY_CHANCMP, n));\n",
        "The upper half of the completion address is lost.",
        Cites("CHANCMP is 64 bits; Linux ioatdma writes CHANCMP_LOW and _HIGH"),
    ),
    Fault(
        "CE-6",
        Subject.COPY_ENGINE,
        "csrc/copy/descriptor.c",
        "    return size == 0 || size > descriptor_room(word, max_bytes) ? CHANERR_DESC_LENGTH_MASK : 0;\n",
        "    return size == 0 || size >= descriptor_room(word, max_bytes) ? CHANERR_DESC_LENGTH_MASK : 0;\n",
        "The largest transfer is refused.",
        Cites("DMA-40 and XFERCAP: a transfer of MaximumTransferSize is allowed"),
    ),
)
