"""Filters: which frames reach the protocol, for every packet filter, multicast list and VLAN."""

from __future__ import annotations

from vnic.conformance.case import Feature, NotSupported, case
from vnic.conformance.drive import (
    EVERYBODY,
    GROUP,
    OK,
    ONE,
    OTHER_GROUP,
    set_filter,
    set_groups,
    supports,
    take,
    tell,
)
from vnic.conformance.pages import ddi, guide
from vnic.ndis.oid import OID, PacketFilter
from vnic.ndis.status import NDIS_STATUS
from vnic.testbench.bench import Bench
from vnic.testbench.frames import PEER, plain_frame, tcp_frame

_FILTER = guide("oid-gen-current-packet-filter")
_LIST = guide("oid-802-3-multicast-list")
_P = PacketFilter


def kinds(bench: Bench) -> dict[str, bytes]:
    """A frame for each kind of destination."""
    return {
        "own": plain_frame(80, 1, bench.station),
        "another station's": plain_frame(80, 2, PEER),
        "listed group's": plain_frame(80, 3, GROUP),
        "unlisted group's": plain_frame(80, 4, OTHER_GROUP),
        "broadcast": plain_frame(80, 5, EVERYBODY),
    }


def passed(bench: Bench, **options: bytes) -> set[str]:
    """Which of the kinds reach the driver's protocol; what NDIS filters itself counts as indicated too."""
    frames = kinds(bench) | options
    bench.protocol.received.clear()
    before = bench.adapter.receives.indicated
    got = take(bench, *frames.values())
    names = {frame: name for name, frame in frames.items()}
    found = {names[each.data] for each in got}
    assert len(found) == len(got), "a frame was indicated twice"
    extra = bench.adapter.receives.indicated - before - len(got)
    assert extra == 0, f"the driver indicated {extra} frames that its filter does not want"
    return found


def expect(bench: Bench, wanted: int, names: set[str]) -> None:
    """With this filter exactly these kinds arrive."""
    if not supports(bench, wanted):
        raise NotSupported(f"packet filter 0x{int(wanted):x}")
    set_filter(bench, wanted)
    found = passed(bench)
    text = f"filter {PacketFilter(wanted)!r}"
    assert not found - names, f"{text} let {', '.join(sorted(found - names))} frames in"
    assert not names - found, f"{text} kept {', '.join(sorted(names - found))} frames out"


@case(_FILTER, "with a filter of 0 the miniport indicates no frame", **ONE)
def nothing_with_a_filter_of_zero(bench: Bench) -> None:
    """Clear the packet filter; frames of every kind arrive."""
    expect(bench, 0, set())


@case(_FILTER, "NDIS_PACKET_TYPE_DIRECTED: frames to the station's address", **ONE)
def directed(bench: Bench) -> None:
    """Frames of every kind arrive under DIRECTED."""
    expect(bench, _P.DIRECTED, {"own"})


@case(_FILTER, "NDIS_PACKET_TYPE_BROADCAST: broadcast frames", **ONE)
def broadcast(bench: Bench) -> None:
    """Frames of every kind arrive under BROADCAST, and under DIRECTED and BROADCAST."""
    expect(bench, _P.BROADCAST, {"broadcast"})
    expect(bench, _P.DIRECTED | _P.BROADCAST, {"own", "broadcast"})


@case(
    _FILTER, "NDIS_PACKET_TYPE_MULTICAST: frames to addresses of the multicast list", Feature.MULTICAST, **ONE
)
def multicast(bench: Bench) -> None:
    """Frames of every kind arrive under MULTICAST, with one group in the list."""
    if not supports(bench, _P.MULTICAST):
        raise NotSupported("packet filter MULTICAST")
    set_groups(bench, GROUP)
    expect(bench, _P.MULTICAST, {"listed group's"})
    expect(bench, _P.MULTICAST | _P.DIRECTED | _P.BROADCAST, {"listed group's", "own", "broadcast"})


@case(_FILTER, "NDIS_PACKET_TYPE_ALL_MULTICAST: frames to every group", **ONE)
def all_multicast(bench: Bench) -> None:
    """Frames of every kind arrive under ALL_MULTICAST."""
    expect(bench, _P.ALL_MULTICAST, {"listed group's", "unlisted group's"})


@case(_FILTER, "NDIS_PACKET_TYPE_PROMISCUOUS: every frame", **ONE)
def promiscuous(bench: Bench) -> None:
    """Frames of every kind arrive under PROMISCUOUS, and under DIRECTED after it."""
    expect(bench, _P.PROMISCUOUS, set(kinds(bench)))
    expect(bench, _P.DIRECTED, {"own"})


@case(_FILTER, "each set of the filter replaces the one before", Feature.MULTICAST, **ONE)
def from_filter_to_filter(bench: Bench) -> None:
    """Go through eight filters, there and back."""
    set_groups(bench, GROUP)
    wanted = [
        (0, set()),
        (_P.DIRECTED, {"own"}),
        (_P.BROADCAST, {"broadcast"}),
        (_P.MULTICAST, {"listed group's"}),
        (_P.ALL_MULTICAST, {"listed group's", "unlisted group's"}),
        (_P.DIRECTED | _P.ALL_MULTICAST, {"own", "listed group's", "unlisted group's"}),
        (_P.PROMISCUOUS, set(kinds(bench))),
        (_P.DIRECTED | _P.MULTICAST, {"own", "listed group's"}),
    ]
    able = [(filters, names) for filters, names in wanted if supports(bench, filters)]
    for filters, names in [*able, *reversed(able)]:
        expect(bench, filters, names)


@case(
    _LIST,
    "each set of the multicast list replaces the one before; an empty one clears it",
    Feature.MULTICAST,
    **ONE,
)
def the_list_is_replaced(bench: Bench) -> None:
    """Lists of one group, of the other, of both, of none."""
    if not supports(bench, _P.MULTICAST):
        raise NotSupported("packet filter MULTICAST")
    set_filter(bench, _P.MULTICAST)
    for groups, names in (
        ((GROUP,), {"listed group's"}),
        ((OTHER_GROUP,), {"unlisted group's"}),
        ((GROUP, OTHER_GROUP), {"listed group's", "unlisted group's"}),
        ((), set()),
    ):
        set_groups(bench, *groups)
        found = passed(bench)
        assert found == names, (
            f"with a list of {len(groups)} groups: {sorted(found)} instead of {sorted(names)}"
        )


@case(_LIST, "a miniport takes MaxMulticastListSize addresses", Feature.MULTICAST, **ONE)
def a_full_list(bench: Bench) -> None:
    """Fill the list; a frame to each of its groups arrives, and none to any other."""
    assert bench.adapter.general is not None
    if not supports(bench, _P.MULTICAST):
        raise NotSupported("packet filter MULTICAST")
    count = bench.adapter.general.max_multicast_list_size
    # The last byte alone does not tell the groups apart, nor the first five.
    groups = [bytes([0x33, 0x33, n & 3, n >> 8 & 0xFF, 0x5A ^ n & 0xFF, n & 0xFF]) for n in range(count)]
    set_filter(bench, _P.MULTICAST)
    set_groups(bench, *groups)
    frames = [plain_frame(80, n, group) for n, group in enumerate(groups)]
    strangers = [plain_frame(80, n, bytes([0x33, 0x33, n & 3, 1, 2, n & 0xFF])) for n in range(20)]
    got = [frame.data for frame in take(bench, *frames, *strangers)]
    assert got == frames, f"{len(got)} frames arrived of {count} groups in the list"
    request = b"".join(groups) + bytes.fromhex("3333ffffffff")
    assert tell(bench, OID.O802_3_MULTICAST_LIST, request) == NDIS_STATUS.MULTICAST_FULL


@case(
    _LIST,
    "a multicast list that is not whole addresses is refused, and the old one stays",
    Feature.MULTICAST,
    **ONE,
)
def a_list_that_is_cut_short(bench: Bench) -> None:
    """Set a list of seven bytes."""
    if not supports(bench, _P.MULTICAST):
        raise NotSupported("packet filter MULTICAST")
    set_groups(bench, GROUP)
    set_filter(bench, _P.MULTICAST)
    status = tell(bench, OID.O802_3_MULTICAST_LIST, OTHER_GROUP + b"\x01")
    assert status.is_error, f"seven bytes ended {status!s}"
    assert passed(bench) == {"listed group's"}


@case(_FILTER, "every bit of the address counts", **ONE)
def addresses_that_differ_in_one_bit(bench: Bench) -> None:
    """Frames to addresses that differ from the station's in one bit each, under DIRECTED."""
    set_filter(bench, _P.DIRECTED)
    station = int.from_bytes(bench.station)
    others = [(station ^ 1 << bit).to_bytes(6) for bit in range(48)]
    frames = [plain_frame(80, n, address) for n, address in enumerate(others)]
    got = take(bench, *frames)
    assert got == [], (
        f"a frame to {got[0].data[:6].hex(':')} arrived at {bench.station.hex(':')}" if got else ""
    )
    own = plain_frame(80, 99, bench.station)
    assert [frame.data for frame in take(bench, own)] == [own]


@case(_FILTER, "a filter that the driver does not support is refused", **ONE)
def refuses_filters_that_it_does_not_have(bench: Bench) -> None:
    """Set each filter bit that SupportedPacketFilters does not have; the filter stays."""
    assert bench.adapter.general is not None
    set_filter(bench, _P.DIRECTED)
    for bit in range(32):
        if not supports(bench, 1 << bit):
            status = tell(bench, OID.GEN_CURRENT_PACKET_FILTER, (1 << bit).to_bytes(4, "little"))
            assert status == NDIS_STATUS.NOT_SUPPORTED, f"filter 0x{1 << bit:x} ended {status!s}"
    assert passed(bench) == {"own"}


@case(
    guide("oid-gen-vlan-id"),
    "with a VLAN id the miniport indicates frames of that VLAN and drops those of others",
    Feature.VLAN,
    **ONE,
)
def frames_of_other_vlans_stay_out(bench: Bench) -> None:
    """Set VLAN 5; frames with tags 5, 6 and 0x105 and without a tag arrive. Then back to 0."""
    set_filter(bench, _P.DIRECTED)
    if tell(bench, OID.GEN_VLAN_ID, (5).to_bytes(4, "little")) == NDIS_STATUS.NOT_SUPPORTED:
        raise NotSupported("OID_GEN_VLAN_ID")

    def tagged(vlan: int, text: bytes) -> bytes:
        return tcp_frame(text, tags=[(0x8100, vlan)], to=bench.station)

    got = take(bench, tagged(5, b"mine"), tagged(6, b"other"), tagged(0x105, b"far"))
    assert [frame.data[-4:] for frame in got] == [b"mine"], f"{len(got)} frames arrived, 1 is of VLAN 5"
    assert tell(bench, OID.GEN_VLAN_ID, bytes(4)) == OK
    assert take(bench, tcp_frame(b"plain", to=bench.station)), (
        "an untagged frame was dropped with a VLAN id of 0"
    )


@case(
    ddi("nc-ndis-miniport_reset"),
    "after a reset filter and multicast list are in force as before",
    Feature.MULTICAST,
    **ONE,
)
def filters_survive_a_reset(bench: Bench) -> None:
    """Set a filter and a list, reset; the driver restores them itself or says AddressingReset."""
    if not supports(bench, _P.MULTICAST):
        raise NotSupported("packet filter MULTICAST")
    set_groups(bench, GROUP)
    expect(bench, _P.MULTICAST | _P.DIRECTED, {"own", "listed group's"})
    bench.adapter.reset()
    bench.settle()
    found = passed(bench)
    assert found == {"own", "listed group's"}, f"after a reset {sorted(found)} arrive"


@case(
    ddi("nc-ndis-miniport_restart"),
    "after a restart filter and multicast list are in force as before",
    Feature.MULTICAST,
    **ONE,
)
def filters_survive_a_pause(bench: Bench) -> None:
    """Set a filter and a list, pause and restart."""
    if not supports(bench, _P.MULTICAST):
        raise NotSupported("packet filter MULTICAST")
    bench.protocol.packet_filter = _P.MULTICAST
    set_groups(bench, GROUP)
    expect(bench, _P.MULTICAST, {"listed group's"})
    bench.adapter.pause()
    assert bench.adapter.restart() == OK
    bench.settle()
    assert passed(bench) == {"listed group's"}
