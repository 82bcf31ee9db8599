"""The exact image: the same bytes after loading, the same life, and nothing of it believed unseen."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.tcp import flight
from tests.tcp.builder import MS, Conversation
from tests.tcp.endpoint import Engine
from tests.tcp.states import BUILDERS, established
from vnic._core import ffi, lib

OK, FORMAT, VERSION, RESOURCES = (
    lib.TCP_LOAD_OK, lib.TCP_LOAD_FORMAT, lib.TCP_LOAD_VERSION, lib.TCP_LOAD_RESOURCES,
)  # fmt: skip
RICH: dict[str, Any] = {
    "timestamps": True, "sack": True, "ecn": True, "wscale": 7, "peer_wscale": 5, "keepalive": True,
    "peer_wnd": 200_000, "rcv_buf": 300_000, "congestion": "cubic", "user_timeout_ms": 90_000,
}  # fmt: skip


# --- connections with something in every field


def holes() -> Conversation:
    """In recovery: SACKed, lost and retransmitted runs, and new data behind them."""
    t = flight.sender(**RICH)
    t.drain()
    flight.ack(t, 1, 3, 5, 6, 7)
    flight.ack(t, 1, 3, 5, 6, 7, 8, 9)
    return t


def timed_out() -> Conversation:
    """In recovery after a timeout, for the second time."""
    t = flight.sender(**RICH)
    t.drain()
    t.advance(5000)
    t.drain()
    return t


def reordered() -> Conversation:
    """A hole that may be no loss: RACK waits, in the place of the retransmission timer."""
    t = flight.sender(**RICH)
    t.drain()
    t.advance(100)
    t.inject("ACK", ack=1 + 1448)
    t.drain()
    t.advance(30)
    t.drain()
    t.inject("ACK", ack=1 + 1448, sack=[(1 + 3 * 1448, 1 + 4 * 1448)])
    t.drain()
    assert t.c.xmit == lib.TCP_XMIT_REORDER
    return t


def gaps() -> Conversation:
    """Ranges out of order, a duplicate to report and a FIN that came early."""
    t = established(**RICH)
    for seq in (5001, 2001, 8001):
        t.inject("ACK", seq=seq, data=1000)
        t.drain()
    with t.batch():
        t.inject("ACK", seq=2201, data=100)
        t.inject("FIN,ACK", seq=12001, data=10)
        moved(t)
    t.drain()
    return t


def owing() -> Conversation:
    """A delayed ACK, data that nobody read, and bytes that Nagle holds back."""
    t = established(**RICH)
    t.inject("ACK", data=100)
    t.send(10)
    t.drain()
    t.send(10)
    return t


def shut() -> Conversation:
    """A closed window, probed twice."""
    t = established(**{**RICH, "keepalive": False})
    t.inject("ACK", wnd=0)
    t.send(5000)
    t.advance(1500)
    t.drain()
    return t


def urgent() -> Conversation:
    """Urgent data in both directions."""
    t = established(**RICH)
    t.inject("URG,ACK", data=10, urgent=5)
    t.drain()
    t.send(10)
    t.drain()
    t.call("queue_urgent")
    t.drain()
    return t


RICH_ONES: dict[str, Callable[[], Conversation]] = {
    maker.__name__: maker for maker in (holes, timed_out, reordered, gaps, owing, shut, urgent)
}
PLAIN_ONES: dict[str, Callable[[], Conversation]] = {
    f"{name}/{profile}": lambda name=name, profile=profile: BUILDERS[name](**{**RICH, "profile": profile})  # type: ignore[misc]
    for name in BUILDERS
    for profile in ("rfc", "chimney")
}
ALL = {**RICH_ONES, **PLAIN_ONES}
every = pytest.mark.parametrize("make", ALL.values(), ids=ALL.keys())
rich = pytest.mark.parametrize("make", RICH_ONES.values(), ids=RICH_ONES.keys())


# --- loading by hand


def load(engine: Engine, image: bytes) -> tuple[int, Any]:
    """The result, and the connection or NULL."""
    box = ffi.new("struct tcp_connection **")
    result = int(lib.tcp_load(engine.handle, engine.now_ns, image, len(image), box))
    assert (box[0] != ffi.NULL) == (result == OK)
    return result, box[0]


def save(engine: Engine, c: Any) -> bytes:
    """The image of a connection now."""
    size = int(lib.tcp_image_size(engine.handle, c))
    out = ffi.new("uint8_t[]", size)
    assert lib.tcp_save(engine.handle, c, engine.now_ns, out, size) == size
    return bytes(ffi.buffer(out, size))


def moved(t: Conversation) -> None:
    """An image is the same after loading, here and in an engine of another time."""
    image = t.endpoint.image()
    for shift_ms in (0, 12_345, 2**32 + 77):
        other = Engine(t.engine.now_ns + shift_ms * MS, **t.options.config)
        result, c = load(other, image)
        assert result == OK
        assert lib.tcp_check(other.handle, c) == ffi.NULL
        assert save(other, c) == image
        other.close()


@every
@pytest.mark.requirement("IMG-1", "IMG-5")
def test_saved_again_it_is_the_same(make: Callable[[], Conversation]) -> None:
    t = make()
    t.drain()
    moved(t)


STEPS: list[tuple[float, Callable[[Conversation], Any]]] = [
    (0, lambda t: t.drain()),
    (5, lambda t: t.inject("ACK", ack=t.snd_una)),
    (90_000, lambda t: t.inject("ACK", ack=t.snd_nxt)),
    (90_000, lambda t: t.inject("ACK", data=700)),
    (90_000, lambda t: t.drain()),
]


def life(t: Conversation) -> list[tuple[int, str, bytes]]:
    """What is sent, and when, while so many milliseconds pass before each step."""
    start, seen = t.engine.now_ns, t.drain()
    for pause_ms, step in STEPS:
        t.advance(pause_ms)
        seen += t.drain()
        if not t.endpoint.is_closed:
            step(t)
        seen += t.drain()
    return [(s.at_ns - start, str(s), s.payload) for s in seen]


shifts = pytest.mark.parametrize("shift_ms", [0, 1, 7_777_777, 2**32 - 5])


@rich
@shifts
@pytest.mark.requirement("IMG-2", "IMG-3", "ECN-05")
def test_two_lives_are_one(make: Callable[[], Conversation], shift_ms: int) -> None:
    """The same peer, once with a connection that moved: the same segments at the same times, TSval too."""
    stayed = life(make())
    assert stayed
    assert life(make().move(shift_ms)) == stayed


def avoiding() -> Conversation:
    """Congestion avoidance after a loss, some round trips into CUBIC's epoch."""
    t = flight.sender(queue=3000, sack=True, congestion="cubic")
    t.drain()
    for _ in range(4):
        acknowledge(t, 1)
    t.inject("ACK", ack=t.snd_una, sack=[(t.snd_una + 1460, t.snd_nxt)])
    t.drain()
    for _ in range(3):
        acknowledge(t, 1)
    assert t.c.phase == lib.TCP_PHASE_OPEN
    assert not t.endpoint.has(lib.TCP_HYSTART)
    assert t.c.cc[3] != 0  # W_est: an epoch runs
    return t


def acknowledge(t: Conversation, rounds: int) -> None:
    """All that is in flight, after a round trip of 100 ms; the next flight leaves."""
    for _ in range(rounds):
        t.advance(100)
        t.drain()
        t.inject("ACK", ack=t.snd_nxt)
        t.drain()


@shifts
@pytest.mark.requirement("IMG-2", "CC-16")
def test_an_epoch_goes_on(shift_ms: int) -> None:
    """CUBIC's window depends on the time since the last reduction."""
    windows = []
    for is_moved in (False, True):
        t = avoiding()
        if is_moved:
            t.move(shift_ms)
        acknowledge(t, 25)
        windows.append(int(t.c.cwnd))
    assert windows[0] == windows[1]


@pytest.mark.requirement("IMG-3")
def test_timers_keep_what_was_left() -> None:
    t = established(keepalive=True, keep_time_ms=7_200_000)
    t.send(100)
    t.expect("ACK", len=100)
    t.advance(150)  # of the RTO of 200 ms
    t.move(5_000_000)
    assert t.wait(200) == pytest.approx(50)
    t.expect("ACK", seq=1, len=100)
    t.inject("ACK", ack=101)
    t.move(-1_000_000)
    assert t.wait(8_000_000) == pytest.approx(7_200_000, abs=1)
    t.expect("ACK", seq=100)


@pytest.mark.requirement("IMG-3", "TS-06")
def test_timestamps_go_on() -> None:
    t = established(timestamps=True)
    t.send(10)
    before = t.expect("ACK", len=10)
    t.inject("ACK", ack=11)
    t.advance(40)
    t.move(2**31)
    t.send(10)
    after = t.expect("ACK", len=10)
    assert before.ts is not None
    assert after.ts is not None
    assert after.ts[0] - before.ts[0] == 40


# --- strangers' bytes


@dataclass
class Record:
    """One tagged field of an image."""

    tag: int
    at: int
    size: int

    def value(self, image: bytes) -> int:
        """As a number."""
        return int.from_bytes(image[self.at : self.at + self.size], "little")

    def put(self, image: bytes, value: int) -> bytes:
        """The image with another value."""
        raw = (value % (1 << 8 * self.size)).to_bytes(self.size, "little")
        return image[: self.at] + raw + image[self.at + self.size :]


def records(image: bytes) -> Iterator[Record]:
    """All fields in order."""
    at = 0
    while at < len(image):
        tag, size = struct.unpack_from("<HH", image, at)
        yield Record(tag, at + 4, size)
        at += 4 + size
    assert at == len(image)


class Empty:
    """An engine without connections, which must stay so."""

    def __init__(self, t: Conversation, **config: int) -> None:
        self.engine = Engine(t.engine.now_ns, connections=2, **{**t.options.config, **config})
        self.open = t.options.raw()

    def offer(self, image: bytes) -> int:
        """Loads, looks, lives a little if it was taken, and releases; the pools are whole afterwards."""
        result, c = load(self.engine, image)
        if result == OK:
            assert lib.tcp_check(self.engine.handle, c) == ffi.NULL
            self.live(c)
            lib.tcp_release(self.engine.handle, c)
        assert self.engine.deadline_ns == 2**64 - 1
        return result

    def live(self, c: Any) -> None:
        """Output, time and a segment; only that nothing breaks."""
        out, result = ffi.new("struct tcp_segment *"), ffi.new("struct tcp_result *")
        segment = ffi.new("struct tcp_segment *", {"control": lib.TCP_ACK, "wnd": 5000, "len": 100})
        segment.seq, segment.ack = c.rcv_nxt, c.snd_nxt
        for _ in range(3):
            for _ in range(50):
                if not lib.tcp_output(self.engine.handle, c, self.engine.now_ns, 0, out):
                    break
            lib.tcp_input(self.engine.handle, c, self.engine.now_ns, segment, result)
            self.engine.now_ns = max(
                self.engine.now_ns, min(self.engine.deadline_ns, self.engine.now_ns + 10**12)
            )
            for _ in range(10):
                expired = lib.tcp_expired(self.engine.handle, self.engine.now_ns)
                if expired != ffi.NULL:
                    lib.tcp_timeout(self.engine.handle, expired, self.engine.now_ns, result)

    def is_whole(self) -> None:
        """Both connections can still be had, so none leaked."""
        made = [lib.tcp_connect(self.engine.handle, self.engine.now_ns, self.open) for _ in range(3)]
        assert [c != ffi.NULL for c in made] == [True, True, False]
        self.engine.close()


@rich
@pytest.mark.requirement("IMG-4")
def test_cut_short_at_any_byte(make: Callable[[], Conversation]) -> None:
    t = make()
    t.drain()
    image, empty = t.endpoint.image(), Empty(t)
    assert empty.offer(image) == OK
    assert {empty.offer(image[:length]) for length in range(len(image))} == {FORMAT}
    assert empty.offer(image + b"\0") == FORMAT
    empty.is_whole()


@rich
@pytest.mark.requirement("IMG-4", "IMG-5", "CC-12")
def test_any_field_may_lie(make: Callable[[], Conversation]) -> None:
    """Every field with every extreme: refused, or a connection that holds together."""
    t = make()
    t.drain()
    image, empty = t.endpoint.image(), Empty(t)
    seen = set()
    for record in records(image):
        value, bits = record.value(image), 8 * min(record.size, 4)
        for lie in (
            0,
            1,
            2**bits - 1,
            2**bits - 2,
            2 ** (bits - 1),
            value + 1,
            value - 1,
            value ^ 2 ** (bits // 2),
        ):
            seen.add(empty.offer(record.put(image, lie)))
    assert seen - {RESOURCES} == {OK, FORMAT, VERSION}
    empty.is_whole()


@pytest.mark.requirement("IMG-4")
def test_any_byte_may_lie() -> None:
    """Tags and sizes too."""
    t = holes()
    t.drain()
    image, empty = t.endpoint.image(), Empty(t)
    for at in range(len(image)):
        for flip in (0xFF, 0x01, 0x80):
            empty.offer(image[:at] + bytes([image[at] ^ flip]) + image[at + 1 :])
    empty.is_whole()


@pytest.mark.requirement("IMG-4")
def test_another_version_is_told_apart() -> None:
    t = established()
    image, empty = t.endpoint.image(), Empty(t)
    first, second = list(records(image))[:2]
    assert empty.offer(first.put(image, first.value(image) + 1)) == FORMAT
    assert empty.offer(second.put(image, second.value(image) + 1)) == VERSION
    assert empty.offer(b"") == FORMAT


def runs_of(image: bytes) -> list[Record]:
    """The records `left` and `right` of runs and ranges, in order."""
    return [record for record in records(image) if record.tag in (0x300, 0x301)]


@pytest.mark.requirement("IMG-4", "CC-12")
def test_runs_must_cover_what_is_in_flight() -> None:
    """Bug class 8: blocks outside UNA .. NXT, gaps and overlaps are no scoreboard."""
    t = holes()
    t.drain()
    image, empty = t.endpoint.image(), Empty(t)
    assert len(runs_of(image)) > 4
    for record in runs_of(image):
        for change in (1, -1, 2**31, 100_000):
            assert empty.offer(record.put(image, record.value(image) + change)) == FORMAT
    empty.is_whole()


@pytest.mark.requirement("IMG-4")
def test_a_duplicate_that_never_came_gives_nothing_back() -> None:
    """Found by edited images: refused among its runs, one with a D-SACK to report gave back node 0."""
    t = holes()
    t.drain()
    image, empty = t.endpoint.image(), Empty(t)
    flags = field_of(image, 0x105)
    assert flags.value(image) == int(t.c.flags)
    told = flags.put(image, flags.value(image) | lib.TCP_DSACK_PENDING)
    left = lib.tcp_nodes_left(empty.engine.handle)
    for record in runs_of(image):
        assert empty.offer(told[: record.at]) == FORMAT
        assert lib.tcp_nodes_left(empty.engine.handle) == left
    empty.is_whole()


@pytest.mark.requirement("IMG-4")
def test_ranges_must_be_sorted_beyond_rcv_nxt() -> None:
    t = gaps()
    t.drain()
    image, empty = t.endpoint.image(), Empty(t)
    bounds = runs_of(image)
    assert len(bounds) == 8  # four ranges
    rcv_nxt = int(t.c.rcv_nxt)
    assert empty.offer(bounds[0].put(image, rcv_nxt)) == FORMAT  # touches what is in order
    assert empty.offer(bounds[0].put(image, rcv_nxt - 10)) == FORMAT
    assert empty.offer(bounds[1].put(image, bounds[2].value(image))) == FORMAT  # touches the next
    assert empty.offer(bounds[1].put(image, bounds[0].value(image))) == FORMAT  # empty
    assert empty.offer(bounds[-1].put(image, int(t.c.rcv_adv) + 1)) == FORMAT  # beyond the edge
    empty.is_whole()


def field_of(image: bytes, tag: int) -> Record:
    """The record of a field by its place in `image_walk.c`."""
    return next(record for record in records(image) if record.tag == tag)


@pytest.mark.requirement("IMG-4", "IMG-5")
@pytest.mark.parametrize("window", [2**32 - 1, 2**31, 2**30 + 1])
def test_the_window_of_a_syn_has_bounds(window: int) -> None:
    """Found by fuzzing: an edge one below RCV.NXT passed, and was a window without end after the SYN,ACK."""
    t = BUILDERS["SYN_SENT"]()
    image, empty = t.endpoint.image(), Empty(t)
    edge = field_of(image, 0x10E)
    assert edge.value(image) == int(t.c.rcv_adv)
    assert empty.offer(edge.put(image, window)) == FORMAT
    empty.is_whole()


@pytest.mark.requirement("IMG-4", "IMG-5")
@pytest.mark.parametrize("tag", [0x201, 0x202], ids=["sacked", "lost"])
def test_nothing_in_flight_is_neither_sacked_nor_lost(tag: int) -> None:
    """Found by fuzzing: the count passed, and was one of bytes that were sent afterwards."""
    t = established(**RICH)
    t.inject("ECE,ACK")
    t.drain()
    image, empty = t.endpoint.image(), Empty(t)
    assert empty.offer(image) == OK
    assert empty.offer(field_of(image, tag).put(image, 60)) == FORMAT
    empty.is_whole()


@pytest.mark.requirement("IMG-6")
def test_no_room_is_told_apart() -> None:
    t = holes()
    t.drain()
    image = t.endpoint.image()
    crowded = Empty(t)
    kept = [lib.tcp_connect(crowded.engine.handle, crowded.engine.now_ns, crowded.open) for _ in range(2)]
    assert load(crowded.engine, image)[0] == RESOURCES
    lib.tcp_release(crowded.engine.handle, kept[0])
    assert load(crowded.engine, image)[0] == OK
    crowded.engine.close()
    short = Empty(t, nodes=2)
    assert short.offer(image) in (FORMAT, RESOURCES)  # more runs than there can be nodes
    short.is_whole()


@pytest.mark.requirement("IMG-6")
def test_no_recovery_entry() -> None:
    t = holes()
    t.drain()
    image, empty = t.endpoint.image(), Empty(t, recoveries=1)
    assert load(empty.engine, image)[0] == OK
    assert load(empty.engine, image)[0] == RESOURCES
    empty.engine.close()


@pytest.mark.requirement("IMG-6")
def test_fewer_ranges_allowed() -> None:
    t = established(sack=True, rcv_buf=60_000)
    for n in range(6):
        t.inject("ACK", seq=1001 + 2000 * n, data=100)
        t.drain()
    narrow = Empty(t, ranges_per_connection=4)
    assert narrow.offer(t.endpoint.image()) == RESOURCES
    narrow.is_whole()


@pytest.mark.requirement("IMG-7")
@pytest.mark.parametrize("make", [holes, gaps, BUILDERS["SYN_SENT"]])
def test_size_is_what_is_said(make: Callable[[], Conversation]) -> None:
    t = make()
    t.drain()
    size = int(lib.tcp_image_size(t.engine.handle, t.c))
    out = ffi.new("uint8_t[]", b"\xee" * (size + 16))
    for capacity in (0, 1, size // 2, size - 1):
        assert lib.tcp_save(t.engine.handle, t.c, t.engine.now_ns, out, capacity) == 0
        assert bytes(ffi.buffer(out))[capacity : size + 16] == b"\xee" * (size + 16 - capacity)
    assert lib.tcp_save(t.engine.handle, t.c, t.engine.now_ns, out, size + 16) == size
    assert bytes(ffi.buffer(out))[size : size + 16] == b"\xee" * 16


@pytest.mark.requirement("IMG-4")
def test_closed_is_not_loaded() -> None:
    t = established()
    t.inject("RST")
    t.expect_end("RESET")
    assert Empty(t).offer(t.endpoint.image()) == FORMAT
