"""Checksum offload, headers of every kind: where the transport header is, and what capabilities say of it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from vnic.conformance.case import Feature, NotSupported, case
from vnic.conformance.drive import OK, ONE, current_offload, has_oid, padded, same, take, tell
from vnic.conformance.groups.checksum import asked, need
from vnic.conformance.pages import ddi, guide
from vnic.ndis.offload import ChecksumOffload, Offload, OffloadParameters, Toggle
from vnic.ndis.oid import OID
from vnic.ndis.oob import ReceiveChecksum, Vlan
from vnic.testbench.bench import Bench
from vnic.testbench.frames import ADDRESSES, PEER, tcp_frame, udp_frame
from vnic.wire import checksum, packet

_SEND = guide("offloading-checksum-tasks")
_STRUCTURE = ddi("ns-ntddndis-_ndis_tcp_ip_checksum_offload", "ntddndis")
_OFFLOAD = ddi("ns-ntddndis-_ndis_offload", "ntddndis")
_INFO = ddi("ns-nblchecksum-ndis_tcp_ip_checksum_net_buffer_list_info", "nblchecksum")
_DESTINATION, _HOP_BY_HOP = 60, 0
_FIELD = {packet.TCP: 16, packet.UDP: 6}


def _unsummed(frame: bytes, version: int, l4: int, length: int, proto: int) -> bytes:
    """The field holds the sum of the pseudo header, as the host leaves it."""
    source, destination = (packet.packed(address) for address in ADDRESSES[version])
    seed = checksum.total(checksum.pseudo(source, destination, proto, length))
    at = l4 + _FIELD[proto]
    return frame[:at] + seed.to_bytes(2) + frame[at + 2 :]


def _sent(bench: Bench, right: bytes, version: int, proto: int, l4: int, **oob: Any) -> bytes:
    """Send a frame whose sum is to be computed; the frame as it has to leave."""
    bits: dict[str, Any] = {"tcp": True, "tcp_header_offset": l4} if proto == packet.TCP else {"udp": True}
    bench.send(
        _unsummed(right, version, l4, len(right) - l4, proto),
        checksum=asked(version, **bits),
        pieces=[17],
        **oob,
    )
    return padded(right)


def _protocols(bench: Bench, version: int) -> list[tuple[Any, int]]:
    part: ChecksumOffload = getattr(current_offload(bench), f"ipv{version}_transmit")
    found = [(tcp_frame, packet.TCP)] if part.tcp_checksum else []
    return found + ([(udp_frame, packet.UDP)] if part.udp_checksum else [])


@case(
    _SEND,
    "IPv6 extension headers do not matter to the transport checksum, where they are supported",
    Feature.CHECKSUM,
    **ONE,
)
def behind_ipv6_extension_headers(bench: Bench) -> None:
    """Send TCP and UDP behind one and two extension headers of 8 to 72 bytes; compare every byte."""
    need(bench, "transmit", 6, "tcp")
    if not current_offload(bench).ipv6_transmit.ip_options:
        raise NotSupported("checksum with IPv6 extension headers")
    wanted = []
    for sizes in ((8,), (24,), (72,), (8, 16), (40, 8)):
        kinds = (_HOP_BY_HOP, _DESTINATION) if len(sizes) > 1 else (_DESTINATION,)
        made = [
            (kind, packet.options_header(bytes([1, size - 4, *bytes(size - 4)])))
            for kind, size in zip(kinds, sizes, strict=True)
        ]
        l4 = 54 + sum(len(body) for _, body in made)
        for maker, proto in _protocols(bench, 6):
            right = maker(bytes(n & 255 for n in range(91)), version=6, to=PEER, ip={"extensions": made})
            wanted.append(_sent(bench, right, 6, proto, l4))
    bench.settle()
    same(bench.transmitted, wanted, "left")


@case(
    _SEND,
    "tags that a frame has in its data come before the IP header, of either Ethertype",
    Feature.CHECKSUM,
    **ONE,
)
def behind_tags_in_the_frame(bench: Bench) -> None:
    """Send TCP and UDP over both IPs behind a C-tag, an S-tag, and both; compare every byte."""
    encapsulation = current_offload(bench).ipv4_transmit.encapsulation
    if not encapsulation & 4:
        raise NotSupported("NDIS_ENCAPSULATION_IEEE_802_3_P_AND_Q")
    wanted = []
    for tags in (((0x8100, 5),), ((0x88A8, 6),), ((0x88A8, 7), (0x8100, 8))):
        for version in (4, 6):
            l4 = (34 if version == 4 else 54) + 4 * len(tags)
            for maker, proto in _protocols(bench, version):
                right = maker(bytes(n & 255 for n in range(83)), version=version, to=PEER, tags=tags)
                wanted.append(_sent(bench, right, version, proto, l4))
    bench.settle()
    same(bench.transmitted, wanted, "left")


@case(
    _SEND, "one NBL may ask for a checksum and a tag, over either IP", Feature.CHECKSUM, Feature.VLAN, **ONE
)
def with_a_tag_over_both_ips(bench: Bench) -> None:
    """Send TCP and UDP of even and odd length over both IPs with 802.1Q information."""
    wanted = []
    for version in (4, 6):
        for maker, proto in _protocols(bench, version):
            for size in (0, 1, 100, 1001):
                right = maker(bytes(n & 255 for n in range(size)), version=version, to=PEER)
                l4 = 34 if version == 4 else 54
                _sent(bench, right, version, proto, l4, vlan=Vlan(3, False, 0x2A))
                wanted.append(right[12:])
    bench.settle()
    assert len(bench.transmitted) == len(wanted), f"{len(bench.transmitted)} of {len(wanted)} frames left"
    for number, (frame, rest) in enumerate(zip(bench.transmitted, wanted, strict=True)):
        inner = frame[16:] if frame[12:14] == b"\x81\0" else frame[12:]
        assert inner[: len(rest)] == rest, f"frame {number} left with other bytes behind its tag"


@case(
    _INFO,
    "what is reported of a sum is reported of the protocol whose sum it is",
    Feature.CHECKSUM,
    **ONE,
)
def of_the_protocol_that_came(bench: Bench) -> None:
    """Receive UDP with TCP's checksum enabled alone, and TCP with UDP's alone; then each with its own."""
    if not has_oid(bench, OID.TCP_OFFLOAD_PARAMETERS):
        raise NotSupported("OID_TCP_OFFLOAD_PARAMETERS")
    now = current_offload(bench)
    if not (now.ipv4_receive.tcp_checksum and now.ipv4_receive.udp_checksum):
        raise NotSupported("TCP and UDP checksums over IPv4, receive")
    on, off = Toggle.TX_RX_ENABLED, Toggle.TX_RX_DISABLED
    for tcp_is, udp_is in ((on, off), (off, on), (on, on), (off, off)):
        wanted = OffloadParameters(tcp_ipv4_checksum=tcp_is, udp_ipv4_checksum=udp_is)
        assert tell(bench, OID.TCP_OFFLOAD_PARAMETERS, wanted.pack()) == OK
        for field in (None, 0x1234):
            spoilt: dict[str, Any] = {} if field is None else {"field": field}
            for name, maker, is_on in (("tcp", tcp_frame, tcp_is is on), ("udp", udp_frame, udp_is is on)):
                (seen,) = take(bench, maker(b"data", to=bench.station, **spoilt))
                is_good, is_bad = is_on and field is None, is_on and field is not None
                expected = ReceiveChecksum(
                    **{f"{name}_succeeded": is_good, f"{name}_failed": is_bad},
                    ip_succeeded=seen.checksum.ip_succeeded,
                )
                assert seen.checksum == expected, f"{name} is reported as {seen.checksum}, wanted {expected}"


def _names_nothing(part: ChecksumOffload, where: str) -> None:
    is_on = part.tcp_checksum or part.udp_checksum or part.ip_checksum
    if is_on:
        assert part.encapsulation, f"{where}: a checksum is on, and Encapsulation is NOT_SUPPORTED"
    else:
        left = [each.name for each in fields(part) if getattr(part, each.name)]
        assert not left, f"{where}: no checksum is on, and still there is {', '.join(left)}"


def coherent(offload: Offload, where: str) -> None:
    """NDIS_OFFLOAD's members agree with each other."""
    for name in ("ipv4_transmit", "ipv4_receive", "ipv6_transmit", "ipv6_receive"):
        _names_nothing(getattr(offload, name), f"{where}, {name}")
    for name in ("ipv6_transmit", "ipv6_receive"):
        assert not getattr(offload, name).ip_checksum, f"{where}, {name}: IPv6 has no header checksum"
    one, two = offload.lso_v1, offload.lso_v2
    for version, encapsulation, size, count in (
        ("LsoV1.IPv4", one.encapsulation, one.max_offload_size, one.min_segment_count),
        ("LsoV2.IPv4", two.ipv4_encapsulation, two.ipv4_max_offload_size, two.ipv4_min_segment_count),
        ("LsoV2.IPv6", two.ipv6_encapsulation, two.ipv6_max_offload_size, two.ipv6_min_segment_count),
    ):
        is_on = [bool(encapsulation), bool(size), bool(count)]
        assert all(is_on) or not any(is_on), (
            f"{where}, {version}: Encapsulation 0x{encapsulation:x}, {size} bytes, {count} segments at least"
        )
    assert two.ipv6_encapsulation or not (two.ipv6_extension_headers or two.ipv6_tcp_options), (
        f"{where}: LsoV2.IPv6 is off, and takes extension headers or TCP options"
    )
    assert one.encapsulation or not (one.tcp_options or one.ip_options), (
        f"{where}: LsoV1 is off, and takes options"
    )


def _parameters(name: str, toggle: Toggle) -> OffloadParameters:
    members: dict[str, Any] = {name: toggle}
    return OffloadParameters(**members)


@case(
    _STRUCTURE,
    "of what is off nothing is told but that: NDIS_ENCAPSULATION_NOT_SUPPORTED, and no options",
    Feature.CHECKSUM,
    **ONE,
)
def names_nothing_of_what_is_off(bench: Bench) -> None:
    """Look at the capabilities; switch checksums off one after the other, to none at all, and on again."""
    coherent(Offload.parse(bench.query(OID.TCP_OFFLOAD_HARDWARE_CAPABILITIES)), "capabilities")
    first = current_offload(bench)
    coherent(first, "at the start")
    if not has_oid(bench, OID.TCP_OFFLOAD_PARAMETERS):
        return
    names = [each.name for each in fields(OffloadParameters) if each.name.endswith("_checksum")]
    for toggle in (Toggle.TX_RX_DISABLED, Toggle.TX_RX_ENABLED):
        for name in names:
            status = tell(bench, OID.TCP_OFFLOAD_PARAMETERS, _parameters(name, toggle).pack())
            if status == OK:
                coherent(current_offload(bench), f"with {name} {toggle.name}")
    assert current_offload(bench).ipv4_receive == first.ipv4_receive, (
        "what was switched off did not come back"
    )


@case(
    _OFFLOAD,
    "keywords that switch everything off leave nothing that is told",
    queues=1,
    cpus=1,
    keywords={
        f"*{name}": 0
        for name in (
            "IPChecksumOffloadIPv4", "TCPChecksumOffloadIPv4", "UDPChecksumOffloadIPv4",
            "TCPChecksumOffloadIPv6", "UDPChecksumOffloadIPv6", "LsoV1IPv4", "LsoV2IPv4", "LsoV2IPv6",
        )
    },
)  # fmt: skip
def nothing_with_all_keywords_off(bench: Bench) -> None:
    """All keywords of checksums and large sends are 0; right sums come, and nothing is said of them."""
    known = bench.adapter.known_offload
    if known is not None:
        coherent(known.default_config, "with all keywords 0")
        assert known.default_config == Offload(flags=known.default_config.flags), (
            f"with all keywords 0 there is {known.default_config}"
        )
    for version in (4, 6):
        for maker in (tcp_frame, udp_frame):
            (seen,) = take(bench, maker(b"data", version=version, to=bench.station))
            assert seen.checksum == ReceiveChecksum(), (
                "checksums are reported although keywords switch them off"
            )


@case(
    _INFO,
    "what is enabled for one IP version says nothing of the other",
    Feature.CHECKSUM,
    **ONE,
)
def of_the_version_that_came(bench: Bench) -> None:
    """Receive both protocols over both IPs with the sums of one IP switched off, then those of the other."""
    if not has_oid(bench, OID.TCP_OFFLOAD_PARAMETERS):
        raise NotSupported("OID_TCP_OFFLOAD_PARAMETERS")
    now = current_offload(bench)
    if not (now.ipv4_receive.tcp_checksum and now.ipv6_receive.tcp_checksum):
        raise NotSupported("TCP checksums over both IPs, receive")
    for off in (4, 6):
        for version in (4, 6):
            toggle = Toggle.TX_RX_DISABLED if version == off else Toggle.TX_RX_ENABLED
            for what in ("tcp", "udp"):
                wanted = _parameters(f"{what}_ipv{version}_checksum", toggle)
                assert tell(bench, OID.TCP_OFFLOAD_PARAMETERS, wanted.pack()) == OK
        for version in (4, 6):
            for what, maker in (("tcp", tcp_frame), ("udp", udp_frame)):
                (seen,) = take(bench, maker(b"data", version=version, to=bench.station))
                said = getattr(seen.checksum, f"{what}_succeeded")
                assert said == (version != off), (
                    f"with IPv{off} off, {what} over IPv{version} is{'' if said else ' not'} reported"
                )


@case(
    _INFO,
    "each sum can be had alone: what else is off does not switch it off",
    Feature.CHECKSUM,
    **ONE,
)
def each_sum_alone(bench: Bench) -> None:
    """One receive sum on and the others off, in turns; right and wrong sums come, also behind a reset."""
    if not has_oid(bench, OID.TCP_OFFLOAD_PARAMETERS):
        raise NotSupported("OID_TCP_OFFLOAD_PARAMETERS")
    now, tried = current_offload(bench), 0
    for version in (4, 6):
        able = now.ipv4_receive if version == 4 else now.ipv6_receive
        for what, maker in (("tcp", tcp_frame), ("udp", udp_frame)):
            if not getattr(able, f"{what}_checksum"):
                continue
            tried += 1
            _alone(bench, f"{what}_ipv{version}_checksum")
            right = maker(b"data", version=version, to=bench.station)
            wrong = right[:-1] + bytes([right[-1] ^ 0x55])
            for again in (False, True):
                if again:
                    bench.adapter.reset()
                    bench.settle()
                said = [take(bench, frame)[0].checksum for frame in (right, wrong)]
                found = [
                    (getattr(each, f"{what}_succeeded"), getattr(each, f"{what}_failed")) for each in said
                ]
                assert found == [(True, False), (False, True)], (
                    f"{what} over IPv{version} alone: (succeeded, failed) of right and wrong are {found}"
                )
    if not tried:
        raise NotSupported("receive checksums")


def _alone(bench: Bench, name: str) -> None:
    """This receive sum on, and every other sum off."""
    for each in fields(OffloadParameters):
        if each.name.endswith("_checksum"):
            toggle = Toggle.RX_ENABLED_TX_DISABLED if each.name == name else Toggle.TX_RX_DISABLED
            status = tell(bench, OID.TCP_OFFLOAD_PARAMETERS, _parameters(each.name, toggle).pack())
            assert status == OK or each.name != name, f"{name} alone: {status!s}"
