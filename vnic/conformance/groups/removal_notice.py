"""Surprise removal, the notice: what the driver gives back by it, and that it notices by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vnic.abi import EventType
from vnic.conformance.case import NotSupported, case
from vnic.conformance.drive import OK, ONE, SHORT_RINGS, flows, frames_to, outgoing, statuses
from vnic.conformance.groups.removal import gone
from vnic.conformance.pages import ddi, guide, manual
from vnic.events import Event
from vnic.ndis.attributes import PnpEvent
from vnic.ndis.oid import OID
from vnic.ndis.oid_request import query, set_
from vnic.ndis.states import AdapterState
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import LinkState, MediaConnectState
from vnic.testbench.bench import Bench
from vnic.testbench.frames import PEER, plain_frame, tcp_frame

_SURPRISE = guide("handling-the-surprise-removal-of-a-nic")
_NOTIFY = ddi("nc-ndis-miniport_device_pnp_event_notify")
_GONE = manual("PROG-25")
_EMPTY: dict[str, Any] = {"is_rough": True, "keywords": SHORT_RINGS} | ONE
_SECOND_NS = 1_000_000_000


def _calls(bench: Bench, since: int, name: str) -> int:
    return sum(call.text.startswith(name) for call in list(bench.ndis.verifier.history)[since:])


@case(
    _NOTIFY,
    "sends come back by the notice of the removal itself: no reset is needed, and no hang check",
    **_EMPTY,
)
def sends_come_back_by_the_notice(bench: Bench) -> None:
    """Twenty sends wait, some with the card; it is pulled, and NDIS says so: all are back within a second."""
    bench.device.is_manual = True
    for number, frame in enumerate(outgoing(20)):
        bench.send(frame, context=number)
    bench.device.remove()
    bench.device.is_manual = False
    bench.settle()
    since, before = len(bench.ndis.verifier.history), bench.clock.now_ns
    gone(bench)
    ended = statuses(bench)
    took = bench.clock.now_ns - before
    assert len(ended) == 20, f"{len(ended)} of 20 sends came back"
    assert took < _SECOND_NS, f"sends came back {took / _SECOND_NS:.0f} s after the notice"
    assert not _calls(bench, since, "MiniportResetEx"), (
        "sends came back by a reset of an adapter that is gone"
    )
    assert NDIS_STATUS.RESET_IN_PROGRESS not in ended, (
        "sends of an adapter that is gone end RESET_IN_PROGRESS"
    )


def _accesses(bench: Bench, act: Callable[[], object]) -> list[str]:
    """The register accesses that the driver tries meanwhile."""
    seen: list[Event] = []
    with bench.device.observe(seen.append, (EventType.MMIO_READ, EventType.MMIO_WRITE)):
        act()
        bench.settle()
    return [f"{each.type.name} at 0x{each.addr:x}" for each in seen if each.index == 0]


def _assert_untouched(bench: Bench) -> None:
    bench.protocol.keeps_nbls = True
    bench.receive(*frames_to(bench.station, 5))
    bench.settle()
    flows(bench, 100, 12)
    bench.device.remove()
    bench.device.is_manual = False
    bench.adapter.notify_pnp(PnpEvent.SURPRISE_REMOVED)
    bench.settle()
    acts: dict[str, Callable[[], object]] = {
        "OID_GEN_CURRENT_PACKET_FILTER": lambda: bench.request(
            set_(OID.GEN_CURRENT_PACKET_FILTER, b"\x01\0\0\0")
        ),
        "OID_GEN_STATISTICS": lambda: bench.request(query(OID.GEN_STATISTICS, 1024)),
        "a send": lambda: bench.send(plain_frame(80, 99, PEER)),
        "the return of NBLs": bench.protocol.release,
        "ten seconds": lambda: bench.advance(10 * _SECOND_NS),
        "the halt": lambda: gone(bench),
    }
    for what, act in acts.items():
        found = _accesses(bench, act)
        assert not found, f"{what} touches the card: {found[:3]}"


@case(
    _GONE,
    "a driver that knows that its card is gone touches no register, whatever it is called for",
    **_EMPTY,
)
def no_register_after_the_notice(bench: Bench) -> None:
    """Notice, with sends under way and NBLs lent; then requests, a send, the NBLs, checks, the halt."""
    _assert_untouched(bench)


@case(
    _GONE, "a driver of many queues knows of each that its card is gone", is_rough=True, keywords=SHORT_RINGS
)
def no_register_of_any_queue(bench: Bench) -> None:
    """The same on four processors, with flows for each queue there is."""
    bench.set_rss()
    bench.protocol.keeps_nbls = True
    bench.receive(*(tcp_frame(bytes(60), ports=(n, 80), to=bench.station) for n in range(1000, 1012)))
    _assert_untouched(bench)


@case(_NOTIFY, "sends of every length of queue come back by the notice", **_EMPTY)
def one_send_and_many(bench: Bench) -> None:
    """Lists of one to four packets, of which the ring holds some, wait when the card is pulled."""
    bench.device.is_manual = True
    frames = outgoing(30)
    for start, length in ((0, 1), (1, 4), (5, 3), (8, 1), (9, 4), (13, 4), (17, 1)):
        bench.send(*frames[start : start + length])
    bench.device.remove()
    bench.device.is_manual = False
    before = bench.clock.now_ns
    gone(bench)
    assert len(statuses(bench)) == 7, f"{len(statuses(bench))} of 7 lists came back"
    assert bench.clock.now_ns - before < _SECOND_NS, "lists came back late"


@case(_GONE, "a register that reads all ones tells of no event: the driver asks for its removal", **_EMPTY)
def notices_by_itself(bench: Bench) -> None:
    """An interrupt waits when the card is pulled; nobody says so: the adapter is halted soon."""
    flows(bench, 100, 4)
    bench.protocol.statuses.clear()
    since = len(bench.ndis.verifier.history)
    bench.device.run()
    bench.device.remove()
    bench.device.is_manual = False
    bench.settle()
    bench.advance(30 * _SECOND_NS)
    resets = _calls(bench, since, "MiniportResetEx")
    assert resets <= 1, f"{resets} resets of an adapter that is gone"
    if bench.adapter.state is not AdapterState.HALTED:
        links = [LinkState.parse(each.buffer) for each in bench.protocol.statuses
                 if each.status == NDIS_STATUS.LINK_STATE]  # fmt: skip
        assert all(link.connect is MediaConnectState.DISCONNECTED for link in links), (
            "a link was told of no card"
        )
        raise NotSupported("a driver that notices the loss of its card")
    assert len(statuses(bench)) == 4, f"{len(statuses(bench))} of 4 sends came back"


@case(_SURPRISE, "nothing that was received is indicated wrong or twice when the card goes", **_EMPTY)
def frames_that_are_in_memory(bench: Bench) -> None:
    """Frames and their completions are in memory when the card is pulled: each comes as it was, or not."""
    frames = frames_to(bench.station, 10, 300)
    bench.device.is_manual = True
    bench.receive(*frames)
    bench.device.run()
    bench.device.remove()
    bench.device.is_manual = False
    bench.settle()
    gone(bench)
    strange = [frame for frame in bench.received if frame not in frames]
    assert not strange, f"{len(strange)} frames were indicated that nobody sent"
    assert len(bench.received) == len(set(bench.received)), "a frame was indicated twice"


@case(_SURPRISE, "a card that comes back is initialized anew", **_EMPTY)
def comes_back(bench: Bench) -> None:
    """Pull the card under traffic, three times; put it in and start the adapter again."""
    for turn in range(3):
        flows(bench, 100, 12)
        bench.device.remove()
        bench.device.is_manual = False
        bench.settle()
        if bench.adapter.state is not AdapterState.HALTED:
            gone(bench)
        bench.protocol.sent.clear()
        bench.device.insert()
        bench.device.set_link(10_000)
        bench.start()
        bench.send(plain_frame(80, turn, PEER))
        bench.settle()
        assert statuses(bench) == [OK], f"a send after the card came back ended {statuses(bench)}"
