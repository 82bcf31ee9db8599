"""The DMA race checker: watches the functions, memory and mappings of one machine, not its drivers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import FrameType

from vnic.errors import ArgumentError
from vnic.host.iommu import Iommu
from vnic.host.memory import GuestBuffer, GuestMemory
from vnic.testbench.races.card_lanes import CardLanes
from vnic.testbench.races.custody import Custody
from vnic.testbench.races.engine_lanes import EngineLanes
from vnic.testbench.races.race import DmaRaceError, Race
from vnic.testbench.races.tap import TYPES, Lanes, Observable, Tap, Watch
from vnic.testbench.races.view import WatchedView

SWITCH = "VNIC_CHECK_RACES"
_OWN_FILES = (os.path.dirname(__file__), os.path.join("vnic", "host", "memory.py"))


def is_asked_for() -> bool:
    """Whether the environment asks for it where a program does not say: VNIC_CHECK_RACES=1."""
    return os.environ.get(SWITCH, "") not in ("", "0")


class RaceChecker:
    """Finds races between the host and the devices of one machine, and between devices.

    Every function that writes the memory has to be watched, from before its driver starts, else its DMA looks
    like the host's. now: virtual time, by default that of the functions' events. poisons: see Tap.

    What is seen. Exactly: what devices do, mappings, GuestMemory.read(), write() and free(), and accesses
    through view(). By comparing contents: writes through any other view of the memory; such a write is not
    seen when it leaves the bytes as they are, or when DMA writes over it before they are compared. They are
    compared when a transfer, mapping or hand-over begins and ends, when a device reads them, before the next
    buffer of a ring and the next page of a copy is written, and in check(). Not seen: reads through other
    views (poison shows what comes of them), the chimney's own descriptors (its buffers are watched as what is
    mapped), and who wrote what was found by comparing.
    """

    def __init__(
        self, memory: GuestMemory, *, now: Callable[[], int] | None = None, poisons: bool = False
    ) -> None:
        self._custody = Custody(memory, now)
        self._poisons = poisons
        self._watches: list[Watch] = []
        self._memory = memory
        if memory.watcher is not None:
            raise ArgumentError("somebody watches this memory: one machine, one checker")
        memory.watcher = self._on_access

    # -- who is watched --------------------------------------------------------------------------------------

    def watch_card(self, card: Observable, iommu: Iommu | None = None, *, name: str = "card") -> Tap:
        """A card of vnic.device; without an Iommu, tell the Tap what is placed where."""
        return self._watch(card, iommu, name, CardLanes)

    def watch_engine(self, engine: Observable, iommu: Iommu | None = None, *, name: str = "engine") -> Tap:
        """A copy engine of vnic.copy_engine; likewise."""
        return self._watch(engine, iommu, name, EngineLanes)

    def _watch(
        self, function: Observable, iommu: Iommu | None, name: str, kind: Callable[[Tap], Lanes]
    ) -> Tap:
        tap = Tap(name, self._custody, poisons=self._poisons)
        tap.follow(kind(tap))
        if iommu is not None:
            iommu.watch(tap)
        self._watches.append(function.observe(tap.on_event, TYPES))
        return tap

    def view(self, buffer: GuestBuffer) -> WatchedView:
        """The bytes of a buffer, with every access seen."""
        return WatchedView(self._memory, buffer.address, len(buffer))

    # -- what was found --------------------------------------------------------------------------------------

    @property
    def races(self) -> tuple[Race, ...]:
        """What was found so far, the first 64, without looking again."""
        return tuple(self._custody.races)

    def look(self) -> tuple[Race, ...]:
        """Compare everything that is in flight or mapped, and say what was found so far."""
        self._custody.verify_all()
        return self.races

    def check(self) -> None:
        """Compare everything; DmaRaceError when there was a race since the last check."""
        races, more = self.look(), self._custody.more
        self._custody.races.clear()
        self._custody.more = 0
        if races:
            raise DmaRaceError(races, more)

    def close(self) -> None:
        """Watch no more; nothing is checked. Idempotent."""
        for watch in self._watches:
            watch.cancel()
        self._watches.clear()
        if self._memory.watcher == self._on_access:
            self._memory.watcher = None

    def _on_access(self, address: int, length: int, is_write: bool) -> None:
        if is_write:
            self._custody.host_wrote(address, length, _site)
        else:
            self._custody.host_reads(address, length, _site)


def _site() -> str:
    """The place in a program that touched memory: the first that is not the checker's or the memory's."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and any(own in frame.f_code.co_filename for own in _OWN_FILES):
        frame = frame.f_back
    if frame is None:
        return "somewhere"
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}()"
