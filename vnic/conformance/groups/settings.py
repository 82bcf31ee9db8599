"""Settings: the standardized keywords of the INF, machines of other shapes, and that each is taken as
it is given."""

from __future__ import annotations

from typing import Any

from vnic.conformance.case import Feature, NotSupported, case
from vnic.conformance.drive import (
    OK,
    ONE,
    ask,
    frames_to,
    has_oid,
    outgoing,
    same,
    set_filter,
    statuses,
    take,
    works,
)
from vnic.conformance.pages import ddi, guide
from vnic.ndis.attributes import MacOption, PnpEvent
from vnic.ndis.oid import OID, PacketFilter
from vnic.ndis.oob import Vlan
from vnic.ndis.structures import InterruptModeration, InterruptModerationState
from vnic.testbench.bench import Bench
from vnic.testbench.frames import PEER, plain_frame, tcp_frame

_EDITED = guide("keywords-that-can-be-edited")
_ENUMERATED = guide("enumeration-keywords")
_OTHER = bytes.fromhex("0605040302aa")


@case(
    _EDITED,
    "NetworkAddress replaces the current address, and not the permanent one",
    keywords={"NetworkAddress": _OTHER.hex()},
    **ONE,
)
def the_address_that_is_configured(bench: Bench) -> None:
    """NetworkAddress is 06:05:04:03:02:aa: frames to it arrive under DIRECTED, those to the permanent
    one do not."""
    permanent = bench.query(OID.O802_3_PERMANENT_ADDRESS, 6)
    assert permanent != _OTHER, "the permanent address is the configured one"
    if bench.station == permanent:
        set_filter(bench, PacketFilter.DIRECTED)
        got = take(bench, plain_frame(80, 1, permanent), plain_frame(80, 2, _OTHER))
        found = [frame.data for frame in got]
        assert found == [plain_frame(80, 1, permanent)], "it tells one address and receives by the other"
        raise NotSupported("NetworkAddress")
    assert bench.station == _OTHER, f"the current address is {bench.station.hex(':')}"
    set_filter(bench, PacketFilter.DIRECTED)
    got = take(bench, plain_frame(80, 1, permanent), plain_frame(80, 2, _OTHER))
    same([frame.data for frame in got], [plain_frame(80, 2, _OTHER)])
    bench.adapter.reset()
    bench.settle()
    got = take(bench, plain_frame(80, 1, permanent), plain_frame(80, 2, _OTHER))
    same([frame.data for frame in got], [plain_frame(80, 2, _OTHER)])


def _moderation(bench: Bench, wanted: InterruptModerationState) -> None:
    state = InterruptModeration.parse(ask(bench, OID.GEN_INTERRUPT_MODERATION, 12).data).state
    if state in (InterruptModerationState.NOT_SUPPORTED, InterruptModerationState.UNKNOWN):
        raise NotSupported("interrupt moderation")
    assert state is wanted, f"OID_GEN_INTERRUPT_MODERATION says {state.name}"
    before = bench.processors[0].interrupts
    for frame in frames_to(bench.station, 50, 100):
        bench.receive(frame)
        bench.advance(500)
    bench.settle()
    assert len(bench.received) == 50
    raised = bench.processors[0].interrupts - before
    if wanted is InterruptModerationState.ENABLED:
        assert raised < 25, f"{raised} interrupts of 50 frames in 25 microseconds"
    else:
        assert raised >= 50, f"{raised} interrupts of 50 single frames"


@case(
    _ENUMERATED,
    "*InterruptModeration 0 switches moderation off",
    keywords={"*InterruptModeration": 0},
    **ONE,
)
def moderation_off(bench: Bench) -> None:
    """Fifty frames, each by itself, interrupt fifty times."""
    _moderation(bench, InterruptModerationState.DISABLED)


@case(
    _ENUMERATED,
    "*InterruptModeration 1 switches moderation on",
    keywords={"*InterruptModeration": 1},
    **ONE,
)
def moderation_on(bench: Bench) -> None:
    """Fifty frames within 25 microseconds interrupt less often."""
    _moderation(bench, InterruptModerationState.ENABLED)


def _tagging(bench: Bench, has_priority: bool, has_vlan: bool) -> None:
    assert bench.adapter.general is not None
    options = bench.adapter.general.mac_options
    tells = bool(options & (MacOption.EIGHT_P1_PRIORITY | MacOption.EIGHT_Q1_VLAN))
    if not tells and (has_priority or has_vlan):
        raise NotSupported("802.1Q")
    assert tells == (has_priority or has_vlan), "MacOptions tell of 802.1Q though the keyword switches it off"
    bench.send(tcp_frame(b"x" * 60, to=PEER), vlan=Vlan(5, False, 7))
    bench.settle()
    (frame,) = bench.transmitted
    tci = int.from_bytes(frame[14:16]) if frame[12:14] == b"\x81\x00" else 0
    wanted = (5 << 13 if has_priority else 0) | (7 if has_vlan else 0)
    assert tci == wanted, f"the frame left with tag 0x{tci:04x}, wanted 0x{wanted:04x}"


@case(_ENUMERATED, "*PriorityVLANTag 0: neither priority nor VLAN", keywords={"*PriorityVLANTag": 0}, **ONE)
def no_tagging(bench: Bench) -> None:
    """Send with a priority and a VLAN id; receive a tagged frame: nothing is reported of its tag."""
    _tagging(bench, False, False)
    tagged = tcp_frame(b"data", tags=[(0x8100, 0xB123)], to=bench.station)
    (seen,) = take(bench, tagged)
    assert seen.data in (tagged, tcp_frame(b"data", to=bench.station)), (
        "the frame is neither whole nor without its tag"
    )
    assert seen.vlan.value == 0, "802.1Q information was reported"


@case(_ENUMERATED, "*PriorityVLANTag 1: priority only", keywords={"*PriorityVLANTag": 1}, **ONE)
def priority_only(bench: Bench) -> None:
    """Send with a priority and a VLAN id."""
    _tagging(bench, True, False)


@case(_ENUMERATED, "*PriorityVLANTag 2: VLAN only", keywords={"*PriorityVLANTag": 2}, **ONE)
def vlan_only(bench: Bench) -> None:
    """Send with a priority and a VLAN id."""
    _tagging(bench, False, True)


@case(guide("standardized-inf-keywords-for-rss"), "*RSS 0 switches RSS off", keywords={"*RSS": 0})
def rss_off(bench: Bench) -> None:
    """No RSS capability is told, a set is refused, and frames come up without a hash on one processor."""
    assert bench.adapter.general is not None
    assert bench.adapter.general.receive_scale is None, "RSS capabilities are told"
    assert bench.set_rss().is_error, "RSS was switched on"
    flows = [tcp_frame(n.to_bytes(2), ports=(1000 + n, 80), to=bench.station) for n in range(16)]
    seen = take(bench, *flows)
    assert len(seen) == 16
    assert {frame.hash for frame in seen} == {None}, "frames have a hash"
    assert len({frame.cpu for frame in seen}) == 1, "frames are spread over processors"


def _on_every_processor(bench: Bench) -> None:
    count = len(bench.processors)
    for cpu in range(count):
        with bench.processors.on(cpu):
            works(bench, f"from processor {cpu} of {count}")
    general = bench.adapter.general
    if general is None or general.receive_scale is None:
        return
    assert bench.set_rss() == OK, "RSS over every processor is refused"
    flows = [tcp_frame(n.to_bytes(2), ports=(1000 + n, 80), to=bench.station) for n in range(40)]
    seen = take(bench, *flows)
    same(sorted(frame.data for frame in seen), sorted(flows))


@case(_EDITED, "a driver works on one processor with many queues", queues=8, cpus=1)
def one_processor_and_many_queues(bench: Bench) -> None:
    """Eight queue pairs, one processor."""
    _on_every_processor(bench)


@case(_EDITED, "a driver works on many processors with one queue", queues=1, cpus=8)
def many_processors_and_one_queue(bench: Bench) -> None:
    """One queue pair, eight processors."""
    _on_every_processor(bench)


@case(_EDITED, "a driver works with a number of queues that is no power of two", queues=3, cpus=5)
def odd_numbers_of_queues_and_processors(bench: Bench) -> None:
    """Three queue pairs, five processors."""
    _on_every_processor(bench)


_LARGE: dict[str, Any] = {"keywords": {"*ReceiveBuffers": 8, "*TransmitBuffers": 8}}


@case(_EDITED, "a driver works with sixteen queues and the shortest rings", queues=16, cpus=16, **_LARGE)
def many_queues_with_short_rings(bench: Bench) -> None:
    """Sixteen queue pairs and processors, rings of eight."""
    _on_every_processor(bench)


@case(
    ddi("nc-ndis-miniport_device_pnp_event_notify"),
    "a driver goes on after events that ask nothing of it",
    **ONE,
)
def pnp_events_that_change_nothing(bench: Bench) -> None:
    """QUERY_REMOVED, QUERY_STOPPED and POWER_PROFILE_CHANGED."""
    for event in (PnpEvent.QUERY_REMOVED, PnpEvent.QUERY_STOPPED, PnpEvent.POWER_PROFILE_CHANGED):
        bench.adapter.notify_pnp(event)
        works(bench, f"after {event.name}")


@case(guide("oid-gen-transmit-queue-length"), "the number of packets that are queued for transmission", **ONE)
def transmit_queue_length(bench: Bench) -> None:
    """Query while 5 and 12 packets wait, and when all have left."""
    if not has_oid(bench, OID.GEN_TRANSMIT_QUEUE_LENGTH):
        raise NotSupported("OID_GEN_TRANSMIT_QUEUE_LENGTH")
    bench.device.is_manual = True
    for wanted, more in ((5, 5), (12, 7)):
        for frame in outgoing(more):
            bench.send(frame)
        if statuses(bench):
            raise NotSupported("a queue: sends are complete at once")
        found = int.from_bytes(ask(bench, OID.GEN_TRANSMIT_QUEUE_LENGTH, 4).data, "little")
        assert found == wanted, f"{found} packets are said to wait, {wanted} do"
    bench.device.is_manual = False
    bench.settle()
    assert ask(bench, OID.GEN_TRANSMIT_QUEUE_LENGTH, 4).data == bytes(4)


@case(
    _EDITED,
    "a driver that has RSS claims it as the keywords ask: *NumRssQueues",
    Feature.RSS,
    keywords={"*NumRssQueues": 2},
)
def no_more_queues_than_configured(bench: Bench) -> None:
    """*NumRssQueues is 2 on a card with four pairs."""
    assert bench.adapter.general is not None
    found = bench.adapter.general.receive_scale
    assert found is not None
    assert found.receive_queues <= 2, f"{found.receive_queues} receive queues are claimed"
    _on_every_processor(bench)
