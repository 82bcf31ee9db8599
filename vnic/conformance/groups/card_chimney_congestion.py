"""The card's chimney and congestion: what a loss costs, how windows grow, tails, idle times."""

from __future__ import annotations

from itertools import product

from vnic.conformance.case import card_case
from vnic.conformance.pages import manual
from vnic.gen.descriptors import ChmTcp
from vnic.testbench.chimney.images import SACK
from vnic.testbench.chimney.rig import ChimneyRig
from vnic.testbench.chimney.rig_connection import RigConnection
from vnic.testbench.rig import Rig
from vnic.testbench.tcp_peer import ISS

_MS = 1_000_000
_WRAP = 1 << 32
_MSS = 1000
_NEWRENO, _CUBIC = 0, 1


def _made(chimney: ChimneyRig, segments: int, version: int = 4, **fields: int) -> RigConnection:
    """A connection with an SRTT of 50 ms that has so many full segments to send."""
    given = {"remote_mss": _MSS, "srtt": 400, "rtt_var": 20, "snd_wnd": 65535, "cwnd": 20 * _MSS} | fields
    connection = chimney.connect(chimney.path(version=version), version=version, **given)  # type: ignore[arg-type]
    chimney.take()
    connection.sent()
    connection.send(bytes(segments * _MSS))
    return connection


def _acknowledge(connection: RigConnection, segments: int, **frame: bytes) -> ChmTcp:
    """So many more segments arrive at the peer 50 ms after they left; the image then."""
    connection.driver.advance(50 * _MS)
    connection.peer.ack = (connection.peer.ack + segments * _MSS) % _WRAP
    connection.receive(**frame)
    return connection.query()


def _sack(first: int, last: int) -> bytes:
    edges = ((ISS + at * _MSS) % _WRAP for at in (first, last))
    return b"\x01\x01\x05\x0a" + b"".join(edge.to_bytes(4) for edge in edges)


@card_case(
    manual("CHM-41", "chimney"),
    "a loss costs once a window: half of what is out by NEWRENO, three tenths of it by CUBIC",
)
def losses_by_algorithm(rig: Rig) -> None:
    """Twenty segments and four, of which the first is lost, with SACK and without; a partial ACK."""
    for algorithm, version, options, out in product((_NEWRENO, _CUBIC), (4, 6), (0, SACK), (20, 4)):
        chimney = ChimneyRig(rig, parameters={"CONGESTION": algorithm})
        connection = _made(chimney, out, version, const_flags=options)
        assert len(connection.sent()) == out
        chimney.advance(50 * _MS)
        for end in range(2, out + 1):
            connection.receive(options=_sack(1, end) if options else b"")
        image = connection.query()
        share = image.ss_thresh / (out * _MSS)
        right = {_NEWRENO: 0.5, _CUBIC: 0.7}[algorithm]
        what = f"{'CUBIC' if algorithm else 'NEWRENO'}, IPv{version}, {out} segments, SACK {options != 0}"
        assert abs(share - right) < 0.06, f"{what}: ssthresh is {share:.2f} of what is out"
        before = image.ss_thresh
        connection.sent()
        _acknowledge(connection, 1)
        again = connection.query().ss_thresh
        assert again == before, f"{what}: a partial ACK reduces once more, to {again}"
        connection.receive(ack=(ISS + out * _MSS) % _WRAP)
        connection.peer.ack = (ISS + out * _MSS) % _WRAP
        image = connection.query()
        assert image.cwnd <= before + _MSS, f"{what}: at the end cwnd is {image.cwnd}, ssthresh {before}"
        connection.terminate()
        chimney.take()
        rig.sent()
        chimney.switch_off()


@card_case(
    manual("CHM-41", "chimney"),
    "above ssthresh cwnd grows by a segment a round trip, below it by what is acknowledged",
)
def windows_that_grow(rig: Rig) -> None:
    """Rounds of ten segments in congestion avoidance, of few in slow start, of one in a large window."""
    chimney = ChimneyRig(rig, sq_count=256)
    for version in (4, 6):
        steady = _made(chimney, 300, version, cwnd=10 * _MSS, ss_thresh=10 * _MSS, remote_port=1)
        steady.sent()
        begun = steady.query()
        for _ in range(5):
            before = steady.query().cwnd
            chimney.advance(50 * _MS)
            for _ in range(before // _MSS):
                steady.peer.ack = (steady.peer.ack + _MSS) % _WRAP
                steady.receive()
            grown = steady.query().cwnd - before
            assert 0 < grown <= _MSS + 200, f"IPv{version}: above ssthresh a round trip opens cwnd by {grown}"
            steady.sent()
        total = steady.query().cwnd - begun.cwnd
        assert 3 * _MSS <= total <= 6 * _MSS, f"IPv{version}: five round trips open cwnd by {total}"
        steady.terminate()
        fast = _made(chimney, 300, version, cwnd=4 * _MSS, remote_port=2)
        fast.sent()
        for segments in (1, 2, 1):
            before = fast.query().cwnd
            grown = _acknowledge(fast, segments).cwnd - before
            assert 0 < grown <= segments * _MSS, f"IPv{version}: {segments} segments open cwnd by {grown}"
            fast.sent()
        fast.terminate()
        slack = _made(chimney, 1, version, cwnd=40 * _MSS, remote_port=3)
        for _ in range(4):
            slack.sent()
            found = _acknowledge(slack, 1).cwnd
            assert found <= 40 * _MSS, (
                f"IPv{version}: cwnd grows to {found} though one segment is out at most"
            )
            slack.send(bytes(_MSS))
        slack.terminate()
        chimney.take()
        rig.sent()


@card_case(
    manual("CHM-41", "chimney"),
    "after more than an RTO without sending a burst is no longer than the restart window",
)
def windows_after_idle_time(rig: Rig) -> None:
    """A cwnd of 60 segments: used, left alone for 10 ms and for 2 s, then 60 segments to send."""
    for version, idle, least, most in ((4, 10, 55, 60), (6, 2000, 1, 15), (4, 2000, 1, 15)):
        chimney = ChimneyRig(rig)
        connection = _made(chimney, 60, version, cwnd=60 * _MSS)
        assert len(connection.sent()) == 60
        _acknowledge(connection, 60)
        chimney.advance(idle * _MS)
        connection.send(bytes(60 * _MSS))
        found = len(connection.sent())
        assert least <= found <= most, f"IPv{version}: {found} segments leave at once after {idle} ms"
        connection.terminate()
        chimney.take()
        chimney.switch_off()


@card_case(
    manual("CHM-41", "chimney"),
    "a tail without an ACK is probed once after two round trips, then the timer waits",
)
def tails_that_are_probed(rig: Rig) -> None:
    """Five segments with SACK of which nobody hears: the last again, then the first; and one that is new."""
    chimney = ChimneyRig(rig, parameters={"DOUBT_RETRANSMISSIONS": 99})
    for version, is_new in product((4, 6), (False, True)):
        connection = _made(chimney, 5 + is_new, version, const_flags=SACK, cwnd=5 * _MSS, rtt_var=200)
        assert len(connection.sent()) == 5
        waited, seen = 0, list[tuple[int, int]]()
        while len(seen) < 2 and waited < 3000:
            chimney.advance(5 * _MS)
            waited += 5
            seen += [(waited, ((each.seq - ISS) % _WRAP) // _MSS) for each in connection.sent()]
        what = f"IPv{version}, {'something' if is_new else 'nothing'} new to send: {seen}"
        assert [number for _, number in seen] == [4 + is_new, 0], what
        assert 90 <= seen[0][0] <= 160, what
        assert seen[1][0] - seen[0][0] >= 195, what
        assert not any(each.ip[1] & 3 for each in connection.sent()), "ECT, which was not agreed"
        connection.terminate()
        chimney.take()
        rig.sent()
