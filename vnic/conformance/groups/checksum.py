"""Checksum offload: sums on the wire against an independent reference, and what is reported of received
ones."""

from __future__ import annotations

from typing import Any

from vnic.conformance.case import Feature, NotSupported, case
from vnic.conformance.drive import OK, ONE, current_offload, has_oid, padded, same, take, tell
from vnic.conformance.pages import ddi, guide
from vnic.ndis.offload import ChecksumOffload, Offload, OffloadParameters, Toggle
from vnic.ndis.oid import OID
from vnic.ndis.oob import ReceiveChecksum, TransmitChecksum, Vlan
from vnic.ndis.status import NDIS_STATUS
from vnic.testbench.bench import Bench
from vnic.testbench.frames import ADDRESSES, PEER, datagram, ethernet, plain_frame, tcp_frame, udp_frame
from vnic.wire import checksum, packet

_INFO = ddi("ns-nblchecksum-ndis_tcp_ip_checksum_net_buffer_list_info", "nblchecksum")
_SEND = guide("offloading-checksum-tasks")
_PARAMETERS = guide("oid-tcp-offload-parameters")
_TIMESTAMP = bytes.fromhex("0101080a0000000100000002")
_SIZES = (0, 1, 2, 7, 63, 64, 500, 1399, 1400)


def has(bench: Bench, direction: str, version: int, what: str) -> bool:
    """Whether a checksum is enabled now: direction transmit or receive, what tcp, udp or ip."""
    part: ChecksumOffload = getattr(current_offload(bench), f"ipv{version}_{direction}")
    return bool(getattr(part, f"{what}_checksum"))


def need(bench: Bench, direction: str, version: int, what: str) -> None:
    """NOT SUPPORTED unless that checksum is enabled."""
    if not has(bench, direction, version, what):
        raise NotSupported(f"{what.upper()} checksum over IPv{version}, {direction}")


def unsummed(frame: bytes, version: int, l4: int, proto: int) -> bytes:
    """A frame as the host hands it down: the field holds the one's complement sum of the pseudo header."""
    field = {packet.TCP: 16, packet.UDP: 6}[proto]
    source, destination = (packet.packed(address) for address in ADDRESSES[version])
    seed = checksum.total(checksum.pseudo(source, destination, proto, len(frame) - l4))
    return frame[: l4 + field] + seed.to_bytes(2) + frame[l4 + field + 2 :]


def asked(version: int, **bits: Any) -> TransmitChecksum:
    """What the NBL asks for."""
    return TransmitChecksum(is_ipv4=version == 4, is_ipv6=version == 6, **bits)


def _tcp_lengths(bench: Bench, version: int, options: bytes) -> None:
    need(bench, "transmit", version, "tcp")
    if options and not getattr(current_offload(bench), f"ipv{version}_transmit").tcp_options:
        raise NotSupported("TCP checksum with TCP options")
    l4 = 34 if version == 4 else 54
    wanted = []
    for size in _SIZES:
        right = tcp_frame(bytes(n * 31 & 255 for n in range(size)), version=version, to=PEER, options=options)
        sent = unsummed(right, version, l4, packet.TCP)
        bench.send(sent, checksum=asked(version, tcp=True, tcp_header_offset=l4), pieces=[14, 31, 5])
        wanted.append(padded(right))
    bench.settle()
    same(bench.transmitted, wanted, "left")


@case(
    _SEND,
    "the miniport computes the TCP checksum from the TCP header offset on, over payload of any length",
    Feature.CHECKSUM,
    **ONE,
)
def tcp_over_ipv4(bench: Bench) -> None:
    """Send TCP segments of 0 to 1400 bytes over IPv4 in scattered pieces; compare every byte with the
    reference."""
    _tcp_lengths(bench, 4, b"")


@case(_SEND, "the miniport computes the TCP checksum over IPv6 too", Feature.CHECKSUM, **ONE)
def tcp_over_ipv6(bench: Bench) -> None:
    """Send TCP segments of 0 to 1400 bytes over IPv6 in scattered pieces."""
    _tcp_lengths(bench, 6, b"")


@case(_SEND, "TCP options do not matter to the checksum, where they are supported", Feature.CHECKSUM, **ONE)
def tcp_with_options(bench: Bench) -> None:
    """Send TCP segments with the timestamp option."""
    _tcp_lengths(bench, 4, _TIMESTAMP)


@case(_SEND, "the miniport computes the UDP checksum over IPv4 and IPv6", Feature.CHECKSUM, **ONE)
def udp(bench: Bench) -> None:
    """Send UDP datagrams of 0 to 1400 bytes."""
    wanted = []
    for version in (4, 6):
        if not has(bench, "transmit", version, "udp"):
            continue
        for size in _SIZES:
            right = udp_frame(bytes(n * 29 & 255 for n in range(size)), version=version, to=PEER)
            sent = unsummed(right, version, 34 if version == 4 else 54, packet.UDP)
            bench.send(sent, checksum=asked(version, udp=True), pieces=[20])
            wanted.append(padded(right))
    if not wanted:
        raise NotSupported("UDP checksum, transmit")
    bench.settle()
    same(bench.transmitted, wanted, "left")


@case(
    _SEND,
    "a UDP checksum that comes out as zero is sent as 0xFFFF: zero says that there is none",
    Feature.CHECKSUM,
    **ONE,
)
def a_udp_checksum_of_zero(bench: Bench) -> None:
    """Send the datagram whose checksum is zero."""
    need(bench, "transmit", 4, "udp")
    # One's complement: a word of payload that is the sum of the rest makes the sum come out as 0xFFFF.
    rest = udp_frame(bytes(2) + b"zero", to=PEER)[40:42]
    right = udp_frame(rest + b"zero", to=PEER)
    assert right[40:42] == b"\xff\xff", "the reference does not give 0xFFFF"
    bench.send(unsummed(right, 4, 34, packet.UDP), checksum=asked(4, udp=True))
    bench.settle()
    same(bench.transmitted, [padded(right)], "left")


@case(
    _SEND, "the miniport computes the checksum of the IPv4 header, options included", Feature.CHECKSUM, **ONE
)
def ip_header(bench: Bench) -> None:
    """Send datagrams with and without IP options, alone and together with the TCP checksum."""
    need(bench, "transmit", 4, "ip")
    can_options = current_offload(bench).ipv4_transmit.ip_options
    wanted = []
    for options in (b"", b"\x94\x04\0\0") if can_options else (b"",):
        right = tcp_frame(b"payload", to=PEER, ip={"options": options})
        bare = right[:24] + b"\0\0" + right[26:]
        bench.send(bare, checksum=asked(4, ip_header=True))
        wanted.append(padded(right))
        if has(bench, "transmit", 4, "tcp"):
            l4 = 34 + len(options)
            bare = unsummed(bare, 4, l4, packet.TCP)
            bench.send(bare, checksum=asked(4, ip_header=True, tcp=True, tcp_header_offset=l4))
            wanted.append(padded(right))
    bench.settle()
    same(bench.transmitted, wanted, "left")


@case(_INFO, "who asks for no checksum has none computed", Feature.CHECKSUM, **ONE)
def what_was_not_asked_for_is_not_touched(bench: Bench) -> None:
    """Frames with deliberately wrong sums and no out-of-band information alternate with frames that ask."""
    need(bench, "transmit", 4, "tcp")
    right = tcp_frame(b"summed", to=PEER)
    wrong = tcp_frame(b"wrong!", to=PEER, field=0x1234, ip={"header_checksum": 0x4321})
    wanted = []
    for number in range(20):
        if number % 2:
            bench.send(unsummed(right, 4, 34, packet.TCP), checksum=asked(4, tcp=True, tcp_header_offset=34))
        else:
            bench.send(wrong)
        wanted.append(padded(right if number % 2 else wrong))
    bench.settle()
    same(bench.transmitted, wanted, "left")


@case(
    _INFO,
    "only what is asked for is computed: not the IP header with TCP, not TCP with the IP header",
    Feature.CHECKSUM,
    **ONE,
)
def each_checksum_by_itself(bench: Bench) -> None:
    """Ask for one of two sums where both are wrong."""
    need(bench, "transmit", 4, "tcp")
    right = tcp_frame(b"payload", to=PEER)
    bad_ip = right[:24] + b"\xab\xcd" + right[26:]
    bench.send(unsummed(bad_ip, 4, 34, packet.TCP), checksum=asked(4, tcp=True, tcp_header_offset=34))
    bench.settle()
    same(bench.transmitted, [padded(bad_ip)], "left")
    need(bench, "transmit", 4, "ip")
    bad_tcp = right[:50] + b"\x12\x34" + right[52:]
    bench.send(bad_tcp[:24] + b"\0\0" + bad_tcp[26:], checksum=asked(4, ip_header=True))
    bench.settle()
    same(bench.transmitted[1:], [padded(bad_tcp)], "left")


@case(_SEND, "checksums are computed in frames that get a tag too", Feature.CHECKSUM, Feature.VLAN, **ONE)
def with_a_tag(bench: Bench) -> None:
    """Send TCP segments with 802.1Q information and a checksum to compute."""
    need(bench, "transmit", 4, "tcp")
    right = tcp_frame(b"x" * 100, to=PEER)
    for _ in range(3):
        wish = asked(4, tcp=True, tcp_header_offset=34)
        bench.send(unsummed(right, 4, 34, packet.TCP), checksum=wish, vlan=Vlan(0, False, 5))
    bench.settle()
    assert len(bench.transmitted) == 3
    for frame in bench.transmitted:
        assert frame[16:] == right[12:] or frame[12:] == right[12:], "the checksum or the data is wrong"


@case(_SEND, "every NET_BUFFER of a list has its checksum computed", Feature.CHECKSUM, **ONE)
def every_net_buffer_of_a_list(bench: Bench) -> None:
    """A list of twelve segments of different lengths."""
    need(bench, "transmit", 4, "tcp")
    right = [tcp_frame(bytes([n]) * (n * 97), to=PEER) for n in range(12)]
    wish = asked(4, tcp=True, tcp_header_offset=34)
    bench.send(*[unsummed(frame, 4, 34, packet.TCP) for frame in right], checksum=wish)
    bench.settle()
    same(bench.transmitted, [padded(frame) for frame in right], "left")


def _verdicts(bench: Bench, frames: list[tuple[bytes, ReceiveChecksum]]) -> None:
    for frame, allowed in frames:
        (seen,) = take(bench, frame)
        assert seen.data == frame
        found = seen.checksum
        for name in ("tcp", "udp", "ip"):
            good, bad = getattr(found, f"{name}_succeeded"), getattr(found, f"{name}_failed")
            may_good, may_bad = getattr(allowed, f"{name}_succeeded"), getattr(allowed, f"{name}_failed")
            text = f"a frame whose {name.upper()} checksum is "
            assert not good or may_good, text + "not good was reported as good"
            assert not bad or may_bad, text + "not bad was reported as bad"


@case(
    _INFO,
    "a checksum that was found right may be reported so, one that is wrong never",
    Feature.CHECKSUM,
    **ONE,
)
def what_is_reported_of_received_sums(bench: Bench) -> None:
    """Receive right and wrong sums of TCP, UDP and IP, over IPv4 and IPv6, UDP without a checksum, and
    no IP at all."""
    to = bench.station
    ok = ReceiveChecksum(ip_succeeded=True)
    _verdicts(
        bench,
        [
            (tcp_frame(b"good", to=to), ReceiveChecksum(tcp_succeeded=True, ip_succeeded=True)),
            (tcp_frame(b"bad", field=0x1234, to=to), ReceiveChecksum(tcp_failed=True, ip_succeeded=True)),
            (tcp_frame(b"good", version=6, to=to), ReceiveChecksum(tcp_succeeded=True)),
            (tcp_frame(b"bad", version=6, field=0x1234, to=to), ReceiveChecksum(tcp_failed=True)),
            (udp_frame(b"good", to=to), ReceiveChecksum(udp_succeeded=True, ip_succeeded=True)),
            (udp_frame(b"bad", field=0x1234, to=to), ReceiveChecksum(udp_failed=True, ip_succeeded=True)),
            (udp_frame(b"none", field=0, to=to), ReceiveChecksum(udp_succeeded=True, ip_succeeded=True)),
            (udp_frame(b"bad", version=6, field=0x1234, to=to), ReceiveChecksum(udp_failed=True)),
            (
                tcp_frame(b"ip", ip={"header_checksum": 1}, to=to),
                ReceiveChecksum(True, True, True, True, True, False),
            ),
            (plain_frame(80, 0, to), ReceiveChecksum()),
            (ethernet(datagram(4, 99, b"other protocol"), to=to), ok),
            (tcp_frame(b"good again", to=to), ReceiveChecksum(tcp_succeeded=True, ip_succeeded=True)),
        ],
    )


@case(_INFO, "fragments have no transport checksum that could be checked", Feature.CHECKSUM, **ONE)
def fragments_are_not_checked(bench: Bench) -> None:
    """Receive a TCP segment in three IP fragments, and one with IP options."""
    inner = packet.tcp(*ADDRESSES[4], 1, 2, bytes(100))
    whole = datagram(4, packet.TCP, inner, fragment=0)
    pieces = [ethernet(piece, to=bench.station) for piece in packet.ipv4_fragments(whole, 40)]
    _verdicts(bench, [(piece, ReceiveChecksum(ip_succeeded=True)) for piece in pieces])


@case(
    _PARAMETERS,
    "what the driver reports as enabled it does: right sums are reported as right",
    Feature.CHECKSUM,
    **ONE,
)
def reports_what_is_enabled(bench: Bench) -> None:
    """Receive right TCP and UDP sums: for what the configuration has enabled, success is reported."""
    for version in (4, 6):
        for what, make in (("tcp", tcp_frame), ("udp", udp_frame)):
            if not has(bench, "receive", version, what):
                continue
            for size in (0, 1, 900, 1399):
                frame = make(bytes(n & 255 for n in range(size)), version=version, to=bench.station)
                (seen,) = take(bench, frame)
                assert getattr(seen.checksum, f"{what}_succeeded"), (
                    f"{what} of {size} bytes over IPv{version} was not checked"
                )
            (seen,) = take(bench, make(b"wrong", version=version, field=0x1111, to=bench.station))
            assert getattr(seen.checksum, f"{what}_failed"), (
                f"a wrong {what} sum over IPv{version} was not reported"
            )


@case(
    _PARAMETERS,
    "OID_TCP_OFFLOAD_PARAMETERS switches offloads, and the new configuration is indicated",
    Feature.CHECKSUM,
    **ONE,
)
def switched_off_and_on(bench: Bench) -> None:
    """Switch receive and transmit checksums of TCP over IPv4 off and on."""
    if not has_oid(bench, OID.TCP_OFFLOAD_PARAMETERS):
        raise NotSupported("OID_TCP_OFFLOAD_PARAMETERS")
    need(bench, "receive", 4, "tcp")
    before = current_offload(bench)
    off = OffloadParameters(tcp_ipv4_checksum=Toggle.TX_RX_DISABLED)
    assert tell(bench, OID.TCP_OFFLOAD_PARAMETERS, off.pack()) == OK
    assert not has(bench, "receive", 4, "tcp"), "it is still reported as enabled"
    (seen,) = take(bench, tcp_frame(b"x", to=bench.station))
    assert not (seen.checksum.tcp_succeeded or seen.checksum.tcp_failed), (
        "TCP sums are reported although switched off"
    )
    on = OffloadParameters(tcp_ipv4_checksum=Toggle.TX_RX_ENABLED)
    assert tell(bench, OID.TCP_OFFLOAD_PARAMETERS, on.pack()) == OK
    (seen,) = take(bench, tcp_frame(b"x", to=bench.station))
    assert seen.checksum.tcp_succeeded, "TCP sums are not reported although switched on again"
    assert current_offload(bench).ipv4_receive == before.ipv4_receive
    kinds = [each.status for each in bench.protocol.statuses]
    assert NDIS_STATUS.TASK_OFFLOAD_CURRENT_CONFIG in kinds


@case(_PARAMETERS, "malformed parameters are refused, and change nothing", Feature.CHECKSUM, **ONE)
def malformed_parameters_change_nothing(bench: Bench) -> None:
    """Set structures that are short, of another type, with values out of range."""
    if not has_oid(bench, OID.TCP_OFFLOAD_PARAMETERS):
        raise NotSupported("OID_TCP_OFFLOAD_PARAMETERS")
    before = current_offload(bench)
    good = OffloadParameters(tcp_ipv4_checksum=Toggle.TX_RX_DISABLED).pack()
    for data in (b"", good[:3], good[:19], bytes(20), good[:5] + b"\x63" + good[6:], b"\x81" + good[1:]):
        status = tell(bench, OID.TCP_OFFLOAD_PARAMETERS, data)
        assert status.is_error, f"{len(data)} bytes ({data.hex()}) ended {status!s}"
    assert current_offload(bench) == before, "a refused set changed the configuration"


@case(guide("oid-tcp-offload-current-config"), "no more is enabled than the hardware has", Feature.CHECKSUM)
def enabled_is_within_hardware(bench: Bench) -> None:
    """Compare the current configuration with the hardware capabilities."""
    hardware = Offload.parse(bench.query(OID.TCP_OFFLOAD_HARDWARE_CAPABILITIES))
    excess = current_offload(bench).exceeds(hardware)
    assert not excess, "enabled beyond the hardware: " + ", ".join(excess)


@case(
    guide("using-registry-values-to-enable-and-disable-task-offloading"),
    "*TCPChecksumOffloadIPv4 and its like switch what is enabled at the start",
    Feature.CHECKSUM,
    queues=1,
    cpus=1,
    keywords={"*TCPChecksumOffloadIPv4": 0, "*UDPChecksumOffloadIPv4": 0, "*IPChecksumOffloadIPv4": 0},
)
def keywords_switch_it_off(bench: Bench) -> None:
    """The keywords of IPv4 checksums are 0."""
    now = current_offload(bench)
    assert not (now.ipv4_transmit.tcp_checksum or now.ipv4_receive.tcp_checksum), "TCP over IPv4 is enabled"
    assert not (now.ipv4_transmit.udp_checksum or now.ipv4_receive.udp_checksum), "UDP over IPv4 is enabled"
    (seen,) = take(bench, tcp_frame(b"x", to=bench.station))
    assert seen.checksum == ReceiveChecksum(), "checksums are reported although keywords switch them off"


@case(_INFO, "no checksum is reported that is not enabled: NDIS was told that it is not looked at", **ONE)
def reports_no_more_than_is_enabled(bench: Bench) -> None:
    """Receive right TCP and UDP sums over IPv4 and IPv6; what is not enabled is neither good nor bad."""
    known = bench.adapter.known_offload
    config = known.default_config if known is not None else Offload()
    for version in (4, 6):
        part: ChecksumOffload = getattr(config, f"ipv{version}_receive")
        for what, make in (("tcp", tcp_frame), ("udp", udp_frame)):
            (seen,) = take(bench, make(b"data", version=version, to=bench.station))
            for name in (what, "ip"):
                said = getattr(seen.checksum, f"{name}_succeeded") or getattr(seen.checksum, f"{name}_failed")
                is_enabled = getattr(part, f"{name}_checksum")
                assert is_enabled or not said, f"{name} over IPv{version} is reported, and not enabled"


@case(
    _SEND,
    "IPv4 options do not matter to the transport checksum, where they are supported",
    Feature.CHECKSUM,
    **ONE,
)
def behind_ipv4_options(bench: Bench) -> None:
    """Send TCP and UDP behind 4, 20 and 40 bytes of IPv4 options; compare every byte with the reference."""
    need(bench, "transmit", 4, "tcp")
    need(bench, "transmit", 4, "udp")
    if not current_offload(bench).ipv4_transmit.ip_options:
        raise NotSupported("checksum with IPv4 options")
    wanted = []
    for size in (4, 20, 40):
        options = b"\x01" * size
        for maker, proto, bits in (
            (tcp_frame, packet.TCP, {"tcp": True, "tcp_header_offset": 34 + size}),
            (udp_frame, packet.UDP, {"udp": True}),
        ):
            right = maker(bytes(n & 255 for n in range(77)), to=PEER, ip={"options": options})
            bench.send(unsummed(right, 4, 34 + size, proto), checksum=asked(4, **bits))
            wanted.append(padded(right))
    bench.settle()
    same(bench.transmitted, wanted, "left")
