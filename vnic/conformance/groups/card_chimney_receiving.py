"""The card's chimney and what arrives: whose it is, forwarding, pieces, blocks, fences, rings."""

from __future__ import annotations

from itertools import product
from random import Random
from typing import Any

from vnic.conformance.card_drive import commit_rss
from vnic.conformance.case import card_case
from vnic.conformance.pages import manual
from vnic.gen.descriptors import ChmCompletion, ChmData, ChmFence, ChmSubmission
from vnic.gen.enums import ChmReason, ChmStatus, ChmSubmissionOp, CompletionType, RingError
from vnic.gen.registers import BAR0
from vnic.testbench.chimney.images import SCALING, number_of
from vnic.testbench.chimney.rig import ChimneyRig
from vnic.testbench.frames import ADDRESSES, MAC, PEER
from vnic.testbench.rig import Rig
from vnic.testbench.tcp_peer import IRS
from vnic.wire import packet

_ACK, _PSH, _FIN = packet.ACK, packet.PSH, packet.FIN
_MS = 1_000_000
_WRAP = 1 << 32
_BLOCK = 4080
_KEPT = 2
_OTHER = bytes.fromhex("0200000000aa")
_KEY = bytes((n * 73 + 41) & 0xFF for n in range(40))
_WIDE: dict[str, Any] = {
    "rcv_wnd": 1 << 20, "initial_rcv_wnd": 1 << 20, "const_flags": SCALING, "rcv_wind_scale": 5,
}  # fmt: skip
_SENT = b"a segment that is forwarded"
_RECEIVE, _FORWARD = CompletionType.CHM_RECEIVE, CompletionType.CHM_FORWARD


def _ethernet(datagram: bytes, **fields: Any) -> bytes:
    return packet.ethernet(datagram, **({"source": PEER, "destination": MAC} | fields))


def _strange(version: int, tcp: bytes, cut: bytes) -> list[bytes]:
    """Frames with the tuple of a connection that are not its segments."""
    peer, us = ADDRESSES[version]
    maker = packet.ipv4 if version == 4 else packet.ipv6
    whole = maker(peer, us, packet.TCP, tcp)
    frames = [
        _ethernet(whole[: len(whole) - 3]),
        _ethernet(maker(peer, us, packet.UDP, tcp)),
        _ethernet(whole, tags=((0x88A8, 5),)),
        _ethernet(whole, tags=((0x8100, 0), (0x8100, 0))),
        _ethernet(maker(peer, us, packet.TCP, cut)),
    ]
    if version == 4:
        bad = bytearray(whole)
        bad[10] ^= 1
        frames += [_ethernet(packet.ipv4(peer, us, packet.TCP, tcp, options=b"\x01\x01\x01\x00"))]
        frames += [_ethernet(bytes(bad)), *(_ethernet(part) for part in packet.ipv4_fragments(whole, 16))]
    else:
        for kind, body in (
            (packet.DESTINATION, packet.options_header(b"\x01\x02\x00\x00")),
            (packet.FRAGMENT, packet.fragment_header(0, more=True)),
        ):
            frames.append(_ethernet(packet.ipv6(peer, us, packet.TCP, tcp, extensions=[(kind, body)])))
    return frames


@card_case(
    manual("CHM-40", "chimney"),
    "what is no plain segment of a connection goes the plain way, unchanged, and moves nothing",
)
def frames_that_are_the_hosts(rig: Rig) -> None:
    """Fragments, options, extension headers, wrong lengths and checksums, tags, ports, other hosts."""
    chimney = ChimneyRig(rig)
    rig.change(BAR0.MAC_RX_CTRL, PROMISCUOUS=1)
    for version in (4, 6):
        connection = chimney.connect(version=version)
        own = chimney.connect(
            chimney.path(chimney.neighbour(source_address=number_of(_OTHER)), version), version=version,
            remote_port=40005,
        )  # fmt: skip
        peer = connection.peer
        frames = _strange(version, peer.tcp(b"payload"), peer.tcp(b"payload", data_offset=4))
        frames.append(peer.frame(b"to another")[:0] + _OTHER + peer.frame(b"to another")[6:])
        for ports in ((40001, 80), (40000, 81), (80, 40000)):
            peer.ports = ports
            frames.append(peer.frame(b"another port"))
        peer.ports = (40000, 80)
        frames.append(own.peer.frame(b"not to its own address"))
        before = chimney.stat(f"TCP{version}_IN_SEGMENTS")
        for frame in frames:
            chimney.frames.clear()
            rig.inject(frame)
            chimney.poll()
            assert [each.data for each in chimney.frames] == [frame], f"IPv{version}: {frame.hex()} was taken"
        assert connection.query().rcv_nxt == own.query().rcv_nxt == IRS, f"IPv{version}: RcvNxt has moved"
        assert chimney.stat(f"TCP{version}_IN_SEGMENTS") == before, f"IPv{version}: counted"
        connection.receive(b"its own", flags=_ACK | _PSH)
        rig.inject(_OTHER + own.peer.frame(b"to the host's own", flags=_ACK | _PSH)[6:])
        chimney.poll()
        assert bytes(connection.data) == b"its own" and bytes(own.data) == b"to the host's own"
        for each in (connection, own):
            each.terminate()
        chimney.take()


@card_case(
    manual("CHM-40", "chimney"),
    "a segment finds its connection among many that come and go, and nobody else's",
    connections=143,
)
def many_connections(rig: Rig) -> None:
    """143 connections of both versions; rounds in which a third ends and others come; a segment for each."""
    chimney = ChimneyRig(rig, pool_count=256, pool_len=64)
    random = Random(7)
    paths = {version: chimney.path(version=version) for version in (4, 6)}
    made: dict[int, Any] = {}
    for number in range(3):
        while len(made) < 143:
            port = random.randrange(1, 60_000)
            if port not in made:
                version = 4 + 2 * (port & 1)
                made[port] = chimney.connect(paths[version], version=version, remote_port=port)
                chimney.take()
        for port, connection in made.items():
            connection.receive(port.to_bytes(2) + bytes([number]), flags=_ACK | _PSH)
        chimney.take()
        lost = [
            port for port, each in made.items() if bytes(each.data[-3:]) != port.to_bytes(2) + bytes([number])
        ]
        assert not lost and not chimney.frames, f"round {number}: segments for ports {lost} came elsewhere"
        gone = random.sample(sorted(made), 48)
        for port in gone:
            made[port].terminate()
            chimney.take()
        for port in gone[:9]:
            made[port].receive(b"late")
        chimney.poll()
        assert len(chimney.frames) == 9, f"round {number}: segments of those that ended were taken"
        chimney.frames.clear()
        for port in gone:
            del made[port]
        rig.sent()


@card_case(
    manual("CHM-50", "chimney"),
    "a forwarded segment is processed as if received, whatever its checksum; one of another is an error",
)
def segments_that_are_forwarded(rig: Rig) -> None:
    """Data, an ACK and a FIN in 1 to 32 pieces; 33 pieces; other ports; a header that is none; unreadable."""
    chimney = ChimneyRig(rig, sq_count=128)
    for version, cuts in product((4, 6), ((), (20,), (1,) * 19, (1,) * 31, (0, 10, 0))):
        connection = chimney.connect(chimney.path(version=version), version=version)
        connection.send(b"to be acknowledged")
        chimney.take()
        segment = connection.peer.tcp(_SENT, flags=_ACK | _PSH | _FIN, ack=5018, field=0x1234)
        before = chimney.stat(f"TCP{version}_IN_SEGMENTS"), chimney.stat(f"IP{version}_IN_RECEIVES")
        address, entries = rig.stage(segment), list[ChmSubmission]()
        for cut in (*cuts, len(segment) - sum(cuts)):
            entries.append(ChmSubmission(op=ChmSubmissionOp.FORWARD, addr=address, len=cut, more=1))
            address += cut
        entries[-1].more = 0
        connection.submit(*entries)
        chimney.poll()
        what = f"IPv{version}, {len(entries)} pieces"
        ended = [ChmStatus(each.status).name for each in chimney.completions(_FORWARD)]
        assert ended == ["OK"], f"{what}: it ends with {ended}"
        assert bytes(connection.data) == _SENT, f"{what}: {bytes(connection.data)!r} comes"
        sends = sum(each.count for each in chimney.completions(CompletionType.CHM_SEND))
        assert sends == 1 and len(chimney.events()) == 1, (
            f"{what}: {sends} sends, {len(chimney.events())} events"
        )
        after = chimney.stat(f"TCP{version}_IN_SEGMENTS"), chimney.stat(f"IP{version}_IN_RECEIVES")
        assert after == (before[0] + 1, before[1]), (
            f"{what}: segments and datagrams counted {before}, {after}"
        )
        connection.terminate()
        chimney.take()
        rig.sent()
    connection = chimney.connect()
    chimney.take()
    errors = chimney.stat("TCP4_IN_ERRORS")
    segment = connection.peer.tcp(b"x")
    for wrong in (segment[:1] + bytes([segment[1] ^ 1]) + segment[2:], segment[:12] + b"\x40" + segment[13:]):
        connection.forward(wrong)
    assert chimney.stat("TCP4_IN_ERRORS") == errors + 2, "segments of another are no errors"
    address = rig.stage(segment)
    parts = [ChmSubmission(op=ChmSubmissionOp.FORWARD, addr=address, len=1, more=1) for _ in range(32)]
    connection.submit(*parts, ChmSubmission(op=ChmSubmissionOp.FORWARD, addr=address, len=1))
    connection.submit(ChmSubmission(op=ChmSubmissionOp.FORWARD, addr=1 << 45, len=25))
    ended = [ChmStatus(each.status).name for each in chimney.completions(_FORWARD)]
    assert ended == ["OK", "OK", "BAD_LENGTH", "DMA"], f"wrong ones end with {ended}"
    assert connection.query().rcv_nxt == IRS, "a wrong segment moves something"
    assert chimney.stat("FREE_WORK") == chimney.stat("MAX_WORK"), "work is kept"


@card_case(
    manual("CHM-44", "chimney"),
    "a receive in pieces is filled in order; with BEFORE its push timer runs though nothing was placed",
)
def receives_in_pieces(rig: Rig) -> None:
    """Pieces of 0 to 100 bytes, segments of 7 and 70; a receive of no bytes between; BEFORE, and NO_PUSH."""
    chimney = ChimneyRig(rig)
    for version, cuts, size in product((4, 6), ((), (0, 33), (1, 0, 49, 0), (99,)), (7, 70)):
        connection = chimney.connect(chimney.path(version=version), version=version)
        chimney.take()
        first, _, second = connection.post(100, cuts=cuts), connection.post(0), connection.post(50)
        data = bytes(range(150))
        for at in range(0, 150, size):
            connection.receive(data[at : at + size])
        what = f"IPv{version}, pieces {cuts}, segments of {size}"
        ended = [(each.status, each.bytes, each.pushed) for each in chimney.completions(_RECEIVE)]
        assert ended == [(0, 100, 0), (0, 0, 0), (0, 50, 0)], f"{what}: {ended}"
        assert bytes(first.view) + bytes(second.view) == data, f"{what}: other bytes"
        chimney.take()
        for no_push in (0, 1):
            connection.post(20, before=5, no_push=no_push)
            chimney.advance(499 * _MS)
            assert chimney.completions(_RECEIVE) == [], f"{what}: BEFORE, NO_PUSH {no_push}: complete early"
            chimney.advance(_MS)
            told = [(each.status, each.bytes, each.pushed) for each in chimney.completions(_RECEIVE)]
            assert told == [(0, 0, 1)] * (1 - no_push), f"{what}: BEFORE, NO_PUSH {no_push}: {told}"
            chimney.take()
        connection.terminate()
        chimney.take()
        rig.sent()


@card_case(
    manual("CHM-48", "chimney"),
    "when blocks are used up data out of order goes first, that which is held longest; then it refuses",
    chimney_bytes=17 * _BLOCK,
)
def blocks_that_are_used_up(rig: Rig) -> None:
    """Two connections hold data out of order in all blocks; a third takes data in order."""
    for late in (False, True):
        chimney = ChimneyRig(rig, pool_posted=0, pool_count=64)
        blocks = chimney.stat("MAX_BLOCKS") - _KEPT
        one, two, three = (chimney.connect(remote_port=40_000 + n, **_WIDE) for n in range(3))
        dropped, refused = chimney.stat("RANGES_DROPPED"), chimney.stat("NO_BLOCK")
        order = (three, two) if late else (two, three)
        for index, each in enumerate(order):
            for n in range(blocks // 2 + index * (blocks % 2)):
                each.receive(b"o", seq=IRS + 1 + _BLOCK * (n + 1))
        assert chimney.stat("FREE_BLOCKS") == _KEPT, f"{chimney.stat('FREE_BLOCKS')} blocks are free"
        two.receive(b"no room for it", seq=IRS + 200_000)
        assert chimney.stat("NO_BLOCK") == refused + 1, "data out of order finds room where none is"
        data = bytes(n % 251 for n in range(blocks * _BLOCK))
        half = (blocks // 2 - 3) * _BLOCK
        for at in range(0, half, 1020):
            one.receive(data[at : at + 1020])
        assert chimney.stat("RANGES_DROPPED") == dropped + 1, "not one of two gave up what it holds"
        held = [each.query().rcv_nxt for each in order]
        order[1].receive(bytes(_BLOCK + 1), seq=IRS)
        grown = order[1].query().rcv_nxt - held[1]
        assert grown == _BLOCK + 2, f"the one that held data last has lost it: RcvNxt grew by {grown}"
        chimney.take()
        while not chimney.reasons():
            one.receive(bytes(1000))
        assert set(chimney.reasons()) == {ChmReason.UPLOAD_REQUESTED}, f"{chimney.reasons()}"
        assert chimney.stat("FREE_BLOCKS") >= _KEPT, "the blocks that are kept were used"
        for each in (one, two, three):
            chimney.post_pool(0, *(chimney.pool_buffers[0].address + n * 2048 for n in range(60)))
            each.terminate()
            chimney.take()
        assert bytes(one.data[:half]) == data[:half], "data in order was lost"
        chimney.switch_off()


@card_case(
    manual("CHM-61", "chimney"),
    "a new table writes a fence to each running ring, before other entries, one for two where it comes late",
    pairs=3, cq_count=8,
)  # fmt: skip
def fences_of_tables(rig: Rig) -> None:
    """A full ring holds all others up; a second table meanwhile; a ring that stops; a refused commit."""
    chimney = ChimneyRig(rig, pool_count=64)
    assert commit_rss(rig, key=_KEY, table=[0, 1], types=0x1FF00, log2=1)
    path = chimney.path()
    left, right = (chimney.connect(path, remote_port=50_000 + n, hash_value=n) for n in range(2))
    chimney.take()
    for n in range(20):
        right.receive(bytes([n]), flags=_ACK | _PSH)
    before = chimney.stat("FENCES")
    chimney.by_pair[:] = [[] for _ in range(3)]
    assert not commit_rss(rig, key=_KEY, table=[9], types=0x1FF00, log2=0), "a table with a pair that is none"
    assert chimney.stat("FENCES") == before, "a refused table writes fences"
    assert commit_rss(rig, key=_KEY, table=[1, 0], types=0x1FF00, log2=1)
    first = rig.field(BAR0.RSS_STATUS, "GENERATION")
    left.receive(b"behind", flags=_ACK | _PSH)
    chimney.poll_pair(0)
    assert [type(each) for each in chimney.by_pair[0]] == [ChmFence], "something came beside the fence"
    assert bytes(left.data) == b"", "it reports though a ring has not got its fence"
    assert commit_rss(rig, key=_KEY, table=[2, 2], types=0x1FF00, log2=1)
    second = rig.field(BAR0.RSS_STATUS, "GENERATION")
    for _ in range(30):
        chimney.poll()
    told = [[each.generation for each in came if isinstance(each, ChmFence)] for came in chimney.by_pair]
    assert told == [[first, second], [second], [first, second]], (
        f"fences {told}, the tables {first}, {second}"
    )
    assert chimney.stat("FENCES") == before + 5, f"CHM_FENCES grew by {chimney.stat('FENCES') - before}"
    assert (bytes(left.data), bytes(right.data)) == (b"behind", bytes(range(20))), "data is lost"
    places = [n for n in range(3) for each in chimney.by_pair[n] if isinstance(each, ChmData)]
    assert set(places) <= {1, 2} and places[-1] == 2, f"data came on {places}"
    rig.put(BAR0.QP_CQ_CTRL, 0, 1)
    assert commit_rss(rig, key=_KEY, table=[0, 0], types=0x1FF00, log2=1)
    left.receive(b"!", flags=_ACK | _PSH)
    for _ in range(3):
        chimney.poll()
    assert bytes(left.data) == b"behind!", "a ring that does not run holds the others up"
    assert chimney.stat("FENCES") == before + 7


#: Of each ring what it is started with, and how that ends.
_STARTS: tuple[tuple[dict[str, int], RingError], ...] = (
    ({"COUNT": 7}, RingError.BAD_COUNT), ({"COUNT": 4}, RingError.BAD_COUNT),
    ({"COUNT": 0}, RingError.BAD_COUNT),
    ({"COUNT": 24}, RingError.BAD_COUNT), ({"COUNT": 65536}, RingError.BAD_COUNT),
    ({"BASE": 0x10_0020}, RingError.BAD_BASE), ({"BASE": 0x10_0008}, RingError.BAD_BASE),
    ({"BUF_LEN": 63}, RingError.BAD_BUFFER), ({"BUF_LEN": 65537}, RingError.BAD_BUFFER),
    ({"QUEUE": 2}, RingError.NO_CQ), ({"QUEUE": 255}, RingError.NO_CQ),
)  # fmt: skip


@card_case(
    manual("CHM-63", "chimney"),
    "a ring of the chimney starts by the rules of rings; one that was refused can be started well",
    pairs=2,
)
def rings_and_their_bounds(rig: Rig) -> None:
    """Counts, bases, buffer lengths and queues beyond their bounds; a tail that is none."""
    chimney = ChimneyRig(rig)
    for ring, (fields, error) in product(("CHM_ADMIN", "CHQ_SQ", "CHQ_POOL"), _STARTS):
        name = f"{ring}_{next(iter(fields))}"
        if name not in {each.name for each in BAR0.MAP}:
            continue
        control, value = BAR0.MAP[f"{ring}_CTRL"], next(iter(fields.values()))
        rig.put(control, control.encode(RESET=1))
        usual = rig.get(BAR0.MAP[name])
        rig.put(BAR0.MAP[name], value)
        rig.put(BAR0.GLB_EVENT, BAR0.GLB_EVENT.mask())
        rig.put(control, control.encode(ENABLE=1))
        shown = BAR0.MAP[f"{ring}_STATUS"].decode(rig.get(BAR0.MAP[f"{ring}_STATUS"]))
        assert shown == {"RUNNING": 0, "ERROR": error}, f"{name} {value}: {shown}, not {error.name}"
        assert rig.get(control) == 0, f"{name} {value}: ENABLE reads 1"
        assert rig.field(BAR0.GLB_EVENT, "RING"), f"{name} {value}: no event"
        assert not rig.field(BAR0.CHM_STATUS, "UPLOAD_ALL"), f"{name} {value}: UPLOAD_ALL"
        rig.put(BAR0.MAP[name], usual)
        rig.put(control, control.encode(ENABLE=1))
        assert rig.get(control) == 1, f"{ring} cannot be started after {name} {value}"
    for ring in ("CHQ_POOL", "CHQ_SQ", "CHM_ADMIN"):
        chimney.switch_off()
        chimney.enable()
        tail = BAR0.MAP[f"{ring}_TAIL"]
        rig.put(tail, 64 if ring != "CHQ_POOL" else 16)
        shown = BAR0.MAP[f"{ring}_STATUS"].decode(rig.get(BAR0.MAP[f"{ring}_STATUS"]))
        assert shown == {"RUNNING": 0, "ERROR": RingError.BAD_TAIL}, f"{ring}: a tail of COUNT gives {shown}"
        must = rig.field(BAR0.CHM_STATUS, "UPLOAD_ALL")
        assert must == (ring != "CHQ_POOL"), f"{ring} stops with an error: UPLOAD_ALL is {must}"
    chimney.switch_off()
    assert chimney.stat("STATUS") == 0, "UPLOAD_ALL outlasts the chimney"
    chimney.enable()
    made = chimney.connect()
    made.post(10)
    made.receive(b"0123456789")
    assert [isinstance(each, ChmCompletion) for each in chimney.completions(_RECEIVE)] == [True]
