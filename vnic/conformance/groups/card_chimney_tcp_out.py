"""The card's chimney as a TCP sender on the wire: losses, timers, windows, small segments, and giving up."""

from __future__ import annotations

from itertools import pairwise, product

from vnic.conformance.case import card_case
from vnic.conformance.pages import manual
from vnic.gen.enums import ChmReason
from vnic.testbench.chimney.images import (
    NAGLING,
    SACK,
    SCALING,
    tcp_image,
)
from vnic.testbench.chimney.rig import ChimneyRig
from vnic.testbench.chimney.rig_connection import RigConnection
from vnic.testbench.rig import Rig
from vnic.testbench.tcp_peer import IRS, ISS
from vnic.wire import packet

_ACK, _PSH, _FIN = packet.ACK, packet.PSH, packet.FIN
_MS = 1_000_000
_WRAP = 1 << 32
_MSS = 1000


def _sacks(*blocks: tuple[int, int], una: int = ISS) -> bytes:
    """A SACK option with blocks of bytes behind SndUna."""
    body = b"".join(((una + edge) % _WRAP).to_bytes(4) for block in blocks for edge in block)
    return b"\x01\x01\x05" + bytes([2 + len(body)]) + body


def _flight(
    chimney: ChimneyRig, segments: int, una: int = ISS, cwnd: int = 20 * _MSS, **fields: int
) -> RigConnection:
    """A connection that has sent so many full segments."""
    chimney.take()
    given = {"remote_mss": _MSS, "snd_una": una, "snd_nxt": una, "snd_max": una, "cwnd": cwnd} | fields
    connection = chimney.connect(**given)  # type: ignore[arg-type]
    connection.peer.ack = una
    connection.send(bytes(segments * _MSS))
    connection.sent()
    return connection


def _ranges(connection: RigConnection, una: int = ISS) -> list[tuple[int, int]]:
    """The bytes behind SndUna that are sent, segment by segment."""
    found = []
    for each in connection.sent():
        if each.payload:
            at = (each.seq - una) % _WRAP
            found.append((at, at + len(each.payload)))
    return found


@card_case(
    manual("CHM-41", "chimney"),
    "so many duplicate ACKs as the threshold says send the first segment again, once; nothing else does",
)
def duplicate_acknowledgments(rig: Rig) -> None:
    """Thresholds of 2, 3 and 5; ACKs with data or another window are no duplicates; over the wrap."""
    for threshold, una in product((2, 3, 5), (ISS, _WRAP - 1500)):
        chimney = ChimneyRig(rig, parameters={"DUPLICATE_ACK_THRESHOLD": threshold})
        connection = _flight(chimney, 8, una)
        for number in range(threshold * 2):
            connection.receive(b"d", flags=_ACK | _PSH)
            connection.receive(window=65000 - number)
        found = [row for row in _ranges(connection, una) if row[0] < 8 * _MSS]
        assert found == [], f"threshold {threshold}: what is no duplicate sends {found} again"
        again: list[tuple[int, int]] = []
        for number in range(threshold):
            connection.receive(window=65000)
            again = _ranges(connection, una)
            if number < threshold - 2:
                assert (0, _MSS) not in again, f"threshold {threshold}: sent again by duplicate {number + 1}"
        connection.receive(window=65000)
        again += _ranges(connection, una)
        assert again.count((0, _MSS)) == 1, f"threshold {threshold}: {again} after the duplicates"
        for _ in range(3):
            connection.receive(window=65000)
        assert (0, _MSS) not in _ranges(connection, una), f"threshold {threshold}: sent again twice"
        other = _flight(chimney, 9, una, remote_port=2)
        for _ in range(threshold - 1):
            other.receive()
        other.peer.ack = (una + _MSS) % _WRAP
        for _ in range(threshold):
            other.receive()
        found = [row for row in _ranges(other, una) if row[0] < 9 * _MSS]
        assert found == [], f"threshold {threshold}: duplicates of before send {found} again"
        third = _flight(chimney, 4, una, remote_port=3)
        third.receive()
        for _ in range(threshold + 1):
            third.receive(b"d", flags=_ACK | _PSH)
        found = [row for row in _ranges(third, una) if row[0] < 4 * _MSS]
        assert found == [], f"threshold {threshold}: data behind a duplicate sends {found} again"
        chimney.take()
        chimney.switch_off()


@card_case(
    manual("CHM-41", "chimney"),
    "with SACK what is missing is sent again, once, and nothing that was reported; wrong blocks say nothing",
)
def holes_in_what_arrived(rig: Rig) -> None:
    """One to three holes in ten segments, over the wrap; blocks beyond SndMax, empty, turned round."""
    rows: tuple[tuple[tuple[int, int], ...], ...] = (
        ((1, 10),),
        ((1, 4), (5, 10)),
        ((2, 4), (5, 7), (8, 10)),
        ((4, 10),),
    )
    for version, una, blocks in product((4, 6), (ISS, _WRAP - 4500), rows):
        chimney = ChimneyRig(rig)
        connection = _flight(chimney, 10, una, const_flags=SACK, version=version)
        what = f"IPv{version}, SndUna {una}, blocks {blocks}"
        for wrong in (
            ((-3000, -1000),),
            ((9000, 99_000),),
            ((3000, 3000),),
            ((5000, 2000),),
            ((12_000, 13_000),),
        ):
            for _ in range(4):
                connection.receive(options=_sacks(*wrong, una=una))
        assert _ranges(connection, una) == [], f"{what}: blocks that mean nothing send something again"
        numbers, held = list[int](), set[int]()
        chimney.advance(50 * _MS)
        for index, (first, last) in enumerate(blocks):
            for end in range(first + 1, last + 1):
                held.add(end - 1)
                told = [(first, end), *reversed(blocks[:index])]
                connection.receive(options=_sacks(*((a * _MSS, b * _MSS) for a, b in told), una=una))
                numbers += (again := [at // _MSS for at, _ in _ranges(connection, una)])
                assert not held & set(again), f"{what}: of {held} {again} are sent again"
        missing = {n for n in range(blocks[-1][1]) if n not in held}
        assert numbers[:1] == [0], f"{what}: {numbers} again"
        assert len(numbers) <= 2 * len(missing) + 2, f"{what}: {numbers} again, of {missing}"
        connection.peer.ack = (una + 10 * _MSS) % _WRAP
        connection.receive()
        assert _ranges(connection, una) == [], f"{what}: something is sent when all has arrived"
        connection.send(b"goes on")
        assert _ranges(connection, una) == [(10 * _MSS, 10 * _MSS + 7)], f"{what}: what comes next"
        chimney.switch_off()


def _timeout(chimney: ChimneyRig, connection: RigConnection) -> tuple[int, list[tuple[int, int]]]:
    """Milliseconds until something is sent, and what."""
    waited = 0
    while waited < 130_000:
        found = _ranges(connection)
        due = chimney.device.next_deadline_ns()
        if found or due is None:
            return waited, found
        step = max(-((chimney.device.now_ns - due) // _MS), 1)
        chimney.advance(step * _MS)
        waited += step
    raise AssertionError("nothing is sent in two minutes")


@card_case(
    manual("CHM-41", "chimney"),
    "the retransmission timer follows SRTT and RTTVAR, is 200 ms at least, doubles, and sends one segment",
)
def retransmission_timers(rig: Rig) -> None:
    """SRTT and RTTVAR in the image at three rates of ticks; a timer of which some is left."""
    for rate, srtt, rttvar in ((1000, 300, 50), (1000, 10, 2), (100, 40, 10), (10, 5, 2)):
        parameters = {"TICKS_PER_SECOND": rate, "DELAYED_ACK_TICKS": 1, "DOUBT_RETRANSMISSIONS": 99}
        chimney = ChimneyRig(rig, parameters=parameters | {"MAX_RETRANSMISSIONS": 255})
        connection = _flight(chimney, 1, srtt=srtt * 8, rtt_var=rttvar * 4)
        rto = max((srtt + 4 * rttvar) * 1000 // rate, 200)
        told = connection.query().retransmit_timeout_delta * 1000 // rate
        assert abs(told - rto) <= 1000 // rate, f"SRTT {srtt} and RTTVAR {rttvar} of 1/{rate} s: {told} ms"
        waits = []
        connection.receive(b"no news")
        for number in range(4):
            waited, found = _timeout(chimney, connection)
            assert found == [(0, _MSS)], f"timeout {number} sends {found}"
            waits.append(waited)
        what = f"SRTT {srtt} and RTTVAR {rttvar} of 1/{rate} s: sent again after {waits} ms"
        near = [wait for wait in waits if wait + 10 >= rto]
        assert near, what
        assert abs(near[0] - rto) <= max(rto // 2, 20) or waits[0] < rto, what
        for before, after in pairwise(waits[1:]):
            assert before * 3 // 2 <= after <= before * 5 // 2, f"{what}, which do not double"
        chimney.switch_off()
    chimney = ChimneyRig(rig, parameters={"TICKS_PER_SECOND": 1000, "DOUBT_RETRANSMISSIONS": 99})
    for left in (50, 700, 3000):
        connection = chimney.connect(
            sends=[bytes(100)], snd_nxt=ISS + 100, snd_max=ISS + 100, retransmit_timeout_delta=left,
            srtt=80, rtt_var=40, remote_mss=_MSS,
        )  # fmt: skip
        waited, _ = _timeout(chimney, connection)
        assert left - 5 <= waited <= left + 10 or waited < left, f"of a timer {left} ms are left: {waited} ms"
        assert waited >= min(left, 20) - 5, f"{left} ms are left: {waited} ms"
        connection.terminate()
        chimney.take()


@card_case(
    manual("CHM-41", "chimney"),
    "after a timeout one segment leaves; slow start opens by what is acknowledged, not more",
)
def windows_after_a_loss(rig: Rig) -> None:
    """Ten segments are lost; the timer; then ACKs of one segment, of many, and of single bytes."""
    chimney = ChimneyRig(rig, parameters={"DOUBT_RETRANSMISSIONS": 99})
    for version in (4, 6):
        connection = _flight(chimney, 10, version=version)
        connection.send(bytes(20 * _MSS))
        rig.sent()
        _, found = _timeout(chimney, connection)
        while len(found) == 1 and found[0][0] != 0:
            _, found = _timeout(chimney, connection)
        assert len(found) == 1 and found[0] == (0, _MSS), f"IPv{version}: the timeout sends {found}"
        image = connection.query()
        assert image.cwnd <= _MSS, f"IPv{version}: cwnd is {image.cwnd} after a timeout"
        assert 2 * _MSS <= image.ss_thresh <= 15 * _MSS, f"IPv{version}: ssthresh is {image.ss_thresh}"
        for number in range(1, 40):
            connection.peer.ack = (ISS + number * 10) % _WRAP
            before = connection.query().cwnd
            connection.receive()
            grown = connection.query().cwnd - before
            assert grown <= (10 if number > 1 else _MSS), f"an ACK of 10 bytes opens cwnd by {grown}"
        connection.terminate()
        chimney.take()
        rig.sent()
    fresh = _flight(chimney, 30, cwnd=4 * _MSS, remote_port=2, snd_wnd=60_000)
    for _ in range(3):
        image = fresh.query()
        flight = image.snd_max - image.snd_una
        assert flight <= image.cwnd, f"{flight} bytes are out with a cwnd of {image.cwnd}"
        fresh.peer.ack = image.snd_max
        fresh.receive()
        grown = fresh.query().cwnd - image.cwnd
        assert 0 < grown <= flight, f"slow start: cwnd grew by {grown} with {flight} bytes acknowledged"
        rig.sent()


@card_case(
    manual("CHM-41", "chimney"),
    "nothing is sent beyond the window that the newest segment offers; one that shrinks stops new data",
)
def windows_that_change(rig: Rig) -> None:
    """A window of 5,000 that shrinks below what is out, and grows; an old segment with another; scaled."""
    chimney = ChimneyRig(rig)
    for version, shift in product((4, 6), (0, 3)):
        fields = {"const_flags": SCALING, "snd_wind_scale": shift} if shift else {}
        connection = _flight(
            chimney,
            30,
            version=version,
            snd_wnd=5000 >> shift << shift,
            max_snd_wnd=8000,
            cwnd=1 << 20,
            **fields,
        )
        what = f"IPv{version}, shift {shift}"
        edge = 5000 >> shift << shift
        assert connection.query().snd_max - ISS == edge // _MSS * _MSS, f"{what}: the first window"
        connection.receive(seq=IRS - 10, window=9000 >> shift)
        assert _ranges(connection) == [], f"{what}: the window of an old segment is believed"
        connection.receive(window=2000 >> shift)
        assert _ranges(connection) == [], f"{what}: a window that shrinks"
        connection.receive(ack=ISS + 2 * _MSS, window=2000 >> shift)
        connection.peer.ack = ISS + 2 * _MSS
        sent = _ranges(connection)
        assert all(last <= 4 * _MSS for _, last in sent), f"{what}: {sent} beyond the window"
        connection.receive(ack=ISS + 5 * _MSS - 1000 * (shift != 0), window=7000 >> shift)
        last = max(last for _, last in _ranges(connection))
        right = 5 * _MSS - 1000 * (shift != 0) + (7000 >> shift << shift)
        assert right - _MSS < last <= right, f"{what}: {last} bytes leave, the edge is {right}"
        connection.receive(ack=(ISS + last + 1) % _WRAP, window=65000)
        assert _ranges(connection) == [], f"{what}: an ACK of what was not sent is believed"
        connection.terminate()
        shrunk = _flight(chimney, 3, version=version, cached_flags=NAGLING)
        shrunk.receive(window=500)
        found = _timeout(chimney, shrunk)[1]
        assert found == [(0, 500)], f"{what}: {found} again into a window that shrank to 500"
        shrunk.terminate()
        chimney.take()
        rig.sent()


@card_case(
    manual("CHM-41", "chimney"),
    "with Nagle a small segment waits while something is out; a silly window waits for CHM_SWS_TICKS",
)
def small_segments(rig: Rig) -> None:
    """Three small sends with and without Nagle; windows below half of the largest with 100 to 1,000 ms."""
    for ticks in (0, 100, 500, 1000):
        chimney = ChimneyRig(rig, parameters={"SWS_TICKS": ticks})
        for version, nagles in product((4, 6), (0, NAGLING)):
            connection = chimney.connect(version=version, cached_flags=nagles, remote_mss=_MSS)
            for _ in range(3):
                connection.send(b"tiny")
            found = _ranges(connection)
            wanted = [(0, 4)] if nagles else [(0, 4), (4, 8), (8, 12)]
            assert found == wanted, f"IPv{version}, Nagle {nagles}: {found} are sent"
            connection.receive(ack=ISS + 4)
            found = _ranges(connection)
            assert found == [(4, 12)] * bool(nagles), f"IPv{version}, Nagle {nagles}: {found} after the ACK"
            chimney.update(tcp_image(cached_flags=NAGLING - nagles), connection.handle)
            connection.receive(ack=ISS + 12)
            connection.peer.ack = ISS + 12
            connection.send(b"one")
            connection.send(b"two")
            found = _ranges(connection)
            wanted = [(12, 15), (15, 18)] if nagles else [(12, 15)]
            assert found == wanted, f"IPv{version}, Nagle is {NAGLING - nagles} by UPDATE: {found} are sent"
            connection.terminate()
            chimney.take()
        connection = chimney.connect(remote_mss=_MSS, snd_wnd=300, max_snd_wnd=10_000)
        connection.send(bytes(5000))
        assert _ranges(connection) == [], "a silly window is used at once"
        waited, found = _timeout(chimney, connection)
        assert found == [(0, 300)] and waited == (ticks or 200), f"SWS {ticks}: {found} after {waited} ms"
        chimney.switch_off()


@card_case(
    manual("CHM-41", "chimney"),
    "a peer that is silent is given up after MaxRT or CHM_MAX_RETRANSMISSIONS, by an upload without a RST",
)
def peers_that_are_given_up(rig: Rig) -> None:
    """Timeouts of 1, 3 and 6, and MaxRT of 1 and 20 s, of data, of a FIN and of window probes."""
    rows = ((1, 0, 0), (3, 0, 0), (6, 0, 0), (255, 1000, 1000), (255, 20_000, 20_000))
    for (most, max_rt, limit), way in product(rows, ("data", "a FIN", "probes")):
        chimney = ChimneyRig(rig, parameters={"MAX_RETRANSMISSIONS": most, "DOUBT_RETRANSMISSIONS": 255})
        connection = chimney.connect(
            max_rt=max_rt, srtt=800, rtt_var=10, remote_mss=_MSS, snd_wnd=0 if way == "probes" else 65535
        )
        chimney.take()
        begun = chimney.device.now_ns
        if way == "a FIN":
            connection.disconnect()
        else:
            connection.send(b"hello?")
        count = last = 0
        first = way == "probes"
        while not chimney.reasons():
            for each in connection.sent():
                count += 1
                last = (chimney.device.now_ns - begun) // _MS
                assert not each.flags & packet.RST, f"{way}: a RST"
            chimney.advance(50 * _MS)
            assert chimney.device.now_ns - begun < 1_000_000 * _MS, f"{way}: never given up, {count} segments"
        passed = (chimney.device.now_ns - begun) // _MS
        what = (
            f"{way}, {most} timeouts, MaxRT {max_rt}: {count} segments, the last after {last} of {passed} ms"
        )
        assert chimney.reasons() == [ChmReason.TIMEOUT_EXPIRATION], f"{what}: {chimney.reasons()}"
        if limit:
            assert limit - 100 <= passed <= 2 * limit + 1500, what
        else:
            assert count in (most + 1 - first, most + 2 - first), what
        connection.terminate()
        chimney.switch_off()
