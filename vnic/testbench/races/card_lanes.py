"""The rings of the card: which receive and transmit descriptors it has, by its registers and completions."""

from __future__ import annotations

from collections.abc import Callable

from vnic.gen.descriptors import RxCompletion, RxDesc, TxCompletion, TxData
from vnic.gen.enums import CompletionType, DescType
from vnic.gen.registers import BAR0
from vnic.testbench.races.flight import Flight
from vnic.testbench.races.registers import Written
from vnic.testbench.races.tap import Tap

_COUNT_MIN, _COUNT_MAX = 8, 32768
_BASE_ALIGN = 64
_ENTRY_BYTES = 16
_COMPLETION_BYTES = RxCompletion.SIZE
_TX_LEN_MAX = 262144
_BYTE_ENABLE = 1  # of the lowest byte of a control register, where ENABLE and RESET are


class RingLane:
    """A receive or transmit ring. Positions count on freely; the index is the position modulo count.

    Its transfers begin with the doorbell [RING-8] and end with the completion that covers them.
    """

    def __init__(self, tap: Tap, name: str, claim: Callable[[Flight, bytes], None]) -> None:
        self.name = name
        self.is_running = False
        self.flights: dict[int, Flight] = {}
        self._tap = tap
        self._claim = claim
        self._base = self._count = self._head = self._tail = 0

    def start(self, base: int, count: int) -> None:
        """ENABLE; a ring that the card refuses [RING-3] does not run."""
        self.stop()
        is_count = _COUNT_MIN <= count <= _COUNT_MAX and not count & (count - 1)
        self.is_running = is_count and base % _BASE_ALIGN == 0
        self._base, self._count = base, count
        self._head = self._tail = 0

    def stop(self) -> None:
        """The card uses nothing of it any more."""
        self.is_running = False
        for flight in self.flights.values():
            self._tap.end(flight)
        self.flights.clear()

    def drop(self, flight: Flight) -> None:
        """A transfer is over whatever the card does."""
        self.flights = {at: each for at, each in self.flights.items() if each is not flight}

    def hand_over(self, index: int) -> None:
        """The doorbell: descriptors up to `index` are the card's; those behind it are not."""
        if not self.is_running:
            return
        if index >= self._count:  # [RING-6]
            self.stop()
            return
        tail = self._head + (index - self._head) % self._count
        for position in range(tail, self._tail):  # [RING-7]
            self._end(position)
        handed = self._tap.custody.moment()
        for position in range(self._tail, tail):
            where = self._bus(position)
            flight = self._tap.flight(self.name, position % self._count, where, handed)
            self._fill(flight, self._tap.peek(where, _ENTRY_BYTES))
            self.flights[position] = flight
        self._tail = tail

    def _fill(self, flight: Flight, packed: bytes) -> None:
        self._tap.add(flight, flight.descriptor, _ENTRY_BYTES, writes=False, is_descriptor=True)
        flight.packed = packed
        if len(packed) == _ENTRY_BYTES:
            self._claim(flight, packed)
        self._tap.start(flight)

    def _bus(self, position: int) -> int:
        return self._base + position % self._count * _ENTRY_BYTES

    def holds(self, bus: int) -> bool:
        """Whether a bus address is in the ring."""
        return self.is_running and self._base <= bus < self._base + self._count * _ENTRY_BYTES

    def fetched(self, bus: int, data: bytes) -> None:
        """The card works with these descriptors; one changed since the doorbell names other memory now."""
        first = (bus - self._base) // _ENTRY_BYTES
        for n in range(len(data) // _ENTRY_BYTES):
            position = self._head + (first + n - self._head) % self._count
            flight = self.flights.get(position)
            now = data[n * _ENTRY_BYTES : (n + 1) * _ENTRY_BYTES]
            if flight is not None and flight.packed != now:
                self._tap.end(flight)
                renewed = self._tap.flight(self.name, flight.index, flight.descriptor, flight.handed)
                self._fill(renewed, now)
                self.flights[position] = renewed

    def complete(self, index: int, *, is_last: bool) -> None:
        """All before `index` are done, and that one too if it is the last that is."""
        if not self.is_running or index >= self._count:
            return
        until = self._head + (index - self._head) % self._count + is_last
        for position in range(self._head, min(until, self._tail)):
            self._end(position)
        self._head = until
        self._tail = max(self._tail, until)
        following = self.flights.get(until)
        if following is not None:
            self._look_at(following)

    def on_turn(self) -> None:
        """The card is about to work, perhaps in the buffer that it has next."""
        flight = self.flights.get(self._head)
        if flight is not None:
            self._look_at(flight)

    def _look_at(self, flight: Flight) -> None:
        """What comes next is compared before the card writes over it."""
        for claim in flight.claims:
            self._tap.custody.verify(claim.start, claim.length)

    def _end(self, position: int) -> None:
        flight = self.flights.pop(position, None)
        if flight is not None:
            self._tap.end(flight)


class PairLanes:
    """The rings of one queue pair."""

    def __init__(self, tap: Tap, written: Written, number: int) -> None:
        self.receive = RingLane(tap, f"RX[{number}]", self._claim_receive)
        self.transmit = RingLane(tap, f"TX[{number}]", self._claim_transmit)
        self._tap = tap
        self._written = written
        self._number = number
        self._buf_len = self._hdr_len = 0
        self._completions = range(0)

    def _value(self, name: str) -> int:
        register = BAR0.MAP[name]
        offset = register.at(self._number)
        return self._written.wide(offset) if register.width == 64 else self._written[offset]

    # -- control ---------------------------------------------------------------------------------------------

    def control_receive(self, value: int) -> None:
        """QP_RX_CTRL."""
        if self._starts(self.receive, value):
            self._buf_len, self._hdr_len = self._value("QP_RX_BUF_LEN"), self._value("QP_RX_HDR_LEN")
            self.receive.start(self._value("QP_RX_BASE"), self._value("QP_RX_COUNT"))

    def control_transmit(self, value: int) -> None:
        """QP_TX_CTRL."""
        if self._starts(self.transmit, value):
            self.transmit.start(self._value("QP_TX_BASE"), self._value("QP_TX_COUNT"))

    def control_completion(self, value: int) -> None:
        """QP_CQ_CTRL: what stops it stops both others."""
        fields = BAR0.QP_CQ_CTRL.decode(value)
        if fields["RESET"] or not fields["ENABLE"]:
            self.stop()
        elif not self._completions:
            base = self._value("QP_CQ_BASE")
            self._completions = range(base, base + self._value("QP_CQ_COUNT") * _COMPLETION_BYTES)

    def _starts(self, lane: RingLane, value: int) -> bool:
        fields = BAR0.QP_RX_CTRL.decode(value)
        if fields["RESET"] or not fields["ENABLE"]:
            lane.stop()
            return False
        return not lane.is_running and bool(self._completions)

    def stop(self) -> None:
        """All three rings."""
        self._completions = range(0)
        self.receive.stop()
        self.transmit.stop()

    # -- descriptors -----------------------------------------------------------------------------------------

    def _claim_receive(self, flight: Flight, packed: bytes) -> None:
        descriptor = RxDesc.unpack(packed)
        self._tap.add(flight, descriptor.buf_addr, self._buf_len, writes=True)
        control = BAR0.MAC_RX_CTRL.decode(self._written[BAR0.MAC_RX_CTRL.offset])
        if control["HEADER_SPLIT"]:
            self._tap.add(flight, descriptor.hdr_addr, self._hdr_len, writes=True)

    def _claim_transmit(self, flight: Flight, packed: bytes) -> None:
        descriptor = TxData.unpack(packed)
        if descriptor.type == DescType.DATA and 1 <= descriptor.len <= _TX_LEN_MAX:
            self._tap.add(flight, descriptor.addr, descriptor.len, writes=False)

    # -- completions -----------------------------------------------------------------------------------------

    def complete(self, bus: int, entry: bytes, is_whole: bool) -> None:
        """An entry of the completion ring, or the failure to write one [RING-15].

        An entry may come in parts, when a fault corrupts it: it counts when it is there to its end.
        """
        if bus not in self._completions:
            return
        if not is_whole:
            self.stop()
        elif (bus + len(entry) - self._completions.start) % _COMPLETION_BYTES == 0:
            there = self._tap.peek(bus + len(entry) - _COMPLETION_BYTES, _COMPLETION_BYTES)
            if len(there) == _COMPLETION_BYTES:
                self._take(there)

    def _take(self, entry: bytes) -> None:
        kind = RxCompletion.unpack(entry).type
        if kind == CompletionType.RX:
            self.receive.complete(RxCompletion.unpack(entry).index, is_last=True)
        elif kind == CompletionType.TX:
            self.transmit.complete(TxCompletion.unpack(entry).head, is_last=False)


class CardLanes:
    """Every queue pair of a card. Its chimney is watched by what its driver maps, not by its descriptors."""

    registers = BAR0.MAP

    def __init__(self, tap: Tap) -> None:
        self._written = Written()
        self._tap = tap
        self._pairs: dict[int, PairLanes] = {}  # those that the driver has touched

    def _pair(self, number: int) -> PairLanes:
        if number not in self._pairs:
            self._pairs[number] = PairLanes(self._tap, self._written, number)
        return self._pairs[number]

    def _lanes(self) -> list[RingLane]:
        return [lane for pair in self._pairs.values() for lane in (pair.receive, pair.transmit)]

    def on_write(self, offset: int, width: int, value: int) -> None:
        """A register of BAR0 is about to be written."""
        for word, enables in self._written.write(offset, width, value).items():
            if enables & _BYTE_ENABLE:
                self._act(word, self._written[word])

    def _act(self, offset: int, value: int) -> None:
        try:
            register, number = BAR0.MAP.lookup(offset)
        except KeyError:
            return
        if register is BAR0.GLB_CTRL and BAR0.GLB_CTRL.decode(value)["RESET"]:
            self.forget()
        elif register is BAR0.QP_RX_TAIL:
            self._pair(number).receive.hand_over(value)
        elif register is BAR0.QP_TX_TAIL:
            self._pair(number).transmit.hand_over(value)
        elif register is BAR0.QP_RX_CTRL:
            self._pair(number).control_receive(value)
        elif register is BAR0.QP_TX_CTRL:
            self._pair(number).control_transmit(value)
        elif register is BAR0.QP_CQ_CTRL:
            self._pair(number).control_completion(value)
        elif register is BAR0.QP_CQ_TAIL and value >= self._written[BAR0.QP_CQ_COUNT.at(number)]:
            self._pair(number).stop()  # [RING-6]

    def on_read(self, offset: int, width: int, value: int) -> None:
        """QP_TX_HEAD tells the driver as much as a completion does."""
        try:
            register, number = BAR0.MAP.lookup(offset)
        except KeyError:
            return
        if register is BAR0.QP_TX_HEAD:
            self._pair(number).transmit.complete(value, is_last=False)

    def on_descriptor(self, bus: int, data: bytes, is_whole: bool) -> None:
        """Descriptors of a ring; one that cannot be read stops the ring [RING-14]."""
        for lane in self._lanes():
            if lane.holds(bus):
                if is_whole:
                    lane.fetched(bus, data)
                else:
                    lane.stop()
                return

    def on_data(self, bus: int, length: int, is_write: bool) -> None:
        """Nothing: a completion says when it is over."""

    def on_interrupt(self) -> None:
        """Nothing: it tells to look at completions."""

    def on_turn(self) -> None:
        """The card is about to work."""
        for lane in self._lanes():
            lane.on_turn()

    def on_completion(self, bus: int, data: bytes, is_whole: bool) -> None:
        """A completion was written, or could not be."""
        for pair in self._pairs.values():
            pair.complete(bus, data, is_whole)

    def forget(self) -> None:
        """The function was reset: nothing is in flight, no register holds anything."""
        self._written.clear()
        for pair in self._pairs.values():
            pair.stop()

    def drop(self, flight: Flight) -> None:
        """A transfer is over whatever the card does."""
        for lane in self._lanes():
            lane.drop(flight)

    def oldest_pending(self) -> int | None:
        """None: a doorbell shows all that is handed over."""
        return None
