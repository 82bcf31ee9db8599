"""Who holds what: the report of a bench that does not go on names each thing that keeps it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from vnic.abi import DmaPurpose, DmaStatus, EventType, FaultAction, FaultSite
from vnic.errors import UnrestError
from vnic.fault import Fault
from vnic.gen.registers import BAR0, MSIX_TABLE
from vnic.host.clock import VirtualClock
from vnic.host.cpu import Kind, Level, Processors, SchedulerError, SpinLock
from vnic.miniport import Adapter
from vnic.ndis.oid import OID
from vnic.ndis.oid_request import OidRequest, query
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.verifier import NdisViolation
from vnic.netdma.dma_channel import DmaChannel
from vnic.netdma.types import Transfer
from vnic.testbench.bench import Bench
from vnic.testbench.copy_bench import CopyBench
from vnic.testbench.frames import plain_frame
from vnic.testbench.step import DATA_MOVE
from vnic.testbench.world import World


class Sitting(Adapter):
    """Never answers an OID request."""

    def oid_request(self, request: OidRequest) -> NDIS_STATUS:
        """Later, it says."""
        return NDIS_STATUS.PENDING if request.oid == OID.GEN_STATISTICS else super().oid_request(request)


def one(**options: object) -> Bench:
    return Bench(queues=1, cpus=2, **options)  # type: ignore[arg-type]


def sends(bench: Bench) -> None:
    bench.device.is_manual = True
    bench.send(plain_frame(70))
    bench.send(plain_frame(71))


def kept(bench: Bench) -> None:
    bench.protocol.keeps_nbls = True
    bench.receive(plain_frame(70))
    bench.settle()


def request(bench: Bench) -> None:
    bench.request(query(OID.GEN_STATISTICS, 256))
    bench.request(query(OID.GEN_STATISTICS, 256))


def level(bench: Bench) -> None:
    bench.processors[1].level = Level.DIRQL


def lock(bench: Bench) -> None:
    SpinLock(bench.processors, "the ring").__enter__()


def pending(bench: Bench) -> None:
    bench.processors.queue_dpc(1, print)
    bench.processors.queue_work(bench.settle)


def masked(bench: Bench) -> None:
    bench.device.write(2, MSIX_TABLE.ENTRY_CTRL.at(0), 1)
    bench.receive(plain_frame(70))
    bench.device.write(0, BAR0.VEC_CTRL.at(0), 0)
    bench.receive(plain_frame(70))


def stopped(bench: Bench) -> None:
    fault = Fault(
        site=FaultSite.DMA_READ,
        action=FaultAction.ERROR,
        index=DmaPurpose.DESCRIPTOR,
        argument=int(DmaStatus.UNSUPPORTED),
    )
    with bench.device.arm(fault):
        bench.device.is_manual = True
        bench.send(plain_frame(70))
        while not bench.device.is_idle:
            bench.device.step(bench.device.runnable[0])


def held(bench: Bench) -> None:
    bench.steps.hold(before=DATA_MOVE)
    bench.capture.completions()
    bench.receive(plain_frame(70))
    bench.send(plain_frame(71))


def removed(bench: Bench) -> None:
    bench.device.remove()


def asleep(bench: Bench) -> None:
    bench.device.config_write(4, 0, 2)


def closed(bench: Bench) -> None:
    bench.device.close()


class Elsewhere:
    """A function of which nothing but its calls is known."""

    def close(self) -> None:
        """Nothing to free."""


def elsewhere(bench: Bench) -> None:
    bench.world.remove_machine(bench.device, bench.processors)
    bench.device.close()
    bench.device = Elsewhere()  # type: ignore[assignment]
    bench.world.add_machine(bench.device, bench.processors)


CASES: list[tuple[Callable[[Bench], None], dict[str, object], list[str]]] = [
    (
        sends,
        {},
        [
            "NBLs were given to Adapter: 2",
            "a send of CaptureProtocol, since 0 ns: NdisSendNetBufferLists",
            "engines that could take a step: TX (manual",
            "pair 0 TX: 2 descriptors to send",
        ],
    ),
    (
        kept,
        {},
        [
            "protocols have NBLs: 1",
            "an indicated NBL at CaptureProtocol, since",
            "NdisMIndicateReceiveNetBufferLists(1 NBLs",
            "the protocol keeps 1 NBLs until release()",
        ],
    ),
    (
        request,
        {"miniport": Sitting},
        [
            "an OID request was given to Sitting: 1",
            "query OID_GEN_STATISTICS [256], since 0 ns: NdisOidRequest",
            "OID requests wait for it: 1",
        ],
    ),
    (level, {}, ["processor 1 is at DIRQL"]),
    (lock, {}, ["processor 0 is at DISPATCH, it runs now", "spin lock 'the ring' is held by processor 0"]),
    (pending, {}, ["a DPC waits for processor 1: print", "a work item waits for processor 0: Bench.settle"]),
    (masked, {}, ["vector 0 has something to say, but VEC_CTRL.ENABLE is clear, its MSI-X entry is masked"]),
    (stopped, {}, ["pair 0 TX: stopped by FETCH_DMA"]),
    (
        held,
        {"captures": True},
        ["the test holds before DATA_MOVE", "engines that could take a step: RX, TX"],
    ),
    (removed, {}, ["the device is removed: reads give all ones"]),
    (asleep, {}, ["Memory Space Enable is clear"]),
    (closed, {}, ["the device is closed"]),
    (elsewhere, {}, ["of the function (Elsewhere) nothing is known"]),
]


@pytest.mark.requirement("BEN-3")
@pytest.mark.parametrize(("act", "options", "said"), CASES, ids=[case[0].__name__ for case in CASES])
def test_it_is_named(act: Callable[[Bench], None], options: dict[str, object], said: list[str]) -> None:
    bench = one(**options)
    act(bench)
    text = bench.who_holds()
    assert [line for line in said if line not in text] == [], text
    bench.abandon()


@pytest.mark.requirement("BEN-3")
def test_asking_changes_nothing() -> None:
    with one() as bench:
        bench.send(plain_frame(70))
        events: list[EventType] = []
        before = bench.device.state_hash()
        with bench.device.observe(lambda event: events.append(event.type)):
            assert "adapter vnic: Running" in bench.who_holds()
        assert bench.device.state_hash() == before
        assert events == []


@pytest.mark.requirement("BEN-3")
def test_inside_a_callback_of_the_device_the_rest_is_told() -> None:
    with one() as bench:
        texts: list[str] = []
        with bench.device.observe(lambda event: texts.append(bench.who_holds()), (EventType.DMA_WRITE,)):
            bench.receive(plain_frame(70))
        assert "adapter vnic: Running" in texts[0]
        assert "of the device nothing is known now" in texts[0]


class Restless(Adapter):
    """A DPC that queues itself."""

    def interrupt_dpc(self, message_id: int, cpu: int, context: object) -> None:
        """Once more."""
        super().interrupt_dpc(message_id, cpu, context)
        self.handle.m_queue_work_item(self._again)

    def _again(self) -> None:
        self.handle.m_queue_work_item(self._again)


@pytest.mark.requirement("BEN-4")
def test_a_machine_that_does_not_come_to_rest_says_who(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(queues=1, cpus=1, miniport=Restless, keywords={"*InterruptModeration": 0})
    processors = bench.processors
    monkeypatch.setattr(processors, "run_until_idle", partial(processors.run_until_idle, 500))
    bench.receive(plain_frame(70))
    with pytest.raises(SchedulerError, match=r"(?s)still busy.*who holds what.*a work item waits"):
        bench.settle()
    bench.abandon()


@pytest.mark.requirement("BEN-4")
def test_a_world_that_does_not_come_to_rest_says_who(monkeypatch: pytest.MonkeyPatch) -> None:
    class Busy:
        """A link that is never done."""

        def next_deadline_ns(self) -> int | None:
            """Now."""
            return 0

        def advance(self, now_ns: int) -> int:
            """Always something."""
            return 1

    world = World()
    bench = Bench(queues=1, cpus=1, world=world)
    world.add_link(Busy())
    monkeypatch.setattr("vnic.testbench.world._ROUNDS", 300)
    with pytest.raises(UnrestError, match=r"(?s)still busy.*adapter vnic: Running"):
        bench.settle()
    bench.abandon()


@pytest.mark.requirement("BEN-4")
def test_a_wait_of_ndis_that_is_in_vain_says_who() -> None:
    bench = one(captures=True)
    bench.capture.completions()
    bench.send(plain_frame(70))
    bench.settle()
    said = r"(?s)HANG-1: CaptureProtocol: NetEvent PAUSE never ends.*the test holds a send on its way back"
    with pytest.raises(NdisViolation, match=said):
        bench.adapter.pause()
    bench.abandon()


# -- the copy engine -----------------------------------------------------------------------------------------


class Client:
    """Nobody who minds."""

    def pnp_event(self, code: object, provider: object) -> None:
        """Nothing to do."""


def copying() -> tuple[CopyBench, DmaChannel]:
    bench = CopyBench(channels=2, cpus=1)
    channel = bench.interface.register_client(Client()).allocate_channel(0)
    assert channel is not None
    return bench, channel


def copy(bench: CopyBench, channel: DmaChannel) -> None:
    source, target = bench.buffer(100), bench.buffer(100)
    assert channel.copy([Transfer(target.address, source.address, 100)], lambda is_copied: None)


@pytest.mark.requirement("BEN-3")
def test_copies_that_wait_are_named() -> None:
    bench, channel = copying()
    bench.steps.hold(before=DATA_MOVE)
    copy(bench, channel)
    bench.steps.settle()
    text = bench.who_holds()
    for said in (
        "client channel 0: 1 copies outstanding, started",
        "channels that could take a step: 0 (manual",
        "channel 0: ACTIVE",
        "the test holds before DATA_MOVE",
    ):
        assert said in text, text
    bench.abandon()
    assert "the engine is closed" in bench.who_holds()


@pytest.mark.requirement("BEN-3")
def test_a_channel_that_an_error_stopped_is_named() -> None:
    bench, channel = copying()
    steps = bench.steps
    error = Fault(
        site=FaultSite.DMA_READ,
        action=FaultAction.ERROR,
        index=DmaPurpose.DATA,
        argument=int(DmaStatus.ABORTED),
    )
    with bench.engine.arm(error):
        copy(bench, channel)
        while any(step.part is not None for step in steps.possible()):
            steps.take(next(step for step in steps.possible() if step.part is not None))
    assert "channel 0: HALTED, CHANERR SRC_ADDR" in bench.who_holds()
    bench.engine.remove()
    assert "the engine is removed" in bench.who_holds()
    bench.abandon()


# -- what the report reads -----------------------------------------------------------------------------------


def test_a_processor_runs_what_is_chosen() -> None:
    processors = Processors(2)
    ran: list[str] = []
    processors.raise_interrupt(lambda cpu: ran.append(f"isr {cpu}"), 1)
    processors.queue_dpc(0, lambda _: ran.append("dpc"))
    processors.queue_work(lambda: ran.append("work"))
    assert [item.kind for item in processors.pending] == [Kind.DPC, Kind.INTERRUPT, Kind.WORK]
    work = processors.eligible[-1]
    processors.run_one(work)
    with pytest.raises(SchedulerError, match="cannot run now"):
        processors.run_one(work)
    while processors.eligible:
        processors.run_one(processors.eligible[-1])
    assert ran == ["work", "isr 1", "dpc"]
    processors.queue_work(lambda: None)
    with (
        processors.raised_to(Level.DISPATCH),
        pytest.raises(SchedulerError, match="only PASSIVE chooses"),
    ):
        processors.run_one(processors.eligible[0])


def test_a_clock_lists_what_is_armed() -> None:
    clock = VirtualClock()
    late, early = clock.call_at(20, print), clock.call_at(10, print)
    assert clock.armed == [early, late]
    early.cancel()
    assert clock.armed == [late]
    clock.advance_to(20)
    assert clock.armed == []
