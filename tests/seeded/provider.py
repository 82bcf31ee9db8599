"""Mistakes in the NetDMA provider and in the copy engine under it."""

from __future__ import annotations

from tests.seeded.fault import Cites, Fault, Subject

CHANNEL = "vnic/netdma/engine_channel.py"
INTERRUPTS = "vnic/netdma/engine_interrupts.py"
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
        "vnic/netdma/provider.py",
        "        for channel in self.channels:\n            channel.prepare()\n        self._running.enable",
        "        self._running.enable",
        "After D3 the channels are not set up again.",
        Cites("DMA-53: on the way to D0 the engine is reset"),
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
