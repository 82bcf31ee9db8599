"""Pause and restart: the states of "Miniport Adapter States and Operations", and what is allowed in each."""

from __future__ import annotations

from typing import Any

from vnic.conformance.case import case
from vnic.conformance.drive import (
    OK,
    ONE,
    SHORT_RINGS,
    ask,
    flows,
    frames_to,
    injected,
    same,
    state,
    take,
    works,
)
from vnic.conformance.pages import ddi, guide
from vnic.ndis.attributes import HaltAction
from vnic.ndis.oid import OID
from vnic.ndis.states import AdapterState
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import LinkState, MediaConnectState
from vnic.testbench.bench import Bench
from vnic.testbench.frames import PEER, plain_frame
from vnic.testbench.step import INTERRUPT_RAISE

_PAUSE = ddi("nc-ndis-miniport_pause")
_RESTART = ddi("nc-ndis-miniport_restart")
_STATES = guide("miniport-adapter-states-and-operations")
_EMPTY: dict[str, Any] = {"keywords": SHORT_RINGS} | ONE


@case(_STATES, "an adapter goes from Running over Pausing to Paused, and back over Restarting")
def there_and_back(bench: Bench) -> None:
    """Pause and restart ten times, with traffic between."""
    for turn in range(10):
        bench.adapter.pause()
        assert state(bench) is AdapterState.PAUSED
        assert bench.adapter.restart() == OK
        assert state(bench) is AdapterState.RUNNING
        works(bench, f"after pause {turn + 1}")


@case(
    _PAUSE,
    "sends that come while the adapter is Paused are completed with NDIS_STATUS_PAUSED, and are not "
    "transmitted",
    **ONE,
)
def sends_while_paused(bench: Bench) -> None:
    """A filter below the protocols sends five frames to the paused adapter."""
    bench.adapter.pause()
    for n in range(5):
        bench.inject(plain_frame(80, n, PEER))
    bench.settle()
    assert injected(bench) == [NDIS_STATUS.PAUSED] * 5, (
        f"they ended {[str(status) for status in injected(bench)]}"
    )
    assert bench.adapter.restart() == OK
    bench.settle()
    assert bench.transmitted == [], "what was refused while paused left after the restart"
    works(bench)


@case(_PAUSE, "a Paused adapter indicates no received data", **_EMPTY)
def nothing_is_received_while_paused(bench: Bench) -> None:
    """Fifty frames come to the paused adapter, more than it has buffers."""
    bench.adapter.pause()
    before = bench.adapter.receives.indicated
    bench.receive(*frames_to(bench.station, 50, 100))
    bench.settle()
    bench.advance(1_000_000_000)
    assert bench.adapter.receives.indicated == before, "data was indicated while Paused"
    assert bench.adapter.restart() == OK
    bench.settle()
    bench.protocol.received.clear()
    works(bench)


@case(
    _RESTART,
    "after a restart data is received and sent as before, with rings that start where they stopped",
    **_EMPTY,
)
def rings_go_on_after_a_restart(bench: Bench) -> None:
    """Between pauses the rings stop at every position of their length."""
    for turn in range(20):
        frames = frames_to(bench.station, 1 + turn % 5, 100, first=turn * 10)
        same([frame.data for frame in take(bench, *frames)], frames)
        out = [plain_frame(80, turn * 10 + n, PEER) for n in range(1 + turn % 3)]
        bench.transmitted.clear()
        for frame in out:
            bench.send(frame)
        bench.settle()
        same(bench.transmitted, out, "left")
        bench.adapter.pause()
        assert bench.adapter.restart() == OK


@case(
    _PAUSE,
    "a pause waits for nothing but NBLs: it ends although the link is down and the card is full",
    **_EMPTY,
)
def pauses_without_a_link(bench: Bench) -> None:
    """The link goes down with thirty sends waiting; the adapter is paused and restarted."""
    flows(bench, 100, 30)
    bench.device.set_link(0)
    bench.device.is_manual = False
    bench.adapter.pause()
    assert len(bench.protocol.sent) == 30, f"{len(bench.protocol.sent)} of 30 sends came back"
    assert bench.adapter.restart() == OK
    bench.device.set_link(10_000)
    bench.settle()
    works(bench)


@case(
    _STATES,
    "status of the link is known after a restart, whatever changed while the adapter was Paused",
    **ONE,
)
def link_changes_while_paused(bench: Bench) -> None:
    """The link goes down while the adapter is paused."""
    bench.adapter.pause()
    bench.device.set_link(0)
    bench.settle()
    assert bench.adapter.restart() == OK
    bench.settle()
    told = LinkState.parse(bench.query(OID.GEN_LINK_STATE, 40))
    assert told.connect is MediaConnectState.DISCONNECTED, "NDIS was never told that the link went down"
    bench.device.set_link(10_000)
    bench.settle()
    works(bench)


@case(_STATES, "a Paused adapter can be halted, without a restart", **ONE)
def halts_from_paused(bench: Bench) -> None:
    """Pause, halt, initialize, restart."""
    bench.adapter.pause()
    bench.adapter.halt(HaltAction.DISABLED)
    bench.system.assert_no_leaks()
    bench.start()
    works(bench)


@case(_STATES, "an adapter may be halted right after its initialization", starts=False)
def halts_before_any_restart(bench: Bench) -> None:
    """Initialize, halt; three times."""
    for _ in range(3):
        assert bench.adapter.initialize() == OK
        bench.settle()
        bench.adapter.halt()
        bench.system.assert_no_leaks()
    bench.start()
    works(bench)


@case(
    _PAUSE,
    "traffic on other processors does not keep a pause from its end, nor pass it",
    seeds=(1, 2, 3, 4, 5),
    keywords=SHORT_RINGS,
)
def pauses_under_traffic_of_four_processors(bench: Bench) -> None:
    """Frames arrive and sends wait on four processors in many interleavings while the adapter is paused."""
    sent = 0
    for turn in range(6):
        bench.receive(*frames_to(bench.station, 10, 100, first=turn * 100))
        for n in range(12):
            with bench.processors.on(n % 4):
                bench.send(plain_frame(80, n, PEER))
                sent += 1
        bench.adapter.pause()
        assert len(bench.protocol.sent) == sent, f"{sent - len(bench.protocol.sent)} sends are not back"
        before = bench.adapter.receives.indicated
        bench.receive(*frames_to(bench.station, 5, 100))
        bench.settle()
        assert bench.adapter.receives.indicated == before, "data was indicated while Paused"
        assert bench.adapter.restart() == OK
    bench.settle()
    bench.protocol.received.clear()
    works(bench)


@case(_RESTART, "a restart changes nothing of what the adapter was configured to", **ONE)
def statistics_go_on_over_a_pause(bench: Bench) -> None:
    """Traffic, a pause, traffic; OID_GEN_STATISTICS counts both."""
    works(bench)
    bench.adapter.pause()
    assert bench.adapter.restart() == OK
    works(bench)
    request = ask(bench, OID.GEN_DIRECTED_FRAMES_XMIT, 8)
    assert int.from_bytes(request.data, "little") == 6, "the frames before the pause are not counted"


@case(_PAUSE, "NdisMPauseComplete or SUCCESS, once: a pause of an idle adapter ends too", **ONE)
def pauses_when_idle(bench: Bench) -> None:
    """Pause an adapter that never saw a frame, with the card held still: there is nothing to wait for."""
    bench.adapter.pause()
    bench.advance(5_000_000_000)
    assert state(bench) is AdapterState.PAUSED
    assert bench.adapter.restart() == OK
    works(bench)


@case(_PAUSE, "from the call of MiniportPause on, a miniport indicates no received data", **ONE)
def completions_that_wait_when_the_pause_comes(bench: Bench) -> None:
    """Five frames are in memory with their completions, the interrupt is held back; then comes the pause."""
    bench.receive(*frames_to(bench.station, 5))
    with bench.steps.hold(before=INTERRUPT_RAISE):
        bench.steps.settle()
        before = len(bench.received)
        bench.adapter.pause()
        assert len(bench.received) == before, "frames were indicated in the pause"
    bench.steps.settle()
    assert len(bench.received) == before, "frames were indicated while Paused"
    bench.steps.close()
    assert bench.adapter.restart() == OK
    bench.settle()
    works(bench)
