"""OID requests with values that no driver may take: each is refused, and what was set before stands."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from vnic.conformance.case import Feature, NotSupported, case
from vnic.conformance.drive import (
    EVERYBODY,
    GROUP,
    OK,
    ONE,
    OTHER_GROUP,
    current_offload,
    has_oid,
    set_filter,
    set_groups,
    take,
    tell,
    works,
)
from vnic.conformance.groups.persistence import ways
from vnic.conformance.pages import ddi, guide
from vnic.ndis.offload import OffloadEncapsulation, OffloadParameters, Switch, Toggle
from vnic.ndis.oid import OID, PacketFilter
from vnic.ndis.rss import ReceiveScaleParameters
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import DevicePowerState, InterruptModeration, InterruptModerationState
from vnic.testbench.bench import RSS_KEY, Bench
from vnic.testbench.frames import PEER, plain_frame, tcp_frame

_LIST = guide("oid-802-3-multicast-list")
_PARAMETERS = guide("oid-tcp-offload-parameters")
_HEADER = ddi("ns-objectheader-ndis_object_header", "objectheader")


def _number(value: int) -> bytes:
    return struct.pack("<I", value)


def need_oid(bench: Bench, oid: OID) -> None:
    """NOT SUPPORTED unless the driver lists it."""
    if not has_oid(bench, oid):
        raise NotSupported(f"OID_{oid.name}")


@case(
    _LIST,
    "a list with more addresses than the driver has room for ends MULTICAST_FULL, and changes nothing",
    Feature.MULTICAST,
    **ONE,
)
def a_list_that_is_too_long(bench: Bench) -> None:
    """With one group in the list, set as many as fit and one more; the one still comes, and no other."""
    assert bench.adapter.general is not None
    most = bench.adapter.general.max_multicast_list_size
    set_filter(bench, PacketFilter.MULTICAST)
    bench.protocol.packet_filter = int(PacketFilter.MULTICAST)
    set_groups(bench, GROUP)
    many = [b"\x01\x00\x5e\x7f" + number.to_bytes(2) for number in range(most + 1)]
    for addresses in (many, [OTHER_GROUP] * (most + 40)):
        status = tell(bench, OID.O802_3_MULTICAST_LIST, b"".join(addresses))
        assert status.is_error or status == NDIS_STATUS.MULTICAST_FULL, (
            f"a list of {len(addresses)} ended {status!s}, there is room for {most}"
        )
        frames = [plain_frame(80, at, to) for at, to in enumerate((GROUP, many[0], many[-1], OTHER_GROUP))]
        got = [frames.index(seen.data) for seen in take(bench, *frames)]
        assert got == [0], "a list that was refused changed which frames come"


@case(guide("oid-gen-vlan-id"), "a VLAN id is 1 to 4094, or 0 for none", Feature.VLAN, **ONE)
def vlan_ids_out_of_range(bench: Bench) -> None:
    """With VLAN 9 set, set 4095, 4096, 0x10009 and the largest ULONG: VLAN 9 stands."""
    need_oid(bench, OID.GEN_VLAN_ID)
    set_filter(bench, PacketFilter.DIRECTED)
    bench.protocol.packet_filter = int(PacketFilter.DIRECTED)
    if tell(bench, OID.GEN_VLAN_ID, _number(9)) != OK:
        raise NotSupported("a VLAN id")
    for wrong in (0xFFF, 0x1000, 0x10009, 0xFFFF_FFFF):
        status = tell(bench, OID.GEN_VLAN_ID, _number(wrong))
        assert status.is_error, f"VLAN id 0x{wrong:x} ended {status!s}"
        assert bench.query(OID.GEN_VLAN_ID, 4) == _number(9), (
            f"VLAN id 0x{wrong:x} was refused, and changed it"
        )
        frames = [
            tcp_frame(b"x", tags=[(0x8100, vlan)], to=bench.station) for vlan in (9, wrong & 0xFFF or 7, 8)
        ]
        got = {seen.vlan.vlan_id for seen in take(bench, *frames)}
        assert got == {9}, f"frames of VLANs {got} come after VLAN id 0x{wrong:x} was refused"
    for right in (1, 4094, 0):
        assert tell(bench, OID.GEN_VLAN_ID, _number(right)) == OK, f"VLAN id {right} was refused"


@case(
    guide("oid-gen-interrupt-moderation"),
    "a set is to NdisInterruptModerationEnabled or -Disabled, and to nothing else",
    **ONE,
)
def moderation_that_is_neither_on_nor_off(bench: Bench) -> None:
    """With moderation on, then off, set the states that are answers only, and values that are no state."""
    state = InterruptModeration.parse(bench.query(OID.GEN_INTERRUPT_MODERATION, 12)).state
    unable = (InterruptModerationState.NOT_SUPPORTED, InterruptModerationState.UNKNOWN)
    if state in unable:
        raise NotSupported("interrupt moderation")
    for before in (InterruptModerationState.ENABLED, InterruptModerationState.DISABLED):
        good = InterruptModeration(before).pack()
        assert tell(bench, OID.GEN_INTERRUPT_MODERATION, good) == OK
        for wrong in (0, 1, 4, 0xFFFF_FFFF):
            if wrong in (InterruptModerationState.ENABLED, InterruptModerationState.DISABLED):
                continue
            status = tell(bench, OID.GEN_INTERRUPT_MODERATION, good[:8] + _number(wrong))
            assert status.is_error, f"InterruptModeration {wrong} ended {status!s}"
            now = InterruptModeration.parse(bench.query(OID.GEN_INTERRUPT_MODERATION, 12)).state
            assert now is before, f"InterruptModeration {wrong} was refused, and made it {now.name}"


def _structures() -> Iterator[tuple[OID, bytes]]:
    """Each OID whose set begins with NDIS_OBJECT_HEADER, and a set that a driver which has it takes."""
    enabled = InterruptModeration(InterruptModerationState.ENABLED)
    yield OID.GEN_INTERRUPT_MODERATION, enabled.pack()
    yield OID.TCP_OFFLOAD_PARAMETERS, OffloadParameters(tcp_ipv4_checksum=Toggle.TX_RX_ENABLED).pack()
    yield OID.OFFLOAD_ENCAPSULATION, OffloadEncapsulation(1, 2, 14, 1, 2, 14).pack()
    rss = ReceiveScaleParameters(hash_information=0x201, table=(0,), key=RSS_KEY)
    yield OID.GEN_RECEIVE_SCALE_PARAMETERS, rss.pack()


def _spoilt(whole: bytes) -> Iterator[tuple[str, bytes]]:
    size = int.from_bytes(whole[2:4], "little")
    yield "another type", bytes([whole[0] ^ 1]) + whole[1:]
    yield "type 0", b"\0" + whole[1:]
    yield "revision 0", whole[:1] + b"\0" + whole[2:]
    yield "a Size of 0", whole[:2] + b"\0\0" + whole[4:]
    yield "a Size that is too small", whole[:2] + (size - 4).to_bytes(2, "little") + whole[4:]


@case(_HEADER, "a structure is taken by Type, Revision and Size of its header, or refused", **ONE)
def headers_that_are_wrong(bench: Bench) -> None:
    """Set each structure with another type, revision 0, and sizes that cannot be; then right."""
    tried = 0
    for oid, whole in _structures():
        if not has_oid(bench, oid) or tell(bench, oid, whole) != OK:
            continue
        tried += 1
        for why, wrong in _spoilt(whole):
            status = tell(bench, oid, wrong)
            assert status.is_error, f"OID_{oid.name} with {why} ended {status!s}"
        assert tell(bench, oid, whole) == OK, f"OID_{oid.name} is refused after sets that were wrong"
    if not tried:
        raise NotSupported("a set of any structure")
    works(bench)


def _changes_nothing(bench: Bench, refused: Callable[[], NDIS_STATUS], then: OffloadParameters) -> None:
    before = current_offload(bench)
    status = refused()
    assert status.is_error, f"what the hardware does not have was switched on ({status!s})"
    assert current_offload(bench) == before, "a refused set changed the configuration"
    assert tell(bench, OID.TCP_OFFLOAD_PARAMETERS, then.pack()) == OK
    after = current_offload(bench)
    assert after == before, f"with the next set the refused one came into force: {after}"


@case(
    _PARAMETERS,
    "a set that asks for what the hardware does not have fails whole: now and with the next set",
    Feature.CHECKSUM,
    profile="snp2003",
    queues=1,
    cpus=1,
)
def offloads_that_are_not_there(bench: Bench) -> None:
    """On an adapter without LSOv2, switch checksums off and LSOv2 on in one set; then set what is set."""
    need_oid(bench, OID.TCP_OFFLOAD_PARAMETERS)
    now = current_offload(bench)
    if now.lso_v2.ipv4_max_offload_size or not now.ipv4_receive.tcp_checksum:
        raise NotSupported("an adapter without LSOv2 and with TCP checksums")
    same_again = OffloadParameters(tcp_ipv4_checksum=Toggle.TX_RX_ENABLED)
    wrong = OffloadParameters(udp_ipv4_checksum=Toggle.TX_RX_DISABLED, lso_v2_ipv4=Switch.ENABLED)
    _changes_nothing(bench, lambda: tell(bench, OID.TCP_OFFLOAD_PARAMETERS, wrong.pack()), same_again)
    _changes_nothing(
        bench, lambda: tell(bench, OID.TCP_OFFLOAD_PARAMETERS, wrong.pack()), OffloadParameters()
    )
    bench.adapter.reset()
    bench.settle()
    assert current_offload(bench) == now, "after a reset the refused set is in force"


@case(
    guide("oid-offload-encapsulation"),
    "a header format that the hardware does not know is refused, and changes nothing",
    Feature.CHECKSUM,
    **ONE,
)
def encapsulations_that_are_not_there(bench: Bench) -> None:
    """Switch offloads on for LLC, for no format at all, and for a number that is none; on and off with 3."""
    need_oid(bench, OID.OFFLOAD_ENCAPSULATION)
    before = current_offload(bench)
    known = before.ipv4_transmit.encapsulation
    for enabled, kind in ((1, 0), (1, 1 << 20), (1, 0x10 if not known & 0x10 else 1 << 21), (3, 2)):
        status = tell(bench, OID.OFFLOAD_ENCAPSULATION, OffloadEncapsulation(enabled, kind, 14).pack())
        assert status.is_error, f"Enabled {enabled} with EncapsulationType 0x{kind:x} ended {status!s}"
        assert current_offload(bench) == before, (
            f"EncapsulationType 0x{kind:x} was refused, and changed offloads"
        )


@case(
    guide("oid-pnp-set-power"),
    "a state that is none is refused, and the adapter stays where it is",
    Feature.POWER,
)
def power_states_that_are_none(bench: Bench) -> None:
    """Ask whether the adapter can go to states 0, 5 and 0xFFFFFFFF; it stays in D0 and works."""
    for wrong in (0, 5, 0xFFFF_FFFF):
        status = tell(bench, OID.PNP_QUERY_POWER, _number(wrong))
        assert status != OK or wrong == DevicePowerState.D0, f"device power state {wrong} ended {status!s}"
    works(bench)


@case(
    guide("oid-gen-current-packet-filter"),
    "a set that was refused is forgotten: nothing later brings it into force",
    **ONE,
)
def refused_sets_stay_forgotten(bench: Bench) -> None:
    """Refuse filters, a list and a VLAN id; over resets, a pause and low power the frames of before come."""
    assert bench.adapter.general is not None
    general = bench.adapter.general
    lacking = [bit for bit in (1 << n for n in range(16)) if not bit & int(general.supported_packet_filters)]
    set_filter(bench, PacketFilter.DIRECTED)
    bench.protocol.packet_filter = int(PacketFilter.DIRECTED)
    tried: list[tuple[OID, bytes]] = [(OID.GEN_CURRENT_PACKET_FILTER, _number(bit)) for bit in lacking[:2]]
    tried.append((OID.GEN_CURRENT_PACKET_FILTER, _number(0x8000_0000)))
    if general.max_multicast_list_size:
        tried.append((OID.O802_3_MULTICAST_LIST, GROUP + b"\x01"))
    if has_oid(bench, OID.GEN_VLAN_ID):
        tried.append((OID.GEN_VLAN_ID, _number(0x1005)))
    for oid, data in tried:
        status = tell(bench, oid, data)
        assert status.is_error, f"OID_{oid.name} with {data.hex()} ended {status!s}"
        for turn, when in enumerate(ways(bench)):
            own = [
                plain_frame(90, turn, bench.station),
                tcp_frame(b"x", tags=[(0x8100, 6)], to=bench.station),
            ]
            others = [plain_frame(90, turn, to) for to in (EVERYBODY, GROUP, PEER)]
            got = len(take(bench, *own, *others))
            assert got == 2, f"{got} of two frames came {when} after OID_{oid.name} was refused"
