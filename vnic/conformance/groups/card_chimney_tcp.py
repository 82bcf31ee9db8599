"""The card's chimney as a TCP receiver on the wire: what it takes, and what it answers when."""

from __future__ import annotations

from itertools import product
from typing import Any

from vnic.conformance.case import card_case
from vnic.conformance.pages import manual
from vnic.gen.enums import ChmEvent, ChmReason
from vnic.testbench.chimney.images import SACK, SCALING, TIMESTAMPS
from vnic.testbench.chimney.rig import ChimneyRig
from vnic.testbench.chimney.rig_connection import RigConnection
from vnic.testbench.rig import Rig
from vnic.testbench.tcp_peer import IRS, ISS, Segment
from vnic.wire import packet

_ACK, _PSH, _FIN, _RST = packet.ACK, packet.PSH, packet.FIN, packet.RST
_SYN, _URG = packet.SYN, packet.URG
_MS = 1_000_000
_WRAP = 1 << 32
_DELAY_MS = 40


def _timestamp(value: int, echo: int) -> bytes:
    return b"\x01\x01\x08\x0a" + (value % _WRAP).to_bytes(4) + (echo % _WRAP).to_bytes(4)


def _of(options: bytes, kind: int) -> tuple[int, ...]:
    """The 32-bit words of an option; () when it is not there."""
    while options and options[0] != 0:
        if options[0] == 1:
            options = options[1:]
            continue
        if options[0] == kind:
            body = options[2 : options[1]]
            return tuple(int.from_bytes(body[n : n + 4]) for n in range(0, len(body), 4))
        options = options[options[1] :]
    return ()


@card_case(
    manual("CHM-41", "chimney"),
    "of a segment what lies in the window is taken, the rest is cut off and answered, once",
)
def segments_around_the_window(rig: Rig) -> None:
    """Segments before, across and behind both edges of a window of 1,000, over the wrap."""
    chimney = ChimneyRig(rig, pool_count=32)
    data = bytes(n % 251 + 1 for n in range(4000))
    rows = ((-200, 100), (-100, 100), (-100, 101), (-50, 300), (0, 1000), (0, 1001), (-10, 1500), (1000, 1),
            (1001, 10), (500, 600), (999, 1), (999, 2), (-1, 1), (-1, 2), (1 << 30, 50))  # fmt: skip
    for (version, first), (at, length) in product(((4, _WRAP - 300), (6, IRS), (4, _WRAP - 1001)), rows):
        connection = chimney.connect(
            version=version, rcv_nxt=first, rcv_wnd=1000, initial_rcv_wnd=1000, send_wl1=first,
            const_flags=SACK * (length % 2),
        )  # fmt: skip
        rig.sent()
        cut = data[at + 1000 : at + 1000 + length] if at < 2000 else bytes(length)
        connection.receive(cut, seq=(first + at) % _WRAP, flags=_ACK | _PSH)
        chimney.poll()
        is_good = 0 <= at < 1000 or 0 < at + length <= 1000
        taken = max(min(at + length, 1000), 0) if at <= 0 and is_good else 0
        what = f"IPv{version}, RcvNxt {first}, {length} bytes at {at:+}"
        assert bytes(connection.data) == data[1000 : 1000 + taken], f"{what}: {len(connection.data)} bytes"
        answers = connection.sent()
        if taken != length and at + length != 1000:
            assert [each.ack for each in answers] == [(first + taken) % _WRAP], (
                f"{what}: {len(answers)} answers"
            )
        if 0 < at < 1000:
            connection.credit(0)
            connection.receive(data[1000 : 1000 + at], seq=first, flags=_ACK | _PSH)
            chimney.poll()
            end = min(at + length, 1000)
            assert bytes(connection.data) == data[1000 : 1000 + end], f"{what}: not all of it was held"
        assert chimney.events() == [], f"{what}: an event"
        connection.terminate()
        chimney.take()
        rig.sent()


def _answered(chimney: ChimneyRig, connection: RigConnection, most: int = 600) -> int:
    """Milliseconds until something is sent; -1: nothing in that time."""
    for waited in range(most):
        if connection.sent():
            return waited
        chimney.advance(_MS)
    return -1


@card_case(
    manual("CHM-41", "chimney"),
    "CHM_ACK_FREQUENCY full segments are acknowledged at once, fewer after CHM_DELAYED_ACK_TICKS, once",
)
def acknowledgments_that_wait(rig: Rig) -> None:
    """Frequencies of 1, 2, 3 and 8, delays of 0 to 499 ms; gaps, FINs and data that carries the ACK."""
    for every, delay in ((1, 40), (2, 40), (3, 100), (8, 499), (2, 0), (2, 1)):
        chimney = ChimneyRig(rig, parameters={"ACK_FREQUENCY": every, "DELAYED_ACK_TICKS": delay})
        for version, size in ((4, 1460), (6, 1440)):
            what = f"IPv{version}, every {every}, {delay} ms"
            connection = chimney.connect(version=version, rcv_wnd=1 << 20, initial_rcv_wnd=1 << 20,
                                         const_flags=SCALING, rcv_wind_scale=5, remote_mss=size)  # fmt: skip
            for _ in range(2):  # it learns how long a full segment is
                connection.receive(bytes(size))
            chimney.advance(500 * _MS)
            rig.sent()
            for _ in range(3):
                acks = []
                for _ in range(every):
                    connection.receive(bytes(size))
                    acks.append([each.ack for each in connection.sent()])
                right: list[list[int]] = [[] for _ in range(every - 1)] + [[connection.peer.seq]]
                if delay == 0:
                    right = [[(connection.peer.seq - size * (every - 1 - n)) % _WRAP] for n in range(every)]
                assert acks == right, f"{what}: segments are answered by {acks}"
                chimney.poll()
            if every > 1 and delay:
                connection.receive(b"lone")
                found = _answered(chimney, connection)
                assert found == delay, f"{what}: a lone segment is acknowledged after {found} ms"
                connection.receive(b"lone")
                connection.send(b"carries it")
                (carrier,) = connection.sent()
                assert carrier.ack == connection.peer.seq, f"{what}: data carries an old ACK"
                connection.receive(ack=ISS + 10)
                assert _answered(chimney, connection) == -1, f"{what}: acknowledged twice"
                connection.receive(b"behind a gap", seq=connection.peer.seq + 100)
                assert len(connection.sent()) == 1, f"{what}: a segment behind a gap waits for its ACK"
                connection.receive(bytes(100))
                (filled,) = connection.sent()
                assert filled.ack == connection.peer.seq + 12, (
                    f"{what}: a gap that is filled waits for its ACK"
                )
                connection.peer.seq += 12
                connection.receive(b"last", flags=_ACK | _FIN)
                assert [each.ack for each in connection.sent()] == [connection.peer.seq], f"{what}: of a FIN"
            connection.terminate()
            chimney.take()
            rig.sent()
        chimney.switch_off()


def _say(segments: list[Segment], clock: int, recent: int, what: str) -> None:
    """Each has the option, with the time of now."""
    assert segments, f"{what}: no answer"
    for each in segments:
        found = _of(each.options, 8)
        assert found == (clock % _WRAP, recent), f"{what}: {found} is said, not {(clock % _WRAP, recent)}"


@card_case(
    manual("CHM-41", "chimney"),
    "each segment has the timestamp that was agreed, and echoes the earliest that is not acknowledged",
)
def timestamps_that_are_echoed(rig: Rig) -> None:
    """TsVal that grows, stays, goes back and wraps; delayed ACKs, duplicates, data; our clock."""
    chimney = ChimneyRig(rig)
    for version, base in ((4, 1000), (6, _WRAP - 3), (4, (1 << 31) - 2)):
        connection = chimney.connect(
            version=version, const_flags=TIMESTAMPS, ts_recent=base, ts_time=_WRAP - 5
        )
        begun = chimney.device.now_ns
        recent = base

        def clock(begun: int = begun) -> int:
            """TsVal of now."""
            return _WRAP - 5 + (chimney.device.now_ns - begun) // _MS

        connection.send(b"data")
        _say(connection.sent(), clock(), recent, "data")
        connection.receive(ack=ISS + 4, options=_timestamp(base, _WRAP - 5))
        connection.peer.ack = ISS + 4
        for step, (shift, is_new) in enumerate(((1, True), (2, True), (2, True), (0, False), (5, True))):
            value = (base + shift) % _WRAP
            chimney.advance(7 * _MS)
            at = connection.peer.seq
            connection.receive(b"first", options=_timestamp(value, 0))
            if is_new:
                recent = value
                connection.receive(b"second", window=60_000 - step, options=_timestamp(value + 1, 0))
                chimney.advance(_DELAY_MS * _MS)
                _say(connection.sent(), clock(), recent, f"step {step}: two segments, then time")
                recent = value
            else:
                _say(connection.sent(), clock(), recent, f"step {step}: an old timestamp")
                connection.peer.seq = at
        chimney.poll()
        assert bytes(connection.data) == b"firstsecond" * 4, "a segment with an old timestamp is taken"
        connection.receive(b"old", seq=IRS, options=_timestamp(base + 9, 0))
        _say(connection.sent(), clock(), recent, "a duplicate")
        connection.terminate()
        chimney.take()
        rig.sent()
    plain = chimney.connect()
    plain.send(b"data")
    assert not any(each.options for each in plain.sent()), "an option that was not agreed"


@card_case(
    manual("CHM-41", "chimney"), "an old timestamp is believed again when TS.Recent is more than 24 days old"
)
def timestamps_that_are_too_old(rig: Rig) -> None:
    """Ages of TS.Recent around 24 days in the image, and time that passes."""
    chimney = ChimneyRig(rig, parameters={"TICKS_PER_SECOND": 10, "DELAYED_ACK_TICKS": 0})
    path = chimney.path()
    day = 24 * 3600 * 10
    for age, wait, is_taken in ((0, 0, 0), (23 * day, 0, 0), (24 * day + 10, 0, 1), (23 * day, 2 * day, 1)):
        connection = chimney.connect(path, const_flags=TIMESTAMPS, ts_recent=5000, ts_recent_age=age)
        chimney.advance(wait * 100 * _MS)
        connection.receive(b"new", flags=_ACK | _PSH, options=_timestamp(4000, 0))
        chimney.poll()
        taken = bytes(connection.data)
        assert taken == b"new" * is_taken, f"TS.Recent {age / day} days old, {wait / day} later: {taken!r}"
        connection.terminate()
        chimney.take()


@card_case(
    manual("CHM-41", "chimney"),
    "a SYN at RcvNxt asks for an upload without an ACK; one elsewhere in the window gets one ACK in 3 s",
)
def syns_that_a_peer_sends(rig: Rig) -> None:
    """SYNs at RcvNxt, in the window and outside of it, with ACK and data; data goes on; then after 3 s."""
    chimney = ChimneyRig(rig)
    for version, flags in product((4, 6), (_SYN, _SYN | _ACK)):
        path = chimney.path(version=version)
        connection = chimney.connect(path, version=version)
        chimney.take()
        what = f"IPv{version}, flags {flags:#x}"
        for number, (wait, wanted) in enumerate(((0, 1), (0, 0), (2990, 0), (20, 1))):
            chimney.advance(wait * _MS)
            connection.receive(b"s" * number, flags=flags, seq=(IRS + 1 + number) % _WRAP)
            found = [each.ack for each in connection.sent()]
            assert found == [IRS] * wanted, f"{what}: SYN {number} in the window is answered by {found}"
        for offset in (-1, 65535, 1 << 31):
            connection.receive(flags=flags, seq=(IRS + offset) % _WRAP)
            found = [each.ack for each in connection.sent()]
            assert found == [IRS], f"{what}: a SYN at {offset:+} is answered by {found}"
        connection.receive(b"goes on", flags=_ACK | _PSH)
        chimney.poll()
        assert bytes(connection.data) == b"goes on" and chimney.events() == [], f"{what}: an event"
        chimney.advance(100 * _MS)
        rig.sent()
        connection.receive(flags=flags)
        assert chimney.reasons() == [ChmReason.UPLOAD_REQUESTED], f"{what}: a SYN at RcvNxt"
        chimney.advance(400_000 * _MS)
        assert rig.sent() == [], f"{what}: a SYN at RcvNxt is answered"
        assert connection.terminate()[1].state == 0, f"{what}: the state is not CLOSED"
        chimney.take()


@card_case(
    manual("CHM-41", "chimney"),
    "urgent data asks for an upload; neither it nor anything behind it is acknowledged or delivered",
)
def urgent_data(rig: Rig) -> None:
    """URG with data, without, behind a gap and at a closed window; URG out of the window is none."""
    chimney = ChimneyRig(rig)
    for version in (4, 6):
        for payload, offset, window in ((b"u", 0, 65535), (b"", 0, 65535), (b"u", 10, 65535), (b"u", 0, 0)):
            connection = chimney.connect(
                chimney.path(version=version), version=version, rcv_wnd=window, initial_rcv_wnd=window
            )
            chimney.take()
            what = f"IPv{version}, {payload!r} at {offset}, a window of {window}"
            for wrong in (-70_000, 1 << 20):
                connection.receive(b"x", flags=_ACK | _URG, urgent=1, seq=(IRS + wrong) % _WRAP)
            rig.sent()
            assert chimney.events() == [], f"{what}: urgent data out of the window"
            connection.receive(payload, flags=_ACK | _URG, urgent=1, seq=IRS + offset)
            assert chimney.reasons() == [ChmReason.RECEIVED_URGENT_DATA], f"{what}: {chimney.reasons()}"
            connection.receive(b"behind", seq=IRS, flags=_ACK | _PSH)
            chimney.advance(60_000 * _MS)
            chimney.poll()
            assert (rig.sent(), bytes(connection.data)) == ([], b""), f"{what}: answered, or delivered"
            assert connection.terminate()[1].rcv_nxt == IRS, f"{what}: RcvNxt has moved"
            chimney.take()
            rig.sent()


@card_case(
    manual("CHM-46", "chimney"),
    "a FIN counts when all before it has come, once; it is acknowledged again, text behind it is ignored",
)
def fins_that_a_peer_sends(rig: Rig) -> None:
    """A FIN ahead of its data, the data, the FIN again, text behind it; over the wrap; both versions."""
    chimney = ChimneyRig(rig)
    for version, first in product((4, 6), (IRS, _WRAP - 10, _WRAP - 5)):
        connection = chimney.connect(
            chimney.path(version=version), version=version, rcv_nxt=first, send_wl1=first, const_flags=SACK
        )
        chimney.take()
        what = f"IPv{version}, from {first} on"
        end = (first + 10) % _WRAP
        connection.receive(b"last.", flags=_ACK | _FIN, seq=(first + 5) % _WRAP)
        (early,) = connection.sent()
        assert early.ack == first, f"{what}: a FIN behind a gap is acknowledged"
        assert _of(early.options, 5)[:1] == ((first + 5) % _WRAP,), f"{what}: SACK {_of(early.options, 5)}"
        assert chimney.events() == [], f"{what}: a FIN behind a gap is told"
        connection.receive(b"first", seq=first)
        assert [each.ack for each in connection.sent()] == [(end + 1) % _WRAP], f"{what}: of the FIN"
        chimney.poll()
        assert bytes(connection.data) == b"firstlast.", f"{what}: {bytes(connection.data)!r}"
        connection.receive(flags=_ACK | _FIN, seq=end)
        assert [each.ack for each in connection.sent()] == [(end + 1) % _WRAP], f"{what}: of the FIN again"
        connection.receive(b"more", flags=_ACK | _PSH, seq=(end + 1) % _WRAP)
        chimney.advance(100 * _MS)
        chimney.poll()
        assert bytes(connection.data) == b"firstlast.", f"{what}: text behind the FIN is delivered"
        events = [each.event for each in chimney.events()]
        assert events == [ChmEvent.FIN], f"{what}: events {events}"
        image = connection.terminate()[1]
        assert (image.state, image.rcv_nxt) == (7, (end + 1) % _WRAP), f"{what}: state {image.state}"
        chimney.take()
        rig.sent()


@card_case(
    manual("CHM-46", "chimney"),
    "a FIN beyond the right edge of the window is cut off with the rest, and comes again",
)
def fins_beyond_the_window(rig: Rig) -> None:
    """A window of 100 with segments of 99, 100 and 101 bytes and a FIN, in order and behind a gap."""
    chimney = ChimneyRig(rig)
    for version, length, gap in product((4, 6), (99, 100, 101), (0, 10)):
        connection = chimney.connect(
            chimney.path(version=version), version=version, rcv_wnd=100, initial_rcv_wnd=100
        )
        chimney.take()
        connection.receive(bytes(length - gap), flags=_ACK | _FIN, seq=IRS + gap)
        if gap:
            connection.receive(bytes(gap), seq=IRS)
        chimney.poll()
        taken, fin = min(length, 100), length == 99
        what = f"IPv{version}, {length} bytes, {gap} of them behind the rest"
        assert connection.sent()[-1].ack == IRS + taken + fin, f"{what}: another ACK"
        events = [each.event for each in chimney.events()]
        assert events == [ChmEvent.FIN] * fin, f"{what}: events {events}"
        assert len(connection.data) == taken, f"{what}: {len(connection.data)} bytes come"
        connection.terminate()
        chimney.take()
        rig.sent()


#: With an old timestamp in them that can be found, or not: the segment is dropped, or taken.
_OPTIONS: tuple[tuple[bytes, bool], ...] = (
    (b"\x08\x0a" + (4000).to_bytes(4) + bytes(6), True),
    (b"\xfe\x04ab" + b"\x01\x01\x08\x0a" + (4000).to_bytes(4) + bytes(4), True),
    (b"\x08\x0a" + (4000).to_bytes(4) + bytes(4) + b"\x08\x02", True),
    (b"\x00\x00\x00\x00" + b"\x08\x0a" + (1).to_bytes(4) + bytes(6), True),
    (b"\xfe\x00" + b"\x08\x0a" + (1).to_bytes(4) + bytes(4) + b"\x00\x00", True),
    (b"\xfe\x01" + b"\x08\x0a" + (1).to_bytes(4) + bytes(4) + b"\x00\x00", True),
    (b"\xfe\x63" + b"\x08\x0a" + (1).to_bytes(4) + bytes(4) + b"\x00\x00", True),
    (b"\x08\x09" + (1).to_bytes(4) + bytes(4) + b"\x00\x00", True),
    (b"\x01\x08\x0a" + (1).to_bytes(4) + bytes(5), False),
    (b"\x08\x0a" + (1).to_bytes(4) + bytes(4) + b"\x01\x01", False),
)  # fmt: skip


@card_case(
    manual("CHM-41", "chimney"),
    "options are understood at any alignment, unknown ones skipped, an illegal length ends the list",
)
def options_of_every_kind(rig: Rig) -> None:
    """An old timestamp where it can be found and where it cannot: the segment is dropped, or taken."""
    chimney = ChimneyRig(rig)
    for version in (4, 6):
        path = chimney.path(version=version)
        for options, is_taken in _OPTIONS:
            padded = options + bytes(-len(options) % 4)
            fields: dict[str, Any] = {"ts_recent": 2000, "ts_time": 1}
            connection = chimney.connect(path, version=version, const_flags=TIMESTAMPS, **fields)
            connection.receive(b"taken", flags=_ACK | _PSH, options=padded)
            chimney.poll()
            found = bytes(connection.data)
            assert found == b"taken" * is_taken, f"IPv{version}, options {padded.hex()}: {found!r}"
            connection.terminate()
            chimney.take()
            rig.sent()
