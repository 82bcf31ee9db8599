"""The channels of a copy engine: which descriptors each has, by registers, fetches and completions."""

from __future__ import annotations

from collections import deque

from vnic.gen.descriptors import CopyCompletion, CopyDescriptor
from vnic.gen.enums import ChanStatus, CopyOp
from vnic.gen.registers import COPY_BAR0
from vnic.testbench.races.flight import Claim, Flight
from vnic.testbench.races.race import Moment, Party, RaceKind
from vnic.testbench.races.registers import Written
from vnic.testbench.races.shadow import Change
from vnic.testbench.races.tap import Tap

_PAGE = 4096
_COUNT_MASK = 0xFFFF
_FLIGHTS_MAX = 1024
_MOVING = 24  # SIZE, control, SRC, DST: what the engine uses of every descriptor
_NEXT_AT = 24
_FLAGS_AT, _INT_EN = 4, 0x1
_NEXT_SRC_AT, _NEXT_DST_AT = 32, 40
_WORD = 8
_ADDR_MASK = ~0x3F
_LOW = 0xFFFF_FFFF
_COMMAND_BYTE, _COUNT_BYTES = 0x1, 0xC  # byte enables of CHANCMD and DMACOUNT
_CHAIN_LOW = COPY_BAR0.CHAINADDR.offset
_STRIDE = COPY_BAR0.CHANCMD.stride


class Channel:
    """One channel. Its transfers begin when their descriptor is fetched, and end when the driver can know.

    It can know by a completion or interrupt of the descriptor or of a later one, by CHANSTS and CHANERR, by
    ABORT and RESET, and by starting another chain. Until then even what is moved already is in flight.
    """

    def __init__(self, tap: Tap, number: int) -> None:
        self.name = f"channel {number}"
        self.flights: dict[int, Flight] = {}  # by the descriptor's bus address, oldest first
        self._tap = tap
        self._expected: int | None = None
        self._fetched = 0  # descriptors of the chain
        self._counted: deque[tuple[int, Moment]] = deque()  # up to which descriptor, since when
        self._last: Flight | None = None
        self._next = 0
        self._fences = 0
        self._is_resuming = False

    # -- registers -------------------------------------------------------------------------------------------

    def chain(self, bus: int) -> None:
        """CHAINADDR [DMA-1]: only the descriptor at hand is still finished."""
        for flight in [each for each in self.flights.values() if each.is_processed]:
            self.end(flight)
        self._expected, self._fetched, self._last = bus, 0, None
        self._fences += 1
        self._counted.clear()

    def count(self, value: int) -> None:
        """DMACOUNT [DMA-3]."""
        known = self._counted[-1][0] if self._counted else self._fetched
        total = self._fetched + (value - self._fetched & _COUNT_MASK)
        if self._expected is not None and total > known:
            self._counted.append((total, self._tap.custody.moment()))

    def command(self, value: int) -> None:
        """CHANCMD: ABORT, RESET and what is no command halt [DMA-8] to [DMA-10]."""
        fields = COPY_BAR0.CHANCMD.decode(value & 0xFF)
        given = {name for name, is_set in fields.items() if is_set}
        if given == {"RESUME"}:
            self._is_resuming = True
        elif given and given != {"SUSPEND"}:
            self.halt()

    def status(self, value: int, mask: int) -> None:
        """The driver learned CHANSTS, or wrote completion: what is done up to ADDR."""
        if value & 0x7 == ChanStatus.HALTED:
            self.halt()
        elif value & 0x7 != ChanStatus.ARMED:
            addr = value & _ADDR_MASK & mask
            flights = list(self.flights.values())
            named = [n for n, f in enumerate(flights) if f.descriptor & mask == addr and f.is_processed]
            for flight in flights[: named[0] + 1 if named else 0]:
                self.end(flight)

    def interrupt(self) -> None:
        """The driver can know that what asked for an interrupt is done, and all before it."""
        flights = list(self.flights.values())
        asked = [
            n
            for n, flight in enumerate(flights)
            if flight.packed[_FLAGS_AT] & _INT_EN and flight.is_processed
        ]
        for flight in flights[: asked[-1] + 1 if asked else 0]:
            self.end(flight)

    def halt(self) -> None:
        """Nothing is moved any more, until CHAINADDR is written."""
        self._expected = self._last = None
        self._counted.clear()
        for flight in list(self.flights.values()):
            self.end(flight)

    def end(self, flight: Flight) -> None:
        """One transfer is over."""
        del self.flights[flight.descriptor]
        self._tap.end(flight)

    # -- descriptors -----------------------------------------------------------------------------------------

    @property
    def pending(self) -> Moment | None:
        """When the oldest descriptor that is not fetched was counted."""
        return next((moment for total, moment in self._counted if total > self._fetched), None)

    def expects(self, bus: int) -> bool:
        """Whether a fetch from there is this channel's next."""
        return self._reads_again(bus) or (self.pending is not None and bus == self._expected)

    def _reads_again(self, bus: int) -> bool:
        return self._is_resuming and self._last is not None and bus == self._last.descriptor

    def fetch(self, bus: int, data: bytes) -> None:
        """A descriptor, or the NEXT of the last one again [DMA-7]."""
        packed = CopyDescriptor.unpack(data)
        is_again = self._reads_again(bus)
        self._is_resuming = False
        if not is_again:
            self._check_next()
            self._begin(bus, data, packed)
        self._expected = self._next = packed.next

    def fail(self, bus: int) -> None:
        """A descriptor could not be read; if it was the one that NEXT named, was NEXT another by then?"""
        if not self._reads_again(bus):
            self._check_next(is_lost=True)

    def _begin(self, bus: int, data: bytes, packed: CopyDescriptor) -> None:
        handed = self.pending or self._tap.custody.moment()
        flight = self._tap.flight(self.name, self._fetched, bus, handed, self._fences)
        flight.packed = data
        self._fetched += 1
        while self._counted and self._counted[0][0] <= self._fetched:
            self._counted.popleft()
        if bus in self.flights:  # a driver that hands it over again has done with it
            self.end(self.flights[bus])
        self._claim(flight, packed)
        self._fences += packed.fence
        self._tap.start(flight)
        self.flights[bus] = self._last = flight
        if len(self.flights) > _FLIGHTS_MAX:
            self.end(next(iter(self.flights.values())))

    def _claim(self, flight: Flight, packed: CopyDescriptor) -> None:
        self._claim_words(flight, 0, _MOVING)
        if packed.null or packed.op == CopyOp.CONTEXT_CHANGE:
            return
        if packed.src_brk:
            self._claim_words(flight, _NEXT_SRC_AT, _WORD)
        if packed.dst_brk:
            self._claim_words(flight, _NEXT_DST_AT, _WORD)
        if packed.op == CopyOp.COPY:
            for bus, length in fragments(packed.src, packed.size, packed.src_brk, packed.next_src):
                self._tap.add(flight, bus, length, writes=False)
        for bus, length in fragments(packed.dst, packed.size, packed.dst_brk, packed.next_dst):
            self._tap.add(flight, bus, length, writes=True)
        flight.wanted = packed.size

    def _claim_words(self, flight: Flight, at: int, length: int) -> None:
        self._tap.add(flight, flight.descriptor + at, length, writes=False, is_descriptor=True)

    def _check_next(self, is_lost: bool = False) -> None:
        """[DMA-5] NEXT was taken with its descriptor; what was written there since has no effect."""
        last = self._last
        if last is None or (last.ended is not None and not is_lost):
            return
        before = self._next.to_bytes(_WORD, "little")
        bus = last.descriptor + _NEXT_AT
        now = self._tap.peek(bus, _WORD)
        for piece in self._tap.mappings.translation.pieces(bus, _WORD):
            if piece.length == _WORD and now != before:
                claim = Claim(piece.start, _WORD, piece.bus, False, last, is_descriptor=True)
                host = Party("host", "wrote NEXT after the fetch; the engine went on at the old one")
                change = Change(piece.start, before, now)
                self._tap.custody.report_change(RaceKind.DESCRIPTOR, change, (claim.party(), host))

    def wrote(self, bus: int, length: int) -> bool:
        """Whether a piece belongs to a transfer of this channel; what it will write next is looked at."""
        for flight in self.flights.values():
            if not flight.is_processed and any(_holds(claim, bus, length) for claim in flight.claims):
                flight.written += length
                self._look_ahead(flight)
                return True
        return False

    def on_turn(self) -> None:
        """The engine goes on: it may write over what the host has written since."""
        for flight in self.flights.values():
            if not flight.is_processed:
                self._look_ahead(flight)

    def _look_ahead(self, flight: Flight) -> None:
        """Compare what the next piece will write over."""
        behind, left = flight.written, _PAGE
        for claim in [each for each in flight.claims if each.is_written]:
            start = min(behind, claim.length)
            length = min(left, claim.length - start)
            if length:
                self._tap.custody.verify(claim.start + start, length)
            behind -= start
            left -= length


def _holds(claim: Claim, bus: int, length: int) -> bool:
    return claim.is_written and claim.bus <= bus and bus + length <= claim.bus + claim.length


def fragments(bus: int, size: int, has_break: int, following: int) -> list[tuple[int, int]]:
    """Where a transfer goes: with a page break, on at another page when the first ends [DMA-22]."""
    first = _PAGE - bus % _PAGE
    if not has_break or size <= first:
        return [(bus, size)]
    return [(bus, first), (following, size - first)]


class EngineLanes:
    """Every channel of a copy engine."""

    registers = COPY_BAR0.MAP

    def __init__(self, tap: Tap) -> None:
        self._tap = tap
        self._written = Written()
        self._channels: dict[int, Channel] = {}

    def _channel(self, number: int) -> Channel:
        if number not in self._channels:
            self._channels[number] = Channel(self._tap, number)
        return self._channels[number]

    def on_write(self, offset: int, width: int, value: int) -> None:
        """A register of BAR0 is about to be written."""
        touched = self._written.write(offset, width, value)
        chains = set()
        for word, enables in touched.items():
            try:
                register, number = COPY_BAR0.MAP.lookup(word)
            except KeyError:
                continue
            if register is COPY_BAR0.CHAINADDR:
                chains.add(number)
            elif register is COPY_BAR0.CHANCMD:
                self._command(self._channel(number), enables, self._written[word])
        for number in chains:
            self._channel(number).chain(self._written.wide(COPY_BAR0.CHAINADDR.at(number)))

    def _command(self, channel: Channel, enables: int, value: int) -> None:
        if enables & _COMMAND_BYTE:
            channel.command(value)
        if enables & _COUNT_BYTES:
            channel.count(COPY_BAR0.CHANCMD.field("DMACOUNT").get(value))

    def on_read(self, offset: int, width: int, value: int) -> None:
        """CHANSTS, of its halves the lower one, tells as much as a completion; CHANERR of the end."""
        try:
            register, number = COPY_BAR0.MAP.lookup(offset)
        except KeyError:
            return
        if register is COPY_BAR0.CHANERR and value:
            self._channel(number).halt()
        elif register is COPY_BAR0.CHANSTS and offset == register.at(number) and width >= 4:
            self._channel(number).status(value, _LOW if width == 4 else (1 << 64) - 1)

    def on_descriptor(self, bus: int, data: bytes, is_whole: bool) -> None:
        """A descriptor, of the channel that expects one there."""
        for channel in self._channels.values():
            if channel.expects(bus):
                if is_whole and len(data) == CopyDescriptor.SIZE:
                    channel.fetch(bus, data)
                else:
                    channel.fail(bus)
                break
        self._tap.custody.prune()

    def on_data(self, bus: int, length: int, is_write: bool) -> None:
        """A piece was moved."""
        if is_write:
            any(channel.wrote(bus, length) for channel in self._channels.values())

    def on_interrupt(self) -> None:
        """Of whichever channel: vectors may be shared."""
        for channel in self._channels.values():
            channel.interrupt()

    def on_turn(self) -> None:
        """The engine is about to work."""
        for channel in self._channels.values():
            channel.on_turn()

    def on_completion(self, bus: int, data: bytes, is_whole: bool) -> None:
        """A completion tells of the channel whose CHANCMP it goes to."""
        if not is_whole or len(data) != CopyCompletion.SIZE:
            return
        value = int.from_bytes(data, "little")
        for number, channel in self._channels.items():
            if self._written.wide(COPY_BAR0.CHANCMP.at(number)) & ~0x7 == bus:
                channel.status(value, (1 << 64) - 1)

    def forget(self) -> None:
        """The function was reset: nothing is in flight, no register holds anything."""
        self._written.clear()
        for channel in self._channels.values():
            channel.halt()

    def drop(self, flight: Flight) -> None:
        """A transfer is over whatever the engine does."""
        for channel in self._channels.values():
            if channel.flights.get(flight.descriptor) is flight:
                del channel.flights[flight.descriptor]

    def oldest_pending(self) -> int | None:
        """Order of the oldest count of which not every descriptor was fetched."""
        pending = [each.pending for each in self._channels.values()]
        return min((moment.order for moment in pending if moment is not None), default=None)
