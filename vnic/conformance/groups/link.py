"""The link: whatever happens to it, and whatever else happens meanwhile, NDIS knows it as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vnic.conformance.case import Feature, NotSupported, case
from vnic.conformance.drive import OK, ONE, flows, frames_to, let_go, statistics, statuses, take, works
from vnic.conformance.pages import ddi, guide, manual
from vnic.gen.registers import BAR0
from vnic.ndis.oid import OID
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import (
    DevicePowerState,
    LinkState,
    MediaConnectState,
    MediaDuplexState,
    StatusIndication,
)
from vnic.testbench.bench import Bench
from vnic.testbench.frames import PEER, plain_frame

_LINK_STATE = guide("ndis-status-link-state")
_INITIALIZE = ddi("nc-ndis-miniport_initialize")
_HALF_A_MINUTE_NS = 30_000_000_000
_EMPTY: dict[str, Any] = {"keywords": {"*TransmitBuffers": 8, "*ReceiveBuffers": 16}} | ONE


def speed_of(state: LinkState) -> int:
    """Mb/s; 0 without a link."""
    return state.xmit_speed_bps // 1_000_000 if state.connect is MediaConnectState.CONNECTED else 0


def told(bench: Bench) -> list[int]:
    """The speeds that were indicated, in Mb/s."""
    indicated = [each for each in bench.protocol.statuses if each.status == NDIS_STATUS.LINK_STATE]
    return [speed_of(LinkState.parse(each.buffer)) for each in indicated]


def known_as(bench: Bench, mbps: int, when: str) -> None:
    """NDIS, asked and told, knows the link with this speed."""
    known = speed_of(bench.adapter.link_state)
    assert known == mbps, f"NDIS knows a link of {known} Mb/s {when}; it has {mbps}"
    answer = LinkState.parse(bench.query(OID.GEN_LINK_STATE, LinkState.SIZE))
    assert speed_of(answer) == mbps, f"OID_GEN_LINK_STATE says {speed_of(answer)} Mb/s {when}; it has {mbps}"


def _goes_through(bench: Bench, speeds: Sequence[int]) -> None:
    bench.protocol.statuses.clear()
    for speed in speeds:
        bench.device.set_link(speed)
        bench.settle()
        known_as(bench, speed, f"after a change to {speed} Mb/s")
    assert told(bench) == list(speeds), f"indicated were {told(bench)} Mb/s"


@case(_LINK_STATE, "a change of the speed is indicated though the link never goes down", **ONE)
def changes_its_speed(bench: Bench) -> None:
    """The link goes from 10 to 25, 1 and 100 Gb/s without going down."""
    _goes_through(bench, (25_000, 1_000, 100_000))
    works(bench, "after changes of its speed")


@case(_LINK_STATE, "no speed and no duplex is reported of a link that is down", **ONE)
def says_nothing_of_a_link_that_is_down(bench: Bench) -> None:
    """The link goes down; look at the members of NDIS_LINK_STATE."""
    bench.device.set_link(0)
    bench.settle()
    state = bench.adapter.link_state
    assert state.connect is MediaConnectState.DISCONNECTED, f"MediaConnectState is {state.connect.name}"
    assert state.duplex is MediaDuplexState.UNKNOWN, f"MediaDuplexState is {state.duplex.name}"
    assert state.xmit_speed_bps in (0, (1 << 64) - 1), f"XmitLinkSpeed is {state.xmit_speed_bps}"


@case(_LINK_STATE, "what is indicated is a change: the same state is not indicated twice", **ONE)
def indicates_no_state_twice(bench: Bench) -> None:
    """The link is set to the speed that it has, again and again, with traffic and half a minute between."""
    bench.protocol.statuses.clear()
    for _ in range(3):
        bench.device.set_link(10_000)
        bench.settle()
        works(bench)
        bench.advance(_HALF_A_MINUTE_NS)
    assert told(bench) == [], f"indicated were {told(bench)} Mb/s, and nothing changed"


@case(_LINK_STATE, "of changes that come faster than anybody looks, the last one is told", **ONE)
def flaps_before_anybody_looks(bench: Bench) -> None:
    """While the card's interrupt waits the link goes down, up, down and up with another speed."""
    for speeds in ((0, 10_000, 0, 25_000), (0, 1_000, 0)):
        bench.device.is_manual = True
        for speed in speeds:
            bench.device.set_link(speed)
        let_go(bench)
        bench.advance(1_000_000_000)
        known_as(bench, speeds[-1], f"after it went through {speeds}")
    bench.device.set_link(10_000)
    bench.settle()
    works(bench, "after a link that flapped")


def _changes_during_a_reset(bench: Bench, speed: int) -> None:
    """The change comes before its interrupt can be served, so that the reset takes its event away."""
    bench.device.is_manual = True
    bench.device.set_link(speed)
    bench.adapter.reset()
    bench.device.is_manual = False
    bench.settle()
    bench.advance(_HALF_A_MINUTE_NS)


@case(_LINK_STATE, "a change that comes as the adapter is reset is indicated", **ONE)
def changes_during_a_reset(bench: Bench) -> None:
    """The link goes down, and another time to 25 Gb/s, with its interrupt not yet served at the reset."""
    for speed in (0, 25_000, 0, 10_000):
        _changes_during_a_reset(bench, speed)
        known_as(bench, speed, "after a reset")
    works(bench, "after resets with link changes")


@case(_LINK_STATE, "a change that comes as the adapter is paused is indicated", **ONE)
def changes_during_a_pause(bench: Bench) -> None:
    """The link changes with its interrupt not yet served when the adapter is paused."""
    for speed in (0, 25_000):
        bench.device.is_manual = True
        bench.device.set_link(speed)
        bench.adapter.pause()
        bench.device.is_manual = False
        bench.settle()
        assert bench.adapter.restart() == OK
        bench.settle()
        known_as(bench, speed, "after a pause")
    works(bench, "after a pause with a link change")


@case(_LINK_STATE, "changes of the speed in low power are known in D0", Feature.POWER, **ONE)
def changes_in_low_power(bench: Bench) -> None:
    """In D3 the link goes to 25 Gb/s, goes down, and comes back with 1 Gb/s, a sleep each."""
    for speed in (25_000, 0, 1_000):
        assert bench.adapter.set_power(DevicePowerState.D3) == OK
        bench.device.set_link(speed)
        bench.advance(1_000_000_000)
        assert bench.adapter.set_power(DevicePowerState.D0) == OK
        bench.settle()
        known_as(bench, speed, "after low power")
    works(bench, "after link changes in low power")


@case(
    manual("PROG-16"),
    "of several events at once each is looked at",
    is_rough=True,
    **_EMPTY,
)
def changes_as_a_ring_stops(bench: Bench) -> None:
    """A wild tail stops a ring and the link changes before the interrupt is served; half a minute passes."""
    for turn, speed in enumerate((0, 25_000, 0, 10_000)):
        bench.device.is_manual = True
        bench.device.write32(BAR0.QP_RX_TAIL.offset, 0xFFFF)
        bench.device.set_link(speed)
        let_go(bench)
        bench.advance(_HALF_A_MINUTE_NS)
        known_as(bench, speed, "after a ring stopped")
        if speed:
            works(bench, f"after {turn + 1} rings that stopped")


@case(_LINK_STATE, "a change in the midst of traffic is indicated, and costs no NET_BUFFER_LIST", **_EMPTY)
def changes_under_traffic(bench: Bench) -> None:
    """With 20 frames and 20 sends under way the link goes down; it comes up, ten times."""
    for turn in range(10):
        bench.protocol.sent.clear()
        flows(bench, 100, 20)
        bench.device.set_link(0)
        let_go(bench)
        known_as(bench, 0, f"in turn {turn}")
        bench.device.set_link(10_000)
        bench.settle()
        bench.advance(1_000_000_000)
        known_as(bench, 10_000, f"in turn {turn}")
        assert len(statuses(bench)) == 20, f"{len(statuses(bench))} of 20 sends came back in turn {turn}"
    works(bench, "after links that went down under traffic")


@case(
    _LINK_STATE,
    "a change that comes while the one before it is being told is told too",
    **ONE,
)
def changes_while_it_is_told(bench: Bench) -> None:
    """The link changes as the protocol is told of a change, three times in a row."""
    left = [25_000, 0, 1_000]

    def told_of(binding: object, indication: StatusIndication) -> None:
        bench.protocol.statuses.append(indication)
        if indication.status == NDIS_STATUS.LINK_STATE and left:
            bench.device.set_link(left.pop(0))

    bench.protocol.status_ex = told_of  # type: ignore[method-assign]
    bench.device.set_link(0)
    bench.settle()
    assert not left, f"of the changes before {left} nobody was told"
    known_as(bench, 1_000, "after changes that came while others were told")
    works(bench, "after link changes")


@case(
    _INITIALIZE,
    "the link that the attributes tell is that of the card at initialization",
    starts=False,
    **ONE,
)
def changes_between_runs(bench: Bench) -> None:
    """Start and halt with the link down, at 1 Gb/s and at 100 Gb/s."""
    for speed in (0, 1_000, 100_000):
        bench.device.set_link(speed)
        bench.start()
        known_as(bench, speed, "after initialization")
        bench.adapter.halt()


@case(
    guide("oid-gen-statistics"),
    "a frame that could not be sent for want of a link is counted, as discarded or as an error",
    **ONE,
)
def counts_sends_without_a_link(bench: Bench) -> None:
    """The link goes down; seven frames are sent."""
    bench.device.set_link(0)
    bench.settle()
    before = statistics(bench)
    for number in range(7):
        bench.send(plain_frame(100, number, PEER))
    bench.settle()
    ended = statuses(bench)
    assert len(ended) == 7, f"{len(ended)} of 7 sends came back"
    after = statistics(bench)
    drops = bench.counters()["TX_DROP_LINK"]
    if not drops:
        raise NotSupported("a card that is given sends without a link")
    found = after.if_out_discards + after.if_out_errors - before.if_out_discards - before.if_out_errors
    assert found == 7, f"ifOutDiscards and ifOutErrors grew by {found}, 7 frames were not sent"
    assert after.if_hc_out_ucast_pkts == before.if_hc_out_ucast_pkts, "they are counted as sent"
    bench.device.set_link(10_000)
    bench.settle()
    assert len(take(bench, *frames_to(bench.station, 2))) == 2
