"""TCP chimney as its peer sees it: windows, what is sent again and when, and what segments look like."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from vnic.conformance.case import Feature, case
from vnic.conformance.groups.chimney import PUSH, drained, offloading, one
from vnic.conformance.groups.chimney_wire import with_options
from vnic.conformance.pages import chimney, manual
from vnic.gen.registers import BAR0
from vnic.ndis import chimney as nd
from vnic.testbench.bench import Bench
from vnic.testbench.chimney.bench import ChimneyBench
from vnic.testbench.chimney.blocks import EVENT, OK, REASON, TYPE, block_of, neighbour, path, tcp
from vnic.testbench.chimney.connection import Connection
from vnic.testbench.tcp_peer import ISS
from vnic.wire import packet, verify
from vnic.wire.parse import Frame

_PROTOCOL = chimney("required-and-suggested-tcp-ip-protocol-support")
_PERSIST = chimney("persist-timer")
MS = 1_000_000
_WRAP = 1 << 32


# -- windows -------------------------------------------------------------------------------------------------


@case(
    _PROTOCOL,
    "SndWnd follows newer segments only: by SEG.SEQ, and of one SEG.SEQ by SEG.ACK (RFC 9293, 3.10.7.4)",
    Feature.CHIMNEY,
)
def windows_of_older_segments(bench: Bench) -> None:
    """A segment behind a gap closes the window to 600; the one that fills the gap is older, and opens it."""
    chimneys, connection = one(bench)
    connection.post(1000, no_push=True)
    start = connection.peer.seq
    connection.receive(b"second", flags=PUSH, seq=start + 5, window=600)
    connection.receive(b"first", flags=PUSH, seq=start, window=65535)
    connection.peer.seq = start + 11
    connection.sent()
    connection.send(b"w" * 3000)
    chimneys.advance(150 * MS)
    segments = [each for each in connection.sent() if each.payload]
    edge = max((each.seq + len(each.payload) - ISS for each in segments), default=0)
    assert edge <= 600, f"{edge} bytes left into a window of 600: an older segment opened it"
    connection.receive(window=65535)
    chimneys.advance(1_000 * MS)
    assert drained(connection), "a newer segment did not open it"


@case(
    _PROTOCOL,
    "the right edge that was offered never moves back, whatever is consumed and whatever waits",
    Feature.CHIMNEY,
)
def the_right_edge(bench: Bench) -> None:
    """Odd segments of 1 to 3,000 bytes, taken, kept, and placed in receives of odd sizes, by turns."""
    chimneys, connection = one(bench)
    edge = (connection.peer.seq + 65535) % _WRAP
    for number in range(60):
        length = (number * 397) % 1440 + 1
        chimneys.client.returns = number % 3 != 0
        if number % 4 == 1:
            connection.post(number * 31 % 700 + 1, no_push=number % 8 == 1)
        room = (edge - connection.peer.seq) % _WRAP
        connection.receive(b"e" * min(length, room), flags=PUSH if number % 2 else packet.ACK)
        if number % 5 == 4:
            chimneys.client.give_back()
            chimneys.settle()
            chimneys.advance(600 * MS)
        for each in connection.sent():
            moved = (each.ack + each.window - edge) % _WRAP
            assert moved < 1 << 31, f"after {number} segments the right edge is {_WRAP - moved} bytes back"
            edge = (each.ack + each.window) % _WRAP
    chimneys.client.give_back()


@case(_PROTOCOL, "data that is placed in receives is consumed: the window stays open", Feature.CHIMNEY)
def windows_of_placed_data(bench: Bench) -> None:
    """117 KB into posted receives, nearly two windows full."""
    chimneys, connection = one(bench)
    got = 0
    for number in range(80):
        connection.post(1460, no_push=True)
        connection.receive(bytes([number]) * 1460, flags=packet.ACK)
        got += 1460
        for each in connection.sent():
            assert each.window > 30_000, f"after {got} bytes the window is {each.window}"
    chimneys.advance(600 * MS)
    assert connection.query().RcvNxt == connection.peer.seq
    assert len(connection.stream) == got


def _intervals(chimneys: ChimneyBench, connection: Connection, limit_ms: int) -> Iterator[int]:
    """Milliseconds between segments that the card sends by itself, as time goes by."""
    waited = 0
    for _ in range(limit_ms // 20):
        chimneys.advance(20 * MS)
        waited += 20
        if connection.sent():
            yield waited
            waited = 0


@case(
    _PERSIST, "a window of 0 is probed at intervals that double, and the connection lives on", Feature.CHIMNEY
)
def probes_of_a_closed_window(bench: Bench) -> None:
    """The window closes with data to send; each probe is answered; 60 seconds."""
    chimneys, connection = one(bench)
    connection.receive(window=0)
    connection.send(b"p" * 400)
    connection.sent()
    found = []
    for waited in _intervals(chimneys, connection, 60_000):
        found.append(waited)
        connection.receive(window=0)
        connection.sent()
    assert len(found) >= 4, f"{len(found)} probes in 60 s"
    grown = [later / earlier for earlier, later in itertools.pairwise(found[1:])]
    assert all(1.7 <= each <= 2.3 for each in grown[:4]), f"the intervals are {found} ms"
    connection.receive(window=65535)
    assert connection.query().SndUna - ISS <= 1
    assert drained(connection)[-399:] == b"p" * 399, "the data does not go on when the window opens"


# -- what is sent again --------------------------------------------------------------------------------------


@case(
    _PROTOCOL,
    "the retransmission timeout doubles with each expiry (RFC 6298, 5.5); after so many the host is told",
    Feature.CHIMNEY,
)
def timeouts_in_a_row(bench: Bench) -> None:
    """The peer is gone; retransmissions of one segment, until TcpIndicateRetrieve."""
    chimneys, connection = one(bench)
    connection.send(b"anybody?")
    (first,) = connection.sent()
    found, total = [], 0
    for waited in _intervals(chimneys, connection, 120_000):
        found.append(waited)
        total += waited
        if connection.told(EVENT.RETRIEVE.name):
            break
    assert connection.told(EVENT.RETRIEVE.name), f"nobody is told in {total} ms, after {len(found)} times"
    doubt = chimneys.device.read32(BAR0.CHM_DOUBT_RETRANSMISSIONS.offset)
    assert doubt - 1 <= len(found) <= doubt, f"told after {len(found)} retransmissions, {doubt} are the limit"
    assert connection.told(EVENT.RETRIEVE.name) == [(REASON.UPLOAD_REQUESTED,)]
    grown = [later / earlier for earlier, later in itertools.pairwise(found[1:])]
    assert all(1.6 <= each <= 2.4 for each in grown), f"the intervals are {found} ms"
    assert first.payload == b"anybody?"


@case(
    _PROTOCOL,
    "three duplicate ACKs have the segment that is missing sent again, at once (RFC 5681, 3.2)",
    Feature.CHIMNEY,
)
def duplicate_acknowledgements(bench: Bench) -> None:
    """Ten segments in pieces; the third is lost; no time goes by; each byte is what it was."""
    chimneys, connection = one(bench)
    data = bytes(n * 37 % 251 for n in range(14_600))
    connection.send(data, cuts=[1111] * 12)
    segments = [each for each in connection.sent() if each.payload]
    assert b"".join(each.payload for each in segments) == data
    lost = segments[2]
    connection.peer.ack = lost.seq
    connection.receive()
    again = []
    for _ in range(len(segments) - 3):
        connection.receive()
        again += [each for each in connection.sent() if each.payload and each.seq - ISS < len(data)]
    chimneys.advance(30 * MS)
    again += [each for each in connection.sent() if each.payload]
    assert lost.seq in [each.seq for each in again], "nothing was sent again for duplicate ACKs"
    for each in again:
        at = each.seq - ISS
        assert each.payload == data[at : at + len(each.payload)], f"other bytes at {at}"


@case(
    _PROTOCOL,
    "with SACK what the peer has is not sent again, and what the card has out of order is reported",
    Feature.CHIMNEY,
)
def selective_acknowledgements(bench: Bench) -> None:
    """Of ten segments the 2nd and 5th are lost; then the peer's own come out of order."""
    chimneys, connection = with_options(bench, nd.TcpConstFlag.SACK_ENABLED)
    data = bytes(n * 41 % 253 for n in range(14_600))
    connection.send(data)
    segments = [each for each in connection.sent() if each.payload]
    connection.peer.ack = segments[1].seq
    lost, seen = {segments[1].seq, segments[4].seq}, []
    blocks: list[tuple[int, int]] = []
    for each in segments[2:]:
        if each.seq in lost:
            continue
        blocks = [(each.seq, each.seq + len(each.payload)), *blocks][:3]
        option = b"\x01\x01\x05" + bytes([2 + 8 * len(blocks)])
        option += b"".join(a.to_bytes(4) + b.to_bytes(4) for a, b in blocks)
        connection.receive(options=option)
        seen += [again for again in connection.sent() if again.payload]
    chimneys.advance(100 * MS)
    seen += [again for again in connection.sent() if again.payload]
    assert lost <= {each.seq for each in seen}, "what was lost is not sent again"
    for each in seen:
        assert data[each.seq - ISS :][: len(each.payload)] == each.payload, "other bytes are sent again"
    allowed = {*lost, segments[-1].seq}
    assert all(each.seq in allowed for each in seen), "what was SACKed is sent again"
    connection.peer.ack = ISS + len(data)
    connection.receive()
    start = connection.peer.seq
    connection.receive(b"b" * 50, flags=PUSH, seq=start + 100)
    reported = connection.sent()[-1].options
    wanted = (start + 100).to_bytes(4) + (start + 150).to_bytes(4)
    assert wanted in reported or not reported, f"SACK blocks {reported.hex()}"
    for at in (500, 300):
        connection.receive(b"b" * 50, flags=PUSH, seq=start + at)
        reported = connection.sent()[-1].options
        first = reported.partition(wanted)[0] if wanted in reported else b""
        wanted = (start + at).to_bytes(4) + (start + at + 50).to_bytes(4)
        assert wanted in first or not reported, f"the first SACK block is not the latest: {reported.hex()}"


# -- what a segment looks like -------------------------------------------------------------------------------


@case(
    _PROTOCOL,
    "every segment has right checksums and lengths, keeps to PathMtu and RemoteMss, and PSH ends the queue",
    Feature.CHIMNEY,
)
def segments_as_they_leave(bench: Bench) -> None:
    """Sends of 1 to 6,000 bytes with a path of 1,500 and one of 600 bytes."""
    for mtu, mss in ((1500, 1460), (600, 1460), (1500, 700)):
        chimneys = offloading(bench)
        block = tcp(42_000 + mss)
        assert isinstance(block.const, nd.TCP_OFFLOAD_STATE_CONST)
        block.const.RemoteMss = mss
        chimneys.path_block = None
        (connection,) = _on_a_path(chimneys, block, mtu)
        for length in (1, 2, 559, 560, 561, 6000):
            data = bytes(n * 3 + length & 0xFF for n in range(length))
            connection.send(data)
            segments = [each for each in connection.sent() if each.payload]
            assert b"".join(each.payload for each in segments) == data, f"{length} bytes left otherwise"
            for each in segments:
                f = Frame.parse(each.frame)
                verdicts = verify.ipv4_header(f), verify.transport(f)
                assert verdicts == (verify.Verdict.GOOD, verify.Verdict.GOOD), f"checksums {verdicts}"
                assert len(each.ip) <= mtu and len(each.payload) <= mss, f"{len(each.ip)} bytes of IP"
            pushed = [bool(each.flags & packet.PSH) for each in segments]
            assert pushed[-1], f"{length} bytes end without PSH"
            connection.peer.ack = (connection.peer.ack + length) % _WRAP
            connection.receive()
        chimneys.upload_all()
        chimneys.connections.clear()


def _on_a_path(chimneys: ChimneyBench, block: Any, mtu: int, **neighbour_const: Any) -> list[Connection]:
    """Offload it on a neighbour and a path of its own."""
    chimneys.path_block = path(block, mtu=mtu)
    chimneys.neighbour_block = neighbour(chimneys.path_block, **neighbour_const)
    connection = chimneys.enlist(block)
    statuses = chimneys.control("initiate", chimneys.neighbour_block)
    assert set(statuses) == {OK}, f"{statuses}"
    return [connection]


@case(
    manual("CHM-40", "chimney"),
    "a frame is tagged if and only if VlanId is not 0; with a VlanId another tag, or none, is not taken",
    Feature.CHIMNEY,
)
def tags_of_a_connection(bench: Bench) -> None:
    """Connections with VlanId 0 and 5; the peer's segments with no tag, a priority, and three ids."""
    chimneys = offloading(bench)
    for number, vlan in enumerate((0, 5)):
        (connection,) = _on_a_path(chimneys, tcp(43_000 + number), 1500, VlanId=vlan)
        connection.send(b"tagged?")
        (segment,) = connection.sent()
        assert segment.tci == (vlan or None), f"with VlanId {vlan} the tag is {segment.tci}"
        connection.peer.ack += 7
        for tci in (None, 0x6000, 5, 6, 0xE005):
            before, start = len(connection.stream), connection.peer.seq
            connection.receive(b"12345", flags=PUSH, tci=tci)
            is_ours = vlan == 0 or (tci is not None and tci & 0xFFF == vlan)
            came = len(connection.stream) - before
            assert came == 5 * is_ours, f"VlanId {vlan}: of a segment with tag {tci} {came} bytes came"
            if not is_ours:
                connection.peer.seq = start
        chimneys.upload_all()
        chimneys.connections.clear()


@case(
    manual("CHM-42", "chimney"),
    "bytes that end with PSH complete a receive that is posted when they are in the pool already",
    Feature.CHIMNEY,
)
def pushed_data_that_was_refused(bench: Bench) -> None:
    """The client refuses pushed data; it posts more than there is: the receive completes at once."""
    chimneys, connection = one(bench)
    chimneys.client.accepts = lambda data: 0
    for number in range(4):
        part = bytes([number]) * (20 + number)
        connection.receive(part, flags=PUSH)
        connection.post(500)
        found = connection.told("received")
        assert found[number:] == [(OK, 20 + number)], f"a receive over pushed data of the pool: {found}"
    chimneys.client.accepts = lambda data: None


@case(
    chimney("reasons-for-updating-offloaded-state"),
    "a smaller InitialRcvWnd takes back nothing that was offered: the window shrinks as data comes",
    Feature.CHIMNEY,
)
def a_smaller_receive_window(bench: Bench) -> None:
    """Update InitialRcvWnd from 65,535 to 20,000; segments of 900 bytes, all consumed; the right edge."""
    chimneys, connection = one(bench)
    connection.receive(b"first", flags=PUSH)
    chimneys.advance(600 * MS)
    last = connection.sent()[-1]
    edge = last.ack + last.window
    flags = nd.TcpCachedFlag.UPDATE_RCV_WND
    cached = nd.TCP_OFFLOAD_STATE_CACHED(Flags=flags, InitialRcvWnd=20_000, TtlOrHopLimit=64)
    block = block_of(TYPE.TCP_CACHED, handle=connection.handle, cached=cached)
    assert chimneys.control("update", block) == [OK]
    for number in range(80):
        connection.receive(bytes([number]) * 900, flags=PUSH)
        for each in connection.sent():
            moved = (each.ack + each.window - edge) % _WRAP
            assert moved < 1 << 31, (
                f"the right edge is {_WRAP - moved} bytes back after {number + 1} segments"
            )
            edge = (each.ack + each.window) % _WRAP
            last = each
    assert last.window <= 22_000, f"a window of {last.window} long after the update to 20,000"
    assert len(connection.stream) == 5 + 80 * 900
