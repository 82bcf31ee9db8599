"""The card's chimney and sends: when they are complete, want of room, pushes, memory, links."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

from vnic.abi import DmaPurpose, DmaStatus, FaultAction, FaultSite
from vnic.conformance.card_drive import WAYS
from vnic.conformance.case import card_case
from vnic.conformance.pages import manual
from vnic.fault import Fault
from vnic.gen.descriptors import ChmSubmission
from vnic.gen.enums import ChmReason, ChmStatus, ChmSubmissionOp, CompletionType
from vnic.gen.registers import BAR0
from vnic.testbench.chimney.images import SACK
from vnic.testbench.chimney.rig import ChimneyRig
from vnic.testbench.chimney.rig_connection import RigConnection
from vnic.testbench.rig import Rig
from vnic.testbench.tcp_peer import ISS, Segment
from vnic.wire import packet

_ACK, _PSH, _FIN, _RST = packet.ACK, packet.PSH, packet.FIN, packet.RST
_MS = 1_000_000
_WRAP = 1 << 32
_OP = ChmSubmissionOp.SEND


def _ends(chimney: ChimneyRig, kind: CompletionType = CompletionType.CHM_SEND) -> list[tuple[int, str]]:
    """COUNT and STATUS of the completions since the last take()."""
    return [(each.count, ChmStatus(each.status).name) for each in chimney.completions(kind)]


def _acknowledge(connection: RigConnection, count: int) -> None:
    connection.peer.ack = (connection.peer.ack + count) % _WRAP
    connection.receive()


def _stream(segments: list[Segment]) -> bytes:
    return b"".join(each.payload for each in segments)


@card_case(
    manual("CHM-21", "chimney"),
    "a send is complete when its last byte is acknowledged cumulatively, not before",
)
def sends_that_are_complete(rig: Rig) -> None:
    """Sends of several pieces and of none, acknowledged around their ends, over the wrap; SACKs."""
    chimney = ChimneyRig(rig)
    lengths = (100, 0, 1, 250)
    ends = (100, 100, 101, 351)
    for version, back in product((4, 6), (1 << 31, 1, 100, 101, 351, 352)):
        una = _WRAP - back
        connection = chimney.connect(version=version, const_flags=SACK, snd_una=una, snd_nxt=una, snd_max=una)
        chimney.take()
        for length in lengths:
            connection.send(bytes(length), cuts=(length // 3, length // 3) if length > 9 else ())
        connection.sent()
        what = f"IPv{version}, SndUna {una}"
        block = b"\x01\x01\x05\x0a" + ((una + 10) % _WRAP).to_bytes(4) + ((una + 351) % _WRAP).to_bytes(4)
        connection.receive(options=block)
        assert _ends(chimney) == [], f"{what}: a SACK completes {_ends(chimney)}"
        for acked in (1, 33, 99, 100, 101, 102, 350, 351):
            connection.receive(ack=(una + acked) % _WRAP)
            done = sum(count for count, _ in _ends(chimney))
            wanted = sum(end <= acked for end in ends)
            assert done == wanted, f"{what}, {acked} bytes acknowledged: {done} sends, not {wanted}"
        assert {status for _, status in _ends(chimney)} == {"OK"}
        assert chimney.stat("FREE_WORK") == chimney.stat("MAX_WORK"), f"{what}: work is kept"
        connection.terminate()
        chimney.take()
        rig.sent()


@card_case(
    manual("CHM-21", "chimney"),
    "sends are read from host memory when they leave, again when they leave again, in whatever pieces",
)
def memory_of_sends(rig: Rig) -> None:
    """Pieces of 1 to 3,000 bytes, of which a window lets some out; memory that changes; a timeout."""
    chimney = ChimneyRig(rig, sq_count=128)
    path = {version: chimney.path(version=version) for version in (4, 6)}
    for version, cuts in product((4, 6), ((1, 1, 1), (0, 700, 1460, 3, 0), (2999,))):
        for run in WAYS:
            connection = chimney.connect(path[version], version=version, cwnd=1460, remote_mss=1460)
            data = bytes((n * 7 + n // 251) & 0xFF for n in range(3000))
            rig.device.is_manual = True
            address = connection.send(data, cuts=cuts)
            run(rig)
            rig.device.is_manual = False
            first = _stream(connection.sent())
            what = f"IPv{version}, pieces of {cuts}, {run.__name__}"
            assert first and data.startswith(first), f"{what}: other bytes first"
            chimney.memory.write(address, bytes(3000))
            chimney.advance(2000 * _MS)
            again = connection.sent()
            assert [each.seq for each in again][:1] == [ISS], f"{what}: nothing is sent again"
            assert not any(_stream(again)), f"{what}: the card has kept bytes of a send"
            chimney.memory.write(address, data)
            _acknowledge(connection, len(first))
            came = first
            for _ in range(20):
                segments = connection.sent()
                came += _stream([each for each in segments if each.seq == (ISS + len(came)) % _WRAP])
                _acknowledge(connection, len(came) - (connection.peer.ack - ISS))
            assert came == data, f"{what}: {len(came)} bytes came"
            connection.terminate()
            chimney.take()


@card_case(
    manual("CHM-22", "chimney"),
    "a request without room is refused, no byte of it moves, and the connection asks for an upload",
    chimney_work=16,
)
def requests_without_room(rig: Rig) -> None:
    """16 work entries used up by another or by itself, in one request or many; sends, receives, a close."""
    chimney = ChimneyRig(rig)
    path = chimney.path()
    hog = chimney.connect(path, remote_port=1, snd_wnd=1000, max_snd_wnd=1000)
    for _ in range(16):
        hog.send(bytes(100))
    for way in ("send", "receive", "disconnect"):
        connection = chimney.connect(path, remote_port=2)
        chimney.take()
        rig.sent()
        kind = CompletionType[f"CHM_{way.upper()}"]
        if way == "send":
            connection.send(b"no room")
        elif way == "receive":
            connection.post(100)
        else:
            connection.disconnect()
        wanted = "RCV_BUFFER" if way == "receive" else "XMIT_BUFFER"
        assert _ends(chimney, kind) == [(1, wanted)], f"a {way} without room: {_ends(chimney, kind)}"
        assert chimney.reasons() == [ChmReason.UPLOAD_REQUESTED], f"a {way} without room: {chimney.reasons()}"
        _acknowledge(hog, 100)
        chimney.take()
        connection.send(b"nor now")
        assert _ends(chimney) == [(1, "UPLOAD")], f"a send behind it: {_ends(chimney)}"
        assert not [each for each in hog.sent() if each.destination_port == 2], (
            f"a {way} without room moves bytes"
        )
        done, image = connection.terminate()
        assert (image.snd_una, image.snd_max, image.send_backlog_size, done.acked) == (ISS, ISS, 0, 0)
        hog.send(bytes(100))
    hog.send(b"refused")
    assert _ends(chimney)[-1:] != [(1, "XMIT_BUFFER")], "an entry stands for a request that is not the oldest"
    assert chimney.reasons()[-1:] == [ChmReason.UPLOAD_REQUESTED]
    _, image = hog.terminate()
    assert image.send_backlog_size == 1600, f"a backlog of {image.send_backlog_size}"
    assert chimney.stat("FREE_WORK") == 16, "work is kept"


@card_case(
    manual("CHM-22", "chimney"),
    "a request of more pieces than there is room for, or of more than 2^30 bytes, keeps no work",
    chimney_work=16,
)
def requests_that_are_too_long(rig: Rig) -> None:
    """17 pieces, 40 pieces; 2^30 bytes in one send and one byte more, in one request and in two."""
    chimney = ChimneyRig(rig)
    path = chimney.path()
    address = rig.stage(bytes(64))
    for count, is_good in ((16, True), (17, False), (40, False)):
        connection = chimney.connect(path)
        chimney.take()
        rig.sent()
        for _ in range(count - 1):
            connection.submit(ChmSubmission(op=_OP, addr=address, len=1, more=1))
        connection.submit(ChmSubmission(op=_OP, addr=address, len=1))
        assert _ends(chimney) == [] if is_good else [(1, "XMIT_BUFFER")], f"{count} pieces: {_ends(chimney)}"
        sent = len(_stream(connection.sent()))
        assert sent == count * is_good, f"{count} pieces: {sent} bytes are sent"
        assert chimney.stat("FREE_WORK") == 16 - count * is_good, f"{count} pieces: work is kept"
        connection.terminate()
        chimney.take()
    for parts, is_good in (((1 << 30,), True), ((1 << 30, 1), False), ((1 << 29, 1 << 29, 1), False)):
        connection = chimney.connect(path, snd_wnd=0)
        chimney.take()
        for length in parts:
            connection.submit(ChmSubmission(op=_OP, addr=address, len=length))
        told = chimney.reasons()
        assert told == [ChmReason.UPLOAD_REQUESTED] * (not is_good), f"sends of {parts}: RETRIEVE with {told}"
        _, image = connection.terminate()
        assert image.send_backlog_size == 1 << 30, f"sends of {parts}: a backlog of {image.send_backlog_size}"
        chimney.take()


@card_case(
    manual("CHM-23", "chimney"),
    "PSH is on the segment that ends a send with PUSH or the queue, and on no other",
)
def segments_that_are_pushed(rig: Rig) -> None:
    """Sends with PUSH and without, of full segments and less, that wait together or come one by one."""
    chimney = ChimneyRig(rig)
    rows = (
        (((2920, 1), (2920, 0)), {2920, 5840}),
        (((2920, 0), (2920, 0)), {5840}),
        (((1460, 1), (1460, 1), (1460, 0)), {1460, 2920, 4380}),
        (((3000, 1), (1380, 0)), {4380}),
        (((100, 1), (4280, 0)), {1460, 4380}),
        (((1460, 1), (2000, 0), (920, 0)), {1460, 4380}),
        (((100, 0), (2820, 0), (0, 1), (1460, 0)), {4380}),
    )
    for version, (sends, wanted) in product((4, 6), rows):
        size = 1460 if version == 4 else 1440
        mtu = {"remote_mss": 1460} if version == 4 else {"remote_mss": 1440}
        connection = chimney.connect(version=version, snd_wnd=0, **mtu)  # type: ignore[arg-type]
        scale = size / 1460
        for length, push in sends:
            whole = round(length * scale)
            cuts = (size,) if whole > 2 * size else ()
            connection.send(bytes(whole), cuts=cuts, push=push)
        rig.sent()
        connection.receive(window=65535)
        found = set[int]()
        for each in connection.sent():
            if each.flags & _PSH:
                found.add(round(((each.seq - ISS) % _WRAP + len(each.payload)) / scale))
        near = {end for end in found if not any(abs(end - right) < 3 for right in wanted)}
        assert not near and len(found) >= len(wanted), (
            f"IPv{version}, {sends}: PSH ends at {found}, not {wanted}"
        )
        connection.terminate()
        chimney.take()


@card_case(
    manual("CHM-27", "chimney"),
    "where send data cannot be read nothing more is sent, and RETRIEVE says HARDWARE_FAILURE, once",
)
def send_data_that_cannot_be_read(rig: Rig) -> None:
    """No memory, poison and an abort, in the first piece or the second; segments, time and an ACK later."""
    chimney = ChimneyRig(rig)
    path = {version: chimney.path(version=version) for version in (4, 6)}
    for version, where, good in product((4, 6), ("unmapped", "poisoned", "aborted"), (0, 2920)):
        connection = chimney.connect(path[version], version=version, remote_mss=1400)
        chimney.take()
        address = rig.stage(bytes(range(256)) * 13)
        status = {"poisoned": DmaStatus.POISONED, "aborted": DmaStatus.ABORTED}.get(where, DmaStatus.ABORTED)
        bad = 1 << 45 if where == "unmapped" else address
        fault = Fault(
            site=FaultSite.DMA_READ, action=FaultAction.ERROR, index=DmaPurpose.DATA, argument=status,
            first=bad, last=bad + 99, count=1,
        )  # fmt: skip
        pieces = [ChmSubmission(op=_OP, addr=address + 300, len=good, more=1)] if good else []
        with rig.device.arm(fault):
            connection.submit(
                *pieces,
                ChmSubmission(op=_OP, addr=bad, len=100, more=1),
                ChmSubmission(op=_OP, addr=address, len=3000),
            )
        what = f"IPv{version}, {where} behind {good} bytes"
        sent = _stream(connection.sent())
        assert len(sent) <= good, f"{what}: {len(sent)} bytes are sent"
        assert chimney.reasons() == [ChmReason.HARDWARE_FAILURE], f"{what}: RETRIEVE with {chimney.reasons()}"
        chimney.advance(60_000 * _MS)
        connection.receive(b"data", flags=_ACK | _PSH)
        assert connection.sent() == [], f"{what}: the connection speaks later"
        assert len(chimney.reasons()) == 1, f"{what}: told again"
        _, image = connection.terminate()
        assert image.send_backlog_size == 3100 + good, f"{what}: a backlog of {image.send_backlog_size}"
        chimney.take()
        rig.sent()


def _no_link(rig: Rig, is_off: bool) -> None:
    """the link is down"""
    rig.device.set_link(0 if is_off else 10_000)


def _no_transmitter(rig: Rig, is_off: bool) -> None:
    """the transmitter is off"""
    rig.change(BAR0.MAC_TX_CTRL, ENABLE=int(not is_off))


_SHUT: tuple[Callable[[Rig, bool], None], ...] = (_no_link, _no_transmitter)


@card_case(
    manual("CHM-29", "chimney"),
    "nothing is sent while the link is down or the transmitter off; it leaves later",
)
def links_that_take_nothing(rig: Rig) -> None:
    """Sends and a FIN while it is shut for 0 to 700 ms; then it is opened."""
    chimney = ChimneyRig(rig)
    for shut, version, wait in product(_SHUT, (4, 6), (0, 100, 700)):
        connection = chimney.connect(version=version)
        rig.sent()
        what = f"IPv{version}, {shut.__doc__} for {wait} ms"
        shut(rig, True)
        connection.send(b"first")
        chimney.advance(wait * _MS)
        connection.send(b"second")
        connection.disconnect(b"last")
        assert rig.sent() == [], f"{what}: something is sent"
        shut(rig, False)
        chimney.advance(0)
        segments = connection.sent()
        came = dict[int, bytes]()
        for each in segments:
            came[each.seq] = each.payload
        assert b"".join(came[at] for at in sorted(came)) == b"firstsecondlast", f"{what}: then {came} is sent"
        assert segments[-1].flags & _FIN, f"{what}: no FIN"
        assert chimney.stat("IP4_OUT_DISCARDS") + chimney.stat("IP6_OUT_DISCARDS") == 0, f"{what}: discards"
        connection.terminate()
        chimney.take()
        rig.sent()


@card_case(
    manual("CHM-25", "chimney"),
    "an IPv4 packet has DF and an Identification of the upper half, another than those before",
)
def identifications(rig: Rig) -> None:
    """3,000 packets of two connections: data, ACKs and a RST."""
    chimney = ChimneyRig(rig)
    made = [chimney.connect(remote_port=port, remote_mss=48, cwnd=1 << 20) for port in (1, 2)]
    seen = list[int]()
    for _, connection in product(range(3), made):
        connection.send(bytes(24_000))
        connection.receive(b"xy", flags=_ACK | _PSH)
        connection.receive(b"xy", flags=_ACK | _PSH)
        for frame in rig.sent():
            word, fragment = int.from_bytes(frame[18:20]), int.from_bytes(frame[20:22])
            assert fragment == 0x4000, f"packet {len(seen)}: flags and offset {fragment:#x}"
            assert word >= 0x8000, f"packet {len(seen)}: Identification {word:#x}"
            seen.append(word)
        _acknowledge(connection, 24_000)
        chimney.take()
    made[0].disconnect(abortive=1)
    (reset,) = made[0].sent()
    seen.append(int.from_bytes(reset.ip[4:6]))
    assert reset.flags & _RST and seen[-1] >= 0x8000, f"the RST has Identification {seen[-1]:#x}"
    assert len(seen) > 2900 and len(set(seen)) == len(seen), f"{len(seen)} packets, {len(set(seen))} differ"
