"""Interrupts: the line, MSI and MSI-X; shared, spurious, lost, stormy; before the end of bring-up and
after a halt."""

from __future__ import annotations

from typing import Any

from vnic.abi import EventType, FaultAction, FaultSite, InterruptKind
from vnic.conformance.case import Feature, NotSupported, case
from vnic.conformance.drive import (
    OK,
    ONE,
    SHORT_RINGS,
    frames_to,
    resets,
    same,
    statuses,
    take,
    works,
)
from vnic.conformance.pages import ddi, guide, manual
from vnic.events import Event
from vnic.fault import Fault
from vnic.gen.registers import BAR0
from vnic.host.interrupts import Irq
from vnic.testbench.bench import Bench
from vnic.testbench.frames import PEER, plain_frame

_ISR = ddi("nc-ndis-miniport_isr")
_DPC = ddi("nc-ndis-miniport_interrupt_dpc")
_REGISTER = ddi("nf-ndis-ndismregisterinterruptex")
_UNMODERATED: dict[str, Any] = {"keywords": {"*InterruptModeration": 0}}


def through(bench: Bench, rounds: int = 20) -> None:
    """Frames in both directions, one round after the other, all of them at once."""
    got, left = [], []
    bench.protocol.received.clear()
    bench.transmitted.clear()
    for turn in range(rounds):
        frames = frames_to(bench.station, 1 + turn % 4, 100, first=turn * 10)
        bench.receive(*frames)
        out = plain_frame(80, turn, PEER)
        bench.send(out)
        bench.settle()
        got += frames
        left.append(out)
    same(sorted(bench.received), sorted(got))
    same(sorted(bench.transmitted), sorted(left), "left")
    assert set(statuses(bench)) == {OK}


@case(
    _ISR,
    "each interrupt of the card leads to a DPC that takes all there is, on the line",
    interrupt="line",
    **_UNMODERATED,
)
def traffic_on_the_line(bench: Bench) -> None:
    """Twenty rounds of traffic in both directions with the INTx line."""
    through(bench)
    assert not bench.system.line.is_asserted, "the line is asserted though nothing is left to do"


@case(
    _ISR,
    "each interrupt of the card leads to a DPC that takes all there is, with MSI",
    interrupt="msi",
    **_UNMODERATED,
)
def traffic_with_msi(bench: Bench) -> None:
    """Twenty rounds of traffic in both directions with MSI."""
    through(bench)


@case(
    guide("msi-x-initialization"), "each message is served, on the processor that it goes to", **_UNMODERATED
)
def traffic_with_msix(bench: Bench) -> None:
    """Twenty rounds of traffic from each of four processors with MSI-X."""
    if bench.system.vector_kind is not InterruptKind.MSIX:
        raise NotSupported("MSI-X")
    for cpu in range(4):
        with bench.processors.on(cpu):
            through(bench, 5)


@case(
    _ISR,
    "on a shared line MiniportInterrupt says FALSE when its card did not interrupt",
    interrupt="line",
    **_UNMODERATED,
)
def interrupts_of_another_device(bench: Bench) -> None:
    """Another device on the same line interrupts a hundred times; the driver may claim none of them."""
    line = bench.system.line
    claims: list[int] = []

    def other(vector: int) -> bool:
        claims.append(vector)
        line.drive("other", False)
        return True

    irq = Irq(99, handler=other)
    line.connect(irq)
    for _ in range(100):
        before = len(bench.ndis.verifier.history)
        line.drive("other", True)
        bench.processors.run_until_idle()
        calls = list(bench.ndis.verifier.history)[before:]
        mine = [call for call in calls if call.text.startswith("MiniportInterrupt(")]
        assert all(call.result != "claimed" for call in mine), "an interrupt of another device was claimed"
    assert len(claims) == 100
    through(bench, 5)
    line.disconnect(irq)


@case(
    _ISR,
    "an interrupt of the card on a shared line is claimed though another device interrupts too",
    interrupt="line",
    **_UNMODERATED,
)
def both_devices_at_once(bench: Bench) -> None:
    """The other device asserts the line for as long as frames arrive."""
    line = bench.system.line

    def other(vector: int) -> bool:
        line.drive("other", False)
        return True

    irq = Irq(99, handler=other)
    line.connect(irq)
    for turn in range(20):
        line.drive("other", True)
        frames = frames_to(bench.station, 3, 100, first=turn * 10)
        same([frame.data for frame in take(bench, *frames)], frames)
    line.disconnect(irq)


@case(
    _REGISTER,
    "an interrupt may come before NdisMRegisterInterruptEx returns: the driver is ready for it",
    interrupt="line",
    starts=False,
)
def interrupts_before_bring_up_is_done(bench: Bench) -> None:
    """The line is asserted by another device from before the registration on, until somebody claims it."""
    line = bench.system.line
    calls: list[int] = []

    def other(vector: int) -> bool:
        calls.append(vector)
        line.drive("other", False)
        return True

    irq = Irq(99, handler=other)
    line.connect(irq)
    bench.processors.raise_interrupt(lambda cpu: line.drive("other", True), 0)
    bench.start()
    works(bench)
    assert calls
    line.disconnect(irq)


@case(_ISR, "an interrupt that nobody raised does no harm", is_rough=True, **ONE)
def spurious_messages(bench: Bench) -> None:
    """The handler of each vector is called ten times for nothing, before, within and after traffic."""
    for turn in range(10):
        for vector in range(len(bench.system.vectors.scheme.irqs)):
            irq = bench.system.vectors.irq(vector)
            if irq.handler is None:
                continue
            bench.processors.raise_interrupt(irq.run, irq.cpu, ("spurious", vector, turn))
        bench.processors.run_until_idle()
        works(bench, "after interrupts for nothing")
    assert resets(bench) == 0


@case(_ISR, "every interrupt may come twice", is_rough=True, **_UNMODERATED)
def messages_that_come_twice(bench: Bench) -> None:
    """The card sends every message twice."""
    with bench.device.arm(Fault(site=FaultSite.INTERRUPT, action=FaultAction.DUPLICATE, count=10_000)):
        through(bench)


@case(
    manual("PROG-15"),
    "a completion between the last look and the end of the DPC is not lost",
    **(ONE | _UNMODERATED),
)
def work_that_comes_during_the_dpc(bench: Bench) -> None:
    """Each frame that is indicated makes the next one arrive, within the DPC, two hundred times."""
    frames = frames_to(bench.station, 200, 100)
    waiting = frames[1:]

    def more(_: object) -> None:
        if waiting:
            bench.device.receive(waiting.pop(0))

    bench.protocol.on_frame = more
    bench.receive(frames[0])
    bench.settle()
    bench.protocol.on_frame = None
    same(bench.received, frames)


@case(
    manual("PROG-15"),
    "a completion between the last look and the end of the DPC is not lost, on the line",
    interrupt="line",
    queues=1,
    cpus=1,
    **_UNMODERATED,
)
def work_that_comes_during_the_dpc_on_the_line(bench: Bench) -> None:
    """Ten frames arrive; each that is indicated makes another arrive, within the DPC, until there are
    two hundred."""
    frames = frames_to(bench.station, 200, 100)
    waiting = frames[10:]

    def more(_: object) -> None:
        if waiting:
            bench.device.receive(waiting.pop(0))

    bench.protocol.on_frame = more
    bench.receive(*frames[:10])
    bench.settle()
    bench.protocol.on_frame = None
    same(bench.received, frames)


@case(
    _DPC,
    "a DPC leaves nothing that no interrupt follows, however much there is",
    keywords=SHORT_RINGS | {"*InterruptModeration": 0},
    **ONE,
)
def floods(bench: Bench) -> None:
    """While the processor is busy elsewhere the card fills every slot it has; three times over."""
    count = bench.device.read32(BAR0.QP_RX_COUNT.offset)
    for turn in range(3):
        frames = frames_to(bench.station, count - 2, 100, first=turn * 5000)
        for frame in frames:
            bench.device.receive(frame)
        for n in range(20):
            bench.send(plain_frame(80, n, PEER))
        bench.settle()
        assert set(bench.received[-len(frames) :]) <= set(frames)
    assert len(bench.protocol.sent) == 60, f"{len(bench.protocol.sent)} of 60 sends came back"
    works(bench)


@case(
    ddi("nf-ndis-ndismderegisterinterruptex"),
    "no interrupt of the card is delivered after the halt",
    starts=False,
    **_UNMODERATED,
)
def quiet_vectors_after_a_halt(bench: Bench) -> None:
    """Frames wait with interrupts raised when the adapter is halted; frames come afterwards; the
    adapter starts again."""
    bench.start()
    station = bench.station
    bench.receive(*frames_to(station, 5, 100))
    bench.adapter.halt()
    interrupts: list[Event] = []
    bench.device.observe(interrupts.append, (EventType.INTERRUPT,))
    bench.receive(*frames_to(station, 5, 100))
    bench.settle()
    assert interrupts == [], "the card interrupts after MiniportHaltEx"
    bench.start()
    works(bench)


@case(
    guide("interrupt-moderation"),
    "frames under moderation wait no longer than the interval, and are all indicated",
    **ONE,
)
def moderated_frames_arrive_in_time(bench: Bench) -> None:
    """Single frames, and bursts with pauses of a millisecond: within ten milliseconds each is indicated."""
    bench.protocol.received.clear()
    for turn in range(20):
        frames = frames_to(bench.station, 1 + turn % 3, 100, first=turn * 10)
        before = len(bench.received)
        for frame in frames:
            bench.receive(frame)
            bench.advance(1_000)
        bench.advance(10_000_000)
        assert len(bench.received) == before + len(frames), "a frame was not indicated within 10 ms"


@case(
    guide("interrupt-moderation"),
    "completions of sends under moderation come without a frame that is received",
    **ONE,
)
def moderated_sends_complete_in_time(bench: Bench) -> None:
    """One send at a time: within ten milliseconds each is completed."""
    for turn in range(10):
        bench.send(plain_frame(80, turn, PEER))
        bench.advance(10_000_000)
        assert len(bench.protocol.sent) == turn + 1, "a send was not completed within 10 ms"


@case(
    guide("rss-with-message-signaled-interrupts"),
    "work of several processors is served by each, in any interleaving",
    Feature.RSS,
    seeds=(11, 12, 13),
    **_UNMODERATED,
)
def dpcs_of_several_processors(bench: Bench) -> None:
    """Frames of sixteen flows and sends of four processors under schedules that let DPCs interrupt
    everything."""
    assert bench.set_rss() == OK
    sent = 0
    for turn in range(8):
        bench.receive(*frames_to(bench.station, 10, 100, first=turn * 100))
        for cpu in range(4):
            with bench.processors.on(cpu):
                bench.send(plain_frame(80, sent, PEER))
                sent += 1
    bench.settle()
    assert len(bench.received) == 80, f"{len(bench.received)} of 80 frames arrived"
    assert len(bench.protocol.sent) == sent
    works(bench)


@case(manual("PROG-7"), "each vector that is used is enabled, before the master enable", starts=False)
def vectors_are_enabled_before_the_master_switch(bench: Bench) -> None:
    """Watch the order of VEC_CTRL and INT_CTRL during bring-up."""
    order: list[str] = []
    vectors = {BAR0.VEC_CTRL.at(vector) for vector in range(8)}

    def see(event: Event) -> None:
        if event.index == 0 and event.addr in vectors and event.value & 1:
            order.append("vector")
        elif event.index == 0 and event.addr == BAR0.INT_CTRL.offset and event.value & 1:
            order.append("master")

    with bench.device.observe(see, (EventType.MMIO_WRITE,)):
        bench.start()
    assert "master" in order, "INT_CTRL.MASTER_ENABLE was never set"
    assert "vector" in order, "no vector was enabled"
    works(bench)


@case(guide("ndis-status-link-state"), "a link event interrupts though no frame passes", **ONE)
def link_events_interrupt(bench: Bench) -> None:
    """The link goes down and up ten times with nothing else happening."""
    for _ in range(10):
        for speed in (0, 10_000):
            bench.device.set_link(speed)
            bench.settle()
            is_up = bench.adapter.link_state.connect == 1
            assert is_up == bool(speed), "a link change was not indicated"
    works(bench)
