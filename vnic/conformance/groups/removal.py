"""Surprise removal: the card is gone, reads are all ones, and still everything comes back and ends."""

from __future__ import annotations

from vnic.conformance.case import case
from vnic.conformance.drive import OK, ONE, SHORT_RINGS, ask, flows, frames_to, let_go, statuses
from vnic.conformance.pages import ddi, guide, manual
from vnic.ndis.oid import OID
from vnic.ndis.states import AdapterState
from vnic.ndis.status import NDIS_STATUS
from vnic.testbench.bench import Bench
from vnic.testbench.frames import PEER, plain_frame

_SURPRISE = guide("handling-the-surprise-removal-of-a-nic")
_NOTIFY = ddi("nc-ndis-miniport_device_pnp_event_notify")
_HALT = ddi("nc-ndis-miniport_halt")
_GONE = manual("PROG-25")
_SECONDS = 1_000_000_000


def gone(bench: Bench) -> None:
    """The operating system has noticed: MiniportDevicePnPEventNotify, then MiniportHaltEx."""
    bench.adapter.surprise_remove()
    bench.settle()
    assert bench.adapter.state is AdapterState.HALTED, f"the adapter is {bench.adapter.state.value}"


@case(_SURPRISE, "a driver whose NIC was removed completes what it has and halts", is_rough=True)
def at_rest(bench: Bench) -> None:
    """Pull an idle card; the adapter halts and leaves nothing."""
    bench.device.remove()
    gone(bench)


@case(
    _SURPRISE, "every send of a driver whose NIC was removed comes back", is_rough=True, keywords=SHORT_RINGS
)
def with_sends_under_way(bench: Bench) -> None:
    """Pull the card with 20 sends in a ring of 8 and behind it; each comes back once."""
    flows(bench, 120, 20)
    bench.device.remove()
    let_go(bench)
    gone(bench)
    ended = statuses(bench)
    assert len(ended) == 20, f"{len(ended)} of 20 sends came back"


@case(_SURPRISE, "a send that did not leave did not succeed", is_rough=True, **ONE)
def sends_do_not_succeed(bench: Bench) -> None:
    """Pull the card before it has taken a descriptor: none of 5 sends ends with NDIS_STATUS_SUCCESS."""
    bench.device.is_manual = True
    for number in range(5):
        bench.send(plain_frame(90, number, PEER))
    bench.device.remove()
    let_go(bench)
    gone(bench)
    ended = statuses(bench)
    assert len(ended) == 5, f"{len(ended)} of 5 sends came back"
    assert OK not in ended, "a send that never left ended with NDIS_STATUS_SUCCESS"


@case(
    _SURPRISE,
    "NBLs that protocols have when the NIC goes are waited for, and are theirs until then",
    is_rough=True,
)
def with_received_nbls_lent(bench: Bench) -> None:
    """Pull the card while a protocol keeps NBLs; their data stay until it returns them."""
    frames = frames_to(bench.station, 4)
    bench.protocol.keeps_nbls = True
    bench.receive(*frames)
    bench.settle()
    bench.device.remove()
    gone(bench)
    assert sorted(bench.received) == sorted(frames)


@case(_GONE, "all ones of a register are no value: nobody waits for one of its bits", is_rough=True)
def no_endless_wait(bench: Bench) -> None:
    """Pull the card, then halt it as if it were there: the halt ends."""
    bench.device.remove()
    before = bench.clock.now_ns
    bench.adapter.halt()
    took = bench.clock.now_ns - before
    assert took < 30 * _SECONDS, f"the halt took {took / _SECONDS:.0f} s of virtual time"


@case(_GONE, "a driver works with a card that was pulled as with one that does not answer", is_rough=True)
def oids_without_a_card(bench: Bench) -> None:
    """Pull the card and make requests before anybody says so: each ends, none reports all ones as a count."""
    bench.device.remove()
    for oid in (OID.GEN_STATISTICS, OID.GEN_XMIT_OK, OID.GEN_RCV_OK, OID.GEN_INTERRUPT_MODERATION):
        request = ask(bench, oid)
        if request.status == OK:
            numbers = {bytes(request.data[at : at + 8]) for at in range(0, len(request.data) - 7, 8)}
            assert b"\xff" * 8 not in numbers, f"OID 0x{oid:08x} reports all ones as a number"
    gone(bench)


@case(_SURPRISE, "a removal in D0 can come at any register access", is_rough=True, starts=False)
def while_it_starts(bench: Bench) -> None:
    """Pull the card before it is initialized: initialization fails and leaves nothing."""
    bench.device.remove()
    status = bench.adapter.initialize()
    assert status != OK, "initialization of a card that is not there ended with NDIS_STATUS_SUCCESS"
    assert status.is_error, f"initialization ended {status!s}"


@case(_HALT, "MiniportHaltEx with NdisHaltDeviceSurpriseRemoved frees everything", is_rough=True)
def paused_when_it_goes(bench: Bench) -> None:
    """Pull the card of a paused adapter."""
    bench.adapter.pause()
    bench.device.remove()
    gone(bench)


@case(_NOTIFY, "sends end although the card is gone, before it is said and after", is_rough=True)
def silent_after_the_notice(bench: Bench) -> None:
    """Pull the card under traffic, wait 10 s of virtual time, and send again before it is said: all ends."""
    flows(bench, 100, 6)
    bench.device.remove()
    let_go(bench)
    if bench.adapter.state is AdapterState.RUNNING:
        bench.send(plain_frame(80, 99, PEER))
    bench.advance(10 * _SECONDS)
    if bench.adapter.state is not AdapterState.HALTED:
        gone(bench)
    ended = statuses(bench)
    assert len(ended) >= 6, f"{len(ended)} sends came back"
    assert NDIS_STATUS.PENDING not in ended


@case(_SURPRISE, "the interrupt of a card that is gone is not claimed", is_rough=True, interrupt="line")
def line_interrupt_of_another_device(bench: Bench) -> None:
    """With a line interrupt, pull the card under traffic: no interrupt storm follows."""
    flows(bench, 100, 6)
    bench.device.remove()
    let_go(bench)
    gone(bench)
    assert len(statuses(bench)) == 6


def _pulled_after(bench: Bench, steps: int) -> None:
    flows(bench, 100, 6)
    for number in range(steps):
        runnable = bench.device.runnable
        if runnable:
            bench.device.step(runnable[number % len(runnable)])
    bench.device.remove()
    let_go(bench)
    gone(bench)
    assert len(statuses(bench)) == 6, f"{len(statuses(bench))} of 6 sends came back"


_ANY_STEP = "a removal at any step of the card's work leaves no NBL behind"


@case(_SURPRISE, _ANY_STEP, is_rough=True, keywords=SHORT_RINGS)
def with_a_descriptor_fetched(bench: Bench) -> None:
    """Pull the card after 2 steps on 6 sends and 6 frames."""
    _pulled_after(bench, 2)


@case(_SURPRISE, _ANY_STEP, is_rough=True, keywords=SHORT_RINGS)
def with_data_moved(bench: Bench) -> None:
    """Pull the card after 9 steps on 6 sends and 6 frames."""
    _pulled_after(bench, 9)


@case(_SURPRISE, _ANY_STEP, is_rough=True, keywords=SHORT_RINGS)
def with_completions_written(bench: Bench) -> None:
    """Pull the card after 24 steps on 6 sends and 6 frames."""
    _pulled_after(bench, 24)


@case(
    _SURPRISE,
    "the order of processors makes no difference",
    is_rough=True,
    seeds=(1, 2, 3, 4),
    keywords=SHORT_RINGS,
)
def on_processors_that_race(bench: Bench) -> None:
    """Pull the card under traffic on a machine whose processors race; no NBL is lost, none comes twice."""
    bench.protocol.keeps_nbls = True
    flows(bench, 100, 18)
    bench.device.is_manual = False
    bench.world.pump()
    bench.device.remove()
    let_go(bench)
    gone(bench)
    assert len(statuses(bench)) == 18, f"{len(statuses(bench))} of 18 sends came back"
