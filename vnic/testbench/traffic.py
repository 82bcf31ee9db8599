"""Conversations between a host with the card and a station, and what they cost the host."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from vnic.abi import EventType, SocketEvent
from vnic.events import Event
from vnic.link.impairments import Impairments
from vnic.link.wire import Wire
from vnic.protocol.chimney_options import ChimneyOptions
from vnic.protocol.chimney_tally import Row
from vnic.protocol.netdma_options import NetDmaOptions, NetDmaTally
from vnic.stack.stopwatch import Stopwatch
from vnic.testbench.dialogue import Dialogue, Noise, make_workload
from vnic.testbench.host import Host
from vnic.testbench.network import Network
from vnic.testbench.posted import BUFFER_BYTES, BUFFERS, PostedSocket

_PORT = 9
_PEER_MAC = bytes.fromhex("020000000022")
_STEP_NS = 10_000_000
_GIVE_UP_NS = 600_000_000_000
_GIGABIT = 1_000_000_000
_POSTED_MAX = 64 << 20
_PAGE = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficPlan:
    """What is to be moved, over what."""

    connections: int = 8
    #: Of all connections together.
    total_bytes: int = 8 << 20
    workload: str = "storage"
    loss: float = 0.0
    delay_ns: int = 100_000
    queues: int = 4
    cpus: int = 4
    seed: int = 1


@dataclass(slots=True)
class Costs:
    """What a run cost the host, counted."""

    moved: int = 0
    register_accesses: int = 0
    interrupts: int = 0
    dpcs: int = 0
    #: Of the plain path and of the chimney.
    indicated: int = 0
    #: Received and sent by the host's own TCP.
    segments: int = 0
    #: Payload that the processor copied, once for each time: frames in and out of the stack, what users sent,
    #: what another could not move.
    touched: int = 0
    #: Payload that the copy engine moved, in how many copies, and the batches that it was given them in.
    moved_by_netdma: int = 0
    netdma_copies: int = 0
    netdma_batches: int = 0
    engine_interrupts: int = 0
    retransmits: int = 0
    #: In C, by the clock on the wall.
    stack_ns: int = 0
    #: Of the thread: the simulation of everything, the interpreter included.
    total_ns: int = 0
    virtual_ns: int = 0
    offloaded_bytes: int = 0
    initiates: int = 0
    uploads: dict[str, int] = field(default_factory=dict)


class Traffic:
    """One run; show(traffic) is called now and then while it lasts.

    The host's applications post their buffers, whatever is there to fill them.
    """

    def __init__(
        self,
        plan: TrafficPlan,
        options: ChimneyOptions,
        show: Callable[[Traffic], None] | None = None,
        *,
        netdma: NetDmaOptions | None = None,
    ) -> None:
        self.plan = plan
        self.dialogues: list[Dialogue] = []
        self._show = show
        self.network = Network()
        line = Impairments(delay_ns=plan.delay_ns, loss=plan.loss, bandwidth_bps=_GIGABIT)
        self._wire = Wire(forth=line, back=line, seed=plan.seed)
        self._peer = self.network.station(
            "10.0.0.2/24", mac=_PEER_MAC, link=self._wire.end(1), connections=_room(plan)
        )
        self.host = Host(
            "10.0.0.1/24",
            link=self._wire.end(0),
            world=self.network,
            stack={"address_probes": 0, "connections": _room(plan), "buffer_bytes": 64 << 20},
            bench={
                "queues": plan.queues,
                "cpus": plan.cpus,
                "checks_hashes": False,
                "checks_data": False,
                "strict_dma": False,
                "scatter": False,
                "memory_bytes": 256 << 20,
                "device": {"connections": max(plan.connections, 16)},
            },
            chimney=options,
            netdma=netdma,
        )
        self._wire.attach(0, self.host.bench.device)
        self._wire.attach(1, self._peer.port)
        self.network.add_link(self._wire)
        self.network.add_link(self)
        self._ready: dict[int, Dialogue] = {}
        self._accesses = 0
        observed = (EventType.MMIO_READ, EventType.MMIO_WRITE)
        self._observation = self.host.bench.device.observe(self._on_access, observed)

    def _on_access(self, event: Event) -> None:
        self._accesses += 1

    # -- link of the world: the applications at both ends ----------------------------------------------------

    def next_deadline_ns(self) -> int | None:
        """They wait for what comes."""
        return None

    def advance(self, now_ns: int) -> int:
        """Let every conversation go on; how many bytes moved."""
        ready, self._ready = self._ready, {}
        return sum([each.step() for each in ready.values() if not each.is_done])

    def _wake(self, number: int) -> Callable[[SocketEvent], None]:
        """What a socket calls when something happened to it."""

        def wake(events: SocketEvent) -> None:
            self._ready[number] = self.dialogues[number]

        return wake

    # -- the run ---------------------------------------------------------------------------------------------

    @property
    def is_done(self) -> bool:
        """Whether every conversation came to its end."""
        return bool(self.dialogues) and all(each.is_done for each in self.dialogues)

    @property
    def moved(self) -> int:
        """Bytes that arrived so far."""
        return sum(each.moved for each in self.dialogues)

    def run(self) -> Costs:
        """All of it; TimeoutError when it does not end."""
        with Stopwatch(self.host.stack) as watch:
            before_ns = time.thread_time_ns()
            self._open()
            while not self.is_done:
                self.network.run_for(_STEP_NS)
                if self._show is not None:
                    self._show(self)
                if self.network.clock.now_ns > _GIVE_UP_NS:
                    raise TimeoutError("the conversations do not end")
            return self._count(watch, time.thread_time_ns() - before_ns)

    def _open(self) -> None:
        """Every connection is opened in software, by the host."""
        plan, noise = self.plan, Noise(self.plan.seed)
        workload = make_workload(plan.workload, max(plan.total_bytes // plan.connections, 1))
        listener = self._peer.stack.listen(("10.0.0.2", _PORT))
        for number in range(plan.connections):
            near = self.host.streams.connect(("10.0.0.2", _PORT))
            far = self._peer.streams.accept(listener)
            reader = PostedSocket(
                near.socket, self.host.bench.memory, buffer_bytes=buffer_bytes(plan.connections)
            )
            self.dialogues.append(Dialogue(reader, far.socket, workload(number), noise, number))
            near.socket.on_event = far.socket.on_event = self._wake(number)
            self._ready[number] = self.dialogues[number]
        listener.close()

    def _count(self, watch: Stopwatch, total_ns: int) -> Costs:
        host, chimney = self.host, self.host.chimney
        statistics, binding = host.stack.statistics, host.protocol.bindings[0].statistics
        processors = [host.bench.processors[cpu] for cpu in range(len(host.bench.processors))]
        offloaded = chimney.bytes_sent + chimney.bytes_received
        netdma = host.netdma.tally if host.has_netdma else NetDmaTally()
        return Costs(
            moved=self.moved,
            register_accesses=self._accesses,
            interrupts=sum(each.interrupts for each in processors),
            dpcs=sum(each.dpcs for each in processors),
            indicated=binding.received + chimney.indications,
            segments=statistics["tcp_segments_in"] + statistics["tcp_segments_out"],
            touched=statistics["copied_bytes"] + chimney.bounced + netdma.bytes_finished,
            moved_by_netdma=netdma.bytes_by_engine,
            netdma_copies=netdma.copies,
            netdma_batches=netdma.batches,
            engine_interrupts=host.engine_interrupts,
            retransmits=statistics["tcp_retransmits"],
            stack_ns=watch.nanoseconds,
            total_ns=total_ns,
            virtual_ns=self.network.clock.now_ns,
            offloaded_bytes=min(offloaded, self.moved),
            initiates=chimney.initiates,
            uploads={str(cause): count for cause, count in chimney.uploads.items()},
        )

    @property
    def broken(self) -> list[int]:
        """Conversations whose bytes did not arrive as they were sent."""
        return [number for number, each in enumerate(self.dialogues) if not each.is_whole]

    def rows(self) -> list[Row]:
        """The host's connections."""
        return self.host.chimney.connections()

    def close(self) -> None:
        """Halt the host, and see that nothing is left."""
        self._observation.cancel()
        with self.network:
            for each in self.dialogues:
                each.host.close()
            self.host.close()

    def abandon(self) -> None:
        """Pull the plug."""
        with self.network:
            self.host.abandon()

    def __enter__(self) -> Traffic:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close() if kind is None else self.abandon()


def buffer_bytes(connections: int) -> int:
    """Size of the buffers that each of so many readers posts: together no more than 64 MiB."""
    share = _POSTED_MAX // (BUFFERS * connections)
    return min(BUFFER_BYTES, max(share // _PAGE, 1) * _PAGE)


def _room(plan: TrafficPlan) -> int:
    return 2 * plan.connections + 64
