"""tshark judges what the miniport sends (large sends, checksums, tags, padding) and the file of a run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vnic.cli import main
from vnic.link.capture import CaptureWriter
from vnic.ndis.oob import LargeSendType, Vlan
from vnic.ndis.status import NDIS_STATUS
from vnic.testbench import Bench
from vnic.testbench.bench import RSS_KEY, hash_oracle
from vnic.wire import packet
from vnic.wire.capture import open_capture
from vnic.wire.packet import ACK, CWR, FIN, PSH
from vnic.wire.pcapng import Direction

if TYPE_CHECKING:
    from tests.strangers.conftest import Handed, Route, Row, Tshark

SHIPPED = Path(__file__).parents[2] / "vnic" / "data" / "flows.pcap"
ENDS = {4: ("192.0.2.1", "198.51.100.2"), 6: ("2001:db8::1", "2001:db8:7::2")}
LSO_MAX = (256 << 10) - 256  # MaxOffLoadSize: 256 KiB with the headers
GOOD, BAD = "1", "0"
WARNING = 0x600000
EVERY_TYPE = 0x1FF00
FIELDS = (
    "frame.len", "frame.protocols", "eth.padding", "vlan.id", "vlan.priority", "ip.id", "ip.checksum.status",
    "tcp.srcport", "tcp.seq_raw", "tcp.len", "tcp.flags", "tcp.payload", "tcp.checksum.status",
    "tcp.options", "udp.srcport", "udp.payload", "udp.checksum.status", "udp.checksum",
    "_ws.malformed", "_ws.expert.severity", "_ws.expert.message",
)  # fmt: skip
# Payloads are noise: nobody may see a protocol in them.
AS_DATA = ("-d", "tcp.port==40000-49999,data", "-d", "udp.port==40000-49999,data")

V1, V2 = LargeSendType.V1, LargeSendType.V2
TIMESTAMPS = bytes.fromhex("0101080a0001020304050607")
SACK = bytes.fromhex("0101050a") + bytes(range(8))
EXPERIMENT = bytes.fromhex("fd28") + bytes(range(38))  # kind 253 of RFC 4727, all the room there is
RECORD_ROUTE = bytes.fromhex("072704") + bytes(36)
ROUTER_ALERT = bytes.fromhex("94040000")
HOP_BY_HOP = [(packet.HOP_BY_HOP, packet.options_header(bytes.fromhex("05020000")))]
TWO_EXTENSIONS = [*HOP_BY_HOP, (packet.DESTINATION, packet.options_header(bytes(20)))]
TAG = Vlan(user_priority=5, vlan_id=0x123)


@dataclass(frozen=True)
class Large:
    """A large send; a size of 0 is the most that the card takes."""

    version: int
    mss: int
    size: int = 0
    kind: LargeSendType = V2
    options: bytes = b""
    ip: dict[str, Any] = field(default_factory=dict)
    flags: int = ACK
    seq: int = 1_000_000
    vlan: Vlan | None = None
    tags: Sequence[tuple[int, int]] = ()
    pieces: Sequence[int] = ()

    @property
    def payload(self) -> bytes:
        """Bytes that differ at every place."""
        size = self.size or LSO_MAX
        return b"".join(number.to_bytes(4) for number in range(-(-size // 4)))[:size]

    def hand(self, route: Route, port: int, payload: bytes) -> Handed:
        """What goes down."""
        return route.tcp(
            (port, 49_999), payload, mss=self.mss, kind=self.kind, tags=self.tags, ip=self.ip,
            options=self.options, flags=self.flags, seq=self.seq,
        )  # fmt: skip


LARGE_SENDS = [
    *(Large(version, mss, 0) for version in (4, 6) for mss in (1448, 8960)),
    *(Large(version, mss, 7 * mss + 1) for version in (4, 6) for mss in (536, 1220, 1460, 4000)),
    *(Large(4, mss, 5 * mss, kind=V1) for mss in (536, 1460, 8960)),
    Large(4, 1460, 0x10000 - 256, kind=V1, flags=ACK | PSH | FIN, vlan=TAG),
    *(Large(version, 1000, 1001, flags=ACK | PSH | FIN | CWR) for version in (4, 6)),
    *(Large(version, 1448, 20_000, options=TIMESTAMPS, flags=ACK | PSH) for version in (4, 6)),
    *(Large(version, 1436, 20_000, options=TIMESTAMPS + SACK) for version in (4, 6)),
    *(Large(version, 1420, 20_000, options=EXPERIMENT, vlan=TAG) for version in (4, 6)),
    *(Large(version, 1400, 9_000, tags=[(0x8100, 0x2007)]) for version in (4, 6)),
    *(Large(version, 1400, 9_000, tags=[(0x88A8, 9)], vlan=TAG) for version in (4, 6)),
    *(Large(version, 1460, 30_000, seq=2**32 - 5_000) for version in (4, 6)),
    *(Large(version, 1460, 30_000, pieces=[1, 13, 33, 2, 5, 1460, 4096, 3]) for version in (4, 6)),
    Large(4, 1460, 60_000, ip={"identification": 0x7FF0}),
    Large(4, 1400, 10_000, ip={"options": ROUTER_ALERT, "fragment": 0, "tos": 0x02}),
    Large(4, 1400, 10_000, ip={"options": RECORD_ROUTE}, options=TIMESTAMPS),
    Large(6, 1400, 10_000, ip={"extensions": HOP_BY_HOP, "flow_label": 0xABCDE}),
    Large(6, 1400, 10_000, ip={"extensions": TWO_EXTENSIONS, "traffic_class": 2}, options=TIMESTAMPS),
]


class Recorder:
    """The link of a bench: into a capture file."""

    def __init__(self, writer: CaptureWriter) -> None:
        self.writer = writer

    def transmit(self, frame: bytes, now_ns: int) -> None:
        self.writer.record(frame, now_ns, direction=Direction.OUTBOUND)


def write_frames(path: Path, frames: Sequence[bytes]) -> Path:
    """A capture of these frames, a microsecond apart."""
    with CaptureWriter(path) as writer:
        for number, frame in enumerate(frames):
            writer.record(frame, 1000 * number)
    return path


def send_all(path: Path, sends: Sequence[tuple[bytes, dict[str, Any]]]) -> Bench:
    """Send packets through the miniport, the wire captured; each must succeed. The bench is closed."""
    with (
        CaptureWriter(path) as writer,
        Bench(queues=1, cpus=1, link=Recorder(writer), keywords={"*JumboPacket": 9014}) as bench,
    ):
        for frame, oob in sends:
            bench.send(frame, **oob)
            bench.advance(1000)
        bench.settle()
        assert {sent.status for sent in bench.protocol.sent} == {NDIS_STATUS.SUCCESS}
        assert len(bench.protocol.sent) == len(sends)
    return bench


def complaints(rows: Sequence[Row]) -> list[str]:
    """What tshark finds worth a warning, malformed included."""
    return [
        row["_ws.expert.message"] or row["_ws.malformed"]
        for row in rows
        if row["_ws.malformed"]
        or any(int(level) >= WARNING for level in row["_ws.expert.severity"].split(",") if level)
    ]


# ---- large send


@pytest.fixture(scope="module")
def segments(
    tshark: Tshark, route: type[Route], tmp_path_factory: pytest.TempPathFactory
) -> dict[int, list[Row]]:
    """The wire of all large sends as tshark sees it, by case."""
    path = tmp_path_factory.mktemp("large") / "large.pcapng"
    sends = []
    for number, case in enumerate(LARGE_SENDS):
        way = route(*ENDS[case.version])
        handed = case.hand(way, 40_000 + number, case.payload)
        sends.append((handed.frame, handed.oob | {"vlan": case.vlan, "pieces": case.pieces}))
    send_all(path, sends)
    found: dict[int, list[Row]] = {number: [] for number in range(len(LARGE_SENDS))}
    for row in tshark(path, FIELDS, *AS_DATA):
        found[int(row["tcp.srcport"]) - 40_000].append(row)
    return found


def case_name(case: Large) -> str:
    """A name of a case for the report."""
    extras = [name for name in ("options", "ip", "vlan", "tags", "pieces") if getattr(case, name)]
    size = "max" if not case.size else str(case.size)
    return "-".join([f"v{case.kind + 1}", f"ipv{case.version}", f"mss{case.mss}", size, *extras])


@pytest.mark.requirement("TX-13", "TX-19", "TX-10")
@pytest.mark.parametrize("number", range(len(LARGE_SENDS)), ids=[case_name(case) for case in LARGE_SENDS])
def test_a_large_send_is_what_it_was_in_segments_that_are_all_right(
    segments: dict[int, list[Row]], number: int
) -> None:
    case, rows = LARGE_SENDS[number], segments[number]
    payload = case.payload
    count = -(-len(payload) // case.mss)
    assert complaints(rows) == []
    assert len(rows) == count >= 2
    assert {row["tcp.checksum.status"] for row in rows} == {GOOD}
    assert {row["ip.checksum.status"] for row in rows} == {GOOD if case.version == 4 else ""}
    assert bytes.fromhex("".join(row["tcp.payload"] for row in rows)) == payload
    assert [int(row["tcp.len"]) for row in rows[:-1]] == [case.mss] * (count - 1)
    wanted = [(case.seq + n * case.mss) % 2**32 for n in range(count)]
    assert [int(row["tcp.seq_raw"]) for row in rows] == wanted
    assert {row["tcp.options"] for row in rows} == {case.options.hex()}


@pytest.mark.requirement("TX-19")
@pytest.mark.parametrize("number", range(len(LARGE_SENDS)), ids=[case_name(case) for case in LARGE_SENDS])
def test_flags_identification_and_tags_of_the_segments(segments: dict[int, list[Row]], number: int) -> None:
    case, rows = LARGE_SENDS[number], segments[number]
    last = len(rows) - 1
    for place, row in enumerate(rows):
        flags = case.flags & ~(0 if place == last else FIN | PSH) & ~(CWR if place else 0)
        assert int(row["tcp.flags"], 16) == flags
        if case.version == 4:
            first = case.ip.get("identification", 0)
            assert int(row["ip.id"], 16) == (first + place) % 0x8000
    tags = [*([0x123] if case.vlan else []), *(tci & 0xFFF for tpid, tci in case.tags if tpid == 0x8100)]
    assert {row["vlan.id"] for row in rows} == {",".join(map(str, tags))}
    assert all(row["vlan.priority"].startswith("5") for row in rows if case.vlan)


# ---- checksums, tags, padding


def small_packets(route: type[Route], version: int) -> list[tuple[Handed, dict[str, Any]]]:
    """TCP and UDP of many lengths, with options, tags in band and out of band, in pieces."""
    way = route(*ENDS[version])
    ip: dict[str, Any] = {"options": ROUTER_ALERT} if version == 4 else {"extensions": TWO_EXTENSIONS}
    lengths = (0, 1, 2, 5, 6, 7, 17, 18, 19, 100, 101, 1400, 8900)
    plain = [zero_sum(way)]
    for number, length in enumerate(lengths):
        payload, ports = (bytes(range(1, 256)) * 40)[:length], (41_000, 42_000 + number)
        plain += [way.tcp(ports, payload), way.udp(ports, payload)]
    odd = b"odd length here"
    tagged = [way.tcp((41_001, 42_000), odd, tags=[(0x8100, 7)])]
    optioned = [
        way.tcp((41_002, 42_000), odd, ip=ip, options=TIMESTAMPS),
        way.udp((41_002, 42_000), odd, ip=ip),
    ]
    whole = [*plain, *tagged, *optioned]
    return [
        *((handed, {}) for handed in whole),
        *((handed, {"vlan": TAG}) for handed in whole),
        *((handed, {"pieces": [5, 9, 1, 1, 25, 3]}) for handed in whole),
    ]


def zero_sum(way: Route) -> Handed:
    """A UDP datagram whose checksum comes out as 0, which is sent as 0xFFFF."""
    finished = packet.udp(way.source, way.destination, 41_000, 41_001, bytes(2))
    return way.udp((41_000, 41_001), finished[6:8])


@pytest.mark.requirement("TX-7", "TX-8", "TX-10", "TX-15")
@pytest.mark.parametrize("version", [4, 6])
def test_checksums_are_inserted_and_short_frames_padded(
    tshark: Tshark, route: type[Route], version: int, tmp_path: Path
) -> None:
    sends = small_packets(route, version)
    send_all(tmp_path / "wire", [(handed.frame, handed.oob | oob) for handed, oob in sends])
    rows = tshark(tmp_path / "wire", FIELDS, *AS_DATA)
    assert complaints(rows) == []
    assert {row["tcp.checksum.status"] + row["udp.checksum.status"] for row in rows} == {GOOD}
    assert {row["ip.checksum.status"] for row in rows} == {GOOD if version == 4 else ""}
    # The datagram whose sum is zero, plain, tagged and in pieces.
    assert [row["udp.checksum"] for row in rows].count("0xffff") == 3
    for (handed, oob), row in zip(sends, rows, strict=True):
        natural = len(handed.frame) + (4 if "vlan" in oob else 0)
        assert int(row["frame.len"]) == max(natural, 60)
        assert len(row["eth.padding"]) == 2 * max(60 - natural, 0)
        assert not row["eth.padding"].strip("0")
        sent = row["tcp.payload"] + row["udp.payload"]
        assert handed.frame.endswith(bytes.fromhex(sent))
        if "vlan" in oob:
            assert (row["vlan.id"].split(",")[0], row["vlan.priority"].split(",")[0]) == ("291", "5")


# ---- the judge can say no


def test_what_is_handed_down_is_wrong_before_the_card_has_finished_it(
    tshark: Tshark, route: type[Route], tmp_path: Path
) -> None:
    handed = [
        each.frame
        for version in (4, 6)
        for each in (
            route(*ENDS[version]).tcp((41_000, 41_001), b"some data"),
            route(*ENDS[version]).udp((41_000, 41_001), b"some data"),
        )
    ]
    rows = tshark(write_frames(tmp_path / "raw", handed), FIELDS, *AS_DATA)
    assert [row["tcp.checksum.status"] + row["udp.checksum.status"] for row in rows] == [BAD] * 4
    assert [row["ip.checksum.status"] for row in rows] == [BAD, BAD, "", ""]


def test_one_bit_on_the_wire_a_lost_segment_and_a_cut_header_are_reported(
    tshark: Tshark, route: type[Route], tmp_path: Path
) -> None:
    handed = route(*ENDS[4]).tcp((41_000, 41_001), bytes(5000), mss=1000)
    send_all(tmp_path / "wire", [(handed.frame, handed.oob)])
    with open_capture(tmp_path / "wire") as capture:
        frames = [captured.data for captured in capture]
    in_data, in_header = bytearray(frames[1]), bytearray(frames[2])
    in_data[700] ^= 0x10
    in_header[22] ^= 0x01
    cut = frames[4][:40]
    rows = tshark(write_frames(tmp_path / "bad", [frames[0], bytes(in_data), bytes(in_header), cut]), FIELDS)
    assert [row["tcp.checksum.status"] for row in rows[:3]] == [GOOD, BAD, GOOD]
    assert [row["ip.checksum.status"] for row in rows[:3]] == [GOOD, GOOD, BAD]
    assert len(complaints(rows)) == 3
    rows = tshark(write_frames(tmp_path / "lost", [frames[0], frames[2]]), FIELDS)
    assert "not captured" in complaints(rows)[0]


# ---- what was indicated


@pytest.mark.requirement("RSS-5", "RSS-6")
def test_the_file_of_a_run_names_queue_and_hash(
    tshark: Tshark, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.pcapng"
    assert main(["run", "--queues", "4", "--cpus", "4", "--out", str(out), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    seen = ("frame.len", "ip.id", "tcp.seq_raw", "udp.checksum", "_ws.malformed")
    rows = tshark(out, ("frame.interface_queue", "frame.packet_flags_direction", *seen))
    shipped = tshark(SHIPPED, seen)
    assert Counter(tuple(row[name] for name in seen) for row in rows) == Counter(
        tuple(row.values()) for row in shipped
    )
    queues = Counter(row["frame.interface_queue"] for row in rows)
    assert queues == {number: share["frames"] for number, share in figures["queues"].items()}
    assert len(queues) == 4
    assert sum(int(row["frame.len"]) for row in rows) == figures["bytes"]
    assert {int(row["frame.packet_flags_direction"], 0) for row in rows} == {Direction.INBOUND}
    hashed = 0
    with open_capture(out) as capture:
        frames = list(capture)
    for row, frame in zip(rows, frames, strict=True):
        kind, value = hash_oracle(frame.data, EVERY_TYPE, RSS_KEY)
        assert frame.options.toeplitz == (value if kind else None)
        # The table spreads over all processors in turn, processor n on queue n.
        assert int(row["frame.interface_queue"]) == (value % 128 % 4 if kind else 0)
        hashed += bool(kind)
    assert hashed > 1000
