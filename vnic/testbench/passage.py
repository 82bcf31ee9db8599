"""The passage of a capture through a bench: every frame received, checked, and sent back out."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from vnic.gen.model import Register
from vnic.gen.registers import BAR0
from vnic.protocol.capture import Received
from vnic.testbench.bench import Bench
from vnic.wire import parse, toeplitz
from vnic.wire.capture import CapturedFrame

BATCH = 64
PADDED = 60  # the card pads what it sends to this length
_DROPS = tuple(r for r in BAR0.MAP if r.name.startswith("STAT_RX_DROP_"))
Flow = tuple[int, bytes]


@dataclass(slots=True)
class Share:
    """What went to one queue or processor."""

    frames: int = 0
    bytes: int = 0
    flows: set[Flow] = field(default_factory=set)

    def add(self, size: int, flow: Flow | None) -> None:
        """One frame; a frame without a hash belongs to no flow."""
        self.frames += 1
        self.bytes += size
        if flow is not None:
            self.flows.add(flow)


@dataclass
class Outcome:
    """What is known of a passage so far; `problems` is empty when everything was as it must be."""

    frames: int = 0
    bytes: int = 0
    delivered: int = 0
    returned: int = 0
    queues: defaultdict[int, Share] = field(default_factory=lambda: defaultdict(Share))
    cpus: defaultdict[int, Share] = field(default_factory=lambda: defaultdict(Share))
    flows: set[Flow] = field(default_factory=set)
    hashed: int = 0
    hash_types: Counter[str] = field(default_factory=Counter)
    drops: Counter[str] = field(default_factory=Counter)
    causes: int = 0
    interrupts: int = 0
    dpcs: int = 0
    problems: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Indication:
    """A frame that the driver indicated: the capture's frame that it is, and where it came up."""

    source: CapturedFrame
    data: bytes
    queue: int
    cpu: int
    hash_type: int
    hash_value: int


class Passage:
    """Pushes frames through a bench at their own times and holds every one against the capture.

    A flow is the tuple that was hashed, so each direction is one. Frames are told apart by their bytes; equal
    frames of a flow are interchangeable.
    """

    def __init__(self, bench: Bench, types: int, key: bytes) -> None:
        self.bench = bench
        self.outcome = Outcome()
        self._types = types
        self._key = key
        self._hashes: dict[bytes, int] = {}
        self._under_way: defaultdict[bytes, deque[tuple[int, CapturedFrame]]] = defaultdict(deque)
        self._latest: dict[Flow, int] = {}
        self._came_back: Counter[bytes] = Counter()
        self._table = self._read_table()
        self._start_ns: int | None = None

    # -- the card's own figures ------------------------------------------------------------------------------

    def _get(self, register: Register, index: int = 0) -> int:
        return self.bench.system.read(0, register.at(index), register.width // 8)

    def _read_table(self) -> list[int]:
        """The queues of the indirection table in force, the default queue last."""
        control = BAR0.RSS_CTRL.decode(self._get(BAR0.RSS_CTRL))
        size = 1 << control["TABLE_LOG2"]
        words = b"".join(self._get(BAR0.RSS_TABLE, i).to_bytes(4, "little") for i in range(-(-size // 4)))
        return [*words[:size], control["DEFAULT_QUEUE"]]

    def _queue_of(self, hash_type: int, hash_value: int) -> int:
        size = len(self._table) - 1
        return self._table[hash_value & (size - 1)] if hash_type else self._table[-1]

    # -- in --------------------------------------------------------------------------------------------------

    def run(self, frames: Iterable[CapturedFrame]) -> Iterator[list[Indication]]:
        """Push frames through, a batch at a time; yields what was indicated."""
        batch: list[CapturedFrame] = []
        for frame in frames:
            batch.append(frame)
            if len(batch) == BATCH:
                yield self._pass(batch)
                batch = []
        if batch:
            yield self._pass(batch)
        self._conclude()

    def _pass(self, batch: list[CapturedFrame]) -> list[Indication]:
        for frame in batch:
            self._arrive(frame)
        self._rest()
        indications = [self._check(received) for received in self.bench.protocol.received]
        self.bench.protocol.received.clear()
        found = [indication for indication in indications if indication is not None]
        self._send_back([indication.data for indication in found])
        return found

    def _arrive(self, frame: CapturedFrame) -> None:
        now_ns = self.bench.clock.now_ns
        if self._start_ns is None:
            self._start_ns = frame.time_ns - now_ns
        self.bench.advance(max(frame.time_ns - self._start_ns - now_ns, 0))
        self._under_way[frame.data].append((self.outcome.frames, frame))
        self.outcome.frames += 1
        self.outcome.bytes += len(frame.data)
        self.bench.receive(frame.data)

    def _rest(self) -> None:
        """Let moderation run out."""
        self.bench.settle()
        while (deadline_ns := self.bench.device.next_deadline_ns()) is not None:
            self.bench.advance(max(deadline_ns - self.bench.clock.now_ns, 1))
            self.bench.settle()

    # -- checks ----------------------------------------------------------------------------------------------

    def _expected_hash(self, data: bytes) -> tuple[int, bytes, int]:
        kind, covered = parse.rss_input(parse.Frame.parse(data), self._types)
        if not kind:
            return 0, b"", 0
        value = self._hashes.get(covered)
        if value is None:
            value = self._hashes[covered] = toeplitz.hash(self._key, covered)
        return int(kind), covered, value

    def _check(self, received: Received) -> Indication | None:
        waiting = self._under_way.get(received.data)
        if not waiting:
            self.outcome.problems["indicated, but not in the capture"] += 1
            return None
        number, source = waiting.popleft()
        if not waiting:
            del self._under_way[received.data]
        hash_type, covered, value = self._expected_hash(received.data)
        if (received.hash or (0, 0, 0)) != ((hash_type, 1, value) if hash_type else (0, 0, 0)):
            self.outcome.problems["hash differs from the reference"] += 1
        flow = (hash_type, covered) if hash_type else None
        if flow is not None:
            self._check_order(flow, number)
        queue = self._queue_of(hash_type, value)
        self._count(received, queue, flow, hash_type)
        return Indication(source, received.data, queue, received.cpu, hash_type, value)

    def _check_order(self, flow: Flow, number: int) -> None:
        if number < self._latest.get(flow, -1):
            self.outcome.problems["order within a flow changed"] += 1
        self._latest[flow] = number
        self.outcome.flows.add(flow)

    def _count(self, received: Received, queue: int, flow: Flow | None, hash_type: int) -> None:
        size = len(received.data)
        self.outcome.delivered += 1
        self.outcome.hashed += hash_type != 0
        self.outcome.queues[queue].add(size, flow)
        self.outcome.cpus[received.cpu].add(size, flow)
        self.outcome.hash_types[parse.HashType(hash_type).name or "NONE"] += 1

    # -- out -------------------------------------------------------------------------------------------------

    def _send_back(self, frames: list[bytes]) -> None:
        if not frames:
            return
        self.bench.protocol.send_chain(frames)
        self._rest()
        self._came_back.update(self.bench.transmitted)
        self._came_back.subtract(frame.ljust(PADDED, b"\0") for frame in frames)
        self.outcome.returned += len(self.bench.transmitted)
        self.bench.transmitted.clear()
        self.bench.protocol.sent.clear()

    # -- the end ---------------------------------------------------------------------------------------------

    def _conclude(self) -> None:
        outcome = self.outcome
        for register in _DROPS:
            if count := self._get(register):
                outcome.drops[register.name.removeprefix("STAT_RX_DROP_").replace("_", " ").lower()] = count
        lost = outcome.frames - outcome.delivered - outcome.drops.total()
        if lost:
            outcome.problems["lost without a counter"] = abs(lost)
        if wrong := sum(abs(count) for count in self._came_back.values()):
            outcome.problems["sent back, but not byte for byte"] = wrong
        capacities = BAR0.GLB_CAPS.decode(self._get(BAR0.GLB_CAPS))
        for queue in range(capacities["QUEUE_PAIRS"]):
            if self._get(BAR0.QP_RX_FRAMES, queue) != outcome.queues[queue].frames:
                outcome.problems["queue differs from the indirection table"] += 1
        vectors = range(capacities["VECTORS"])
        outcome.causes = sum(self._get(BAR0.VEC_CAUSES, vector) for vector in vectors)
        outcome.interrupts = sum(self._get(BAR0.VEC_RAISED, vector) for vector in vectors)
        processors = self.bench.processors
        outcome.dpcs = sum(processors[cpu].dpcs for cpu in range(len(processors)))
