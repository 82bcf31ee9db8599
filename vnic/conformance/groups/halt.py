"""Halt and shutdown: the card is quiet before memory is free, and nothing of the driver is left."""

from __future__ import annotations

from vnic.abi import EventType
from vnic.conformance.case import case
from vnic.conformance.drive import OK, ONE, SHORT_RINGS, flows, frames_to, works
from vnic.conformance.machine import second_bench
from vnic.conformance.pages import ddi, manual
from vnic.events import Event
from vnic.gen.registers import BAR0
from vnic.ndis.attributes import HaltAction, ShutdownAction
from vnic.ndis.states import AdapterState
from vnic.testbench.bench import Bench
from vnic.testbench.frames import PEER, plain_frame

_HALT = ddi("nc-ndis-miniport_halt")
_SHUTDOWN = ddi("nc-ndis-miniport_shutdown")
_MASTER = 4
_ACTIVITY = (
    EventType.DMA_READ,
    EventType.DMA_WRITE,
    EventType.INTERRUPT,
    EventType.MMIO_READ,
    EventType.MMIO_WRITE,
)


def watch(bench: Bench, what: tuple[EventType, ...] = _ACTIVITY) -> list[Event]:
    """All that happens between card and machine from now on."""
    seen: list[Event] = []
    bench.device.observe(seen.append, what)
    return seen


@case(_HALT, "MiniportHaltEx frees everything that MiniportInitializeEx allocated")
def frees_everything(bench: Bench) -> None:
    """Halt after traffic; count memory, mappings and vectors."""
    works(bench)
    bench.adapter.halt()
    bench.system.assert_no_leaks()
    assert bench.system.iommu.mapped == []


@case(
    manual("PROG-21"),
    "the card is stopped before its memory is freed: it reads and writes nothing any more",
    **ONE,
)
def the_card_is_quiet_afterwards(bench: Bench) -> None:
    """Halt; then frames arrive, the link changes and ten seconds pass: no DMA, no interrupt, no access."""
    works(bench)
    frames = frames_to(bench.station, 20, 100)
    bench.adapter.halt()
    seen = watch(bench)
    bench.receive(*frames)
    bench.device.set_link(0)
    bench.device.set_link(10_000)
    bench.settle()
    bench.advance(10_000_000_000)
    assert not seen, f"{seen[0].type.name} at 0x{seen[0].addr:x} after MiniportHaltEx"


@case(manual("PROG-21"), "rings are off before their memory is freed", **ONE)
def rings_are_off_before_memory_is_freed(bench: Bench) -> None:
    """At each free of coherent memory during the halt, look whether a ring that lies in it is enabled."""
    works(bench)
    system, device = bench.system, bench.device
    genuine = system.free_coherent
    bases = {
        BAR0.QP_RX_BASE: BAR0.QP_RX_CTRL,
        BAR0.QP_TX_BASE: BAR0.QP_TX_CTRL,
        BAR0.QP_CQ_BASE: BAR0.QP_CQ_CTRL,
    }
    wrong: list[str] = []

    def free(memory: object) -> None:
        begin, length = memory.addr, len(memory)  # type: ignore[attr-defined, arg-type]
        for base, control in bases.items():
            is_here = begin <= device.read64(base.offset) < begin + length
            is_master = device.config_read(4, 2) & _MASTER
            if is_here and device.read32(control.offset) & 1 and is_master:
                wrong.append(base.name.removesuffix("_BASE"))
        genuine(memory)  # type: ignore[arg-type]

    system.free_coherent = free  # type: ignore[method-assign]
    bench.adapter.halt()
    system.free_coherent = genuine  # type: ignore[method-assign]
    assert not wrong, f"the memory of {', '.join(wrong)} was freed while the ring was enabled"


@case(_HALT, "a halt under traffic gives every NET_BUFFER_LIST back", keywords=SHORT_RINGS)
def halts_under_traffic(bench: Bench) -> None:
    """The card is full of frames, thirty sends wait, a protocol keeps NBLs: halt."""
    bench.protocol.keeps_nbls = True
    bench.receive(*frames_to(bench.station, 5, 100))
    bench.settle()
    flows(bench, 100, 30)
    bench.device.is_manual = False
    bench.adapter.halt()
    assert len(bench.protocol.sent) == 30, f"{len(bench.protocol.sent)} of 30 sends came back"
    assert bench.adapter.state is AdapterState.HALTED
    bench.system.assert_no_leaks()


@case(_HALT, "an adapter can be halted for every reason of NDIS_HALT_ACTION")
def halts_for_every_reason(bench: Bench) -> None:
    """Halt and start with DISABLED, INSTANCE_DEINITIALIZED, POWERED_DOWN, FAILED and STOPPED."""
    for action in (
        HaltAction.DISABLED,
        HaltAction.INSTANCE_DEINITIALIZED,
        HaltAction.POWERED_DOWN,
        HaltAction.FAILED,
        HaltAction.STOPPED,
    ):
        bench.adapter.halt(action)
        bench.system.assert_no_leaks()
        bench.start()
        works(bench, f"after a halt with {action.name}")


@case(_HALT, "no interrupt of the card is enabled after a halt", interrupt="line")
def the_line_is_quiet_after_a_halt(bench: Bench) -> None:
    """Halt with an interrupt asserted that nobody served; the line is low afterwards."""
    bench.receive(*frames_to(bench.station, 3, 100))
    bench.adapter.halt()
    bench.settle()
    assert not bench.system.line.is_asserted, "the card pulls the line after MiniportHaltEx"


@case(_HALT, "timers are cancelled and work items done before MiniportHaltEx returns", **ONE)
def nothing_fires_after_a_halt(bench: Bench) -> None:
    """Halt an adapter that just had link changes, traffic and errors; then a minute passes."""
    for speed in (0, 1_000, 0, 10_000):
        bench.device.set_link(speed)
    bench.send(plain_frame(80, 1, PEER))
    bench.adapter.halt()
    calls = len(bench.ndis.verifier.history)
    bench.advance(60_000_000_000)
    late = list(bench.ndis.verifier.history)[calls:]
    assert not late, f"{late[0].text} after MiniportHaltEx"


@case(_SHUTDOWN, "MiniportShutdownEx stops the hardware: no DMA and no interrupt follows", **ONE)
def shuts_down(bench: Bench) -> None:
    """Shut down under traffic, in both ways; then frames arrive and the card stays quiet."""
    flows(bench, 100, 10)
    frames = frames_to(bench.station, 20, 100)
    bench.adapter.shutdown(ShutdownAction.POWER_OFF)
    bench.device.is_manual = False
    seen = watch(bench, (EventType.DMA_READ, EventType.DMA_WRITE, EventType.INTERRUPT))
    bench.receive(*frames)
    bench.settle()
    assert not seen, f"{seen[0].type.name} at 0x{seen[0].addr:x} after MiniportShutdownEx"
    bench.abandon()


@case(_SHUTDOWN, "MiniportShutdownEx at a bug check calls no NDIS function, and waits for nothing", **ONE)
def shuts_down_at_a_bug_check(bench: Bench) -> None:
    """Call it at high IRQL's place in a crash: nothing of NDIS may be called from it."""
    works(bench)
    before = [call.text for call in bench.ndis.verifier.history]
    bench.adapter.shutdown(ShutdownAction.BUG_CHECK)
    after = [
        call for call in list(bench.ndis.verifier.history)[len(before) :] if call.text.startswith("Ndis")
    ]
    assert not after, f"{after[0].text} from MiniportShutdownEx"
    bench.abandon()


@case(_HALT, "two adapters of one driver do not share state")
def two_adapters_of_one_driver(bench: Bench) -> None:
    """A second adapter of the same driver starts in another machine, works, and is halted; the first
    goes on."""
    with second_bench(bench, queues=1, cpus=1) as other:
        works(other)
        works(bench)
        other.adapter.pause()
        works(bench, "while the other adapter is paused")
        assert other.adapter.restart() == OK
    works(bench, "after the other adapter is gone")
