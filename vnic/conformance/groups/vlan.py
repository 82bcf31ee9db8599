"""802.1Q: tags that NET_BUFFER_LISTs ask for, tags that frames have, and priorities."""

from __future__ import annotations

from vnic.conformance.case import Feature, NotSupported, case
from vnic.conformance.drive import OK, ONE, has_oid, same, set_filter, take, tell, works
from vnic.conformance.pages import ddi, guide
from vnic.ndis.attributes import MacOption
from vnic.ndis.oid import OID, PacketFilter
from vnic.ndis.oob import Vlan
from vnic.testbench.bench import Bench
from vnic.testbench.frames import PEER, plain_frame, tcp_frame

_SEND = ddi("ns-nbl8021q-ndis_net_buffer_list_8021q_info", "nbl8021q")
_INFO = ddi("ns-nbl8021q-ndis_net_buffer_list_8021q_info", "nbl8021q")
_TAGS = [(p, c, v) for p in range(8) for c in (0, 1) for v in (0, 1, 0x123, 0xFFE)]


def _frame(number: int, to: bytes, tag: int | None = None) -> bytes:
    tags = [] if tag is None else [(0x8100, tag)]
    return tcp_frame(number.to_bytes(4) * 20, tags=tags, to=to)


def modes(bench: Bench) -> tuple[bool, bool]:
    """Whether priorities and VLAN ids are supported."""
    assert bench.adapter.general is not None
    options = bench.adapter.general.mac_options
    return bool(options & MacOption.EIGHT_P1_PRIORITY), bool(options & MacOption.EIGHT_Q1_VLAN)


@case(
    _INFO,
    "UserPriority, CanonicalFormatId and VlanId of the NBL become the tag of its frames",
    Feature.VLAN,
    **ONE,
)
def tags_that_are_asked_for(bench: Bench) -> None:
    """Send with every priority, both formats and VLAN ids 0, 1, 0x123 and 0xFFE."""
    has_priority, has_vlan = modes(bench)
    wanted = []
    for number, (priority, canonical, vlan) in enumerate(_TAGS):
        bench.send(_frame(number, PEER), vlan=Vlan(priority, bool(canonical), vlan))
        tci = (priority << 13 | canonical << 12 if has_priority else 0) | (vlan if has_vlan else 0)
        wanted.append(tci)
    bench.settle()
    assert len(bench.transmitted) == len(wanted)
    for number, (frame, tci) in enumerate(zip(bench.transmitted, wanted, strict=True)):
        allowed = [_frame(number, PEER, tci)]
        if tci & 0xEFFF == 0:
            allowed.append(_frame(number, PEER))
        assert frame in allowed, f"tag {_TAGS[number]}: the frame left with {frame[12:18].hex()}"


@case(_SEND, "a frame without 802.1Q information leaves without a tag", Feature.VLAN, **ONE)
def no_tag_that_was_not_asked_for(bench: Bench) -> None:
    """Frames with and without tags alternate: no tag sticks."""
    has_priority, has_vlan = modes(bench)
    tci = (3 << 13 if has_priority else 0) | (77 if has_vlan else 0)
    for number in range(20):
        bench.send(_frame(number, PEER), vlan=Vlan(3, False, 77) if number % 2 else None)
    bench.settle()
    same(bench.transmitted, [_frame(n, PEER, tci if n % 2 else None) for n in range(20)], "left")


@case(_SEND, "every NET_BUFFER of a list has the list's tag", Feature.VLAN, **ONE)
def every_net_buffer_is_tagged(bench: Bench) -> None:
    """One list of five NET_BUFFERs with a tag, in several pieces each."""
    has_priority, has_vlan = modes(bench)
    tci = (5 << 13 if has_priority else 0) | (0x321 if has_vlan else 0)
    bench.send(*[_frame(n, PEER) for n in range(5)], vlan=Vlan(5, False, 0x321), pieces=[13, 2, 40])
    bench.settle()
    same(bench.transmitted, [_frame(n, PEER, tci) for n in range(5)], "left")


@case(
    _SEND,
    "a miniport takes the tag out of a received frame and puts it into the NBL's 802.1Q information",
    Feature.VLAN,
    **ONE,
)
def tags_of_received_frames(bench: Bench) -> None:
    """Receive frames with every priority, both formats and VLAN ids 0, 1, 0x123 and 0xFFE."""
    for number, (priority, canonical, vlan) in enumerate(_TAGS):
        tci = priority << 13 | canonical << 12 | vlan
        got = take(bench, _frame(number, bench.station, tci))
        if not got and vlan:
            continue
        assert len(got) == 1, f"a frame with tag 0x{tci:04x} did not arrive"
        assert got[0].data == _frame(number, bench.station), "the tag is still in the frame"
        found = (got[0].vlan.user_priority, int(got[0].vlan.canonical_format), got[0].vlan.vlan_id)
        assert found == (priority, canonical, vlan), f"tag 0x{tci:04x} was reported as {found}"


@case(_SEND, "an untagged frame has no 802.1Q information left of one before", Feature.VLAN, **ONE)
def no_stale_tag(bench: Bench) -> None:
    """Tagged and untagged frames alternate through the same buffers."""
    frames = [_frame(n, bench.station, 0xA005 if n % 2 else None) for n in range(200)]
    for start in range(0, 200, 10):
        for number, frame in enumerate(take(bench, *frames[start : start + 10])):
            wanted = 0xA005 if number % 2 else 0
            assert frame.vlan.tci == wanted, (
                f"a frame with tag 0x{wanted:04x} was reported with 0x{frame.vlan.tci:04x}"
            )


@case(guide("oid-gen-vlan-id"), "OID_GEN_VLAN_ID sets the VLAN of frames that name none", Feature.VLAN, **ONE)
def the_vlan_of_the_adapter(bench: Bench) -> None:
    """Set VLAN 9; send with a VLAN id, with a priority only, and with nothing; set VLAN 0."""
    if not has_oid(bench, OID.GEN_VLAN_ID) or not all(modes(bench)):
        return
    assert tell(bench, OID.GEN_VLAN_ID, (9).to_bytes(4, "little")) == OK
    assert bench.query(OID.GEN_VLAN_ID, 4) == (9).to_bytes(4, "little")
    bench.send(_frame(0, PEER), vlan=Vlan(2, False, 0))
    bench.send(_frame(1, PEER), vlan=Vlan(0, False, 4))
    bench.settle()
    same(bench.transmitted, [_frame(0, PEER, 0x4009), _frame(1, PEER, 0x0004)], "left")
    for bad in (0x1000, 0xFFFFFFFF):
        assert tell(bench, OID.GEN_VLAN_ID, bad.to_bytes(4, "little")).is_error, (
            f"VLAN id 0x{bad:x} was taken"
        )
    assert tell(bench, OID.GEN_VLAN_ID, bytes(4)) == OK
    works(bench)


@case(
    guide("oid-gen-vlan-id"),
    "frames of the VLAN in force and untagged ones come; those of an id that another replaced do not",
    Feature.VLAN,
    **ONE,
)
def an_id_takes_the_place_of_another(bench: Bench) -> None:
    """Set VLAN 9, 300, 40, 41, 4000 and 0; after each a frame of each of them comes, and an untagged one."""
    if not has_oid(bench, OID.GEN_VLAN_ID) or not all(modes(bench)):
        raise NotSupported("OID_GEN_VLAN_ID")
    set_filter(bench, PacketFilter.DIRECTED)
    ids = (9, 300, 40, 41, 4000, 0)
    for now in ids:
        assert tell(bench, OID.GEN_VLAN_ID, now.to_bytes(4, "little")) == OK
        got = take(bench, *[_frame(each, bench.station, each) for each in ids if each])
        found = {frame.vlan.vlan_id for frame in got}
        wanted = {now} if now else set(ids) - {0}
        assert found == wanted, f"with VLAN id {now} frames of {sorted(found)} came"
        assert len(take(bench, _frame(1, bench.station))) == 1, f"no untagged frame came with VLAN id {now}"


@case(_SEND, "the shortest tagged frame has at least 60 bytes too, without FCS", Feature.VLAN, **ONE)
def short_tagged_frames(bench: Bench) -> None:
    """Send frames of 14 to 64 bytes with a tag."""
    for length in range(14, 65, 5):
        bench.send(plain_frame(length, 1, PEER), vlan=Vlan(1, False, 2))
    bench.settle()
    for length, frame in zip(range(14, 65, 5), bench.transmitted, strict=True):
        plain = plain_frame(length, 1, PEER)
        assert frame[:12] == plain[:12]
        assert frame[12:14] == b"\x81\x00"
        assert frame[16 : 16 + length - 12] == plain[12:], "data moved"
        assert 60 <= len(frame) <= max(64, length + 4), f"{length} bytes with a tag left as {len(frame)}"
        assert not any(frame[16 + length - 12 :]), "the padding is not zero"


@case(
    ddi("ns-ndis-_ndis_miniport_adapter_general_attributes"),
    "a driver that takes 802.1Q information says so in MacOptions: 8021P_PRIORITY, 8021Q_VLAN",
    **ONE,
)
def says_that_it_tags(bench: Bench) -> None:
    """Send with a priority and a VLAN id: what becomes of it is what MacOptions say."""
    bench.send(_frame(1, PEER), vlan=Vlan(5, False, 0x123))
    bench.settle()
    (frame,) = bench.transmitted
    has_priority, has_vlan = modes(bench)
    tci = int.from_bytes(frame[14:16]) if frame[12:14] == b"\x81\x00" else 0
    assert bool(tci >> 13) == has_priority, (
        f"the frame left with priority {tci >> 13}, MacOptions say otherwise"
    )
    assert bool(tci & 0xFFF) == has_vlan, f"the frame left with VLAN {tci & 0xFFF}, MacOptions say otherwise"
