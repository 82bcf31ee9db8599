"""Two engines, a seeded link that loses, delays, reorders, duplicates and marks, and two users."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from random import Random

from tests.tcp.builder import MS
from tests.tcp.endpoint import Endpoint, Engine
from tests.tcp.options import Options
from tests.tcp.segment import MODULUS, Segment, pattern, signed
from vnic._core import lib

STARTS_NS = (5_000_000_000, 77_000_000_000)


@dataclass(frozen=True)
class Link:
    """What happens to segments; the same seed and the same order of segments make the same fate."""

    seed: int = 0
    loss: float = 0
    duplicate: float = 0
    reorder: float = 0
    mark: float = 0  # CE on ECN-capable packets
    delay_ms: float = 10
    jitter_ms: float = 20  # of what is reordered or duplicated
    lossless_after_ms: float = 600_000
    only_acks: bool = False  # reorder and duplicate pure ACKs, nothing else
    mtu: int = 65535  # larger packets are dropped, and ICMP says so


@dataclass(frozen=True)
class TooBig:
    """An ICMP error on its way back."""

    seq: int
    mtu: int


def size(segment: Segment) -> int:
    """Bytes of its IPv4 packet."""
    return 20 + int(lib.tcp_header_len(segment.raw())) + len(segment.payload)


@dataclass(frozen=True)
class Act:
    """What a user does, so many ms after the last act: send, read, stop (reading), shutdown."""

    after_ms: int
    side: int
    what: str
    amount: int = 0


@dataclass
class Scenario:
    """A whole run."""

    options: tuple[Options, Options]
    link: Link
    acts: list[Act]
    limit_ms: int = 3_600_000


@dataclass(frozen=True)
class Sent:
    """A segment on the wire in relative numbers."""

    at_ns: int
    side: int
    segment: Segment


@dataclass
class Side:
    """One end and its user."""

    engine: Engine
    options: Options
    peer: Options
    endpoint: Endpoint | None = None
    reads: bool = True
    shutdown: bool = False
    happened: list[str] = field(default_factory=list)

    def relative(self, segment: Segment) -> Segment:
        """The segment with numbers that do not depend on where they start."""
        o, p = self.options, self.peer
        has_ack = bool(segment.control & lib.TCP_ACK)
        has_ts = bool(segment.options & lib.TCP_OPT_TIMESTAMP)
        return replace(
            segment,
            seq=signed(segment.seq - o.iss),
            ack=signed(segment.ack - p.iss) if has_ack else 0,
            ts_val=signed(segment.ts_val - o.ts_offset) if has_ts else 0,
            ts_ecr=signed(segment.ts_ecr - p.ts_offset) if has_ts and has_ack else 0,
            sack=tuple((signed(left - p.iss), signed(right - p.iss)) for left, right in segment.sack),
        )


class World:
    """Runs a scenario; `on_event(world, side)` is called after everything that happens to a side."""

    def __init__(self, scenario: Scenario, on_event: Callable[[World, int], None] | None = None) -> None:
        self.scenario, self.on_event = scenario, on_event
        self.now_ns = 0
        self.random = Random(scenario.link.seed)
        self.wire: list[tuple[int, int, int, Segment | TooBig]] = []
        self.trace: list[Sent] = []
        a, b = scenario.options
        self.sides = (
            Side(Engine(STARTS_NS[0], **a.config), a, b),
            Side(Engine(STARTS_NS[1], **b.config), b, a),
        )
        self.shift = list(STARTS_NS)
        self.count = 0

    def close(self) -> None:
        """Free both engines."""
        for side in self.sides:
            side.engine.close()

    # --- the link

    def _carry(self, to: int, segment: Segment) -> None:
        link, random = self.scenario.link, self.random
        if size(segment) > link.mtu:
            self._put(link.delay_ms, 1 - to, TooBig(segment.seq, link.mtu))
            return
        chances = [random.random() for _ in range(4)]
        is_disturbed = self.now_ns < link.lossless_after_ms * MS and (
            segment.is_pure_ack or not link.only_acks
        )
        if is_disturbed and chances[0] < link.loss:
            return
        if is_disturbed and chances[3] < link.mark and segment.ecn in (lib.TCP_ECT_0, lib.TCP_ECT_1):
            segment = replace(segment, ecn=lib.TCP_CE)
        late = random.random() * link.jitter_ms if is_disturbed and chances[1] < link.reorder else 0
        self._put(link.delay_ms + late, to, segment)
        if is_disturbed and chances[2] < link.duplicate:
            self._put(link.delay_ms + random.random() * link.jitter_ms, to, segment)

    def _put(self, delay_ms: float, to: int, what: Segment | TooBig) -> None:
        self.count += 1
        heappush(self.wire, (self.now_ns + int(delay_ms * MS), self.count, to, what))

    def _arrive(self, to: int, segment: Segment | TooBig) -> None:
        side = self.sides[to]
        if isinstance(segment, TooBig):
            if side.endpoint is not None:
                side.endpoint.icmp(lib.TCP_ICMP_TOO_BIG, segment.seq, segment.mtu)
        elif side.endpoint is not None:
            side.endpoint.input(segment)
        elif segment.control & lib.TCP_SYN:
            self._accept(side, segment)
        self._settle(to)

    def _accept(self, side: Side, syn: Segment) -> None:
        engine = side.engine
        c = lib.tcp_accept(engine.handle, engine.now_ns, side.options.raw(), syn.raw())
        side.endpoint = Endpoint(engine, c, side.options.iss)
        side.endpoint.max_len = side.options.max_len
        side.endpoint.irs = syn.seq
        side.endpoint.edges.start((side.options.iss + 1) % MODULUS, syn.wnd)

    # --- the users

    def _connect(self) -> None:
        side = self.sides[0]
        c = lib.tcp_connect(side.engine.handle, side.engine.now_ns, side.options.raw())
        side.endpoint = Endpoint(side.engine, c, side.options.iss)
        side.endpoint.max_len = side.options.max_len
        self._settle(0)

    def _act(self, act: Act) -> None:
        side = self.sides[act.side]
        endpoint = side.endpoint
        if endpoint is None or endpoint.is_closed:
            return
        if act.what == "send" and not side.shutdown:
            endpoint.queue(pattern(len(endpoint.queued), act.amount), push=bool(act.amount % 5))
        elif act.what == "shutdown" and not side.shutdown:
            side.shutdown = True
            endpoint.shutdown()
        elif act.what in ("read", "stop"):
            side.reads = act.what == "read"
        self._settle(act.side)

    def _settle(self, index: int) -> None:
        """After an event: the user reads if he does, output leaves, and the observer looks."""
        side = self.sides[index]
        endpoint = side.endpoint
        if endpoint is None:
            return
        unread = len(endpoint.received) - endpoint.consumed
        if side.reads and unread and not endpoint.is_closed:
            endpoint.consume(unread)
        if self.on_event is not None and not endpoint.is_closed:
            self.on_event(self, index)
        for segment in endpoint.pull():
            self.trace.append(Sent(self.now_ns, index, side.relative(segment)))
            for packet in segment.packets():
                self._carry(1 - index, packet)
        if self.on_event is not None and not endpoint.is_closed:
            self.on_event(self, index)
        side.happened += endpoint.events
        endpoint.events.clear()

    # --- time

    def _next_ns(self) -> int:
        moments = [s.engine.deadline_ns - at for s, at in zip(self.sides, self.shift, strict=True)]
        return min([*moments, *([self.wire[0][0]] if self.wire else [])])

    def _go_to(self, moment_ns: int) -> None:
        self.now_ns = max(self.now_ns, moment_ns)
        for side, shift in zip(self.sides, self.shift, strict=True):
            side.engine.now_ns = self.now_ns + shift

    def _run_timers(self) -> None:
        for index, side in enumerate(self.sides):
            if side.engine.deadline_ns <= side.engine.now_ns:
                side.engine.run_timers()
                assert side.engine.deadline_ns > side.engine.now_ns, "a deadline stays in the past"
                self._settle(index)

    def run_until(self, moment_ns: int) -> None:
        """Everything that happens before, and at, that moment."""
        while (at := self._next_ns()) <= moment_ns:
            self._go_to(at)
            while self.wire and self.wire[0][0] <= self.now_ns:
                _, _, to, segment = heappop(self.wire)
                self._arrive(to, segment)
            self._run_timers()
        self._go_to(moment_ns)

    def run(self) -> World:
        """The whole scenario, then both read, both shut down, and the rest within the limit."""
        self._go_to(0)
        self._connect()
        for act in self.scenario.acts:
            self.run_until(self.now_ns + act.after_ms * MS)
            self._act(act)
        for side in (0, 1):
            while self.sides[side].endpoint is None and self.now_ns < self.scenario.limit_ms * MS:
                self.run_until(self.now_ns + 1000 * MS)
            self._act(Act(0, side, "read"))
            self._act(Act(0, side, "shutdown"))
        while not self.is_done and self.now_ns < self.scenario.limit_ms * MS:
            self.run_until(self.now_ns + 1000 * MS)
        return self

    @property
    def is_done(self) -> bool:
        """Both got all, and know that it is all."""
        return all("FIN" in side.happened for side in self.sides)

    def move(self, index: int, engine: Engine | None = None, shift_ns: int = 0) -> None:
        """Saves the connection of a side and loads it again, perhaps in another engine with another time."""
        side = self.sides[index]
        assert side.endpoint is not None
        if engine is None:
            side.endpoint.move(side.engine)
            return
        self.shift[index] += shift_ns
        engine.now_ns = self.now_ns + self.shift[index]
        side.endpoint.move(engine)
        side.engine.close()
        side.engine = engine
