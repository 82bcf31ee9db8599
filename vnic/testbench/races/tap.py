"""One function under observation: its DMA, its registers and its mappings, as they happen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from vnic.abi import DmaPurpose, DmaStatus, EventType
from vnic.events import Event, Observer
from vnic.gen.model import Register, RegisterMap
from vnic.gen.registers import CONFIG
from vnic.host.bus import Direction, Segment
from vnic.host.memory import POISON
from vnic.testbench.races.custody import Custody
from vnic.testbench.races.flight import Claim, Flight, Mapping
from vnic.testbench.races.history import Write
from vnic.testbench.races.mappings import Mappings
from vnic.testbench.races.race import Moment, Party, RaceKind
from vnic.testbench.races.registers import Written
from vnic.testbench.races.spans import Past, Spans

_PAST_CLAIMS = 1024
TYPES = frozenset(
    {
        EventType.MMIO_READ,
        EventType.MMIO_WRITE,
        EventType.CFG_WRITE,
        EventType.DMA_READ,
        EventType.DMA_WRITE,
        EventType.INTERRUPT,
        EventType.RUN,
        EventType.STEP,
        EventType.RESET,
        EventType.REMOVE,
        EventType.LOAD,
    }
)
_FLR_BYTE = 1 << CONFIG.DEVCTL.field("FLR").lsb // 8
_GONE = (DmaStatus.UNSUPPORTED, DmaStatus.ABORTED)


class Watch(Protocol):
    """An observation; cancel() ends it."""

    def cancel(self) -> None:
        """No more events."""


class Observable(Protocol):
    """A function that tells what it does."""

    def observe(self, observer: Observer, types: Iterable[EventType]) -> Watch:
        """Call `observer` with each event of these types."""


class Lanes(Protocol):
    """What a kind of device does with descriptors: knows which transfers are in flight."""

    #: What describes BAR0.
    registers: RegisterMap

    def on_write(self, offset: int, width: int, value: int) -> None:
        """A register of BAR0 is about to be written."""

    def on_read(self, offset: int, width: int, value: int) -> None:
        """A register of BAR0 was read."""

    def on_descriptor(self, bus: int, data: bytes, is_whole: bool) -> None:
        """Descriptors were read, or could not be."""

    def on_data(self, bus: int, length: int, is_write: bool) -> None:
        """Data was moved."""

    def on_interrupt(self) -> None:
        """An interrupt left the function."""

    def on_turn(self) -> None:
        """The function is about to work; the host may have been at memory since it last did."""

    def on_completion(self, bus: int, data: bytes, is_whole: bool) -> None:
        """A completion was written, or could not be."""

    def forget(self) -> None:
        """The function was reset: nothing is in flight, no register holds anything."""

    def drop(self, flight: Flight) -> None:
        """A transfer is over whatever the device does."""

    def oldest_pending(self) -> int | None:
        """Order of the oldest hand-over of which not everything was seen; None: there is none."""


class Tap:
    """The observer and MapWatcher of a function.

    poisons: what is mapped FROM_DEVICE is filled with 0xDB, so that who reads it early gets that.
    """

    def __init__(self, name: str, custody: Custody, *, poisons: bool = False) -> None:
        self.name = name
        self.custody = custody
        self.mappings = Mappings(name)
        self._lanes: Lanes | None = None
        self._poisons = poisons
        self._is_master = True
        self._config = Written()
        self._flying: Spans[Claim] = Spans()  # by bus address
        self._past: Past[Claim] = Past(_PAST_CLAIMS)

    def follow(self, lanes: Lanes) -> None:
        """Transfers are those that these say."""
        self._lanes = lanes
        self.custody.pending.append(lanes.oldest_pending)

    # -- transfers -------------------------------------------------------------------------------------------

    def flight(self, lane: str, index: int, descriptor: int, handed: Moment, fences: int = 0) -> Flight:
        """A transfer that was just seen; its claims are to be added before start()."""
        return Flight(f"{self.name} {lane}", index, descriptor, handed, self.custody.moment(), fences)

    def add(
        self, flight: Flight, bus: int, length: int, *, writes: bool, is_descriptor: bool = False
    ) -> None:
        """It uses the memory that these bus addresses lead to."""
        for piece in self.mappings.translation.pieces(bus, length):
            claim = Claim(piece.start, piece.length, piece.bus, writes, flight, is_descriptor)
            flight.claims.append(claim)

    def start(self, flight: Flight) -> None:
        """The device has it."""
        self.custody.start(flight)
        for claim in flight.claims:
            self._flying.add(claim.bus, claim.length, claim)

    def end(self, flight: Flight) -> None:
        """The driver can know that the device is done with it."""
        self.custody.end(flight)
        for claim in flight.claims:
            self._flying.remove(claim.bus, claim.length, claim)
            if not claim.is_descriptor:
                self._past.add(claim.bus, claim.length, claim)

    def peek(self, bus: int, length: int) -> bytes:
        """What memory holds at bus addresses, as far as they lead somewhere."""
        memory = self.custody.memory
        pieces = self.mappings.translation.pieces(bus, length)
        views = [memory.view[p.start - memory.base : p.start - memory.base + p.length] for p in pieces]
        return b"".join(views)

    # -- mappings --------------------------------------------------------------------------------------------

    def placed(self, addr: int, address: int, length: int) -> None:
        """Bus addresses lead to guest memory from now on."""
        self.mappings.translation.place(addr, address, length)

    def removed(self, addr: int, length: int) -> None:
        """They lead nowhere."""
        self.mappings.translation.remove(addr)

    def begun(self, segment: Segment, direction: Direction | None) -> None:
        """A driver has mapped memory."""
        mapping = self.mappings.begin(segment, direction, self.custody.moment())
        self._past.forget(segment.addr, segment.len)
        if self._poisons and direction == Direction.FROM_DEVICE:
            self._poison(mapping.claims)
        self.custody.claim(mapping.claims)

    def _poison(self, claims: list[Claim]) -> None:
        memory = self.custody.memory
        for claim in claims:
            start = claim.start - memory.base
            memory.view[start : start + claim.length] = bytes([POISON]) * claim.length
            self.custody.device_wrote(claim.start, bytes([POISON]) * claim.length)

    def ending(self, segment: Segment, direction: Direction | None) -> None:
        """It gives a mapping up; what is in flight there should not be."""
        mapping = self.mappings.find(segment, direction)
        if mapping is None:
            return
        self.custody.release(mapping.claims)
        self.mappings.end(mapping, self.custody.moment())
        for claim in self._flying.at(segment.addr, segment.len):
            self._lose(claim, mapping)

    def _lose(self, claim: Claim, mapping: Mapping) -> None:
        """A mapping ended under a transfer; while nothing moves that is allowed [RST-10]."""
        flight, segment = claim.flight, mapping.segment
        first = max(claim.bus, segment.addr)
        length = min(claim.bus + claim.length, segment.addr + segment.len) - first
        if flight is None or flight.ended is not None or self.mappings.is_covered(first, length):
            return
        if self._is_master:
            parties = (claim.party(), mapping.party())
            self.custody.report(RaceKind.UNMAPPED, claim.start + first - claim.bus, length, parties)
            self.mappings.forget(mapping)  # what the device does there now is the same race
        self._drop(flight)

    def _drop(self, flight: Flight) -> None:
        """It is told of; what the device still does with it is the same race."""
        self.end(flight)
        for claim in flight.claims:
            self._past.forget(claim.bus, claim.length)
        if self._lanes is not None:
            self._lanes.drop(flight)

    # -- events ----------------------------------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        """What the function tells; called by it."""
        kind = event.type
        self.custody.latest_ns = max(self.custody.latest_ns, event.time_ns)
        if kind in (EventType.DMA_READ, EventType.DMA_WRITE):
            self._on_dma(event)
        elif kind == EventType.MMIO_WRITE:
            self._on_register_write(event)
        elif kind == EventType.MMIO_READ:
            if event.index == 0 and self._lanes is not None:
                self._lanes.on_read(event.addr, event.width, event.value)
        elif kind == EventType.CFG_WRITE:
            self._on_config_write(event)
        elif kind in (EventType.RUN, EventType.STEP):
            if self._lanes is not None:
                self._lanes.on_turn()
        elif kind == EventType.INTERRUPT:
            if self._lanes is not None:
                self._lanes.on_interrupt()
        else:
            self.forget()

    def forget(self) -> None:
        """The function was reset, removed, put back or made another: nothing is in flight."""
        if self._lanes is not None:
            self._lanes.forget()

    def _on_register_write(self, event: Event) -> None:
        lanes = self._lanes
        registers = lanes.registers if lanes is not None and event.index == 0 else None
        self.custody.history.add(Write(self.name, registers, event))
        if lanes is not None and event.index == 0:
            lanes.on_write(event.addr, event.width, event.value)

    def _on_config_write(self, event: Event) -> None:
        before = self._config[CONFIG.PM_CTRL.offset]
        touched = self._config.write(event.addr, event.width, event.value)
        if CONFIG.COMMAND.offset in touched:
            self._is_master = bool(_field(self._config, CONFIG.COMMAND, "MASTER"))
        flr = touched.get(CONFIG.DEVCTL.offset, 0) & _FLR_BYTE
        is_reset = flr and _field(self._config, CONFIG.DEVCTL, "FLR")
        state = CONFIG.PM_CTRL.field("STATE")
        if is_reset or state.get(before) != _field(self._config, CONFIG.PM_CTRL, "STATE"):
            self._is_master = False
            self.forget()

    def _on_dma(self, event: Event) -> None:
        is_write = event.type == EventType.DMA_WRITE
        moved = len(event.data)
        if moved:
            self._on_moved(event.addr, event.data, is_write)
        is_whole = event.value == DmaStatus.OK
        if not is_whole and event.value in _GONE:
            self._report_lost(event.addr + moved, 1)
        elif is_whole and moved:
            self._report_lost(event.addr, moved)
        lanes = self._lanes
        if event.index == DmaPurpose.DESCRIPTOR:
            if lanes is not None and not is_write:
                lanes.on_descriptor(event.addr, event.data, is_whole)
        elif event.index == DmaPurpose.COMPLETION:
            if lanes is not None and is_write:
                lanes.on_completion(event.addr, event.data, is_whole)
        elif event.index in (DmaPurpose.DATA, DmaPurpose.HEADER) and moved:
            self._report_over(event.addr, moved, is_write)
            if lanes is not None:
                lanes.on_data(event.addr, moved, is_write)

    def _on_moved(self, bus: int, data: bytes, is_write: bool) -> None:
        view = memoryview(data)
        for piece in self.mappings.translation.pieces(bus, len(data)):
            if is_write:
                at = piece.bus - bus
                self.custody.device_wrote(piece.start, view[at : at + piece.length])
            else:
                self.custody.verify(piece.start, piece.length)

    def _report_lost(self, bus: int, length: int) -> None:
        """DMA to what is not mapped any more, whether the bus let it through or not."""
        mapping = self.mappings.lost(bus, length)
        if mapping is None:
            return
        address = mapping.address + bus - mapping.segment.addr
        parties = (mapping.party(), Party(self.name, "used it after that", bus, length))
        self.custody.report(RaceKind.UNMAPPED, address, length, parties)

    def _report_over(self, bus: int, length: int, is_write: bool) -> None:
        """DMA to what a completed descriptor named, and none that is in flight names."""
        if any(claim.is_written == is_write for claim in self._flying.at(bus, length)):
            return
        for claim in self._past.at(bus, length):
            if claim.is_written == is_write:
                first = max(bus, claim.bus)
                end = min(bus + length, claim.bus + claim.length)
                late = Party(self.name, "wrote it" if is_write else "read it", first, end - first)
                address = claim.start + first - claim.bus
                self.custody.report(RaceKind.COMPLETED, address, end - first, (claim.party(), late))
                return


def _field(written: Written, register: Register, name: str) -> int:
    return register.field(name).get(written[register.offset])
