"""The card's chimney and its peer: numbers that acknowledge nothing, windows of 0, probes, runs of bytes."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise, product
from typing import Any

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
    """Segments that touch in front, behind, on both sides, or overlap, runs that are older or newer."""
    chimney = ChimneyRig(rig)
    orders = (
        ((100, 200), (200, 300), (300, 400)),
        ((300, 400), (200, 300), (100, 200)),
        ((100, 200), (300, 400), (200, 300)),
        ((100, 200), (300, 400), (500, 600), (400, 500), (200, 300)),
        ((500, 600), (100, 200), (300, 400), (200, 300), (400, 500)),
        ((100, 200), (300, 400), (150, 300)),
        ((100, 200), (300, 400), (199, 301), (600, 700)),
        ((100, 200), (500, 600), (200, 300)),
        ((300, 400), (700, 800), (200, 300)),
        ((300, 400), (700, 800), (250, 350)),
        ((100, 200), (300, 400), (700, 800), (200, 300)),
        ((100, 200), (300, 400), (700, 800), (120, 180)),
        ((300, 400), (500, 600), (700, 800), (350, 400), (290, 300)),
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


@card_case(
    manual("CHM-41", "chimney"),
    "when a window opens the timer begins anew: the intervals of its probes are not those of data",
)
def timers_behind_a_closed_window(rig: Rig) -> None:
    """0 to 5 probes, answered or not, then a window; what leaves is lost: when it is sent again, twice."""
    chimney = ChimneyRig(rig, parameters={"DOUBT_RETRANSMISSIONS": 99})
    rto = 500
    for version, probes, is_answered in product((4, 6), range(6), (False, True)):
        connection = chimney.connect(version=version, snd_wnd=0, srtt=8 * 400, rtt_var=100)
        connection.send(b"waits for a window")
        rig.sent()
        assert len(_times(chimney, connection, ISS, probes)) == probes
        if is_answered:
            connection.receive(window=0)
        connection.receive(window=1000)
        what = f"IPv{version}, {probes} probes, the last {'' if is_answered else 'not '}answered, then lost"
        assert connection.sent(), f"{what}: nothing is sent into the window"
        times = _times(chimney, connection, ISS, 2)
        near = [round(each / rto) for each in times]
        assert near == [1, 2], f"{what}: sent again after {times} ms, with an RTO of {rto} ms"
        connection.terminate()
        chimney.take()
        rig.sent()


@card_case(
    manual("CHM-3", "chimney"),
    "a connection that comes between two retransmissions goes on with the interval that its count says",
)
def timers_that_are_taken_over(rig: Rig) -> None:
    """Counts of 0 to 4, with time left; then the same connection is given back and taken again."""
    chimney = ChimneyRig(rig, parameters={"DOUBT_RETRANSMISSIONS": 99, "MAX_RETRANSMISSIONS": 255})
    rto, left = 500, 70
    for version, count in product((4, 6), range(5)):
        path = chimney.path(version=version)
        fields = {"srtt": 8 * 400, "rtt_var": 100, "snd_nxt": ISS + 100, "snd_max": ISS + 100}
        timer = {"retransmit_count": count, "retransmit_timeout_delta": left}
        for turn in range(3):
            given: dict[str, Any] = fields | timer
            connection = chimney.connect(path, version=version, sends=[bytes(100)], **given)
            times = _times(chimney, connection, ISS, 1 + (turn == 0))
            what = f"IPv{version}, taken after {count + turn} timeouts"
            assert abs(times[0] - timer["retransmit_timeout_delta"]) <= 5, f"{what}: the next after {times}"
            if turn == 0:
                near = times[1] / (rto << count + 1)
                assert 0.9 < near < 1.1, f"{what}: then after {times[1]} ms, with an RTO of {rto} ms"
            image = connection.terminate()[1]
            timer = {"retransmit_count": image.retransmit_count,
                     "retransmit_timeout_delta": image.retransmit_timeout_delta}  # fmt: skip
            assert image.retransmit_count == count + 2 + turn, f"{what}: COUNT is {image.retransmit_count}"
            wanted = min(rto << count + 2 + turn, 60_000)
            told = image.retransmit_timeout_delta
            assert abs(told - wanted) <= wanted // 10, f"{what}: {told} ms are left of {wanted}"
            chimney.take()
            rig.sent()


@card_case(
    manual("CHM-41", "chimney"),
    "keepalive probes that nobody answered are not counted among those of the window, nor the other way",
)
def probes_of_two_kinds(rig: Rig) -> None:
    """0 to 3 keepalive probes into silence, the window closed; then data: 4 probes before it is given up.

    The timers of the two kinds never expire together, or do.
    """
    chimney = ChimneyRig(rig, parameters={"MAX_RETRANSMISSIONS": 4, "DOUBT_RETRANSMISSIONS": 99})
    for version, before, (timeout, interval) in product((4, 6), range(4), ((3700, 1300), (3000, 1000))):
        connection = chimney.connect(
            version=version, snd_wnd=0, cached_flags=_KEEPALIVE, ka_timeout=timeout, ka_interval=interval,
            ka_probe_count=5,
        )  # fmt: skip
        rig.sent()
        what = f"IPv{version}, {before} keepalive probes of {timeout} and {interval} ms"
        assert len(_times(chimney, connection, ISS - 1, before)) == before, f"{what}: less of them"
        connection.send(b"waits for a window")
        rig.sent()
        found = len(_times(chimney, connection, ISS, 9))
        assert chimney.reasons() == [ChmReason.TIMEOUT_EXPIRATION], f"{what}: {chimney.reasons()}"
        assert found == 4, f"{what}: then {found} of the window"
        connection.terminate()
        chimney.take()
        rig.sent()


@card_case(
    manual("CHM-41", "chimney"),
    "while data or a probe of the window is out keepalive neither speaks nor counts",
)
def keepalive_beside_data(rig: Rig) -> None:
    """A keepalive of two probes a second with a silent peer, data, a FIN, or a window of 0."""
    chimney = ChimneyRig(rig, parameters={"MAX_RETRANSMISSIONS": 4, "DOUBT_RETRANSMISSIONS": 99})
    for version, way in product((4, 6), ("data", "a FIN", "a window of 0")):
        connection = chimney.connect(
            version=version, snd_wnd=0 if way == "a window of 0" else 65535, cached_flags=_KEEPALIVE,
            ka_timeout=730, ka_interval=490, ka_probe_count=2,
        )  # fmt: skip
        rig.sent()
        if way == "a FIN":
            connection.disconnect()
        else:
            connection.send(b"hello?")
        sent, passed = connection.sent(), 0
        while not chimney.reasons() and passed < 100_000:
            chimney.advance(50 * _MS)
            passed += 50
            sent += connection.sent()
        what = f"IPv{version}, {way}"
        found = [(each.seq - ISS) % _WRAP for each in sent]
        assert found in ([0] * 4, [0] * 5), f"{what}: segments of {found}, as numbers behind SndUna"
        assert passed >= 30_000, f"{what}: given up after {passed} ms"
        state = connection.terminate()[1].state
        assert state == (5 if way == "a FIN" else 4), f"{what}: given up in state {state}"
        chimney.take()
        rig.sent()


@card_case(
    manual("CHM-3", "chimney"),
    "a keepalive that runs goes on with what is left of it, and with the probes that were sent",
)
def keepalives_that_are_taken_over(rig: Rig) -> None:
    """1 to 3,000 of 3,000 ticks left, 0 to 2 of 3 probes sent before: when each of those that follow is."""
    chimney = ChimneyRig(rig)
    for version, left, count in product((4, 6), (1, 40, 1700, 2999, 3000), range(3)):
        connection = chimney.connect(
            version=version, cached_flags=_KEEPALIVE, ka_timeout=3000, ka_interval=1000, ka_probe_count=3,
            keep_alive_timeout_delta=left, keep_alive_probe_count=count,
        )  # fmt: skip
        rig.sent()
        what = f"IPv{version}, {left} ticks left, {count} of 3 probes before"
        times = _times(chimney, connection, ISS - 1, 4)
        assert len(times) == 3 - count, f"{what}: {len(times)} more"
        wanted = [left, 1000, 1000][: 3 - count]
        near = [abs(a - b) <= 5 for a, b in zip(times, wanted, strict=True)]
        assert all(near), f"{what}: probes after {times} ms"
        assert chimney.reasons() == [ChmReason.TIMEOUT_EXPIRATION], f"{what}: {chimney.reasons()}"
        connection.terminate()
        chimney.take()


@card_case(
    manual("CHM-41", "chimney"),
    "a peer that reports the bytes at SndUna and does not acknowledge them has dropped them: all leave again",
)
def peers_that_renege(rig: Rig) -> None:
    """Five segments, of which blocks from SndUna on are reported; the timer; then they are acknowledged."""
    chimney = ChimneyRig(rig, parameters={"DOUBT_RETRANSMISSIONS": 99})
    for version, told in product((4, 6), (1, 2, 5)):
        connection = chimney.connect(version=version, const_flags=SACK, remote_mss=1000, cwnd=10_000)
        connection.send(bytes(5000))
        assert len(connection.sent()) == 5
        block = ISS.to_bytes(4) + (ISS + 1000 * told).to_bytes(4)
        connection.receive(options=b"\x01\x01\x05\x0a" + block)
        rig.sent()
        found = list[int]()
        for _ in range(400):
            chimney.advance(50 * _MS)
            for each in connection.sent():
                found.append((each.seq - ISS) // 1000)
                if each.seq == connection.peer.ack:
                    connection.peer.ack += len(each.payload)
                    connection.receive()
        what = f"IPv{version}, {told} segments reported at SndUna"
        assert connection.peer.ack == ISS + 5000, f"{what}: only {found} are sent again"
        connection.terminate()
        chimney.take()
        rig.sent()
