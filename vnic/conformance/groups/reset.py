"""Reset: MiniportResetEx gives sends back, and leaves an adapter that works as it was configured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vnic.abi import FaultAction, FaultSite
from vnic.conformance.case import NotSupported, case
from vnic.conformance.drive import (
    OK,
    ONE,
    SHORT_RINGS,
    flows,
    frames_to,
    let_go,
    outgoing,
    resets,
    same,
    set_filter,
    statuses,
    take,
    works,
)
from vnic.conformance.pages import ddi, manual
from vnic.fault import Fault
from vnic.function import UNBOUNDED, Budget
from vnic.gen.registers import BAR0, MacTxCtrl
from vnic.ndis.oid import OID, PacketFilter
from vnic.ndis.status import NDIS_STATUS
from vnic.testbench.bench import Bench
from vnic.testbench.frames import PEER, plain_frame

_RESET = ddi("nc-ndis-miniport_reset")
_HANG = ddi("nc-ndis-miniport_check_for_hang")
_A_STEP = Budget(1, UNBOUNDED.bytes)
_EMPTY: dict[str, Any] = {"keywords": SHORT_RINGS} | ONE
LONG_FRAMES: dict[str, Any] = {"keywords": SHORT_RINGS | {"*JumboPacket": 9014}} | ONE


@case(_RESET, "after a reset the adapter works as before")
def works_after_each_of_many(bench: Bench) -> None:
    """Ten resets, with traffic between, at every position of the rings."""
    for turn in range(10):
        frames = frames_to(bench.station, 1 + turn, 100, first=100 * turn)
        assert len(take(bench, *frames)) == len(frames)
        bench.adapter.reset()
        bench.settle()
        works(bench, f"after reset {turn + 1}")
    assert resets(bench) == 10


@case(
    _RESET,
    "sends that the driver has are completed, NDIS_STATUS_RESET_IN_PROGRESS when they were not transmitted",
    **_EMPTY,
)
def pending_sends_come_back(bench: Bench) -> None:
    """Thirty sends wait, a part of them with a card that stands still; a reset; each comes back once."""
    flows(bench, 100, 30)
    bench.adapter.reset()
    let_go(bench)
    ended = statuses(bench)
    assert len(ended) == 30, f"{len(ended)} of 30 sends came back"
    done = ended.count(OK)
    assert len(bench.transmitted) <= done, "a frame left although its send was completed as aborted"
    assert set(ended) <= {
        OK,
        NDIS_STATUS.RESET_IN_PROGRESS,
        NDIS_STATUS.REQUEST_ABORTED,
        NDIS_STATUS.SEND_ABORTED,
        NDIS_STATUS.FAILURE,
    }
    works(bench)


@case(
    _RESET,
    "NBLs that protocols keep over a reset come back later, and their buffers are used again",
    **_EMPTY,
)
def nbls_kept_over_a_reset(bench: Bench) -> None:
    """A protocol keeps six NBLs over a reset, and returns them after it and after new traffic."""
    bench.protocol.keeps_nbls = True
    frames = frames_to(bench.station, 6, 300)
    bench.receive(*frames)
    bench.settle()
    kept = list(bench.protocol.held)
    bench.adapter.reset()
    bench.settle()
    bench.protocol.keeps_nbls = False
    more = frames_to(bench.station, 60, 300, first=500)
    for frame in more:
        bench.receive(frame)
        bench.settle()
    for nbl, frame in zip(kept, frames, strict=False):
        assert nbl.first_net_buffer is not None
        assert nbl.first_net_buffer.data() == frame, "a frame changed while a protocol kept it over a reset"
    bench.protocol.release()
    bench.settle()
    same(bench.received, frames + more)
    for turn in range(3):
        burst = frames_to(bench.station, 12, 100, first=2000 + turn * 20)
        same([frame.data for frame in take(bench, *burst)], burst)


@case(_RESET, "a reset restores the packet filter, or says AddressingReset so that NDIS does", **ONE)
def the_filter_is_restored(bench: Bench) -> None:
    """Under DIRECTED, and under a filter of 0, a reset; frames of all kinds arrive."""
    own, wide = plain_frame(80, 1, bench.station), plain_frame(80, 2, b"\xff" * 6)
    for wanted, frames in (
        (PacketFilter.DIRECTED, [own]),
        (PacketFilter.BROADCAST, [wide]),
        (PacketFilter(0), []),
    ):
        set_filter(bench, wanted)
        bench.adapter.reset()
        bench.settle()
        before = bench.adapter.receives.indicated
        got = [frame.data for frame in take(bench, own, wide, plain_frame(80, 3, PEER))]
        assert got == frames, f"filter {wanted!r}: {len(got)} frames arrive after a reset"
        assert bench.adapter.receives.indicated - before == len(frames), (
            "the driver indicates what its filter keeps out"
        )


@case(_RESET, "traffic that arrives while the adapter is reset does no harm", **_EMPTY)
def frames_during_a_reset(bench: Bench) -> None:
    """The card is full of frames that nobody looked at when it is reset; as many come again at once."""
    for turn in range(5):
        bench.device.is_manual = True
        bench.receive(*frames_to(bench.station, 20, 100, first=turn * 100))
        bench.adapter.reset()
        bench.receive(*frames_to(bench.station, 20, 100, first=turn * 100 + 50))
        let_go(bench)
    assert len(set(bench.received)) == len(bench.received), "a frame was indicated twice"
    works(bench)


def come_in_part(bench: Bench, go: Callable[[], object], why: str) -> None:
    """A long frame stops after 1 to 6 steps of the card, is looked at, and something happens; others come."""
    if bench.adapter.general is not None and bench.adapter.general.mtu_size < 9000:
        raise NotSupported(f"*JumboPacket: MtuSize is {bench.adapter.general.mtu_size}")
    for moment in range(1, 7):
        bench.device.is_manual = True
        bench.receive(plain_frame(9000, moment, bench.station))
        for _ in range(moment):
            for part in bench.device.runnable[:1]:
                bench.device.step(part)
        bench.advance(5_000_000_000)
        go()
        before = resets(bench)
        let_go(bench)
        frames = [plain_frame(8000, moment, bench.station), *frames_to(bench.station, 2, 100, moment)]
        same([each.data for each in take(bench, *frames)], frames)
        assert resets(bench) == before, f"{why} after {moment} steps of a frame leads to another reset"
    works(bench, "after frames that had come in part")


@case(
    _RESET,
    "of a frame that had arrived in part nothing is left after a reset: the next one is whole",
    **LONG_FRAMES,
)
def frames_that_have_come_in_part(bench: Bench) -> None:
    """Frames of 9,000 bytes stop after 1 to 6 steps of the card, are looked at, and the adapter is reset."""
    come_in_part(bench, bench.adapter.reset, "a reset")


@case(_RESET, "a reset while the adapter is Paused leaves it Paused", **ONE)
def resets_while_paused(bench: Bench) -> None:
    """Pause, reset, restart."""
    bench.adapter.pause()
    bench.adapter.reset()
    bench.settle()
    before = bench.adapter.receives.indicated
    bench.receive(*frames_to(bench.station, 5, 100))
    bench.settle()
    assert bench.adapter.receives.indicated == before, "a reset began receiving while Paused"
    assert bench.adapter.restart() == OK
    bench.settle()
    bench.protocol.received.clear()
    works(bench)


@case(_HANG, "MiniportCheckForHangEx says FALSE while the adapter works", **ONE)
def a_healthy_adapter_is_not_reset(bench: Bench) -> None:
    """Thirty seconds with traffic and without, with a link and without."""
    for second in range(15):
        if second < 5:
            works(bench)
        if second in (8, 12):
            bench.device.set_link(0 if second == 8 else 10_000)
        bench.advance(2_000_000_000)
    assert resets(bench) == 0, f"it was reset {resets(bench)} times"
    works(bench)


def _lets_go(bench: Bench) -> None:
    """The transmitter is on for as long as one frame takes."""
    control = bench.device.read32(BAR0.MAC_TX_CTRL.offset)
    before = bench.device.read64(BAR0.STAT_TX_UNICAST_FRAMES.offset)
    bench.device.is_manual = True
    bench.device.write32(BAR0.MAC_TX_CTRL.offset, control | MacTxCtrl.ENABLE)
    while bench.device.read64(BAR0.STAT_TX_UNICAST_FRAMES.offset) == before:
        assert bench.device.run(_A_STEP).steps, "nothing is left to send"
    bench.device.write32(BAR0.MAC_TX_CTRL.offset, control & ~MacTxCtrl.ENABLE)
    let_go(bench)


@case(_HANG, "hardware that is slow does not hang: a list of which one packet after another leaves", **ONE)
def a_list_that_leaves_slowly(bench: Bench) -> None:
    """Lists of twelve packets and of one; each two seconds the card sends a frame."""
    frames = outgoing(12)
    control = bench.device.read32(BAR0.MAC_TX_CTRL.offset)
    bench.device.write32(BAR0.MAC_TX_CTRL.offset, control & ~MacTxCtrl.ENABLE)
    bench.send(*frames)
    bench.send(frames[0])
    while len(bench.transmitted) < 13:
        bench.advance(2_000_000_000)
        assert resets(bench) == 0, f"it was reset after {len(bench.transmitted)} of 13 frames"
        _lets_go(bench)
    bench.device.write32(BAR0.MAC_TX_CTRL.offset, control)
    bench.settle()
    same(bench.transmitted, [*frames, frames[0]], "left")
    assert statuses(bench) == [OK, OK], f"the lists ended {statuses(bench)}"
    works(bench, "after a card that was slow")


@case(_HANG, "sends that each come back in time are no hang, however often one is on its way", **ONE)
def a_send_at_every_check(bench: Bench) -> None:
    """Twenty times a list of one or three packets is with the card for two seconds, then comes back."""
    frames = outgoing(3)
    for turn in range(20):
        bench.device.is_manual = True
        bench.send(*frames[: 1 + turn % 2 * 2])
        bench.advance(2_000_000_000)
        let_go(bench)
        assert len(statuses(bench)) == turn + 1, "a send did not come back"
    assert resets(bench) == 0, f"it was reset {resets(bench)} times"
    assert set(statuses(bench)) == {OK}, "sends failed"
    works(bench)


@case(_HANG, "MiniportCheckForHangEx finds hardware that stopped and asks for a reset", is_rough=True, **ONE)
def a_card_that_stops_sending_is_found(bench: Bench) -> None:
    """The transmitter is switched off behind the driver's back; a send waits; half a minute passes."""
    bench.device.write32(BAR0.MAC_TX_CTRL.offset, 0)
    bench.send(plain_frame(80, 1, PEER))
    bench.advance(30_000_000_000)
    assert len(statuses(bench)) == 1, "the send never came back"
    assert resets(bench) >= 1, "no reset was asked for"
    works(bench, "after its hardware had stopped")


@case(manual("PROG-16"), "a ring that the card stopped is started again", is_rough=True, **ONE)
def rings_that_stopped(bench: Bench) -> None:
    """A wild write to each of the three tails stops its ring; half a minute later everything works."""
    for name in ("QP_RX_TAIL", "QP_TX_TAIL", "QP_CQ_TAIL"):
        bench.device.write32(BAR0.MAP[name].offset, 0xFFFF)
        bench.settle()
        bench.send(plain_frame(80, 1, PEER))
        bench.advance(30_000_000_000)
        works(bench, f"after {name} was out of range")


@case(
    manual("PROG-15"),
    "an interrupt that was lost does not stop the adapter for good",
    is_rough=True,
    keywords={"*InterruptModeration": 0},
    **ONE,
)
def lost_interrupts(bench: Bench) -> None:
    """Three times the interrupt of some frames and a send is lost, and ten seconds pass."""
    for turn in range(3):
        frames = frames_to(bench.station, 3, 100, first=turn * 10)
        bench.protocol.received.clear()
        with bench.device.arm(Fault(site=FaultSite.INTERRUPT, action=FaultAction.DROP)) as handle:
            bench.receive(*frames)
            bench.send(plain_frame(80, turn, PEER))
            bench.settle()
            bench.advance(10_000_000_000)
            assert handle.fired == 1
        same(bench.received, frames)
        assert len(bench.protocol.sent) == turn + 1, "the send never came back"
    works(bench, "after lost interrupts")


@case(
    _RESET,
    "a reset in the midst of traffic on four processors loses no send",
    seeds=(1, 2, 3, 4, 5),
    keywords=SHORT_RINGS,
)
def resets_under_traffic_of_four_processors(bench: Bench) -> None:
    """Six resets in many interleavings of four processors that send and receive."""
    sent = 0
    for turn in range(6):
        bench.receive(*frames_to(bench.station, 8, 100, first=turn * 50))
        for n in range(10):
            with bench.processors.on(n % 4):
                bench.send(plain_frame(80, n, PEER))
                sent += 1
        bench.adapter.reset()
    bench.settle()
    assert len(bench.protocol.sent) == sent, (
        f"{sent - len(bench.protocol.sent)} of {sent} sends never came back"
    )
    bench.protocol.received.clear()
    works(bench)


@case(_RESET, "the adapter's address and statistics stand over a reset", **ONE)
def addresses_stand_over_a_reset(bench: Bench) -> None:
    """Query both addresses, the link and the lookahead before and after."""
    oids = (
        OID.O802_3_PERMANENT_ADDRESS,
        OID.O802_3_CURRENT_ADDRESS,
        OID.GEN_LINK_STATE,
        OID.GEN_CURRENT_LOOKAHEAD,
    )
    before = [bench.query(oid) for oid in oids]
    bench.adapter.reset()
    bench.settle()
    assert [bench.query(oid) for oid in oids] == before
    set_filter(bench, PacketFilter.DIRECTED)
    own = plain_frame(80, 1, bench.station)
    assert [frame.data for frame in take(bench, own)] == [own]
