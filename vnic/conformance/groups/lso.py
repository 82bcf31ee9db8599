"""Large send offload: the segments of a send, byte for byte against an independent reference."""

from __future__ import annotations

from collections.abc import Iterable

from vnic.conformance.case import Feature, NotSupported, case
from vnic.conformance.drive import (
    OK,
    ONE,
    current_offload,
    has_oid,
    injected,
    padded,
    same,
    statuses,
    tell,
    works,
)
from vnic.conformance.pages import ddi, guide
from vnic.ndis.offload import OffloadParameters, Switch
from vnic.ndis.oid import OID
from vnic.ndis.oob import LargeSend, LargeSendType, Vlan
from vnic.testbench.bench import Bench
from vnic.testbench.frames import PEER, plain_frame, pseudo_sum, tcp_frame
from vnic.wire import packet
from vnic.wire.segment import segment

_PAGE = guide("offloading-the-segmentation-of-large-tcp-packets")
_INFO = ddi("ns-nbllso-ndis_tcp_large_send_offload_net_buffer_list_info", "nbllso")
_OPTIONS = bytes.fromhex("0101080a0000000100000002")


def most(bench: Bench, version: int) -> int:
    """MaxOffLoadSize of LSOv2; NOT SUPPORTED when it is not enabled."""
    lso = current_offload(bench).lso_v2
    size = lso.ipv4_max_offload_size if version == 4 else lso.ipv6_max_offload_size
    if not size:
        raise NotSupported(f"LSOv2 over IPv{version}")
    return size


def headers(
    version: int, *, options: bytes = b"", flags: int = packet.ACK, seq: int = 0x1000, ident: int = 1
) -> bytes:
    """The headers of a large send as TCP/IP leaves them: seed of the pseudo header without a length, IP
    length 0."""
    ip = {"identification": ident} if version == 4 else {}
    return tcp_frame(
        version=version, seq=seq, flags=flags, options=options, field=pseudo_sum(version), ip=ip, to=PEER
    )


def payload_of(size: int) -> bytes:
    """Bytes that tell where they were."""
    return bytes((n * 7 + (n >> 8)) & 255 for n in range(size))


def large(
    bench: Bench, version: int, head: bytes, payload: bytes, mss: int, *, pieces: Iterable[int] = ()
) -> list[bytes]:
    """Send it; the frames that should leave."""
    l4 = 34 if version == 4 else 54
    wish = LargeSend(mss, l4, LargeSendType.V2, version == 6)
    bench.send(head + payload, large_send=wish, pieces=list(pieces) or [len(head)])
    bench.settle()
    return [padded(frame) for frame in segment(head, payload, mss, l4_offset=l4)]


def _sizes(bench: Bench, version: int, options: bytes = b"") -> None:
    limit = most(bench, version)
    wanted: list[bytes] = []
    for size, mss in ((1461, 1460), (2920, 1460), (2921, 1460), (5000, 536), (9000, 1448), (60000, 1400)):
        if mss < size <= limit:
            wanted += large(bench, version, headers(version, options=options), payload_of(size), mss)
    same(bench.transmitted, wanted, "left")
    assert set(statuses(bench)) == {OK}


@case(
    _PAGE,
    "the miniport cuts payload into segments of MSS, each with its sequence number, lengths and sums",
    Feature.LSO,
    **ONE,
)
def over_ipv4(bench: Bench) -> None:
    """Send 1,461 to 60,000 bytes with MSS of 536 to 1,460 over IPv4."""
    _sizes(bench, 4)


@case(_PAGE, "large sends over IPv6 are cut in the same way", Feature.LSO, **ONE)
def over_ipv6(bench: Bench) -> None:
    """Send 1,461 to 60,000 bytes with MSS of 536 to 1,460 over IPv6."""
    _sizes(bench, 6)


@case(_PAGE, "TCP options are copied into every segment", Feature.LSO, **ONE)
def with_tcp_options(bench: Bench) -> None:
    """Send with the timestamp option over IPv4, and IPv6 where that is supported."""
    _sizes(bench, 4, _OPTIONS)


@case(_PAGE, "FIN and PSH are in the last segment only, CWR in the first", Feature.LSO, **ONE)
def flags_of_the_segments(bench: Bench) -> None:
    """Send three segments with FIN, PSH and both."""
    most(bench, 4)
    wanted: list[bytes] = []
    for flags in (packet.PSH, packet.FIN, packet.PSH | packet.FIN, 0):
        wanted += large(bench, 4, headers(4, flags=packet.ACK | flags), payload_of(2500), 1000)
    same(bench.transmitted, wanted, "left")


@case(
    _PAGE,
    "the sequence number goes on modulo 2^32, the IPv4 identification by one with each segment",
    Feature.LSO,
    **ONE,
)
def numbers_that_wrap(bench: Bench) -> None:
    """Send across sequence number 2^32, and from identification 0x7FFE on."""
    most(bench, 4)
    wanted = large(bench, 4, headers(4, seq=0xFFFF_F000, ident=0x7FFE), payload_of(12_000), 1000)
    same(bench.transmitted, wanted, "left")


@case(_PAGE, "a large send may be in any number of MDLs, cut anywhere", Feature.LSO, **ONE)
def in_many_pieces(bench: Bench) -> None:
    """Send 9,000 bytes in pieces of 1 to 700 bytes, headers cut in two too."""
    most(bench, 4)
    wanted: list[bytes] = []
    for pieces in ([1] * 60, [20, 20, 14, *[60] * 149], [54, *[700] * 12], [10, 44], [3000, 3000]):
        wanted += large(bench, 4, headers(4), payload_of(9000), 1000, pieces=pieces)
    same(bench.transmitted, wanted, "left")


@case(_PAGE, "a large send of MaxOffLoadSize works", Feature.LSO, keywords={"*JumboPacket": 1514}, **ONE)
def of_the_largest_size(bench: Bench) -> None:
    """Send as many bytes as the driver says it can, with its least and largest MSS."""
    limit = most(bench, 4)
    wanted = large(bench, 4, headers(4), payload_of(limit), 1460)
    same(bench.transmitted, wanted, "left")
    works(bench)


@case(_PAGE, "segments have the tag that the NBL asks for", Feature.LSO, Feature.VLAN, **ONE)
def with_a_tag(bench: Bench) -> None:
    """Send 3,000 bytes with 802.1Q information."""
    most(bench, 4)
    head = headers(4)
    bench.send(head + payload_of(3000), large_send=LargeSend(1000, 34), vlan=Vlan(0, False, 2))
    bench.settle()
    plain = segment(head, payload_of(3000), 1000, l4_offset=34)
    tagged = [frame[:12] + b"\x81\x00\x00\x02" + frame[12:] for frame in plain]
    assert bench.transmitted in (plain, tagged), "segments with a tag are wrong"


@case(
    _INFO, "when an LSOv2 send completes, its information holds the type and nothing else", Feature.LSO, **ONE
)
def what_completion_says(bench: Bench) -> None:
    """Send and look at TcpLargeSendNetBufferListInfo of the completed list; LSOv1 gives the payload's
    bytes."""
    lso = current_offload(bench)
    if lso.lso_v2.ipv4_max_offload_size:
        large(bench, 4, headers(4), payload_of(4000), 1000)
        assert bench.protocol.sent[-1].large_send_info == 1 << 30, (
            f"0x{bench.protocol.sent[-1].large_send_info:x}"
        )
    if lso.lso_v1.max_offload_size >= 5000:
        bench.send(
            headers(4) + payload_of(5000), large_send=LargeSend(1460, 34, LargeSendType.V1), pieces=[54]
        )
        bench.settle()
        assert bench.protocol.sent[-1].large_send_info == 5000
    assert bench.protocol.sent or not lso.lso_v2.ipv6_max_offload_size


@case(
    _PAGE, "large and plain sends keep their order, and nothing of one sticks to the next", Feature.LSO, **ONE
)
def among_plain_sends(bench: Bench) -> None:
    """Large sends with different MSS alternate with plain ones, thirty times, without a pause."""
    most(bench, 4)
    wanted: list[bytes] = []
    for number in range(30):
        head, payload, mss = headers(4, ident=number), payload_of(2000 + number), 600 + number * 20
        bench.send(head + payload, large_send=LargeSend(mss, 34), pieces=[54])
        wanted += [padded(frame) for frame in segment(head, payload, mss, l4_offset=34)]
        bench.send(plain_frame(70, number, PEER))
        wanted.append(plain_frame(70, number, PEER))
    bench.settle()
    same(bench.transmitted, wanted, "left")


@case(
    _PAGE,
    "a ring too short for a large send's pieces sends it all the same",
    Feature.LSO,
    keywords={"*TransmitBuffers": 8},
    **ONE,
)
def through_a_short_ring(bench: Bench) -> None:
    """Send 20,000 bytes in 40 pieces through a ring of 8 descriptors, five times."""
    most(bench, 4)
    wanted: list[bytes] = []
    for number in range(5):
        wanted += large(
            bench, 4, headers(4, ident=number), payload_of(20_000), 1400, pieces=[54, *[500] * 39]
        )
    same(bench.transmitted, wanted, "left")


@case(_INFO, "a large send that cannot be is completed with an error, and harms no other", Feature.LSO, **ONE)
def sends_that_contradict_themselves(bench: Bench) -> None:
    """MSS 0xFFFFF, no payload, a TCP header out of the packet, MSS 1: injected below the protocols."""
    most(bench, 4)
    head = headers(4)
    for data, wish in (
        (head, LargeSend(1000, 34)),
        (head + bytes(3000), LargeSend(1000, 1000)),
        (head[:40], LargeSend(1000, 34)),
        (head + bytes(100), LargeSend(1, 34)),
    ):
        bench.inject(data, large_send=wish)
        bench.settle()
    assert len(injected(bench)) == 4, f"{len(injected(bench))} of 4 sends came back"
    bench.transmitted.clear()
    works(bench, "after large sends that cannot be")


@case(
    guide("oid-tcp-offload-parameters"),
    "large send is switched by OID_TCP_OFFLOAD_PARAMETERS",
    Feature.LSO,
    **ONE,
)
def switched_off_and_on(bench: Bench) -> None:
    """Switch LSOv2 over IPv4 off and on."""
    if not has_oid(bench, OID.TCP_OFFLOAD_PARAMETERS):
        raise NotSupported("OID_TCP_OFFLOAD_PARAMETERS")
    before = most(bench, 4)
    off = OffloadParameters(lso_v2_ipv4=Switch.DISABLED)
    assert tell(bench, OID.TCP_OFFLOAD_PARAMETERS, off.pack()) == OK
    assert current_offload(bench).lso_v2.ipv4_max_offload_size == 0, "it is still reported as enabled"
    on = OffloadParameters(lso_v2_ipv4=Switch.ENABLED)
    assert tell(bench, OID.TCP_OFFLOAD_PARAMETERS, on.pack()) == OK
    assert most(bench, 4) == before
    wanted = large(bench, 4, headers(4), payload_of(4000), 1000)
    same(bench.transmitted, wanted, "left")


@case(
    _PAGE,
    "LSO version 1 cuts as version 2 does, and its completion tells the TCP payload that was sent",
    Feature.LSO,
    profile="snp2003",
    **ONE,
)
def version_1(bench: Bench) -> None:
    """The keywords are those of 2003: 2,921 to 60,000 bytes, with TCP options and IP options where they
    are taken."""
    can = current_offload(bench).lso_v1
    if not can.max_offload_size:
        raise NotSupported("LSOv1")
    wanted: list[bytes] = []
    told: list[int] = []
    for size, options in ((2921, b""), (60_000, b""), (9000, _OPTIONS)):
        if size > can.max_offload_size or (options and not can.tcp_options):
            continue
        head, payload = headers(4, options=options), payload_of(size)
        bench.send(head + payload, large_send=LargeSend(1460, 34, LargeSendType.V1), pieces=[len(head)])
        bench.settle()
        wanted += [padded(frame) for frame in segment(head, payload, 1460, l4_offset=34)]
        told.append(size)
    same(bench.transmitted, wanted, "left")
    found = [sent.large_send_info for sent in bench.protocol.sent]
    assert found == told, f"TcpPayload {found} of sends with {told} bytes"
