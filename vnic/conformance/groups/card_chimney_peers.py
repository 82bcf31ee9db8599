"""The card's chimney and its peer: numbers that acknowledge nothing, windows of 0, probes, runs of bytes."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise, product

from vnic.conformance.case import card_case
from vnic.conformance.pages import manual
from vnic.gen.enums import ChmReason
from vnic.testbench.chimney.images import SACK
from vnic.testbench.chimney.rig import ChimneyRig
from vnic.testbench.chimney.rig_connection import RigConnection
from vnic.testbench.rig import Rig
from vnic.testbench.tcp_peer import IRS, ISS
from vnic.wire import packet

_ACK, _PSH = packet.ACK, packet.PSH
_KEEPALIVE = 1
_MS = 1_000_000
_WRAP = 1 << 32


@card_case(
    manual("CHM-41", "chimney"),
    "data is taken with an ACK from SndUna - MaxSndWnd to SndNxt; with any other it is answered and dropped",
)
def numbers_that_acknowledge_nothing(rig: Rig) -> None:
    """Numbers around both ends and far away, by the largest window of the past; with and without data out."""
    chimney = ChimneyRig(rig)
    for version, largest, out in ((4, 1000, 0), (6, 65535, 300), (4, 200_000, 300)):
        path = chimney.path(version=version)
        wrong = (-largest - 1, -largest - 2, -largest - 70_000, -(1 << 31) + 1, out + 1, out + 9, 1 << 30)
        right = (-largest, -largest + 1, -1, 0, out)
        for offset in (*wrong, *right):
            connection = chimney.connect(path, version=version, snd_wnd=1000, max_snd_wnd=largest)
            if out:
                connection.send(bytes(out))
            chimney.take()
            rig.sent()
            connection.receive(b"data", flags=_ACK | _PSH, ack=(ISS + offset) % _WRAP)
            chimney.poll()
            answers = connection.sent()
            what = f"IPv{version}, MaxSndWnd {largest}, {out} bytes out: an ACK of SndUna {offset:+}"
            taken = b"" if offset in wrong else b"data"
            assert bytes(connection.data) == taken, f"{what}: {len(connection.data)} of 4 bytes are taken"
            if offset in wrong:
                assert [each.ack for each in answers] == [IRS], f"{what}: {len(answers)} answers"
            connection.terminate()
            chimney.take()


def _merged(parts: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Runs of bytes, those that touch as one."""
    runs: list[tuple[int, int]] = []
    for first, last in sorted(parts):
        if runs and first <= runs[-1][1]:
            runs[-1] = runs[-1][0], max(runs[-1][1], last)
        else:
            runs.append((first, last))
    return runs


def _blocks(options: bytes) -> list[tuple[int, int]]:
    """Of the SACK option, as bytes behind the peer's first number."""
    while options and options[0] in (0, 1, 5):
        if options[0] == 5:
            edges = [int.from_bytes(options[n : n + 4]) for n in range(2, options[1], 4)]
            near = [(edge - IRS) % _WRAP for edge in edges]
            return list(zip(near[::2], near[1::2], strict=True))
        options = options[1:]
    return []


@card_case(
    manual("CHM-41", "chimney"),
    "an ACK tells of whole runs of bytes, those that touch as one, the latest first, and of no others",
)
def runs_that_come_to_touch(rig: Rig) -> None:
    """Segments out of order that touch in front, behind, on both sides, and overlap; over both versions."""
    chimney = ChimneyRig(rig)
    orders = (
        ((100, 200), (200, 300), (300, 400)),
        ((300, 400), (200, 300), (100, 200)),
        ((100, 200), (300, 400), (200, 300)),
        ((100, 200), (300, 400), (500, 600), (400, 500), (200, 300)),
        ((500, 600), (100, 200), (300, 400), (200, 300), (400, 500)),
        ((100, 200), (300, 400), (150, 300)),
        ((100, 200), (300, 400), (199, 301), (600, 700)),
    )
    for version, order in product((4, 6), orders):
        connection = chimney.connect(version=version, const_flags=SACK)
        rig.sent()
        for number, (first, last) in enumerate(order):
            connection.receive(bytes(last - first), seq=IRS + first)
            told = [_blocks(each.options) for each in connection.sent()]
            runs = _merged(order[: number + 1])
            latest = next(run for run in runs if run[0] <= first < run[1])
            what = f"IPv{version}, {order[: number + 1]}: the blocks are {told}"
            assert told and told[-1], what
            plain = told[-1] if told[-1][0] in runs else told[-1][1:]
            assert plain[0] == latest and set(plain) <= set(runs), what
            assert len(set(plain)) == min(len(runs), 3), what
        connection.terminate()
        chimney.take()


def _times(chimney: ChimneyRig, connection: RigConnection, seq: int, count: int = 1) -> list[int]:
    """After how many milliseconds each of so many segments of this number leaves."""
    since, found = 0, list[int]()
    while len(found) < count and since < 100_000:
        due = chimney.device.next_deadline_ns()
        if due is None:
            break
        step = max(-((chimney.device.now_ns - due) // _MS), 1)
        chimney.advance(step * _MS)
        since += step
        if any(each.seq == seq for each in connection.sent()):
            found.append(since)
            since = 0
    return found


@card_case(
    manual("CHM-41", "chimney"),
    "a window of 0 is probed at intervals that double, answered or not; when it opens all is sent",
)
def windows_that_stay_closed(rig: Rig) -> None:
    """Four probes of a peer that answers each, and of one that says nothing; then the window opens."""
    chimney = ChimneyRig(rig)
    for version, is_answered in product((4, 6), (False, True)):
        connection = chimney.connect(version=version, snd_wnd=0)
        rig.sent()
        connection.send(b"waits for a window")
        assert rig.sent() == [], "something is sent into a window of 0"
        times = []
        for _ in range(4):
            times += _times(chimney, connection, ISS)
            if is_answered:
                connection.receive(window=0)
                rig.sent()
        what = f"IPv{version}, {'answered' if is_answered else 'silent'}: probes after {times} ms"
        assert len(times) == 4, what
        for before, after in pairwise(times):
            assert before * 3 // 2 <= after <= before * 5 // 2, f"{what}, which do not double"
        connection.receive(window=1000)
        sent = b"".join(each.payload for each in connection.sent())
        assert sent == b"waits for a window", f"{what}: then {sent!r} is sent"
        assert chimney.events() == []
        connection.terminate()
        chimney.take()


@card_case(
    manual("CHM-41", "chimney"),
    "a peer that answers is never given up, one that is silent after its number of probes: only those count",
)
def probes_that_are_answered(rig: Rig) -> None:
    """Two and three probes; a peer that answers every one, by an ACK or with data, or all but the last."""
    chimney = ChimneyRig(rig)
    for limit, way in product((2, 3), ("every one", "with data", "the last")):
        connection = chimney.connect(
            cached_flags=_KEEPALIVE, ka_timeout=3000, ka_interval=1000, ka_probe_count=limit
        )
        rig.sent()
        for number in range(2 * limit):
            assert _times(chimney, connection, ISS - 1), f"{way}: no probe in silence"
            if way == "with data":
                connection.receive(b"alive", flags=_ACK | _PSH)
                chimney.poll()
                connection.credit(5)
            elif way == "every one" or number % limit == limit - 1:
                connection.receive()
            rig.sent()
            assert chimney.reasons() == [], f"{limit} probes, {way} answered: given up at probe {number + 1}"
        found = len(_times(chimney, connection, ISS - 1, limit + 3))
        assert found == limit, f"{found} of {limit} probes before a silent peer is given up"
        assert chimney.reasons() == [ChmReason.TIMEOUT_EXPIRATION], f"{limit} probes without an answer"
        connection.terminate()
        chimney.take()
