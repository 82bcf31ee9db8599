"""A card in a guest whose memory has guards, and the operations of a program on both."""

from __future__ import annotations

import mmap
from contextlib import suppress
from enum import IntEnum
from types import TracebackType
from typing import NamedTuple

from vnic.abi import DmaStatus, EventType, Map, OpCode, Result
from vnic.device import Budget, Device, Frame
from vnic.errors import SnapshotConfigError, SnapshotError, SnapshotVersionError, VnicError
from vnic.events import Event
from vnic.fuzz.oplang import Program, Step, WorldCode, unpack_edits, unpack_fault
from vnic.fuzz.records import edited
from vnic.host.bus import Interrupt

PAIRS = 3
VECTORS = 4
FAULTS = 8
RUN_MAX = 4096
FRAME_MAX = 65_536
REPEATS_MAX = 4096
LINK_MBPS = 10_000
STEP_BYTES = 9728 + 1024  # the most that a step moves, and enough for any

_PAGE = 4096
_GUARD = b"\xa5" * _PAGE
_LAST = (1 << 64) - 1
_STRIDE = 0x9E37_79B9_7F4A_7C15


class Place(NamedTuple):
    """A range of bus addresses and what the card may do there."""

    addr: int
    size: int
    permissions: Map

    def holds(self, addr: int, length: int) -> bool:
        """Whether a range lies in it as a whole."""
        return self.addr <= addr < self.addr + self.size and length <= self.addr + self.size - addr


class Region(IntEnum):
    """Numbers of PLACES."""

    RAM = 0
    PATCHES = 1
    ROM = 2
    SINK = 3
    SHADOW = 4
    TOP = 5


PLACES = (
    Place(0x1000_0000, 0x40000, Map.READ | Map.WRITE),
    Place(0x1100_0000, 0x4000, Map.READ | Map.WRITE),  # its granules lie in reverse order
    Place(0x2000_0000, 0x2000, Map.READ),
    Place(0x3000_0000, 0x2000, Map.WRITE),
    Place(0xC000_0000, 0x2000, Map.READ | Map.WRITE),  # BAR0 is put over it
    Place(0xFFFF_FFFF_FFFF_E000, 0x2000, Map.READ | Map.WRITE),
)
RAM = PLACES[Region.RAM].addr
BAR0_ADDRESS = PLACES[Region.SHADOW].addr
BAR2_ADDRESS = 0xC010_0000
_ROM_IMAGE = bytes((i * 37 + (i >> 8)) & 0xFF for i in range(PLACES[Region.ROM].size))


class Broken(AssertionError):
    """Something that holds for every program did not hold."""


Said = int | Frame | Interrupt | bytes


class World:
    """A card in manual mode, guest memory, and what the card said so far.

    split: runs are cut into pieces of as many steps. answering: DMA to what is not mapped is answered.
    Broken is raised where a budget is exceeded, or runnable, step and run contradict each other.
    """

    def __init__(self, *, split: int | None = None, answering: bool = False) -> None:
        self.device = Device(
            manual=True,
            queue_pairs=PAIRS,
            vectors=VECTORS,
            rx_buffer_bytes=1 << 16,
            tx_buffer_bytes=1 << 16,
            map_regions=64,
            faults=FAULTS,
        )
        self.split = split
        self.said: list[Said] = []
        self.steps_taken = 0
        self._mappings: list[Step] = []
        self._offsets: list[int] = []
        size = _PAGE
        for place in PLACES:
            self._offsets.append(size)
            size += place.size + _PAGE
        self._host = mmap.mmap(-1, size)
        self._view = memoryview(self._host)
        self._write_fresh()
        self.repair()
        if answering:
            self.device.answer_unmapped(self._answer)

    def close(self) -> None:
        """Free the card."""
        self.device.close()

    def __enter__(self) -> World:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    # -- memory ----------------------------------------------------------------------------------------------

    def _write_fresh(self) -> None:
        at = 0
        for offset, place in zip(self._offsets, PLACES, strict=True):
            self._host[at:offset] = _GUARD
            at = offset + place.size
        self._host[at:] = _GUARD
        rom = self._offsets[Region.ROM]
        self._host[rom : rom + len(_ROM_IMAGE)] = _ROM_IMAGE

    def repair(self) -> None:
        """No faults, all of memory mapped again, and nothing else answers."""
        for number in range(FAULTS):
            with suppress(VnicError):
                self.device.disarm(number)
        self._mappings.clear()
        self.device.unmap_all()
        for region in Region:
            self._map(region, PLACES[region].permissions)
        self.device.answer_unmapped(None)

    def _map(self, region: Region, permissions: int) -> None:
        place, offset = PLACES[region], self._offsets[region]
        piece = _PAGE if region == Region.PATCHES else place.size
        for at in range(0, place.size, piece):
            host = offset + (place.size - piece - at if region == Region.PATCHES else at)
            with suppress(VnicError):
                self.device.map(place.addr + at, self._view[host : host + piece], permissions)

    def adopt_mappings(self, other: World) -> None:
        """Map and unmap what another world did since it was made or repaired."""
        for step in tuple(other._mappings):
            self.act(step)
        self.said.clear()

    def read(self, addr: int, length: int) -> bytes:
        """Guest memory, as the guest's processor sees it; KeyError where none is."""
        offset = self._find(addr, length)
        return self._host[offset : offset + length]

    def _find(self, addr: int, length: int) -> int:
        for offset, place in zip(self._offsets, PLACES, strict=True):
            if place.holds(addr, length):
                return offset + addr - place.addr
        raise KeyError(f"{addr:#x}+{length:#x}")

    def poke(self, addr: int, data: bytes) -> None:
        """The guest writes; nothing happens where it may not, or where not all of it is memory."""
        if any(PLACES[region].holds(addr, 0) for region in (Region.ROM, Region.SHADOW)):
            return
        try:
            offset = self._find(addr, len(data))
        except KeyError:
            return
        self._host[offset : offset + len(data)] = data

    def image(self) -> bytes:
        """All of memory, guards included."""
        return self._host[:]

    def become(self, image: bytes) -> None:
        """Replace all of memory by an image of another world."""
        self._host[:] = image

    def check_guards(self) -> None:
        """Broken when memory was written that the card may not write."""
        edges = [offset - _PAGE for offset in self._offsets] + [len(self._host) - _PAGE]
        if any(self._host[at : at + _PAGE] != _GUARD for at in edges):
            raise Broken("a guard was written")
        if self.read(PLACES[Region.ROM].addr, len(_ROM_IMAGE)) != _ROM_IMAGE:
            raise Broken("read-only memory was written")

    def _answer(self, iova: int, data: memoryview, is_write: bool) -> DmaStatus:
        """Pure: what is read follows from the address. One granule in 16 is nobody's."""
        if (iova >> 12) % 16 == 15:
            return DmaStatus.UNSUPPORTED
        if is_write:
            self.said += [iova, bytes(data)]
        else:
            data[:] = bytes((iova + i) * _STRIDE >> 57 & 0x7F for i in range(len(data)))
        return DmaStatus.OK

    # -- work ------------------------------------------------------------------------------------------------

    def run(self, steps: int, byte_count: int) -> int:
        """Whole or in pieces, what is left of the bytes goes along; the steps taken. At most RUN_MAX."""
        steps, total = min(steps, RUN_MAX), 0
        while total < steps:
            budget = Budget(min(self.split or steps, steps - total), byte_count)
            used = self.device.run(budget)
            if used.steps > budget.steps or used.bytes > min(budget.bytes, used.steps * STEP_BYTES):
                raise Broken(f"a run of {budget} took {used}")
            if not (used.steps or self.device.is_idle or budget.bytes < STEP_BYTES):
                raise Broken(f"a run of {budget} made no progress")
            total += used.steps
            byte_count -= used.bytes
            if used.steps < budget.steps:
                break
        self.steps_taken += total
        return total

    def step(self, engine: int) -> bool:
        """One step."""
        could = engine in self.device.runnable
        taken = self.device.step(engine)  # engines that there are not, too
        if taken != could:
            raise Broken(f"engine {engine}: runnable {could}, step taken {taken}")
        self.steps_taken += taken
        return taken

    def settle(self, most: int = RUN_MAX) -> bool:
        """Run to rest while the link takes every frame; whether it got there within `most` steps.

        Broken when that took more steps than the card had said, or when it made no progress.
        """
        bound, total = self.device.idle_steps, 0
        while not self.device.is_idle and total < most:
            used = self.device.run(Budget(most - total, _LAST))
            total += used.steps
            if used.steps == 0:
                raise Broken("a runnable card took no step")
            if total > bound:
                raise Broken(f"rest took {total} steps, more than {bound}")
            self.device.frames()
        return self.device.is_idle

    def drain(self) -> None:
        """Take interrupts and frames."""
        self.said += self.device.interrupts()
        self.said += self.device.frames()

    # -- operations ------------------------------------------------------------------------------------------

    def apply(self, steps: Program | tuple[Step, ...]) -> None:
        """Carry operations out, in order."""
        for step in steps.steps if isinstance(steps, Program) else steps:
            self.act(step)

    def act(self, step: Step) -> None:
        """Carry an operation out; what comes of it is said."""
        code, device = step.code, self.device
        match code:
            case OpCode.READ:
                self.said.append(device.read(step.index, step.addr, step.width))
            case OpCode.WRITE:
                device.write(step.index, step.addr, step.value, step.width)
            case OpCode.CFG_READ:
                self.said.append(device.config_read(step.addr & 0xFFFF_FFFF, step.width))
            case OpCode.CFG_WRITE:
                device.config_write(step.addr & 0xFFFF_FFFF, step.value & 0xFFFF_FFFF, step.width)
            case OpCode.RUN:
                self.said.append(self.run(step.addr, step.value))
            case OpCode.STEP:
                self.said.append(self.step(step.index))
            case OpCode.ADVANCE:
                device.advance(min(device.now_ns + step.value, _LAST))
            case OpCode.LINK:
                device.set_link(step.value & 0xFFFF_FFFF)
            case OpCode.RESET:
                device.reset(step.index)  # type: ignore[arg-type]  # levels that there are not, too
            case OpCode.REMOVE:
                (device.remove if step.value else device.insert)()
            case OpCode.RECEIVE:
                self.said.append(int(device.receive(step.data[:FRAME_MAX])))
            case OpCode.DRAIN:
                self.drain()
            case _:
                self._act_around(step)

    def _act_around(self, step: Step) -> None:
        match step.code:
            case WorldCode.POKE:
                self.poke(step.addr, step.data)
            case WorldCode.FILL:
                self._repeat(step)
            case WorldCode.MAP:
                self._mappings.append(step)
                if step.index & 3:
                    self._map(Region(step.addr % len(Region)), step.index & 3)
            case WorldCode.UNMAP:
                self._mappings.append(step)
                self._unmap(step)
            case WorldCode.ARM:
                self._arm(step.data)
            case WorldCode.DISARM:
                self._disarm(step.value & 15)
            case WorldCode.TAMPER:
                self.said.append(self.reload(edited(self.device.save(), unpack_edits(step.data))))

    def _repeat(self, step: Step) -> None:
        first = int.from_bytes(step.data[:8], "little")
        for i in range(min(step.value, REPEATS_MAX)):
            rising = first + (i << step.index if step.index < 64 else 0)
            head = (rising & _LAST).to_bytes(8, "little")[: len(step.data)]
            self.poke(step.addr + i * step.width & _LAST, head + step.data[8:])

    def _unmap(self, step: Step) -> None:
        try:
            self.device.unmap(step.addr, step.value)
        except VnicError:
            self.said.append(-1)

    def _arm(self, data: bytes) -> None:
        try:
            self.said.append(self.device.arm(unpack_fault(data)).number)
        except VnicError:
            self.said.append(-1)

    def _disarm(self, number: int) -> None:
        try:
            self.device.disarm(number)
        except VnicError:
            self.said.append(-1)

    def reload(self, image: bytes) -> int:
        """Load a snapshot that anybody may have written; Result.OK, or why it was refused.

        Broken when one that was accepted is saved otherwise, or a card that refused is not as after power-on.
        """
        device = self.device
        result = _load(device, image)
        if result == Result.OK:
            if device.save() != image:
                raise Broken("an accepted snapshot is saved otherwise")
            return result
        if device.now_ns or not device.is_idle:
            raise Broken("a card that refused a snapshot is not as after power-on")
        device.set_link(LINK_MBPS)
        return result

    def watch(self) -> list[Event]:
        """Observe everything from now on: the events, as they come."""
        events: list[Event] = []
        self.device.observe(events.append, EventType)
        return events


def _load(device: Device, image: bytes) -> int:
    try:
        device.load(image)
    except SnapshotConfigError:
        return Result.ECONFIG
    except SnapshotVersionError:
        return Result.EVERSION
    except SnapshotError:
        return Result.EFORMAT
    return Result.OK
