"""The card's chimney in particular situations: priorities in tags, trains, long timers, queries that wait."""

from __future__ import annotations

from itertools import product

from vnic.abi import Engine
from vnic.conformance.card_drive import WAYS
from vnic.conformance.case import card_case
from vnic.conformance.pages import manual
from vnic.gen.descriptors import ChmCommand, ChmSubmission
from vnic.gen.enums import ChmEvent, ChmObject, ChmOp, ChmReason, ChmSubmissionOp, CompletionType
from vnic.gen.registers import BAR0
from vnic.testbench.chimney.images import TIMESTAMPS, path_image
from vnic.testbench.chimney.rig import ChimneyRig
from vnic.testbench.chimney.rig_connection import RigConnection, pieces
from vnic.testbench.frames import tcp_frame
from vnic.testbench.rig import Rig
from vnic.testbench.tcp_peer import ISS, segment_of
from vnic.wire import packet

_ACK, _PSH = packet.ACK, packet.PSH
_SECOND_NS = 1_000_000_000


@card_case(
    manual("CHM-40", "chimney"),
    "of a tag only the VLAN id says whose a segment is: priority and DEI may be any, in a priority tag too",
)
def priorities_in_tags(rig: Rig) -> None:
    """Tags with each priority, DEI and ids 0, 5, 4094, kept and stripped; the same bits with another id."""
    chimney = ChimneyRig(rig, pool_count=64)
    for version, vlan, strips in product((4, 6), (0, 5, 4094), (0, 1)):
        rig.change(BAR0.MAC_RX_CTRL, VLAN_STRIP=strips)
        connection = chimney.connect(chimney.path(chimney.neighbour(vlan_id=vlan), version), version=version)
        wrong = chimney.stat("WRONG_VLAN")
        for priority in range(16):
            byte = bytes([priority])
            connection.receive(byte, flags=_ACK | _PSH, tci=priority << 12 | vlan)
            chimney.poll()
            what = f"IPv{version}, VlanId {vlan}, strip {strips}: a tag of {priority << 12 | vlan:#x}"
            assert bytes(connection.data[-1:]) == byte, f"{what} is not the connection's"
            if vlan:
                rig.inject(connection.peer.frame(b"other", tci=priority << 12 | 6))
                wrong += 1
                assert chimney.stat("WRONG_VLAN") == wrong, f"{what[:-8]}...006 is not dropped"
            assert not chimney.frames and len(connection.data) == priority + 1, what
        connection.terminate()
        chimney.take()
        rig.sent()


@card_case(
    manual("CHM-40", "chimney"),
    "a segment is its connection's wherever it stands among frames that are like it and have none",
)
def connections_inside_of_trains(rig: Rig) -> None:
    """Five like frames that arrive together, each set of them a connection's; both versions and ways."""
    chimney = ChimneyRig(rig, pool_count=64)
    for version in (4, 6):
        connection = chimney.connect(version=version)
        for run, mine in product(WAYS, range(1, 32)):
            chimney.frames.clear()
            before = bytes(connection.data)
            rig.device.is_manual = True
            own, others = b"", []
            for place in range(5):
                payload = bytes([mine, place]) * 20
                if mine >> place & 1:
                    connection.receive(payload, flags=_ACK | _PSH)
                    own += payload
                else:
                    others.append(tcp_frame(payload, version=version, ports=(50_000 + place, 80)))
                    rig.inject(others[-1])
            run(rig)
            rig.device.is_manual = False
            chimney.poll()
            what = f"IPv{version}, of five frames {mine:05b} are the connection's"
            assert bytes(connection.data) == before + own, f"{what}: it got {len(connection.data)} bytes"
            assert [each.data for each in chimney.frames] == others, f"{what}: the host got others"
            rig[0].post_rx(len(others))
            connection.credit(len(own))
        connection.terminate()
        chimney.take()
        rig.sent()


#: Ticks a second, and a length in ticks: short, around 2^32 ns, and far beyond.
_LENGTHS = tuple(
    (rate, rate * tenths // 10) for rate, tenths in product((10, 100, 1000), (1, 42, 43, 50, 100, 36_000))
)


def _pushed(chimney: ChimneyRig) -> list[int]:
    return [each.bytes for each in chimney.completions(CompletionType.CHM_RECEIVE)]


@card_case(
    manual("CHM-44", "chimney"),
    "the push timer runs TcpPushTicks, at each rate of ticks, from a tenth of a second to an hour",
)
def push_timers_of_every_length(rig: Rig) -> None:
    """Three rates with lengths on both sides of 2^32 ns: nothing 1 ns before, the receive at the end."""
    for rate, ticks in _LENGTHS:
        given = {"TICKS_PER_SECOND": rate, "PUSH_TICKS": ticks, "DELAYED_ACK_TICKS": 0}
        chimney = ChimneyRig(rig, parameters=given)
        connection = chimney.connect()
        connection.post(100)
        connection.receive(b"part")
        what = f"{ticks} ticks of 1/{rate} s"
        length = ticks * _SECOND_NS // rate
        due = rig.device.next_deadline_ns()
        assert due == rig.device.now_ns + length, f"{what}: due at {due}"
        chimney.advance(length - 1)
        assert _pushed(chimney) == [], f"{what}: the timer ends early"
        chimney.advance(1)
        assert _pushed(chimney) == [4], f"{what}: the timer does not end"
        chimney.switch_off()


@card_case(
    manual("CHM-69", "chimney"),
    "looks are CHM_IDLE_TICKS apart, at each rate of ticks, from a tenth of a second to an hour",
)
def looks_of_every_length(rig: Rig) -> None:
    """Three rates with lengths on both sides of 2^32 ns: nothing 1 ns before the second look, then it."""
    for rate, ticks in _LENGTHS:
        given = {"TICKS_PER_SECOND": rate, "IDLE_TICKS": ticks, "DELAYED_ACK_TICKS": 0}
        chimney = ChimneyRig(rig, parameters=given)
        chimney.connect()
        length = ticks * _SECOND_NS // rate
        chimney.advance(length)
        chimney.advance(length - 1)
        what = f"{ticks} ticks of 1/{rate} s"
        assert chimney.reasons() == [], f"{what}: a look comes early"
        chimney.advance(1)
        assert chimney.reasons() == [ChmReason.LOW_ACTIVITY], f"{what}: a look does not come"
        chimney.switch_off()


def _asked(chimney: ChimneyRig) -> list[int]:
    """Handles of the neighbours that were asked about since the last take()."""
    return [each.handle for each in chimney.events() if each.event == ChmEvent.NEIGHBOUR_QUERY]


def _only(rig: Rig, *engines: Engine) -> None:
    """The work of these engines, and of no other."""
    while ready := [each for each in rig.device.runnable if each in engines]:
        rig.device.step(ready[0])


def _stale(chimney: ChimneyRig, count: int) -> tuple[list[int], list[int], list[RigConnection]]:
    """So many neighbours that are too old, a path and a connection of each."""
    ages = {"nic_reachability_delta": 500, "host_reachability_delta": 500}
    neighbours = [chimney.neighbour(**ages) for _ in range(count)]
    paths = [chimney.path(each) for each in neighbours]
    made = [chimney.connect(path, remote_port=port) for port, path in enumerate(paths, 1)]
    chimney.take()
    return neighbours, paths, made


@card_case(
    manual("CHM-28", "chimney"),
    "queries that wait for a slot are told in their order; one of a neighbour that is gone meanwhile is not",
)
def queries_that_wait(rig: Rig) -> None:
    """Three neighbours are asked about at once; one of them ends before it is told; then a fourth."""
    for gone in range(3):
        chimney = ChimneyRig(rig, parameters={"NCE_STALE_TICKS": 100})
        neighbours, paths, made = _stale(chimney, 5)
        rig.device.is_manual = True
        for each in made[:3]:
            each.send(b"x")
        _only(rig, Engine.SUBMIT, Engine.CHIMNEY)
        moved = chimney.creation(path_image(), ChmObject.PATH, parent=neighbours[4])
        moved |= {"op": ChmOp.UPDATE, "handle": paths[gone]}
        moved["object"] = moved.pop("kind")
        chimney.command(ChmCommand(**moved))
        ended = {"op": ChmOp.TERMINATE, "object": ChmObject.NEIGHBOUR, "handle": neighbours[gone]}
        out = {"out_addr": chimney.image_memory.address + 1024, "out_len": 32}
        chimney.command(ChmCommand(**ended, **out))
        _only(rig, Engine.ADMIN)
        made[3].send(b"x")
        _only(rig, Engine.SUBMIT, Engine.CHIMNEY)
        rig.device.run()
        rig.device.is_manual = False
        wanted = [neighbours[n] for n in range(4) if n != gone]
        found = _asked(chimney)
        names = [neighbours.index(each) for each in found]
        assert found == wanted, f"of 0, 1, 2 neighbour {gone} ends, then 3 is asked about: told of {names}"
        chimney.take()
        made[4].send(b"x")
        assert _asked(chimney) == [neighbours[4]], f"behind that, with {gone} ended: not told of another"
        chimney.switch_off()
        rig.sent()


@card_case(
    manual("CHM-22", "chimney"),
    "the limit of 2^30 bytes is of all that is queued and all pieces of the request, a disconnect's too",
    chimney_work=16,
)
def pieces_beyond_the_limit(rig: Rig) -> None:
    """2^30 - 10 bytes wait; sends and disconnects of 10 and 11 bytes in one to three pieces behind them."""
    chimney = ChimneyRig(rig)
    path, queued = chimney.path(), (1 << 30) - 10
    cuts = ((), (5,), (1,), (9,), (10,), (5, 5), (0, 9))
    for op, length, cut in product((ChmSubmissionOp.SEND, ChmSubmissionOp.DISCONNECT), (10, 11), cuts):
        connection = chimney.connect(path, snd_wnd=0)
        connection.submit(ChmSubmission(op=ChmSubmissionOp.SEND, addr=rig.memory.base, len=queued))
        chimney.take()
        connection.submit(*pieces(op, rig.memory.base, length, cut))
        what = f"{op.name} of {length} bytes, cut at {cut}, behind 2^30 - 10"
        wanted = [ChmReason.UPLOAD_REQUESTED] * (length > 10)
        assert chimney.reasons() == wanted, f"{what}: RETRIEVE with {chimney.reasons()}"
        image = connection.terminate()[1]
        backlog = queued + length * (length <= 10)
        assert image.send_backlog_size == backlog, f"{what}: a backlog of {image.send_backlog_size}"
        assert chimney.stat("FREE_WORK") == 16, f"{what}: work is kept"
        chimney.take()


_HALF, _WRAP = 1 << 31, 1 << 32
#: Differences of a TSval to TS.Recent, and whether it is old.
_AGES = ((0, False), (1, False), (_HALF - 1, False), (-1, True), (-7, True), (1 - _HALF, True))


def _shape(connection: RigConnection, way: str, options: bytes) -> int:
    """A segment of one of the ways; RcvNxt behind it if it is taken."""
    at = connection.peer.seq
    if way == "in order":
        connection.receive(b"four", flags=_ACK | _PSH, seq=at, options=options)
        return at + 4
    if way == "a FIN":
        connection.receive(flags=_ACK | packet.FIN, seq=at, options=options)
        return at + 1
    if way == "with old bytes":
        connection.receive(b"!!four", flags=_ACK | _PSH, seq=at - 2, options=options)
        return at + 4
    connection.receive(b"four", flags=_ACK | _PSH, seq=at + 4, options=options)
    connection.receive(b"four", flags=_ACK | _PSH, seq=at, options=b"")
    return at + 8


@card_case(
    manual("CHM-41", "chimney"),
    "a timestamp is old when it is less than TS.Recent in the arithmetic of 32 bits that wrap",
)
def timestamps_around_the_wrap(rig: Rig) -> None:
    """TS.Recent at both ends and in the middle; younger and older TSvals in segments of four shapes."""
    chimney = ChimneyRig(rig, pool_count=64, parameters={"DELAYED_ACK_TICKS": 0})
    recents = (0, 3, _HALF - 1, _HALF, _WRAP - 1)
    ways = ("in order", "behind a gap", "a FIN", "with old bytes")
    paths = {version: chimney.path(version=version) for version in (4, 6)}
    for number, (recent, way) in enumerate(product(recents, ways)):
        version = 4 + 2 * (number % 2)
        for shift, is_old in _AGES:
            connection = chimney.connect(
                paths[version], version=version, const_flags=TIMESTAMPS, ts_recent=recent, ts_time=1
            )
            value = (recent + shift) % _WRAP
            options = b"\x01\x01\x08\x0a" + value.to_bytes(4) + bytes(4)
            taken = _shape(connection, way, options)
            wanted = taken if not is_old else connection.peer.seq + 4 * (way == "behind a gap")
            found = connection.query().rcv_nxt
            what = f"IPv{version}, TS.Recent {recent:#x}, TSval {value:#x} {way}"
            assert found == wanted, f"{what}: RcvNxt moves by {found - connection.peer.seq}"
            connection.terminate()
            chimney.take()
            rig.sent()


@card_case(
    manual("RING-7", "rings"),
    "pool buffers may be taken back, those that were read too: data goes into what is handed over then",
)
def pool_buffers_that_are_taken_back(rig: Rig) -> None:
    """Eight buffers, 0 to 3 used; TAIL goes back by 1 to all of them, then forward over other buffers."""
    chimney = ChimneyRig(rig, pool_count=16, pool_len=64, pool_posted=0)
    path, base = chimney.path(), chimney.pool_buffers[0].address
    for used, kept in ((first, last) for first in range(4) for last in range(first, 8)):
        rig.put(BAR0.CHQ_POOL_CTRL, BAR0.CHQ_POOL_CTRL.encode(RESET=1), 0)
        chimney.pool_index[0].clear()
        chimney.start_pool(0)
        chimney.keeps_pool = True
        connection = chimney.connect(path)
        chimney.post_pool(0, *(base + 64 * n for n in range(8)))
        for number in range(used):
            connection.receive(bytes([number]) * 9, flags=_ACK | _PSH)
        rig.put(BAR0.CHQ_POOL_TAIL, kept, 0)
        chimney.poll()
        chimney.pool_tail[0] = kept
        rig.memory.write(base, b"\xee" * 1024)
        chimney.post_pool(0, *(base + 512 + 64 * n for n in range(kept, 8)))
        for number in range(used, 8):
            connection.receive(bytes([number]) * 9, flags=_ACK | _PSH)
        chimney.poll()
        what = f"{used} of 8 buffers used, TAIL back to {kept} and over others"
        wanted = b"".join(bytes([number]) * 9 for number in range(8))
        assert bytes(connection.data) == wanted, f"{what}: the data came elsewhere"
        connection.terminate()
        chimney.take()
        rig.sent()


@card_case(
    manual("CHM-9", "chimney"),
    "SndNxt of the image is where sending goes on: at SndUna when a window opens behind probes in vain",
)
def images_behind_probes(rig: Rig) -> None:
    """0 to 2 probes of a closed window; the transmitter off; it opens or not; the image; taken again."""
    chimney = ChimneyRig(rig, parameters={"DOUBT_RETRANSMISSIONS": 99})
    for version, probes, opens in product((4, 6), range(3), (False, True)):
        path = chimney.path(version=version)
        connection = chimney.connect(path, version=version, snd_wnd=0)
        connection.send(b"waits for a window")
        for number in range(probes):
            chimney.advance((1 << number) * _SECOND_NS)
        assert len(connection.sent()) == probes
        rig.change(BAR0.MAC_TX_CTRL, ENABLE=0)
        if opens:
            connection.receive(window=1000)
        image = connection.terminate()[1]
        rig.change(BAR0.MAC_TX_CTRL, ENABLE=1)
        found = image.snd_nxt - image.snd_una, image.snd_max - image.snd_una
        out = int(probes != 0)
        what = f"IPv{version}, {probes} probes, the window {'opens' if opens else 'stays closed'}"
        assert found == (0 if opens else out, out), f"{what}: SndNxt and SndMax at {found}"
        chimney.take()
        sends = chimney.send_list([b"waits for a window"])
        handle = chimney.create(image, parent=path, **sends)
        if opens:
            sent = b"".join(segment_of(frame).payload for frame in rig.sent())
            assert sent == b"waits for a window", f"{what}: then {sent!r} is sent"
        chimney.terminate(ChmObject.TCP, handle)
        chimney.take()
        rig.sent()


@card_case(
    manual("CHM-25", "chimney"),
    "packets keep within PathMtu from the UPDATE on, those too that were begun to be cut before it",
)
def trains_over_a_path_that_shrinks(rig: Rig) -> None:
    """20 segments, 0 to 9 of which have left when the MTU becomes 1,300: none is longer, none is lost."""
    chimney = ChimneyRig(rig)
    data = bytes(n % 251 for n in range(20 * 1000))
    for version, steps in product((4, 6), range(10)):
        path = chimney.path(version=version)
        connection = chimney.connect(path, version=version, cwnd=1 << 20)
        rig.device.is_manual = True
        connection.send(data)
        _only(rig, Engine.SUBMIT)
        for _ in range(steps):
            rig.device.step(Engine.CHIMNEY)
        before = connection.sent()
        assert chimney.update(path_image(version, path_mtu=1300), path).status == 0
        behind = connection.sent()
        rig.device.is_manual = False
        what = f"IPv{version}, the MTU shrinks after {steps} steps"
        assert all(len(each.ip) <= 1300 for each in behind), f"{what}: {max(len(e.ip) for e in behind)} bytes"
        held = bytearray(len(data))
        for each in before + behind:
            at = each.seq - ISS
            held[at : at + len(each.payload)] = each.payload
        assert bytes(held) == data, f"{what}: bytes are missing, or others"
        connection.terminate()
        chimney.take()
