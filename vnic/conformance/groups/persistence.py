"""What was set stands: over a reset, a pause, low power, and rings that were started again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from vnic.conformance.case import Feature, NotSupported, case
from vnic.conformance.drive import (
    EVERYBODY,
    GROUP,
    OK,
    ONE,
    OTHER_GROUP,
    ask,
    current_offload,
    frames_to,
    has_oid,
    same,
    set_filter,
    set_groups,
    take,
    tell,
    works,
)
from vnic.conformance.pages import ddi, guide, manual
from vnic.gen.registers import BAR0
from vnic.ndis.offload import OffloadEncapsulation, OffloadParameters, Toggle
from vnic.ndis.oid import OID, PacketFilter
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import DevicePowerState, InterruptModeration, InterruptModerationState
from vnic.testbench.bench import Bench
from vnic.testbench.frames import PEER, plain_frame, tcp_frame, udp_frame

_RESET = ddi("nc-ndis-miniport_reset")
_STATES = guide("miniport-adapter-states-and-operations")
_HALF_A_MINUTE_NS = 30_000_000_000
_STOPPED = 0xFFFF


def _reset(bench: Bench) -> None:
    bench.adapter.reset()


def _pause(bench: Bench) -> None:
    bench.adapter.pause()
    assert bench.adapter.restart() == OK


def _sleep(bench: Bench) -> None:
    if bench.adapter.general is None or bench.adapter.general.power is None:
        return
    assert bench.adapter.set_power(DevicePowerState.D3) == OK
    assert bench.adapter.set_power(DevicePowerState.D0) == OK


_WAYS: Mapping[str, Callable[[Bench], None]] = {
    "a reset": _reset,
    "a pause": _pause,
    "low power": _sleep,
    "a second reset": _reset,
}


def ways(bench: Bench) -> Iterator[str]:
    """What settings have to stand over, each done when its name comes; "" first."""
    yield ""
    for name, go in _WAYS.items():
        go(bench)
        bench.settle()
        yield f"after {name}"


def _tagged(bench: Bench, number: int, vlan_id: int) -> bytes:
    return tcp_frame(number.to_bytes(4) * 12, tags=[(0x8100, vlan_id)], to=bench.station)


def _number(value: int) -> bytes:
    return value.to_bytes(4, "little")


@case(_RESET, "OID_GEN_VLAN_ID stands until it is set again", Feature.VLAN, **ONE)
def the_vlan(bench: Bench) -> None:
    """Set VLAN 77: after each way frames with its tag and without one come, and none of another VLAN."""
    if not has_oid(bench, OID.GEN_VLAN_ID):
        raise NotSupported("OID_GEN_VLAN_ID")
    status = tell(bench, OID.GEN_VLAN_ID, _number(77))
    if status != OK:
        raise NotSupported(f"a VLAN id: {status!s}")
    set_filter(bench, PacketFilter.DIRECTED)
    bench.protocol.packet_filter = int(PacketFilter.DIRECTED)
    for turn, when in enumerate(ways(bench)):
        own, other = _tagged(bench, turn, 77), _tagged(bench, turn, 78)
        plain = frames_to(bench.station, 1, first=turn)[0]
        got = [seen.vlan.vlan_id for seen in take(bench, own, other, plain)]
        assert got == [77, 0], f"frames of VLANs {got} came {when}, wanted 77 and those without a tag"
        assert bench.query(OID.GEN_VLAN_ID, 4) == _number(77), f"OID_GEN_VLAN_ID is another {when}"


@case(_RESET, "packet filter and multicast list stand until they are set again", Feature.MULTICAST, **ONE)
def filter_and_list(bench: Bench) -> None:
    """Receive one group and no broadcasts; after each way the same frames come."""
    set_groups(bench, GROUP)
    set_filter(bench, PacketFilter.DIRECTED | PacketFilter.MULTICAST)
    bench.protocol.packet_filter = int(PacketFilter.DIRECTED | PacketFilter.MULTICAST)
    kinds = {
        "own": bench.station,
        "listed": GROUP,
        "other group": OTHER_GROUP,
        "all": EVERYBODY,
        "peer": PEER,
    }
    for turn, when in enumerate(ways(bench)):
        frames = {name: plain_frame(90, turn * 10 + at, to) for at, (name, to) in enumerate(kinds.items())}
        got = {seen.data for seen in take(bench, *frames.values())}
        found = [name for name, frame in frames.items() if frame in got]
        assert found == ["own", "listed"], f"frames for {', '.join(found)} come {when}"


@case(
    guide("keywords-that-can-be-edited"),
    "the address that NetworkAddress configures is the adapter's for as long as it runs",
    keywords={"NetworkAddress": "06050403020A"},
    **ONE,
)
def the_configured_address(bench: Bench) -> None:
    """After each way frames to NetworkAddress come, and none to the permanent one."""
    station, permanent = bytes.fromhex("06050403020A"), bench.query(OID.O802_3_PERMANENT_ADDRESS, 6)
    if bench.station != station:
        raise NotSupported("NetworkAddress")
    set_filter(bench, PacketFilter.DIRECTED)
    bench.protocol.packet_filter = int(PacketFilter.DIRECTED)
    for turn, when in enumerate(ways(bench)):
        own = plain_frame(80, turn, station)
        got = [seen.data for seen in take(bench, own, plain_frame(80, 100 + turn, permanent))]
        assert got == [own], f"{len(got)} of one frame to NetworkAddress and one to another come {when}"


def _interrupts(bench: Bench, frames: list[bytes]) -> int:
    """Of frames a microsecond apart."""
    every = range(len(bench.processors))
    before = sum(bench.processors[cpu].interrupts for cpu in every)
    for frame in frames:
        bench.receive(frame)
        bench.advance(1_000)
    bench.settle()
    return sum(bench.processors[cpu].interrupts for cpu in every) - before


def _moderation(bench: Bench) -> InterruptModerationState:
    state = InterruptModeration.parse(ask(bench, OID.GEN_INTERRUPT_MODERATION, 12).data)
    unable = (InterruptModerationState.NOT_SUPPORTED, InterruptModerationState.UNKNOWN)
    if state.state in unable or state.flags:
        raise NotSupported("interrupt moderation that changes at once")
    return state.state


@case(guide("oid-gen-interrupt-moderation"), "moderation stands until it is set again", **ONE)
def moderation(bench: Bench) -> None:
    """Switch it off, then on; after each way as many interrupts come as before, and the query says so."""
    _moderation(bench)
    burst = frames_to(bench.station, 40)
    for wanted in (InterruptModerationState.DISABLED, InterruptModerationState.ENABLED):
        assert tell(bench, OID.GEN_INTERRUPT_MODERATION, InterruptModeration(wanted).pack()) == OK
        counts = []
        for when in ways(bench):
            assert _moderation(bench) is wanted, f"moderation is {_moderation(bench).name} {when}"
            counts.append(_interrupts(bench, burst))
        assert max(counts) < 2 * min(counts), f"with {wanted.name} 40 frames interrupt {counts} times"


@case(
    guide("oid-gen-interrupt-moderation"),
    "a change of moderation is one of the adapter: of every queue and vector",
    Feature.RSS,
)
def moderation_of_every_queue(bench: Bench) -> None:
    """With RSS over four processors, count the interrupts that each gets with moderation off and on."""
    _moderation(bench)
    assert bench.set_rss() == OK
    flows = [tcp_frame(b"x", ports=(3000 + n % 16, 80), seq=n, to=bench.station) for n in range(160)]
    counts = []
    for wanted in (InterruptModerationState.DISABLED, InterruptModerationState.ENABLED):
        assert tell(bench, OID.GEN_INTERRUPT_MODERATION, InterruptModeration(wanted).pack()) == OK
        bench.settle()
        before = [bench.processors[cpu].interrupts for cpu in range(4)]
        _interrupts(bench, flows)
        counts.append([bench.processors[cpu].interrupts - before[cpu] for cpu in range(4)])
    for cpu, (off, on) in enumerate(zip(*counts, strict=True)):
        assert 2 * on < off or off < 8, (
            f"processor {cpu} had {off} interrupts with moderation off, {on} with it on"
        )


@case(
    guide("oid-tcp-offload-parameters"),
    "task offloads stay as they were set, and as they were told",
    Feature.CHECKSUM,
    **ONE,
)
def task_offloads(bench: Bench) -> None:
    """Switch checksums of TCP over IPv4 off; after each way they are, in the configuration and in fact."""
    if not has_oid(bench, OID.TCP_OFFLOAD_PARAMETERS):
        raise NotSupported("OID_TCP_OFFLOAD_PARAMETERS")
    off = OffloadParameters(tcp_ipv4_checksum=Toggle.TX_RX_DISABLED)
    assert tell(bench, OID.TCP_OFFLOAD_PARAMETERS, off.pack()) == OK
    told = current_offload(bench)
    has_udp = told.ipv4_receive.udp_checksum
    for when in ways(bench):
        assert current_offload(bench) == told, f"another configuration is told {when}"
        (seen,) = take(bench, tcp_frame(b"data", to=bench.station))
        said = seen.checksum.tcp_succeeded or seen.checksum.tcp_failed
        assert not said, f"TCP sums are reported {when}, and were switched off"
        if has_udp:
            from_udp = take(bench, udp_frame(b"data", to=bench.station))[0]
            assert from_udp.checksum.udp_succeeded, f"UDP sums are not reported {when}"


@case(
    guide("oid-offload-encapsulation"),
    "OID_OFFLOAD_ENCAPSULATION is in force when it has succeeded, and the configuration is indicated",
    Feature.CHECKSUM,
    **ONE,
)
def encapsulation(bench: Bench) -> None:
    """Switch the offloads of IPv4 off and on by encapsulation; look at what is told and at what is done."""
    if not has_oid(bench, OID.OFFLOAD_ENCAPSULATION):
        raise NotSupported("OID_OFFLOAD_ENCAPSULATION")
    if not current_offload(bench).ipv4_receive.tcp_checksum:
        raise NotSupported("TCP checksum over IPv4, receive")
    for enabled in (2, 1):
        bench.protocol.statuses.clear()
        wanted = OffloadEncapsulation(ipv4_enabled=enabled, ipv4_type=2, ipv4_header_size=14)
        assert tell(bench, OID.OFFLOAD_ENCAPSULATION, wanted.pack()) == OK
        kinds = [each.status for each in bench.protocol.statuses]
        assert NDIS_STATUS.TASK_OFFLOAD_CURRENT_CONFIG in kinds, "the change was not indicated"
        is_told = current_offload(bench).ipv4_receive.tcp_checksum
        assert is_told == (enabled == 1), (
            f"with {enabled} TCP over IPv4 is told as {'on' if is_told else 'off'}"
        )
        for when in ways(bench):
            (seen,) = take(bench, tcp_frame(b"data", to=bench.station))
            said = seen.checksum.tcp_succeeded
            assert said == is_told, f"TCP sums over IPv4 are{'' if said else ' not'} reported {when}"


@case(_STATES, "the longest frame is the same after as before", **ONE)
def the_longest_frame(bench: Bench) -> None:
    """After each way a frame of MtuSize passes both ways, and one that is 16 bytes longer does not come."""
    assert bench.adapter.general is not None
    longest = bench.adapter.general.mtu_size + 14
    for turn, when in enumerate(ways(bench)):
        own = plain_frame(longest, turn, bench.station)
        got = [seen.data for seen in take(bench, own, plain_frame(longest + 16, turn, bench.station))]
        assert got == [own], f"frames of {[len(each) for each in got]} bytes came {when}, wanted {longest}"
        bench.transmitted.clear()
        bench.send(plain_frame(longest, turn, PEER))
        bench.settle()
        same(bench.transmitted, [plain_frame(longest, turn, PEER)], f"left {when}")


@case(
    manual("PROG-22"),
    "a ring that is started again works as it did, with all that was set",
    is_rough=True,
    **ONE,
)
def rings_started_again(bench: Bench) -> None:
    """A filter is set, each ring is stopped by a wild tail; half a minute later the same frames come."""
    set_filter(bench, PacketFilter.DIRECTED)
    bench.protocol.packet_filter = int(PacketFilter.DIRECTED)
    for turn, name in enumerate(("QP_RX_TAIL", "QP_TX_TAIL", "QP_CQ_TAIL")):
        bench.device.write32(BAR0.MAP[name].offset, _STOPPED)
        bench.settle()
        bench.send(plain_frame(80, turn, PEER))
        bench.advance(_HALF_A_MINUTE_NS)
        own = frames_to(bench.station, 5, first=turn * 10)
        got = [seen.data for seen in take(bench, *own, plain_frame(80, turn, EVERYBODY))]
        same(got, own, f"arrived after {name} was out of range")
        works(bench, f"after {name} was out of range")


_NAMES: dict[str, Any] = {"keywords": {"*InterruptModeration": 0}} | ONE


@case(_RESET, "what is asked while a reset or low power is under way is answered of what was set", **_NAMES)
def answers_stay_the_same(bench: Bench) -> None:
    """Query settings and capacities before and after each way: they are the same."""
    asked = [OID.GEN_MAXIMUM_TOTAL_SIZE, OID.GEN_CURRENT_LOOKAHEAD, OID.GEN_CURRENT_PACKET_FILTER,
             OID.GEN_VENDOR_DESCRIPTION, OID.GEN_VENDOR_DRIVER_VERSION, OID.O802_3_CURRENT_ADDRESS,
             OID.O802_3_PERMANENT_ADDRESS, OID.GEN_TRANSMIT_BLOCK_SIZE, OID.GEN_RECEIVE_BLOCK_SIZE,
             OID.GEN_TRANSMIT_BUFFER_SPACE, OID.GEN_RECEIVE_BUFFER_SPACE, OID.GEN_INTERRUPT_MODERATION,
             OID.GEN_LINK_STATE]  # fmt: skip
    first: dict[int, bytes] = {}
    for when in ways(bench):
        for oid in asked:
            request = ask(bench, oid)
            if request.status == OK:
                before = first.setdefault(oid, bytes(request.data))
                assert bytes(request.data) == before, f"{OID(oid).name} is another {when}"
            else:
                assert oid not in first, f"{OID(oid).name} ended {request.status!s} {when}"
