"""The card's chimney: what it counts and says of connections, and what their packets say of their images."""

from __future__ import annotations

from itertools import product
from typing import Any

from vnic.conformance.case import card_case
from vnic.conformance.pages import manual
from vnic.gen.descriptors import ChmData, ChmPath
from vnic.gen.enums import ChmObject, ChmReason, ChmStatus
from vnic.gen.registers import BAR0
from vnic.testbench.chimney.images import path_image, tcp_image
from vnic.testbench.chimney.rig import ChimneyRig
from vnic.testbench.chimney.rig_connection import RigConnection
from vnic.testbench.rig import Rig
from vnic.testbench.tcp_peer import IRS, ISS, segment_of
from vnic.wire import packet

_ACK, _PSH, _FIN, _RST = packet.ACK, packet.PSH, packet.FIN, packet.RST
_WRAP = 1 << 32


def _terminate(connection: RigConnection) -> None:
    """TERMINATE."""
    connection.terminate()


def _reset_by_peer(connection: RigConnection) -> None:
    """a RST"""
    connection.receive(flags=_RST)


def _abort(connection: RigConnection) -> None:
    """an abortive disconnect"""
    connection.disconnect(abortive=1)


def _close(connection: RigConnection) -> None:
    """a FIN that is sent"""
    connection.disconnect()


def _hang_up(connection: RigConnection) -> None:
    """a FIN that is received, and one that is sent"""
    connection.receive(flags=_ACK | _FIN)
    connection.disconnect()


#: Lengths of segments that arrive together, and whether each has PSH.
_BUNCHES = (
    ((100, True), (100, False)),
    ((100, False), (50, True), (300, False)),
    ((300, True), (300, True)),
    ((256, True), (256, False), (1, False)),
)
#: TOS, TTL and flow label.
_FIELDS = (
    *((0, 1, 0), (0x04, 255, 1), (0x80, 128, 0x8000), (0xFC, 64, 0xFFFF), (0x20, 2, 0x10000)),
    *((0xB8, 127, 0x80000), (0x10, 3, 0xFFFFF), (0x40, 4, 0xABCDE), (0x08, 5, 0x40000), (0, 6, 0x20000)),
)
_ENDS = (_terminate, _reset_by_peer, _abort, _close, _hang_up)


@card_case(
    manual("CHM-70", "chimney"),
    "the connections of each version in ESTABLISHED or CLOSE-WAIT are counted, to the last of them",
)
def connections_that_are_counted(rig: Rig) -> None:
    """Three connections of each version; each ends in each way, then TERMINATE; a FIN received is no end."""
    chimney = ChimneyRig(rig)
    paths = {version: chimney.path(version=version) for version in (4, 6)}

    def counted() -> list[int]:
        return [chimney.stat(f"TCP{version}_ESTABLISHED") for version in (4, 6)]

    for end, version in product(_ENDS, (4, 6)):
        what = f"IPv{version}, {end.__doc__}"
        made = {
            (v, n): chimney.connect(paths[v], version=v, remote_port=40_000 + n)
            for v in (4, 6)
            for n in range(3)
        }
        assert counted() == [3, 3], f"{what}: three of each are {counted()}"
        made[version, 1].receive(flags=_ACK | _FIN)
        assert counted() == [3, 3], f"{what}: in CLOSE-WAIT one is not counted, {counted()}"
        end(made[version, 0])
        wanted = [3 - (v == version) for v in (4, 6)]
        assert counted() == wanted, f"{what}: then {counted()} are counted"
        rig.put(BAR0.CHM_STAT_CLEAR, BAR0.CHM_STAT_CLEAR.mask())
        assert counted() == wanted, f"{what}: a clear changes how many there are, {counted()}"
        for each in made.values():
            if each.handle in chimney.connections:
                each.terminate()
        assert counted() == [0, 0], f"{what}: of none {counted()} are counted"
        chimney.take()


_COUNTERS = (
    *("TCP{}_IN_SEGMENTS", "TCP{}_OUT_SEGMENTS", "TCP{}_RESET_ESTABLISHED", "TCP{}_RETRANSMITTED_SEGMENTS"),
    *("TCP{}_IN_ERRORS", "TCP{}_OUT_RESETS", "IP{}_IN_RECEIVES", "IP{}_IN_OCTETS", "IP{}_IN_DELIVERS"),
    *("IP{}_OUT_REQUESTS", "IP{}_OUT_OCTETS"),
)


def _counters(chimney: ChimneyRig, version: int) -> list[int]:
    return [chimney.stat(name.format(version)) for name in _COUNTERS]


def _exchange(chimney: ChimneyRig, version: int) -> list[int]:
    """Data both ways, a wrong checksum, sends that nobody acknowledges, an abort; what is to be counted."""
    connection = chimney.connect(version=version)
    arrived = [
        connection.peer.frame(b"wrong", flags=_ACK, field=0x1234),
        connection.peer.frame(b"first", flags=_ACK | _PSH),
        connection.peer.frame(b"next", flags=_ACK | _PSH, seq=IRS + 5),
    ]
    for frame in arrived:
        chimney.rig.inject(frame)
    connection.send(b"to the peer")
    connection.send(b"and more")
    chimney.advance(5_000_000_000)
    connection.disconnect(abortive=1)
    sent = connection.sent()
    connection.terminate()
    chimney.take()
    with_data = [each.seq for each in sent if each.payload]
    again = len(with_data) - len(set(with_data))
    assert again, "nothing is sent again"
    resets = sum(each.flags & _RST != 0 for each in sent)
    inward, outward = sum(len(segment_of(each).ip) for each in arrived), sum(len(each.ip) for each in sent)
    return [3, len(sent) - again, 1, again, 1, resets, 3, inward, 3, len(sent), outward]


@card_case(
    manual("CHM-70", "chimney"),
    "segments, errors, retransmissions, resets and bytes count once, by version; a clear is of one block",
)
def traffic_that_is_counted(rig: Rig) -> None:
    """Data both ways, a wrong checksum, retransmissions, an abort, by IPv6 and IPv4; clear block by block."""
    chimney = ChimneyRig(rig)
    totals = {4: [0] * len(_COUNTERS), 6: [0] * len(_COUNTERS)}
    for version in (6, 4):
        totals[version] = _exchange(chimney, version)
        for each, wanted in totals.items():
            found = _counters(chimney, each)
            wrong = [row for row in zip(_COUNTERS, found, wanted, strict=True) if row[1] != row[2]]
            assert not wrong, f"IPv{version} traffic: IPv{each} counter, value, what happened: {wrong}"
    for block in ("TCP4", "IP6", "TCP6", "IP4"):
        rig.put(BAR0.CHM_STAT_CLEAR, BAR0.CHM_STAT_CLEAR.encode(**{block: 1}))
        version = int(block[-1])
        for number, name in enumerate(_COUNTERS):
            if name.format(version).startswith(f"{block}_"):
                totals[version][number] = 0
        left = {each: _counters(chimney, each) for each in totals}
        assert left == totals, f"a clear of {block} leaves {left}"


@card_case(
    manual("CHM-68", "chimney"),
    "bytes for the pool count from the last receive that was taken; one that is refused is none",
)
def receives_between_pool_data(rig: Rig) -> None:
    """A limit of 1,000: 600 bytes, a receive of none, of some, or a late one, 600 more, and 400 more."""
    chimney = ChimneyRig(rig, parameters={"UNPOSTED_BYTES": 1000})
    path = {version: chimney.path(version=version) for version in (4, 6)}
    for version, way in product((4, 6), ("nothing", "no bytes", "some bytes", "late", "one byte less")):
        connection = chimney.connect(path[version], version=version)
        connection.receive(bytes(600), flags=_ACK | _PSH)
        chimney.poll()
        if way in ("no bytes", "some bytes"):
            connection.post(50 if way == "some bytes" else 0)
            if way == "some bytes":
                connection.receive(bytes(50), flags=_ACK | _PSH)
        elif way == "late":
            connection.post(50, data_count=7)
        length = 399 if way == "one byte less" else 600
        connection.receive(bytes(length), flags=_ACK | _PSH)
        told = chimney.reasons()
        wanted = [ChmReason.NO_BUFFER_PREPOSTING] * (way in ("nothing", "late"))
        assert told == wanted, f"IPv{version}, {way} between 600 and {length}: RETRIEVE with {told}"
        connection.receive(bytes(399), flags=_ACK | _PSH)
        connection.receive(bytes(1), flags=_ACK | _PSH)
        told = chimney.reasons()
        assert told == [ChmReason.NO_BUFFER_PREPOSTING], f"IPv{version}, {way}: at the end {told}"
        connection.terminate()
        chimney.take()


@card_case(
    manual("CHM-67", "chimney"),
    "of 64 requests in a row, those of no bytes aside, the mean is looked at, then of the next 64",
)
def requests_that_are_small(rig: Rig) -> None:
    """Sends and receives around a mean of 100 bytes; 0 bytes between them; a window behind another."""
    chimney = ChimneyRig(rig, parameters={"SMALL_IO": 100})
    path = chimney.path()
    rows: tuple[tuple[str, tuple[int, ...], bool], ...] = (
        ("64 of 100", (100,) * 64, False),
        ("63 of 100 and one of 99", (100,) * 63 + (99,), True),
        ("63 of 1 among others of none", (1, 0) * 63, False),
        ("64 of 99 among others of none", (99, 0) * 64, True),
        ("as many of 1 as of 199", (1, 199) * 32, False),
        ("64 of 100, then 64 of 99", (100,) * 64 + (99,) * 64, True),
        ("32 of 200, then 64 of 1", (200,) * 32 + (1,) * 64, False),
    )
    for (name, lengths, is_small), is_send in product(rows, (False, True)):
        connection = chimney.connect(path)
        chimney.take()
        for length in lengths:
            if is_send:
                connection.send(bytes(length))
                connection.peer.ack = (connection.peer.ack + length) % _WRAP
                connection.receive()
            else:
                connection.post(length)
                connection.receive(bytes(length), flags=_ACK | _PSH)
        told = chimney.reasons()
        what = f"{name}, {'sends' if is_send else 'receives'}: RETRIEVE with {told}"
        assert told == [ChmReason.SMALL_IO] * is_small, what
        connection.terminate()
        chimney.take()
        rig.sent()


@card_case(
    manual("CHM-42", "chimney"),
    "an entry of pool data says PUSH if its last byte came with PSH, and no other byte of it did",
)
def pushes_of_data_that_waited(rig: Rig) -> None:
    """Segments with PSH and without wait for a buffer, small or large; a FIN behind them, or none."""
    for length in (256, 2048):
        chimney = ChimneyRig(rig, pool_posted=0, pool_len=length, pool_count=32)
        path, first = chimney.path(), chimney.pool_buffers[0].address
        for parts, has_fin in product(_BUNCHES, (0, 1)):
            connection = chimney.connect(path)
            chimney.take()
            at, ends = 0, list[int]()
            for part, is_pushed in parts:
                connection.receive(bytes(part), flags=_ACK | _PSH * is_pushed)
                at += part
                ends += [at] * is_pushed
            if has_fin:
                connection.receive(flags=_ACK | _FIN)
                ends.append(at)
            chimney.keeps_pool = True
            chimney.post_pool(0, *(first + n * length for n in range(8)))
            chimney.poll()
            found = _entries(chimney)
            what = f"{parts}, FIN {has_fin}, into buffers of {length}: ends of entries with PUSH {found}"
            assert max(found) == at, f"{what}, of {at} bytes"
            assert found.get(ends[-1]) == 1, f"{what}, a push at {ends[-1]}"
            assert {end for end, push in found.items() if push} <= set(ends), f"{what}, pushes at {ends}"
            connection.terminate()
            rig.put(BAR0.CHQ_POOL_CTRL, BAR0.CHQ_POOL_CTRL.encode(RESET=1), 0)
            chimney.start_pool(0)
            chimney.take()
        chimney.switch_off()


def _entries(chimney: ChimneyRig) -> dict[int, int]:
    """PUSH of each entry of pool data, by how many bytes there are up to its end."""
    at, found = 0, dict[int, int]()
    for each in chimney.entries:
        if isinstance(each, ChmData):
            at += each.len
            found[at] = each.push
    return found


@card_case(
    manual("CHM-25", "chimney"),
    "packets carry the TOS or traffic class, TTL or hop limit and flow label of the image, every bit of them",
)
def fields_of_headers(rig: Rig) -> None:
    """Single bits and all of each field, over both versions, by CREATE and by UPDATE; data, ACKs, a FIN."""
    chimney = ChimneyRig(rig)
    for version in (4, 6):
        path = chimney.path(version=version)
        for number, (tos, ttl, some) in enumerate(_FIELDS):
            label = some * (version == 6)
            given: dict[str, Any] = {
                "tos_or_traffic_class": tos,
                "ttl_or_hop_limit": ttl,
                "flow_label": label,
            }
            connection = chimney.connect(path, version=version, **(given if number % 2 else {}))
            if number % 2 == 0:
                done = chimney.update(tcp_image(**given), connection.handle)
                assert done.status == ChmStatus.OK, f"UPDATE to {given}: {ChmStatus(done.status).name}"
            rig.sent()
            connection.send(b"data")
            connection.receive(b"answer", flags=_ACK | _PSH)
            connection.receive(b"answer", flags=_ACK | _PSH)
            connection.disconnect()
            packets = [each.ip for each in connection.sent()]
            assert len(packets) >= 2, "nothing is sent"
            for each in packets:
                found = _fields(each)
                assert found == (tos, ttl, label), f"IPv{version}: TOS, TTL, flow label {found}, not {given}"
            connection.terminate()
            chimney.take()
            rig.sent()


def _fields(ip: bytes) -> tuple[int, int, int]:
    """TOS or traffic class, TTL or hop limit, and the flow label, 0 in IPv4."""
    word = int.from_bytes(ip[:4])
    if word >> 28 == 4:
        return ip[1], ip[8], 0
    return word >> 20 & 0xFF, ip[7], word & 0xFFFFF


@card_case(
    manual("CHM-4", "chimney"),
    "an UPDATE of a path takes an MTU from the least of its version to the card's, and refuses others",
)
def updates_of_path_mtus(rig: Rig) -> None:
    """MTUs around 68, 1,280 and the largest, by both versions; a refused one changes no segment."""
    chimney = ChimneyRig(rig)
    for version, least, headers in ((4, 68, 40), (6, 1280, 60)):
        path = chimney.path(version=version)
        connection = chimney.connect(path, version=version)
        mtu, acked = 1500, 0
        for wanted in (least - 1, 67, 0, 1, least, 1500, least + 1, 1499, 0xFFFF_FFFF, least - 1):
            status = chimney.update(path_image(version, path_mtu=wanted), path).status
            right = ChmStatus.OK if least <= wanted <= 1500 else None
            if right is None:
                right = ChmStatus.BAD_VALUE if wanted < least else ChmStatus.PATH_MTU
            else:
                mtu = wanted
            assert status == right, f"IPv{version}: an MTU of {wanted} is {ChmStatus(status).name}"
            rig.sent()
            connection.send(bytes(3000))
            longest = max(len(each.payload) for each in connection.sent())
            assert longest == mtu - headers, f"IPv{version}, MTU {mtu}: a segment of {longest} bytes"
            image = chimney.query(ChmObject.PATH, path)
            assert isinstance(image, ChmPath) and image.path_mtu == mtu, f"IPv{version}: {image}, not {mtu}"
            acked += 3000
            connection.peer.ack = (ISS + acked) % _WRAP
            for _ in range(3):
                connection.receive()
        connection.terminate()
        chimney.take()
        rig.sent()
