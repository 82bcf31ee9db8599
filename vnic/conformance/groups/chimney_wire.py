"""TCP chimney as its peer sees it: what is acknowledged, and segments that mean harm or nothing."""

from __future__ import annotations

from typing import Any

from vnic.abi import DmaPurpose, DmaStatus, FaultAction, FaultSite
from vnic.conformance.case import Feature, case
from vnic.conformance.groups.chimney import PUSH, offloading, one
from vnic.conformance.pages import chimney, manual
from vnic.fault import Fault
from vnic.ndis import chimney as nd
from vnic.testbench.bench import Bench
from vnic.testbench.chimney.bench import ChimneyBench
from vnic.testbench.chimney.blocks import EVENT, OK, REASON, TYPE, block_of, tcp
from vnic.testbench.chimney.connection import Connection
from vnic.testbench.tcp_peer import ISS
from vnic.wire import packet

_PROTOCOL = chimney("required-and-suggested-tcp-ip-protocol-support")
_URGENT = chimney("handling-the-reception-of-urgent-data")
_PERSIST = chimney("persist-timer")
MS = 1_000_000
_WRAP = 1 << 32


def with_options(bench: Bench, flags: nd.TcpConstFlag, **members: Any) -> tuple[ChimneyBench, Connection]:
    """One connection that negotiated these."""
    chimneys = offloading(bench)
    block = tcp(**members)
    assert isinstance(block.const, nd.TCP_OFFLOAD_STATE_CONST)
    block.const.Flags = flags
    (connection,) = chimneys.connect(block)
    return chimneys, connection


def stamp(value: int, echo: int) -> bytes:
    """A timestamp option, aligned."""
    return b"\x01\x01\x08\x0a" + value.to_bytes(4) + echo.to_bytes(4)


# -- what the card acknowledges ------------------------------------------------------------------------------


@case(
    _PROTOCOL,
    "a lone segment is acknowledged within 500 ms, every second full-sized one at once (RFC 9293, 3.8.6.3)",
    Feature.CHIMNEY,
)
def acknowledgements_in_time(bench: Bench) -> None:
    """One segment, 20 full-sized ones, one more; every ACK is of RcvNxt, and none is of more."""
    chimneys, connection = one(bench)
    connection.post(100_000, no_push=True)
    connection.receive(b"a" * 100, flags=packet.ACK)
    chimneys.advance(499 * MS)
    acks = connection.sent()
    assert acks and acks[-1].ack == connection.peer.seq, "a lone segment was not acknowledged in 500 ms"
    seen = 0
    for number in range(20):
        connection.receive(bytes([number]) * 1460, flags=packet.ACK)
        acks = connection.sent()
        assert all(each.ack == connection.peer.seq for each in acks), "an ACK of something else"
        seen += len(acks)
    assert 10 <= seen <= 20, f"{seen} ACKs of 20 full-sized segments"
    chimneys.advance(499 * MS)
    connection.sent()
    chimneys.advance(2_000 * MS)
    assert not connection.sent(), "ACKs of nothing"


@case(
    _PROTOCOL,
    "a segment out of order, one that fills a gap, a duplicate and a FIN are acknowledged at once",
    Feature.CHIMNEY,
)
def acknowledgements_at_once(bench: Bench) -> None:
    """Segments 2, 3 and 1 of three; 1 again; a FIN."""
    _, connection = one(bench)
    connection.post(10_000, no_push=True)
    start = connection.peer.seq
    for what, at, wanted in (
        ("a gap", 100, 0), ("a second gap", 200, 0), ("what fills it", 0, 300), ("a duplicate", 0, 300),
    ):  # fmt: skip
        connection.receive(b"x" * 100, flags=packet.ACK, seq=start + at)
        acks = [(each.ack - start) % _WRAP for each in connection.sent()]
        if what == "what fills it" and acks != [300]:  # what was out of order need not be kept
            for again in (100, 200):
                connection.receive(b"x" * 100, flags=packet.ACK, seq=start + again)
            acks = [(each.ack - start) % _WRAP for each in connection.sent()][-1:]
        assert acks[-1:] == [wanted], f"{what}: ACKs of {acks}, wanted {wanted}"
    connection.peer.seq = start + 300
    connection.receive(flags=packet.ACK | packet.FIN)
    assert [(each.ack - start) % _WRAP for each in connection.sent()] == [301], "the FIN"


@case(
    _PROTOCOL,
    "an acknowledgement of what was never sent changes nothing, and is answered (RFC 9293, 3.10.7.4)",
    Feature.CHIMNEY,
)
def acknowledgements_of_the_future(bench: Bench) -> None:
    """Send 500 bytes; the peer acknowledges 501, 2,000 and 2^31 - 1, with data of its own."""
    _, connection = one(bench)
    connection.post(1000, no_push=True)
    connection.send(b"s" * 500)
    connection.sent()
    for number, beyond in enumerate((1, 1500, (1 << 31) - 501)):
        connection.receive(b"never", flags=PUSH, ack=(ISS + 500 + beyond) % _WRAP, seq=connection.peer.seq)
        assert not connection.told("sent"), f"a send completes by an ACK {beyond} beyond SndMax"
        assert connection.query().SndUna == ISS, "SndUna moved"
        assert connection.stream == b"", "its data was taken"
        answers = connection.sent()
        assert number or answers, "it is not answered"
        assert all(each.ack == connection.peer.seq for each in answers)
    connection.peer.ack = ISS + 500
    connection.receive(b"good", flags=PUSH)
    assert connection.told("sent") == [(OK, 500)]


@case(
    _PROTOCOL,
    "a segment that begins before RcvNxt, or covers what was kept, gives each byte once",
    Feature.CHIMNEY,
)
def overlapping_segments(bench: Bench) -> None:
    """Pieces out of order, then segments that begin before, end behind, and cover them."""
    plans: tuple[tuple[tuple[int, int], ...], ...] = (
        ((100, 200), (0, 300)),
        ((100, 150), (200, 250), (0, 120), (50, 300)),
        ((50, 100), (0, 400)),
        ((200, 300), (100, 250), (0, 150), (0, 300)),
        ((10, 20), (30, 40), (50, 60), (0, 100)),
        ((0, 100), (50, 150), (0, 160), (140, 300)),
    )
    _, connection = one(bench)
    for number, plan in enumerate(plans):
        before, start = len(connection.stream), connection.peer.seq
        data = bytes((n * 7 + number) & 0xFF for n in range(400))
        end = max(right for _, right in plan)
        for _ in range(2):  # what a card need not keep, the peer sends again
            for left, right in plan:
                seq = (start + left) % _WRAP
                connection.receive(data[left:right], flags=PUSH, seq=seq)
        for _ in range(6):
            connection.receive(data[:end], flags=PUSH, seq=start)
        got = connection.stream[before:]
        assert got == data[:end], f"{plan}: {len(got)} bytes came, or in another order"
        connection.peer.seq = (start + end) % _WRAP
        assert connection.query().RcvNxt == connection.peer.seq, f"{plan}: RcvNxt"
        connection.sent()


@case(
    _PROTOCOL,
    "a byte that was delivered, or is held out of order, is not replaced by a later copy of another content",
    Feature.CHIMNEY,
)
def copies_that_disagree(bench: Bench) -> None:
    """Pieces out of order, then segments over them with other bytes, in order and not."""
    _, connection = one(bench)
    connection.receive(b"delivered", flags=PUSH)
    start = connection.peer.seq
    connection.receive(b"B" * 100, flags=PUSH, seq=start + 100)
    connection.receive(b"x" * 40, flags=PUSH, seq=start + 130)
    held = connection.sent()[-1].ack
    assert held == start, "a gap was acknowledged"
    connection.receive(b"C" * 60, flags=PUSH, seq=start + 180)
    connection.receive(b"Y" * 100, flags=PUSH, seq=start + 50)
    connection.receive(b"A" * 59, flags=PUSH, seq=start - 9)
    for _ in range(4):
        connection.receive(b"A" * 300, flags=PUSH, seq=start)
    got = connection.stream
    assert got[:9] == b"delivered", "delivered bytes changed"
    assert got[9:109] in (b"A" * 50 + b"Y" * 50, b"A" * 100), "bytes of the gap"
    kept = got[109:209]
    assert kept in (b"B" * 100, b"A" * 100), f"bytes of two copies: {kept!r}"
    assert len(got) == 9 + 300, f"{len(got)} bytes came"
    connection.peer.seq = start + 300


@case(
    _PROTOCOL,
    "with timestamps a segment older than the last is not taken, but answered (RFC 7323, 5)",
    Feature.CHIMNEY,
)
def segments_with_old_timestamps(bench: Bench) -> None:
    """Segments at RcvNxt with older, equal and newer timestamps, over the wrap; what is echoed."""
    for recent in (1000, 5, (1 << 32) - 3):
        state = {"TsRecent": recent, "TsRecentAge": 0, "TsTime": 77}
        chimneys, connection = with_options(bench, nd.TcpConstFlag.TIMESTAMP_ENABLED, **state)
        connection.post(1000, no_push=True)
        start, before = connection.peer.seq, len(connection.stream)
        for older in (1, 100, 1 << 30):
            options = stamp((recent - older) % _WRAP, 77)
            connection.receive(b"old", flags=PUSH, options=options, seq=start)
            assert len(connection.stream) == before, f"a segment {older} ms older was taken"
        assert connection.sent(), "an old segment is not answered"
        for newer, echoed in ((0, 0), (7, 7)):  # the one that moves the window, of those that an ACK answers
            connection.receive(b"new", flags=PUSH, options=stamp((recent + newer) % _WRAP, 77))
            connection.receive(b"too", flags=PUSH, options=stamp((recent + newer + 3) % _WRAP, 77))
            chimneys.advance(600 * MS)
            last = connection.sent()[-1]
            assert last.ack == connection.peer.seq, "segments in order were not taken"
            assert last.options[2:4] == b"\x08\x0a", f"no timestamp in {last.options.hex()}"
            wanted = ((recent + echoed) % _WRAP).to_bytes(4)
            assert last.options[8:12] == wanted, f"{last.options[8:12].hex()} is echoed, not {wanted.hex()}"
        chimneys.upload_all()
        chimneys.connections.clear()


# -- what means harm, or nothing -----------------------------------------------------------------------------


@case(
    chimney("handling-the-reception-of-syn-segments"),
    "of SYNs only the one at RcvNxt ends the offload; in the window one ACK in 3 s, outside one each",
    Feature.CHIMNEY,
)
def blind_syns(bench: Bench) -> None:
    """SYNs out of the window, in it, and at RcvNxt; data flows in between."""
    chimneys, connection = one(bench)
    start = connection.peer.seq
    for far in (1 << 30, 70_000, (1 << 32) - 5):
        connection.receive(flags=packet.SYN, seq=(start + far) % _WRAP)
        assert len(connection.sent()) == 1, f"a SYN {far} beyond RcvNxt is not answered by one ACK"
    for _ in range(4):
        connection.receive(flags=packet.SYN, seq=start + 10)
    assert len(connection.sent()) <= 1, "several ACKs of SYNs in the window"
    assert not connection.told(EVENT.RETRIEVE.name), "a SYN beside RcvNxt ends the offload"
    connection.receive(b"goes on", flags=PUSH)
    assert connection.stream == b"goes on"
    chimneys.advance(4_000 * MS)
    connection.sent()
    connection.receive(flags=packet.SYN, seq=connection.peer.seq)
    assert connection.told(EVENT.RETRIEVE.name), "a SYN at RcvNxt does not have the connection uploaded"


@case(
    _URGENT,
    "after a mandatory TcpIndicateRetrieve nothing is taken or acknowledged until the terminate",
    Feature.CHIMNEY,
)
def connections_that_are_stopped(bench: Bench) -> None:
    """Urgent data; then the peer sends it again, more, and a FIN; with a receive posted and without."""
    chimneys, _ = one(bench)
    for posted in (0, 1000):
        (connection,) = chimneys.connect(tcp(41000 + posted))
        if posted:
            connection.post(posted)
        connection.receive(b"before", flags=PUSH)
        chimneys.advance(600 * MS)
        connection.sent()
        start = connection.peer.seq
        connection.receive(b"urgent", flags=PUSH | packet.URG, urgent=3)
        assert connection.told(EVENT.RETRIEVE.name) == [(REASON.RECEIVED_URGENT_DATA,)]
        for number, part in enumerate((b"urgent", b"more", b"data")):
            connection.receive(part, flags=PUSH, seq=start if number == 0 else connection.peer.seq)
        connection.receive(flags=packet.ACK | packet.FIN)
        chimneys.advance(600 * MS)
        assert all(each.ack == start for each in connection.sent()), "a stopped connection acknowledges"
        assert connection.stream == b"before", f"a stopped connection delivers {connection.stream!r}"
        connection.terminate()
        assert connection.state is not None
        assert connection.state.RcvNxt == start, "a stopped connection took data"


def _stop(chimneys: ChimneyBench, connection: Connection, how: str) -> None:
    """Let something happen after which a target has to ask for the upload."""
    if how == "invalidated":
        assert chimneys.control("invalidate", block_of(TYPE.NONE, handle=connection.handle)) == [OK]
    elif how == "the peer is silent":
        connection.send(b"anybody?")
        for _ in range(60):
            chimneys.advance(2_000 * MS)
    else:
        action, status = FaultAction.ERROR, DmaStatus.ABORTED
        failure = Fault(site=FaultSite.DMA_READ, action=action, index=DmaPurpose.DATA, argument=status)
        with chimneys.device.arm(failure):
            connection.send(b"unreadable")
    chimneys.settle()
    connection.sent()


@case(
    manual("CHM-41", "chimney"),
    "whatever the mandatory reason is, what arrives until the terminate is discarded",
    Feature.CHIMNEY,
    is_rough=True,
)
def reasons_to_stop(bench: Bench) -> None:
    """An invalidate, timeouts in a row, send data that cannot be read; then 300 bytes and a FIN come."""
    chimneys, _ = one(bench)
    for number, how in enumerate(("invalidated", "the peer is silent", "unreadable data")):
        for posted in (0, 1000):
            (connection,) = chimneys.connect(tcp(44_100 + 2 * number + (posted != 0)))
            if posted:
                connection.post(posted)
            start = connection.peer.seq
            _stop(chimneys, connection, how)
            told = connection.told(EVENT.RETRIEVE.name)
            assert len(told) == 1, f"{how}: TcpIndicateRetrieve {told}"
            for _ in range(3):
                connection.receive(b"late" * 25, flags=PUSH)
            connection.receive(flags=packet.ACK | packet.FIN)
            chimneys.advance(600 * MS)
            assert all(each.ack == start for each in connection.sent()), f"{how}: late data is acknowledged"
            assert connection.stream == b"", f"{how}: late data is delivered"
            assert not connection.told("DISCONNECT"), f"{how}: a late FIN is told"
            connection.terminate()
            assert connection.state is not None
            assert connection.state.RcvNxt == start, f"{how}: late data counts"
            assert all(each.ack == start for each in connection.sent()), f"{how}: acknowledged at the end"


@case(
    chimney("handling-the-reception-of-ip-fragments"),
    "fragments and datagrams with IPv4 options take the plain path, unchanged, and never move the connection",
    Feature.CHIMNEY,
)
def datagrams_of_the_plain_path(bench: Bench) -> None:
    """The peer's next segment with options, as fragments, with another protocol, and to another address."""
    chimneys, connection = one(bench)
    peer = connection.peer
    frames = [
        peer.frame(b"options", flags=PUSH, ip={"options": b"\x01" * 4}),
        peer.frame(b"options", flags=PUSH, ip={"options": b"\x07\x27\x04" + bytes(36) + b"\0"}),
        peer.frame(b"first", flags=PUSH, ip={"fragment": 0x2000}),
        peer.frame(b"middle", flags=PUSH, ip={"fragment": 0x2010}),
        peer.frame(b"last", flags=PUSH, ip={"fragment": 0x0010}),
    ]
    for frame in frames:
        before = len(chimneys.received)
        chimneys.receive(frame)
        chimneys.settle()
        assert chimneys.received[before:] == [frame], "the datagram was not indicated, or changed"
    assert connection.stream == b"", f"{connection.stream!r} was delivered"
    assert not connection.sent(), "a datagram of the plain path was answered"
    connection.receive(b"plain", flags=PUSH)
    assert connection.stream == b"plain"
