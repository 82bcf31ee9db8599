"""RSS: the hash that was published, the processor that the table names, and sets that must change nothing."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from vnic.conformance.case import Feature, NotSupported, case
from vnic.conformance.drive import OK, same, take
from vnic.conformance.pages import ddi, guide
from vnic.ndis.oid import OID
from vnic.ndis.rss import HashType, ReceiveScaleCapabilities, RssCapability
from vnic.protocol.capture import Received
from vnic.testbench.bench import RSS_TYPES, Bench
from vnic.testbench.frames import ADDRESSES, datagram, ethernet, plain_frame, tcp_frame, udp_frame
from vnic.wire import packet, toeplitz

_VERIFY = guide("verifying-the-rss-hash-calculation")
_TYPES = guide("rss-hashing-types")
_TABLE = guide("rss-configuration")
_CAPABILITIES = ddi("ns-ntddndis-_ndis_receive_scale_capabilities", "ntddndis")
_INDICATING = guide("indicating-rss-receive-data")
#: Destination, source, hash of the addresses, and with the ports of TCP: the table of the page.
_PUBLISHED = (
    ("161.142.100.80", 1766, "66.9.149.187", 2794, 0x323E8FC2, 0x51CCC178),
    ("65.69.140.83", 4739, "199.92.111.2", 14230, 0xD718262A, 0xC626B0EA),
    ("12.22.207.184", 38024, "24.19.198.95", 12898, 0xD2D0A5DE, 0x5C2B394A),
    ("209.142.163.6", 2217, "38.27.205.30", 48228, 0x82989176, 0xAFC7327F),
    ("202.188.127.2", 1303, "153.39.163.191", 44251, 0x5D1809C5, 0x10E828A2),
    ("3ffe:2501:200:3::1", 1766, "3ffe:2501:200:1fff::7", 2794, 0x2CC18CD5, 0x40207D3D),
    ("ff02::1", 4739, "3ffe:501:8::260:97ff:fe40:efab", 14230, 0x0F0C461C, 0xDDE51BBF),
    ("fe80::200:f8ff:fe21:67cf", 38024, "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251, 0x4B61E985, 0x02D1FEEF),
)
_ADDRESSES_ONLY = HashType.IPV4 | HashType.IPV6
_WITH_PORTS = HashType.TCP_IPV4 | HashType.TCP_IPV6


def enable(bench: Bench, table: tuple[int, ...] | None = None, types: int = int(RSS_TYPES)) -> None:
    """Switch RSS on; it must succeed."""
    status = bench.set_rss(table, types=types)
    assert status == OK, f"OID_GEN_RECEIVE_SCALE_PARAMETERS ended {status!s}"


def capabilities(bench: Bench) -> ReceiveScaleCapabilities:
    """What the driver said it can do."""
    assert bench.adapter.general is not None and bench.adapter.general.receive_scale is not None
    return bench.adapter.general.receive_scale


def flows(bench: Bench, count: int, first: int = 0) -> list[bytes]:
    """A frame each of so many TCP flows over IPv4 and IPv6."""
    return [
        tcp_frame(n.to_bytes(2), version=4 if n % 2 else 6, ports=(10000 + n, 80), to=bench.station)
        for n in range(first, first + count)
    ]


def in_order(bench: Bench, frames: Sequence[bytes]) -> list[Received]:
    """What the protocol got of these frames, in their order; each must have come once."""
    got = take(bench, *frames)
    seen = {frame.data: frame for frame in got}
    assert len(got) == len(frames) == len(seen), f"{len(got)} frames came of {len(frames)}"
    return [seen[frame] for frame in frames]


def published(bench: Bench) -> list[bytes]:
    """The segments of the page's table."""
    return [
        tcp_frame(
            ports=(from_port, to_port),
            version=ip_address(source).version,
            ip={"addresses": (source, destination)},
            to=bench.station,
            min_len=60,
        )
        for destination, to_port, source, from_port, _, _ in _PUBLISHED
    ]


def _check_published(bench: Bench, types: HashType, column: int) -> None:
    enable(bench, types=int(types))
    for row, frame in zip(_PUBLISHED, in_order(bench, published(bench)), strict=True):
        wanted = row[column]
        assert frame.hash is not None, f"no hash on the segment from {row[2]}"
        value = frame.hash[2]
        assert value == wanted, (
            f"hash 0x{value:08x} of the segment from {row[2]}, published is 0x{wanted:08x}"
        )


@case(_VERIFY, "the published addresses have the published hash values", Feature.RSS)
def published_hashes_of_addresses(bench: Bench) -> None:
    """Receive the segments of that page with the address types enabled; look at NetBufferListHashValue."""
    _check_published(bench, _ADDRESSES_ONLY, 4)


@case(_VERIFY, "the published addresses and ports have the published hash values", Feature.RSS)
def published_hashes_with_ports(bench: Bench) -> None:
    """Receive the segments of that page with the TCP types enabled; look at NetBufferListHashValue."""
    _check_published(bench, _WITH_PORTS, 5)


@case(
    _VERIFY,
    "the secret key takes part from its first byte on, each byte from its highest bit on",
    Feature.RSS,
)
def every_byte_of_the_key_counts(bench: Bench) -> None:
    """Set keys in which a single bit is one, and compare hashes with those of the reference."""
    source, destination = ADDRESSES[6]
    addresses = ip_address(source).packed + ip_address(destination).packed
    frame = tcp_frame(version=6, ports=(0xA5C3, 0x1E87), to=bench.station, min_len=60)
    covered = addresses + (0xA5C3).to_bytes(2) + (0x1E87).to_bytes(2)
    for bit in range(0, 320, 7):
        key = (1 << 319 - bit).to_bytes(40)
        status = bench.set_rss(key=key)
        assert status == OK, f"a set with another key ended {status!s}"
        (got,) = in_order(bench, [frame])
        wanted = toeplitz.hash(key, covered)
        assert got.hash is not None and got.hash[2] == wanted, (
            f"bit {bit} of the key: {got.hash}, not 0x{wanted:08x}"
        )


@case(_TYPES, "the hash type says what was hashed; a type that is not enabled is not used", Feature.RSS)
def hash_types_that_are_enabled(bench: Bench) -> None:
    """Enable one type after the other, and all; receive TCP and UDP over both IPs."""
    frames = [maker(b"x", version=v, to=bench.station) for maker in (tcp_frame, udp_frame) for v in (4, 6)]
    for types, wanted in (
        (RSS_TYPES, [0x200, 0x1000, 0x100, 0x400]),
        (HashType.TCP_IPV4, [0x200, None, None, None]),
        (HashType.TCP_IPV6, [None, 0x1000, None, None]),
        (HashType.IPV4, [0x100, None, 0x100, None]),
        (HashType.IPV6, [None, 0x400, None, 0x400]),
    ):
        enable(bench, types=int(types))
        found = [frame.hash and frame.hash[0] for frame in in_order(bench, frames)]
        assert found == wanted, (
            f"types 0x{int(types):x} enabled: {_listed(found)} were used, not {_listed(wanted)}"
        )


def _listed(types: Sequence[int | None]) -> str:
    return ", ".join("none" if each is None else f"0x{each:x}" for each in types)


@case(_TYPES, "UDP's ports are hashed only when a UDP type is enabled", Feature.RSS)
def udp_types(bench: Bench) -> None:
    """Enable the UDP types where the driver has them, and receive both IPs and TCP."""
    if not capabilities(bench).flags & RssCapability.HASH_TYPE_UDP_IPV4:
        status = bench.set_rss(types=int(HashType.UDP_IPV4))
        assert status != OK, "a UDP type was accepted that NDIS_RECEIVE_SCALE_CAPABILITIES does not have"
        raise NotSupported("hashes no UDP ports")
    enable(bench, types=int(HashType.UDP_IPV4 | HashType.UDP_IPV6))
    frames = [maker(b"x", version=v, to=bench.station) for maker in (udp_frame, tcp_frame) for v in (4, 6)]
    found = [frame.hash and frame.hash[0] for frame in in_order(bench, frames)]
    assert found == [0x4000, 0x8000, None, None], _listed(found)


@case(_TYPES, "a fragment has no ports: it is hashed by its addresses, or not at all", Feature.RSS)
def fragments(bench: Bench) -> None:
    """Receive fragments of a segment with the TCP type alone, with both types, and with the address type."""
    whole = datagram(4, packet.TCP, packet.tcp(*ADDRESSES[4], 1, 2, bytes(100)), fragment=0)
    pieces = [ethernet(piece, to=bench.station, min_len=60) for piece in packet.ipv4_fragments(whole, 40)]
    for types, wanted in ((0x200, None), (0x300, 0x100), (0x100, 0x100)):
        enable(bench, types=types)
        found = [frame.hash and frame.hash[0] for frame in in_order(bench, pieces)]
        assert set(found) == {wanted}, f"types 0x{types:x} enabled: fragments have {_listed(found)}"


@case(
    _INDICATING,
    "a frame that cannot be hashed carries no hash, and goes to the default processor",
    Feature.RSS,
)
def frames_that_cannot_be_hashed(bench: Bench) -> None:
    """Between flows, receive ARP, another EtherType and a datagram that is cut off."""
    enable(bench, (1, 2, 3, 1))
    odd = [
        plain_frame(100, 1, bench.station),
        ethernet(packet.arp("192.0.2.1", "192.0.2.2"), to=bench.station, min_len=60),
        ethernet(b"\x45" + bytes(10), to=bench.station, min_len=60),
    ]
    mixed = [frame for pair in zip(flows(bench, 3), odd, strict=True) for frame in pair]
    got = in_order(bench, mixed)
    assert all(frame.hash for frame in got[0::2]), "a flow's frame has no hash"
    assert not any(frame.hash for frame in got[1::2]), "a frame that cannot be hashed has one"
    assert {frame.cpu for frame in got[1::2]} == {0}, "it did not go to the default processor"


@case(_TABLE, "the low bits of the hash index the table, whose entry names the processor", Feature.RSS)
def processor_of_every_frame(bench: Bench) -> None:
    """Set tables of 1, 2, 8, 64 and 128 entries; every hashed frame is indicated where its entry says."""
    processors = min(len(bench.processors), capabilities(bench).receive_queues)
    for entries in (1, 2, 8, 64, 128):
        table = tuple((entry * 3 + 1) % processors for entry in range(entries))
        enable(bench, table)
        for frame in in_order(bench, flows(bench, 48)):
            assert frame.hash is not None, "a flow's frame has no hash"
            wanted = table[frame.hash[2] & entries - 1]
            assert frame.cpu == wanted, (
                f"hash 0x{frame.hash[2]:08x} of {entries} came up on {frame.cpu}, not {wanted}"
            )


@case(
    _TABLE,
    "with line interrupts RSS works by queuing DPCs to the table's processors",
    Feature.RSS,
    interrupt="line",
)
def processors_with_a_line_interrupt(bench: Bench) -> None:
    """The same with the one interrupt of a line."""
    processor_of_every_frame(bench)


@case(
    _TABLE, "with MSI as with MSI-X, frames come up on the table's processors", Feature.RSS, interrupt="msi"
)
def processors_with_msi(bench: Bench) -> None:
    """The same with the messages of MSI."""
    processor_of_every_frame(bench)


@case(
    _CAPABILITIES,
    "a table may name more processors than the hardware has queues",
    Feature.RSS,
    queues=2,
    cpus=8,
)
def more_processors_than_queues(bench: Bench) -> None:
    """Spread over 8 processors with 2 queues: nothing is lost, and each flow stays on one processor."""
    enable(bench, tuple(range(8)))
    frames = flows(bench, 32)
    first, again = in_order(bench, frames), in_order(bench, frames)
    assert [frame.cpu for frame in first] == [frame.cpu for frame in again], "flows moved between processors"


@case(
    _INDICATING,
    "frames of a connection are indicated in the order in which they came",
    Feature.RSS,
    frames_per_dpc=4,
)
def order_within_a_flow(bench: Bench) -> None:
    """Receive 240 segments of 8 flows mixed; each flow's are in order and have one hash."""
    enable(bench)
    frames = [tcp_frame(n.to_bytes(4), ports=(7000 + n % 8, 80), seq=n, to=bench.station) for n in range(240)]
    got = take(bench, *frames)
    for flow in range(8):
        port = (7000 + flow).to_bytes(2)
        mine = [frame for frame in got if frame.data[34:36] == port]
        same([frame.data for frame in mine], [frame for frame in frames if frame[34:36] == port])
        assert len({frame.hash for frame in mine}) == 1, "a flow has several hashes"


@case(
    _CAPABILITIES,
    "NumberOfReceiveQueues and the message flags say what the hardware has",
    Feature.RSS,
    queues=4,
)
def capabilities_are_true(bench: Bench) -> None:
    """Compare NDIS_RECEIVE_SCALE_CAPABILITIES with the machine: queues, messages, hash function, types."""
    said = capabilities(bench)
    asked = ReceiveScaleCapabilities.parse(bench.query(OID.GEN_RECEIVE_SCALE_CAPABILITIES))
    assert asked == said, "the OID's answer is not what the attributes say"
    assert said.flags & RssCapability.TOEPLITZ, "NdisHashFunctionToeplitz is missing"
    assert 1 <= said.receive_queues <= 4, f"{said.receive_queues} receive queues of a card with 4 pairs"
    assert said.table_entries in (1, 2, 4, 8, 16, 32, 64, 128), f"a table of {said.table_entries} entries"
    for flag, kind in (
        (RssCapability.HASH_TYPE_TCP_IPV4, HashType.TCP_IPV4),
        (RssCapability.HASH_TYPE_TCP_IPV6, HashType.TCP_IPV6),
    ):
        status = bench.set_rss(types=int(kind))
        assert (status == OK) == bool(said.flags & flag), f"{flag.name} against a set that ended {status!s}"
