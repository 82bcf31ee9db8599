"""Bench: the one maker of memory, clock, processors, link, device, NDIS layer, adapter and protocol."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, ClassVar, cast
from weakref import WeakSet

from vnic.abi import RxVerdict
from vnic.config import DeviceConfig
from vnic.device import Device, FrameSink
from vnic.errors import UnrestError
from vnic.gen.registers import BAR0
from vnic.host.bus import VectorKinds
from vnic.host.clock import ClockError
from vnic.host.cpu import Processors, SchedulerError
from vnic.host.interrupts import InterruptController
from vnic.host.memory import GuestMemory
from vnic.host.system import System
from vnic.miniport import Adapter
from vnic.ndis.adapter import AdapterOptions
from vnic.ndis.keywords import read_settings
from vnic.ndis.layer import Injector, Ndis
from vnic.ndis.miniport import Miniport
from vnic.ndis.net_buffer_list import NetBufferList
from vnic.ndis.oid import OID
from vnic.ndis.oid_request import OidRequest, query, set_
from vnic.ndis.rss import HashType, ReceiveScaleParameters
from vnic.ndis.status import NDIS_STATUS
from vnic.protocol.capture import EVERYTHING, CaptureProtocol
from vnic.testbench.capture import Capture
from vnic.testbench.card import Card
from vnic.testbench.fault_plan import FaultPlan
from vnic.testbench.fault_plan_handle import PlanHandle, arm
from vnic.testbench.filter import Filter
from vnic.testbench.holders import who_holds
from vnic.testbench.outgoing import Outgoing, Timestamped
from vnic.testbench.pci_power import PciPower
from vnic.testbench.races import RaceChecker, is_asked_for
from vnic.testbench.steps import Steps
from vnic.testbench.world import World
from vnic.wire import parse, toeplitz

INTERRUPTS = {
    "msix": VectorKinds.MSIX,
    "msi": VectorKinds.MSI,
    "line": VectorKinds.INTX,
    "any": VectorKinds.ANY,
}
#: Microsoft's verification key of "Verifying the RSS Hash Calculation".
RSS_KEY = bytes.fromhex("6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa")
RSS_TYPES = HashType.IPV4 | HashType.TCP_IPV4 | HashType.IPV6 | HashType.TCP_IPV6
_GIGABIT_TEN = 10_000
# A quarter of what the keyword says by itself: each is mapped when a bench starts and unmapped when it ends.
_RECEIVE_BUFFERS = 128


def hash_oracle(frame: bytes, types: int, key: bytes) -> tuple[int, int]:
    """(type, value) of a frame by the Python reference; (0, 0) when it is not hashed."""
    kind, covered = parse.rss_input(parse.Frame.parse(frame), types)
    return (int(kind), toeplitz.hash(key, covered)) if kind else (0, 0)


class Bench:
    """One machine with one card, brought up and running unless `starts` is False.

    queues: pairs of the card, and *NumRssQueues unless `keywords` says otherwise; a pair has 128 receive
    descriptors (*ReceiveBuffers) unless `keywords` says otherwise.
    seed: lets other processors get ahead at every NDIS call, and places bus addresses.
    interrupt: msix, msi, line or any.
    link: where frames go; by default they stay in `outgoing`.
    world: shared with other benches.
    miniport: makes a driver to test, from the machine's memory, in place of the reference.
    device: parameters of DeviceConfig.
    function: makes another function in place of the device: a stand-in out of a trace, one elsewhere.
    captures: a filter is put between NDIS and the driver, for `capture`.
    strict_rss: a frame indicated on another processor than the table names is a breach.
    checks_hashes, checks_data: have NDIS recompute hashes, and sum the bytes of NBLs that change hands.
    check_races: watch for DMA races, in `races`; None: when VNIC_CHECK_RACES is set.

    At its end the adapter is halted and nothing may be left: memory, mappings, vectors, NBLs (LeakError), nor
    a breach of a rule that a driver hid, nor a race (DmaRaceError).
    """

    #: Those that are neither closed nor abandoned: what a watchdog asks who holds what.
    open: ClassVar[WeakSet[Bench]] = WeakSet()

    def __init__(
        self,
        *,
        queues: int = 4,
        cpus: int = 4,
        seed: int | None = None,
        manual: bool = False,
        interrupt: str = "msix",
        keywords: Mapping[str, object] | None = None,
        profile: str = "default",
        link: FrameSink | None = None,
        link_mbps: int = _GIGABIT_TEN,
        world: World | None = None,
        miniport: Callable[[GuestMemory], Miniport] | None = None,
        device: Mapping[str, Any] | None = None,
        function: Callable[[DeviceConfig], Card] | None = None,
        captures: bool = False,
        memory_bytes: int = 64 << 20,
        scatter: bool = True,
        strict_dma: bool = True,
        strict_rss: bool = False,
        checks_hashes: bool = True,
        checks_data: bool = True,
        check_races: bool | None = None,
        frames_per_dpc: int = 64,
        packet_filter: int = EVERYTHING,
        starts: bool = True,
    ) -> None:
        self.world = world or World()
        self.clock = self.world.clock
        self.processors = Processors(cpus, seed)
        self.memory = GuestMemory(memory_bytes)
        self.device = self._make_card(function or Device, {"queue_pairs": queues} | dict(device or {}))
        self.outgoing = Outgoing()
        self._link = Timestamped(self.world, link or self.outgoing)
        self.device.connect_link(self._link)
        self.device.set_link(link_mbps)
        self.controller = InterruptController(self._deliver)
        self.system = System(
            self.device,
            self.memory,
            self.controller,
            strict_dma=strict_dma,
            scatter=scatter,
            seed=seed or 0,
            delay=self.world.delay,
        )
        self.races = self._watch_races(is_asked_for() if check_races is None else check_races)
        self.world.add_machine(self.device, self.processors)
        self.ndis = Ndis(
            self.processors,
            self.clock,
            pump=self.world.pump,
            next_deadline=self.world.next_deadline_ns,
            hash_oracle=hash_oracle if checks_hashes else None,
            is_strict_rss=strict_rss,
            verify_data=checks_data,
            who_holds=self.who_holds,
        )
        self.miniport: Miniport = (
            miniport(self.memory)
            if miniport is not None
            else Adapter(self.memory, kinds=INTERRUPTS[interrupt], frames_per_dpc=frames_per_dpc)
        )
        self._capture = Capture(Filter(self.miniport, self.ndis.verifier)) if captures else None
        usual = {"*NumRssQueues": queues, "*ReceiveBuffers": _RECEIVE_BUFFERS}
        self.settings = read_settings(usual | dict(keywords or {}), profile)
        self.adapter = self.ndis.add_adapter(
            self._capture.filter if self._capture is not None else self.miniport,
            AdapterOptions(bus=self.system, settings=self.settings, on_power=PciPower(self.system).set),
        )
        self.protocol = CaptureProtocol(self.memory, self.processors, packet_filter=packet_filter)
        self.injector = Injector(self.adapter)
        self._steps: Steps | None = None
        self._is_closed = False
        Bench.open.add(self)
        if starts:
            self._start_or_abandon()
        self.device.is_manual = manual

    def _make_card(self, make: Callable[[DeviceConfig], Card], parameters: Mapping[str, Any]) -> Device:
        """A function as of now; without connections it has no chimney, and bringing it up costs less."""
        usual = {"vectors": parameters["queue_pairs"] + 1, "connections": 0}
        # What else is made has the calls of a Card only; tests of those know that.
        made = cast(Device, make(DeviceConfig(**{**usual, **parameters})))
        made.advance(self.clock.now_ns)
        return made

    def _start_or_abandon(self) -> None:
        try:
            self.start()
        except BaseException:
            self.abandon()
            raise

    def _watch_races(self, is_wanted: bool) -> RaceChecker | None:
        if not is_wanted:
            return None
        clock = self.clock
        races = RaceChecker(self.memory, now=lambda: clock.now_ns)
        races.watch_card(self.device, self.system.iommu)
        return races

    def _deliver(self, run: Callable[[int], object], cpu: int, source: Hashable) -> None:
        """An interrupt reaches a processor, which takes it when it can."""

        def service(processor: int) -> None:
            run(processor)

        self.processors.raise_interrupt(service, cpu, source)

    # -- life ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Initialize, bind the protocol, restart; RuntimeError with the status when the driver declines."""
        status = self.adapter.initialize()
        if status == NDIS_STATUS.SUCCESS:
            self.adapter.bind(self.protocol)
            status = self.adapter.restart()
        if status != NDIS_STATUS.SUCCESS:
            raise RuntimeError(f"the adapter does not start: {status!s}")
        self.settle()

    def close(self) -> None:
        """Halt, and see that nothing is left; idempotent."""
        if self._is_closed:
            return
        if self._steps is not None:
            self._steps.close()
        self.device.is_manual = False
        try:
            if self._capture is not None:
                self._capture.give_back()
            self.protocol.release()
            self.protocol.free_injected(nbl for nbl, _ in self.injector.completed)
            self.settle()
            if self.adapter.state.takes_oids:
                self.adapter.halt()
            self.ndis.remove_adapter(self.adapter)
            if self.races is not None:
                self.races.check()
            self.system.assert_no_leaks()
            self.memory.assert_no_leaks()
            if self.ndis.violations:
                raise self.ndis.violations[0]
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Pull the plug: nothing is halted and nothing checked; idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        Bench.open.discard(self)
        self.world.remove_machine(self.device, self.processors)
        if self.races is not None:
            self.races.close()
        self.device.close()

    def __enter__(self) -> Bench:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    # -- time ------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Run device, links, interrupts, DPCs and work items until nothing is under way.

        UnrestError, with who holds what, when that never ends.
        """
        with self._telling_who_holds():
            self.world.settle()

    def advance(self, ns: int) -> None:
        """Let virtual time pass, and everything that falls into it happen; UnrestError likewise."""
        with self._telling_who_holds():
            self.world.run_for(ns)

    @contextmanager
    def _telling_who_holds(self) -> Iterator[None]:
        try:
            yield
        except (UnrestError, SchedulerError, ClockError) as error:
            raise type(error)(f"{error}\n{self.who_holds()}") from error

    @property
    def steps(self) -> Steps:
        """The steps of device and host, one at a time; the device is in manual mode until they are closed."""
        if self._steps is None or self._steps.is_closed:
            self._steps = Steps(
                self.device,
                interrupts=self.system.signal,
                frames=lambda frame: self._link.transmit(frame, self.device.now_ns),
                processors=self.processors,
                world=self.world,
            )
        return self._steps

    def who_holds(self) -> str:
        """Who has NBLs, OID requests, locks, since which call; masked interrupts, work, timers, holds."""
        return who_holds(self)

    def holding(self) -> list[str]:
        """What the test itself keeps from going on."""
        lines = self._capture.holding() if self._capture is not None else []
        return lines + (self._steps.holding() if self._steps is not None else [])

    # -- standing in between ---------------------------------------------------------------------------------

    @property
    def capture(self) -> Capture:
        """NBLs and OID requests in flight; AttributeError where the bench was made without `captures`."""
        if self._capture is None:
            raise AttributeError("this bench was made without captures=True")
        return self._capture

    def plan(self, plan: FaultPlan | str, *, must_fire: bool = False) -> PlanHandle:
        """Arm a fault plan, or the text of one, on the card and on OID requests."""
        return arm(self, plan, must_fire=must_fire)

    # -- traffic ---------------------------------------------------------------------------------------------

    def receive(self, *frames: bytes) -> list[RxVerdict]:
        """Frames arrive from the link, without FCS; what the card says at its door."""
        return [self.device.receive(frame) for frame in frames]

    def send(self, *packets: bytes, **oob: Any) -> NetBufferList:
        """Send an NBL through the protocol; keywords are those of CaptureProtocol.send."""
        return self.protocol.send(*packets, **oob)

    def inject(self, *packets: bytes, **oob: Any) -> NetBufferList:
        """Send below the protocols, where a paused miniport is reached and nothing is checked for sense.

        What comes back is in `injector.completed`.
        """
        nbl, _ = self.protocol.make_nbl(packets, **oob)
        nbl.source_handle = None
        self.injector.send(nbl)
        return nbl

    @property
    def received(self) -> list[bytes]:
        """The frames that the protocol was given, in its order."""
        return [frame.data for frame in self.protocol.received]

    @property
    def transmitted(self) -> list[bytes]:
        """The frames that left the card, where it has no other link."""
        return self.outgoing.frames

    # -- looking and asking ----------------------------------------------------------------------------

    @property
    def station(self) -> bytes:
        """The adapter's current address."""
        return self.adapter.oids.known.general.current_mac_address

    def counters(self) -> dict[str, int]:
        """The card's own statistics registers, by name without STAT_."""
        stats = [each for each in BAR0.MAP if each.name.startswith("STAT_") and each.width == 64]
        return {each.name.removeprefix("STAT_"): self.device.read64(each.offset) for each in stats}

    def request(self, request: OidRequest) -> NDIS_STATUS:
        """An OID request of the protocol."""
        return self.protocol.request(request)

    def query(self, oid: int, size: int = 1024) -> bytes:
        """What an OID answers; AssertionError with the status when it does not."""
        request = query(oid, size)
        status = self.request(request)
        assert status == NDIS_STATUS.SUCCESS, f"{request}: {status!s}"
        return request.data

    # -- configuration ---------------------------------------------------------------------------------------

    def set_rss(
        self,
        table: tuple[int, ...] | None = None,
        *,
        types: int = int(RSS_TYPES),
        key: bytes = RSS_KEY,
        **members: Any,
    ) -> NDIS_STATUS:
        """Switch RSS on; by default over all processors, for IPv4, IPv6 and TCP, with the published key."""
        spread = table or tuple(entry % len(self.processors) for entry in range(128))
        wanted = ReceiveScaleParameters(hash_information=types | 1, table=spread, key=key, **members)
        return self.protocol.request(set_(OID.GEN_RECEIVE_SCALE_PARAMETERS, wanted.pack()))
