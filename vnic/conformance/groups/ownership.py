"""Ownership: who has a NET_BUFFER_LIST, until when, and that all are back when somebody asks for them."""

from __future__ import annotations

from typing import Any

from vnic.conformance.case import NotSupported, case
from vnic.conformance.drive import (
    OK,
    ONE,
    SHORT_RINGS,
    contexts,
    flows,
    frames_to,
    let_go,
    same,
    set_filter,
    statuses,
    take,
    works,
)
from vnic.conformance.pages import ddi, guide
from vnic.ndis.oid import PacketFilter
from vnic.ndis.status import NDIS_STATUS
from vnic.protocol.capture import CaptureProtocol
from vnic.testbench.bench import Bench
from vnic.testbench.frames import PEER, plain_frame

_PAUSE = ddi("nc-ndis-miniport_pause")
_COMPLETE = ddi("nf-ndis-ndismsendnetbufferlistscomplete")
_RETURN = ddi("nc-ndis-miniport_return_net_buffer_lists")
_EMPTY: dict[str, Any] = {"keywords": SHORT_RINGS} | ONE


@case(
    _COMPLETE,
    "each NET_BUFFER_LIST that a miniport got it completes once, whatever happens meanwhile",
    **_EMPTY,
)
def each_send_comes_back_once(bench: Bench) -> None:
    """Three hundred sends of one to five NET_BUFFERs, with a pause, a reset and a link change among them."""
    for number in range(300):
        bench.send(*[plain_frame(80, number * 8 + n, PEER) for n in range(1 + number % 5)], context=number)
        if number == 100:
            bench.adapter.pause()
            assert bench.adapter.restart() == OK
        if number == 200:
            bench.adapter.reset()
        if number == 250:
            bench.device.set_link(0)
            bench.settle()
            bench.device.set_link(10_000)
    bench.settle()
    assert sorted(contexts(bench), key=repr) == sorted(range(300), key=repr), (
        f"{len(contexts(bench))} of 300 came back"
    )
    works(bench)


@case(_PAUSE, "before a pause is complete every send is completed", **_EMPTY)
def sends_are_back_when_the_adapter_is_paused(bench: Bench) -> None:
    """Forty sends wait, some of them with the card, when the adapter is paused."""
    flows(bench, 100, 40)
    bench.device.is_manual = False
    bench.adapter.pause()
    assert sorted(contexts(bench), key=repr) == sorted(range(40), key=repr), (
        f"{len(contexts(bench))} of 40 sends are back"
    )
    assert bench.adapter.restart() == OK
    works(bench)


@case(_PAUSE, "before a pause is complete every indicated NET_BUFFER_LIST is back", **_EMPTY)
def waits_for_nbls_that_a_protocol_keeps(bench: Bench) -> None:
    """A second protocol keeps NBLs and returns them a second after the pause began."""
    bench.protocol.keeps_nbls = True
    bench.receive(*frames_to(bench.station, 5, 100))
    bench.settle()
    held = list(bench.protocol.held)
    if not held:
        raise NotSupported("lends frames only")
    # A protocol that is slow to notice: its own NetEventPause does not make it let go.
    pending = bench.protocol._held[:]
    bench.protocol._held.clear()
    seen: list[str] = []

    def give_back() -> None:
        seen.append(bench.adapter.state.value)
        bench.protocol._held[:] = pending
        bench.protocol.release()

    bench.clock.call_after(1_000_000_000, give_back)
    bench.adapter.pause()
    assert seen == ["Pausing"], f"the pause was complete before NBLs came back ({seen})"
    assert bench.adapter.restart() == OK
    bench.protocol.keeps_nbls = False
    works(bench)


@case(_PAUSE, "before a pause is complete the last list is back, not the first", **_EMPTY)
def lists_that_come_back_one_by_one(bench: Bench) -> None:
    """In a pause sends end, and a protocol returns six NBLs, one each second: it ends with the last."""
    bench.protocol.keeps_nbls = True
    for frame in frames_to(bench.station, 6, 100):
        bench.receive(frame)
        bench.settle()
    if len(bench.protocol.held) != 6:
        raise NotSupported("lends frames only")
    # A protocol that is slow to notice: its own NetEventPause does not make it let go.
    pending = bench.protocol._held[:]
    bench.protocol._held.clear()
    seen: list[str] = []

    def give_back() -> None:
        seen.append(bench.adapter.state.value)
        bench.protocol._held.append(pending.pop(0))
        bench.protocol.release()

    flows(bench, 100, 10)
    for second in range(6):
        bench.clock.call_after((second + 1) * 1_000_000_000, give_back)
    bench.device.is_manual = False
    bench.adapter.pause()
    assert seen == ["Pausing"] * 6, f"the pause was complete before every NBL came back ({seen})"
    assert len(contexts(bench)) == 10, f"{len(contexts(bench))} of 10 sends are back"
    assert bench.adapter.restart() == OK
    bench.protocol.keeps_nbls = False
    works(bench)


@case(
    _RETURN, "MiniportReturnNetBufferLists takes chains, of any length, in any state up to the halt", **_EMPTY
)
def chains_come_back_whole(bench: Bench) -> None:
    """Six NBLs come back in one chain, while the card receives, and while it is paused."""
    for turn in range(4):
        bench.protocol.keeps_nbls = True
        bench.receive(*frames_to(bench.station, 6, 90, first=turn * 10))
        bench.settle()
        bench.protocol.keeps_nbls = False
        if turn % 2:
            bench.adapter.pause()
            assert bench.adapter.restart() == OK
        bench.protocol.release()
        bench.settle()
    frames = frames_to(bench.station, 40, 100, first=500)
    for start in range(0, 40, 8):
        bench.receive(*frames[start : start + 8])
        bench.settle()
    same(bench.received[-40:], frames)


@case(
    guide("binding-states-of-a-protocol-driver"),
    "several protocols share an adapter: each gets what its filter wants, "
    "and nothing is freed before the last returned it",
    **_EMPTY,
)
def two_protocols_on_one_adapter(bench: Bench) -> None:
    """A second protocol binds, wants broadcasts only, keeps what it gets, and unbinds again."""
    set_filter(bench, PacketFilter.DIRECTED)
    other = CaptureProtocol(
        bench.memory, bench.processors, packet_filter=PacketFilter.BROADCAST, keeps_nbls=True
    )
    bench.protocol.packet_filter = PacketFilter.DIRECTED
    binding = bench.adapter.bind(other)
    assert binding is not None
    own, wide = frames_to(bench.station, 6, 100), [plain_frame(100, n, b"\xff" * 6) for n in range(6)]
    got = take(bench, *[frame for pair in zip(own, wide, strict=True) for frame in pair])
    same([frame.data for frame in got], own)
    same([frame.data for frame in other.received], wide)
    other.release()
    bench.adapter.unbind(binding)
    same([frame.data for frame in take(bench, *own)], own)
    works(bench)


@case(
    ddi("nf-ndis-ndismindicatereceivenetbufferlists"),
    "an NBL indicated with RESOURCES is the miniport's again when the "
    "call returns; one indicated without is not before it is returned",
    **_EMPTY,
)
def what_was_lent_is_used_again_at_once(bench: Bench) -> None:
    """A protocol keeps every frame it may; the adapter goes on for 200 frames more than its ring has
    buffers."""
    bench.protocol.keeps_nbls = True
    frames = frames_to(bench.station, 240, 100)
    for frame in frames:
        bench.receive(frame)
        bench.settle()
    lent = [frame for frame in bench.protocol.received if frame.was_lent]
    kept = len(bench.protocol.held)
    assert len(bench.received) == kept + len(lent)
    for nbl, frame in zip(bench.protocol.held, bench.received, strict=False):
        assert nbl.first_net_buffer is not None
        assert nbl.first_net_buffer.data() == frame, "a kept frame changed"
    bench.protocol.keeps_nbls = False
    bench.protocol.release()
    bench.settle()
    works(bench)


@case(_COMPLETE, "sends may be made from within a completion, and from within an indication", **_EMPTY)
def sends_from_within_callbacks(bench: Bench) -> None:
    """A protocol answers every frame it receives with one, at DISPATCH_LEVEL, for a hundred frames."""
    answers: list[bytes] = []

    def answer(_: object) -> None:
        answers.append(plain_frame(80, len(answers), PEER))
        bench.send(answers[-1])

    bench.protocol.on_frame = answer
    for start in range(0, 100, 5):
        bench.receive(*frames_to(bench.station, 5, 100, first=start))
        bench.settle()
    bench.protocol.on_frame = None
    same(bench.transmitted, answers, "left")
    assert statuses(bench) == [OK] * len(answers)
    assert len(answers) == 100, f"{len(answers)} of 100 frames were indicated"


@case(
    ddi("nc-ndis-miniport_reset"),
    "sends outstanding at a reset are completed, none is lost",
    **_EMPTY,
)
def sends_are_back_after_a_reset(bench: Bench) -> None:
    """Forty sends wait while the card stands still; a reset."""
    flows(bench, 100, 40)
    bench.adapter.reset()
    let_go(bench)
    ended = statuses(bench)
    assert len(ended) == 40, f"{len(ended)} of 40 sends came back"
    allowed = {
        OK,
        NDIS_STATUS.RESET_IN_PROGRESS,
        NDIS_STATUS.REQUEST_ABORTED,
        NDIS_STATUS.FAILURE,
        NDIS_STATUS.SEND_ABORTED,
    }
    assert set(ended) <= allowed, f"they ended {sorted({str(status) for status in ended})}"
    works(bench)
