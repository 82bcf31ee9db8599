"""The copy engine under a hostile driver: pieces, budgets, guards, and the same outcome in every manner."""

from __future__ import annotations

import random
from functools import cache
from typing import Any, Final

from vnic.abi import DmaPurpose, DmaStatus, FaultAction, FaultSite, Map
from vnic.copy_engine import CopyEngine
from vnic.errors import ArgumentError, VnicError
from vnic.fault import Fault
from vnic.function import Budget
from vnic.fuzz.choice import Edges, OneOf, Range
from vnic.fuzz.scene import Broken, Scene, act
from vnic.gen.descriptors import CopyDescriptor
from vnic.gen.registers import CONFIG, COPY_BAR0
from vnic.host import pci

__all__ = ["CopyScene"]

CHANNELS = 2
_PAGE = 4096
_BAR = 0xC000_0000
_LAST = (1 << 64) - 1
#: Bus address, pages, permissions; the last one has the BAR put over it.
_REGIONS: Final = (
    (0x10_0000, 4, Map.READ | Map.WRITE),
    (0x20_0000, 6, Map.READ | Map.WRITE),
    (0x20_6000, 1, Map.READ),
    (0x20_7000, 1, Map.WRITE),
    (_LAST - _PAGE + 1, 1, Map.READ | Map.WRITE),
    (_BAR, 4, Map.READ | Map.WRITE),
)
_SLOTS = 16
_CHAIN, _DATA, _SHADOW = 0, 1, 5
_PLACES = (
    0x20_0000,
    0x20_1000,
    0x20_2FF0,
    0x20_5FC0,
    0x20_6000,
    0x20_7000,
    0x20_8000,
    0x10_0000,
    _BAR,
    0,
    _LAST - 63,
)
_SIZES = (64, 1, 8, 100, 4096, 4097, 6000, 8192, 0, 8193, 1 << 31, (1 << 32) - 1)
_REGISTERS = tuple(COPY_BAR0.MAP)
_RUN_MAX = 4096
_OPTIONS: Final[dict[str, Any]] = {"split": 1, "is_overlapping": False}


class _Half:
    """One engine with its memory; the scene has two of them."""

    def __init__(self, is_overlapping: bool) -> None:
        self.engine = CopyEngine(
            manual=True,
            channels=CHANNELS,
            vectors=2,
            transfer_log2=13,
            faults=8,
            is_overlapping=is_overlapping,
        )
        self.memory = [bytearray(_content(addr, pages)) for addr, pages, _ in _REGIONS]
        for (addr, _, rights), memory in zip(_REGIONS, self.memory, strict=True):
            self.engine.map(addr, memory, rights)
        self.said: list[object] = []
        self._bring_up()

    def _bring_up(self) -> None:
        for number, bar in enumerate(pci.size_bars(self.engine)):
            bar.address = _BAR + number * 0x10_0000
            bar.write(self.engine)
        pci.Fields(self.engine).change(CONFIG.COMMAND, MEMORY=1, MASTER=1)
        self.engine.write(0, 3, 0x09, 1)  # INTRCTRL: the master enable
        for index in range(CHANNELS):
            self.engine.write(0, COPY_BAR0.CHANCMP.at(index), _REGIONS[0][0] + 3 * _PAGE + 64 * index, 8)
            self.engine.write(0, COPY_BAR0.CHANCTRL.at(index), 0x1D, 2)

    def run(self, steps: int, split: int) -> None:
        """So many steps, in pieces; Broken when a budget is exceeded or nothing moves."""
        total = 0
        while total < steps:
            piece = min(split, steps - total)
            used = self.engine.run(Budget(piece, _LAST))
            if used.steps > piece:
                raise Broken("copy-budget", f"{used.steps} steps of a budget of {piece}")
            if not used.steps:
                if not self.engine.is_idle:
                    raise Broken("copy-progress", "a runnable engine took no step")
                break
            total += used.steps
        self.said += self.engine.interrupts()

    def settle(self, split: int) -> None:
        """To rest, within the bound that the engine names."""
        bound, total = self.engine.idle_steps, 0
        while not self.engine.is_idle and total < _RUN_MAX:
            used = self.engine.run(Budget(min(split, _RUN_MAX), _LAST))
            total += used.steps
            if total > bound:
                raise Broken("copy-rest", f"rest took {total} steps, more than {bound}")
        self.said += self.engine.interrupts()


@cache
def _content(addr: int, pages: int) -> bytes:
    return bytes((i * 167 >> 3 ^ i ^ i >> 8 ^ addr >> 12) & 0xFF for i in range(pages * _PAGE))


class CopyScene(Scene):
    """Two engines on which the same is done; one runs in pieces and is restored when the script says so."""

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__()
        if options.keys() - _OPTIONS.keys():
            raise ArgumentError(
                f"options of a copy engine's scene: {sorted(options.keys() - _OPTIONS.keys())}"
            )
        self.options = _OPTIONS | options
        self.halves = [_Half(bool(self.options["is_overlapping"])) for _ in range(2)]
        self._posted = [0] * CHANNELS
        self._counted = [0] * CHANNELS

    def _write(self, offset: int, value: int, width: int) -> None:
        for half in self.halves:
            half.engine.write(0, offset, value, width)

    # -- what a driver does ----------------------------------------------------------------------------------

    @act(
        20,
        channel=Range(0, CHANNELS - 1),
        count=Range(1, 5),
        seed=Range(0, 65535),
        mischief=OneOf(0, 0, 1, 8),
    )
    def post(self, channel: int, count: int, seed: int, mischief: int) -> None:
        """Descriptors into a chain; of 8 values each `mischief` is any."""
        rng = random.Random(seed)
        for _ in range(count):
            number = self._posted[channel]
            raw = _descriptor(rng, _slot(channel, number + 1), mischief)
            for half in self.halves:
                at = _slot(channel, number) - _REGIONS[_CHAIN][0]
                half.memory[_CHAIN][at : at + len(raw)] = raw
            self._posted[channel] += 1

    @act(10, channel=Range(0, CHANNELS - 1), place=OneOf(0, 0, 0, 1, 2, 3), extra=OneOf(0, 0, 1, 0x7FFF))
    def start(self, channel: int, place: int, extra: int) -> None:
        """Where the chain is, and how many descriptors there are."""
        good = _slot(channel, self._counted[channel])
        address = (good, good + 8, _PLACES[place], _LAST - 63)[place]
        self._write(COPY_BAR0.CHAINADDR.at(channel), address, 8)
        self.append(channel, extra)

    @act(12, channel=Range(0, CHANNELS - 1), extra=OneOf(0, 0, 0, 1, 2, 0xFFFF))
    def append(self, channel: int, extra: int) -> None:
        """DMACOUNT says what was posted, or more."""
        self._counted[channel] = self._posted[channel] + extra & 0xFFFF
        self._write(COPY_BAR0.CHANCMD.at(channel) + 2, self._counted[channel], 2)

    @act(6, channel=Range(0, CHANNELS - 1), value=OneOf(4, 0x20, 1, 2, 8, 0x24, 0xFF, 0))
    def command(self, channel: int, value: int) -> None:
        """CHANCMD: suspend, resume, abort, reset, and what there is not."""
        self._write(COPY_BAR0.CHANCMD.at(channel), value, 1)

    @act(
        8,
        register=Range(0, len(_REGISTERS) - 1),
        channel=Range(0, CHANNELS),
        width=OneOf(4, 8, 2, 1, 3),
        value=Edges(64),
    )
    def write(self, register: int, channel: int, width: int, value: int) -> None:
        """Any register, any width; and read back."""
        found = _REGISTERS[register]
        offset = found.at(channel % found.count)
        self.reached.add(f"write {found.name}")
        self._write(offset, value, width)
        for half in self.halves:
            half.said.append(half.engine.read(0, offset, width))

    @act(3, channel=Range(0, CHANNELS - 1))
    def recover(self, channel: int) -> None:
        """CHANERR is cleared."""
        register = COPY_BAR0.CHANERR
        for half in self.halves:
            half.said.append(half.engine.read(0, register.at(channel), register.bytes))
        self.reached.add(f"CHANERR {self.halves[0].said[-1]}")
        self._write(register.at(channel), _LAST, register.bytes)

    # -- what the host does ----------------------------------------------------------------------------------

    @act(3, region=Range(0, len(_REGIONS) - 1), rights=Range(0, 3))
    def remap(self, region: int, rights: int) -> None:
        """Memory with other permissions, or none."""
        addr, pages, _ = _REGIONS[region]
        for half in self.halves:
            try:
                half.engine.unmap(addr, pages * _PAGE)
            except VnicError:
                half.said.append("unmap")
            if rights:
                half.engine.map(addr, half.memory[region], rights)

    @act(
        4,
        purpose=OneOf(255, *(int(each) for each in DmaPurpose)),
        status=Range(1, len(DmaStatus) - 1),
        skip=Range(0, 7),
    )
    def fail(self, purpose: int, status: int, skip: int) -> None:
        """A DMA error."""
        site = FaultSite.DMA_WRITE if purpose == DmaPurpose.COMPLETION else FaultSite.DMA_READ
        fault = Fault(
            site=site,
            action=FaultAction.ERROR,
            index=purpose,
            skip=skip,
            argument=int(tuple(DmaStatus)[status]),
        )
        for half in self.halves:
            try:
                half.engine.arm(fault)
            except VnicError:
                half.said.append("arm")

    @act(3, value=OneOf(6, 4, 2, 0))
    def bus_command(self, value: int) -> None:
        """Memory Space Enable, Bus Master Enable."""
        for half in self.halves:
            half.engine.config_write(CONFIG.COMMAND.offset, value, 2)

    @act(2, ns=Edges(36))
    def wait(self, ns: int) -> None:
        """Time."""
        for half in self.halves:
            half.engine.advance(min(half.engine.now_ns + ns, _LAST))

    @act(20, steps=OneOf(1, 2, 5, 20, 200))
    def run(self, steps: int) -> None:
        """Work: at once in one engine, in pieces in the other."""
        self.halves[0].run(steps, steps)
        self.halves[1].run(steps, int(self.options["split"]))

    @act(4)
    def restore(self) -> None:
        """The second engine is saved, reset, and loaded."""
        engine = self.halves[1].engine
        image = engine.save()
        engine.reset()
        engine.load(image)
        if engine.save() != image:
            raise Broken("copy-snapshot", "a snapshot that was loaded is saved otherwise")

    # -- looking ---------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Both are in the same state, and the memory behind the BAR is untouched."""
        first, second = self.halves
        if first.engine.state_hash() != second.engine.state_hash():
            raise Broken("copy-state", "the state hash differs between two manners of the same program")
        for number, (addr, pages, _) in enumerate(_REGIONS):
            if first.memory[number] != second.memory[number]:
                raise Broken("copy-memory", f"memory at {addr:#x} differs between two manners")
            is_kept = number in (2, _SHADOW)
            if is_kept and first.memory[number] != _content(addr, pages):
                raise Broken("copy-guard", f"{addr:#x} was written, which the engine must not do")

    def finish(self) -> None:
        """To rest."""
        self.halves[0].settle(_RUN_MAX)
        self.halves[1].settle(int(self.options["split"]))
        first, second = self.halves
        if first.engine.is_idle and second.engine.is_idle:
            self.check()
            if first.said != second.said:
                raise Broken("copy-outputs", "values read or interrupts differ between two manners")
        self.abandon()

    def abandon(self) -> None:
        """Free both."""
        for half in self.halves:
            half.engine.close()


def _slot(channel: int, number: int) -> int:
    return (
        _REGIONS[_CHAIN][0] + channel * _SLOTS * CopyDescriptor.SIZE + number % _SLOTS * CopyDescriptor.SIZE
    )


def _descriptor(rng: random.Random, following: int, mischief: int) -> bytes:
    """Sound where mischief is 0."""

    def is_any() -> bool:
        return rng.randrange(8) < mischief

    size = rng.choice(_SIZES if is_any() else _SIZES[:5])
    flags = rng.getrandbits(8)
    made = CopyDescriptor(
        size=size,
        int_en=flags & 1,
        compl_write=flags >> 1 & 1,
        fence=flags >> 2 & 1,
        null=int(is_any()),
        op=rng.choice((0, 1, 255, rng.randrange(256))) if is_any() else 0,
        src=rng.choice(_PLACES) if is_any() else 0x20_0000 + rng.randrange(0x1000),
        dst=rng.choice(_PLACES) if is_any() else 0x20_3000 + rng.randrange(0x1000),
        next=rng.choice((0, 8, following + 8, 0x20_7000, _BAR, _slot(0, rng.randrange(_SLOTS))))
        if is_any()
        else following,
    )
    if is_any():
        made.src_brk, made.dst_brk = rng.randrange(2), rng.randrange(2)
        made.next_src, made.next_dst = 0x20_1000, 0x20_4000
    raw = bytearray(made.pack())
    if mischief > 4 and is_any():
        raw[4 + rng.randrange(4)] ^= 1 << rng.randrange(8)
    return bytes(raw)
