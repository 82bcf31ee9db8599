"""An engine as a whole, saved and loaded: the same life, the same places, the same order of timers."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tcp.builder import MS
from tests.tcp.endpoint import Engine
from tests.tcp.options import Options
from tests.tcp.segment import Segment
from tests.tcp.states import BUILDERS, established
from tests.tcp.test_metamorphic import EXAMPLES, finished, scenarios
from tests.tcp.world import Scenario, World
from vnic._core import ffi, lib
from vnic.fuzz.effort import examples


def saved(handle: Any) -> bytes:
    """The archive of an engine."""
    size = int(lib.tcp_engine_save(handle, ffi.NULL, 0))
    box = ffi.new("uint8_t[]", size)
    assert lib.tcp_engine_save(handle, box, size) == size
    return bytes(ffi.buffer(box))


def loads(handle: Any, archive: bytes) -> bool:
    """Whether the engine takes the archive."""
    return bool(lib.tcp_engine_load(handle, archive, len(archive)))


def replace_engine(engine: Engine) -> None:
    """The engine and its endpoints go on in a new one that was loaded."""
    made = lib.tcp_engine_create(engine.config)
    archive = saved(engine.handle)
    assert loads(made, archive)
    assert lib.tcp_engine_hash(made) == lib.tcp_engine_hash(engine.handle)
    assert saved(made) == archive
    lib.tcp_engine_destroy(engine.handle)
    engine.handle = made
    for index, endpoint in engine.endpoints.items():
        due = endpoint.is_output_due
        endpoint.c = lib.tcp_at(made, index)
        endpoint.is_output_due = due


@pytest.mark.requirement("IMG-8")
@EXAMPLES
@given(scenario=scenarios, every=st.integers(1, 20))
def test_a_restored_engine_goes_on_exactly(scenario: Scenario, every: int) -> None:
    base = finished(scenario)
    seen = 0

    def restore(world: World, side: int) -> None:
        nonlocal seen
        seen += 1
        if seen % every == 0:
            replace_engine(world.sides[side].engine)

    assert finished(scenario, restore).trace == base.trace


class Crowd:
    """Connections that open, send, expire and go, in an order that shows places and the order of timers."""

    def __init__(self) -> None:
        self.engine = Engine(connections=40)
        self.options = Options(keepalive=True, keep_time_ms=700, keep_interval_ms=300, keep_limit=2)
        self.seen: list[tuple[Any, ...]] = []
        self.out: Any = ffi.new("struct tcp_segment *")
        self.result: Any = ffi.new("struct tcp_result *")

    def close(self) -> None:
        self.engine.close()

    def pull(self, index: int) -> None:
        c = lib.tcp_at(self.engine.handle, index)
        while lib.tcp_output(self.engine.handle, c, self.engine.now_ns, 0, self.out):
            self.seen.append(("out", index, Segment.of(self.out, b"")))

    def open(self, number: int) -> None:
        syn = Segment(control=lib.TCP_SYN, seq=1000 * number, ack=0, wnd=8000).raw()
        c = lib.tcp_accept(self.engine.handle, self.engine.now_ns, self.options.raw(), syn)
        index = 0 if c == ffi.NULL else int(lib.tcp_index(self.engine.handle, c))
        self.seen.append(("place", index))
        if index:
            self.pull(index)
            self.input(
                index, Segment(control=lib.TCP_ACK, seq=1000 * number + 1, ack=int(c.snd_nxt), wnd=8000)
            )

    def input(self, index: int, segment: Segment) -> None:
        c = lib.tcp_at(self.engine.handle, index)
        lib.tcp_input(self.engine.handle, c, self.engine.now_ns, segment.raw(), self.result)
        self.seen.append(("input", index, int(self.result.events), int(self.result.reason)))
        self.pull(index)

    def live(self) -> list[int]:
        return [i for i in range(1, 41) if lib.tcp_at(self.engine.handle, i).state not in (0,)]

    def send(self, index: int, count: int) -> None:
        c = lib.tcp_at(self.engine.handle, index)
        lib.tcp_queue(self.engine.handle, c, self.engine.now_ns, count, True, self.result)
        self.pull(index)

    def release(self, index: int) -> None:
        lib.tcp_release(self.engine.handle, lib.tcp_at(self.engine.handle, index))

    def advance(self, by_ms: int) -> None:
        self.engine.now_ns += by_ms * MS
        while (c := lib.tcp_expired(self.engine.handle, self.engine.now_ns)) != ffi.NULL:
            index = int(lib.tcp_index(self.engine.handle, c))
            lib.tcp_timeout(self.engine.handle, c, self.engine.now_ns, self.result)
            self.seen.append(("timer", index, int(self.result.events), int(self.result.reason)))
            self.pull(index)
        self.seen.append(("deadline", int(lib.tcp_deadline(self.engine.handle))))


def crowd(seed: int, restores: bool) -> Crowd:
    """A random life; with restores the engine is saved and loaded now and then."""
    random, made = Random(seed), Crowd()
    for number in range(1, 160):
        what = random.choice(["open", "open", "send", "release", "advance"])
        live, pick = made.live(), random.random()
        if what == "open":
            made.open(number)
        elif what == "advance":
            made.advance(random.choice([0, 1, 40, 700, 5000]))
        elif live and what == "send":
            made.send(live[int(pick * len(live))], 300)
        elif live:
            made.release(live[int(pick * len(live))])
        if restores and number % 3 == 0:
            replace_engine(made.engine)
    return made


@pytest.mark.requirement("IMG-8")
@examples(8)
@given(seed=st.integers(0, 2**32))
def test_places_and_the_order_of_timers_are_as_they_were(seed: int) -> None:
    plain, restored = crowd(seed, restores=False), crowd(seed, restores=True)
    assert restored.seen == plain.seen
    assert sum(entry[0] == "timer" for entry in plain.seen) > 0
    plain.close()
    restored.close()


@pytest.mark.requirement("IMG-8")
@pytest.mark.parametrize("state", BUILDERS)
def test_every_state(state: str) -> None:
    t = BUILDERS[state]()
    replace_engine(t.engine)
    assert t.state == state


@pytest.mark.requirement("IMG-8")
def test_what_ended_and_is_not_released_keeps_its_place() -> None:
    t = established(sack=True)
    t.send(5000)
    t.drain()
    t.inject("RST", seq=1)
    assert t.state == "CLOSED"
    replace_engine(t.engine)
    assert t.state == "CLOSED"
    t = established(profile="chimney", sack=True)
    t.send(5000)
    t.drain()
    t.inject("SYN", seq=1)
    assert t.endpoint.has(lib.TCP_FROZEN)
    replace_engine(t.engine)
    assert t.endpoint.has(lib.TCP_FROZEN)
    assert t.c.snd_nxt - t.c.snd_una == 3 * 1460


@pytest.mark.requirement("IMG-8")
def test_parameters_and_counters_go_along() -> None:
    t = established()
    made = ffi.new("struct tcp_engine_parameters *")
    lib.tcp_engine_get_parameters(t.engine.handle, made)
    made.ack_every, made.doubt = 9, 7
    assert lib.tcp_engine_set_parameters(t.engine.handle, made)
    count = t.statistics.segments_in
    replace_engine(t.engine)
    lib.tcp_engine_get_parameters(t.engine.handle, made)
    assert (made.ack_every, made.doubt) == (9, 7)
    assert t.statistics.segments_in == count


@pytest.mark.requirement("IMG-8")
@pytest.mark.parametrize(
    "change", [{"connections": 5}, {"nodes": 99}, {"recoveries": 3}, {"ranges_per_connection": 4}]
)
def test_an_engine_of_another_size_refuses_it(change: dict[str, int]) -> None:
    t, other = established(), Engine(**change)
    assert not loads(other.handle, saved(t.engine.handle))
    other.close()


def records(archive: bytes) -> Iterator[tuple[int, int]]:
    """Where the value of every record is, and its size."""
    at = 0
    while at < len(archive):
        size = int.from_bytes(archive[at + 2 : at + 4], "little")
        yield at + 4, size
        at += 4 + size


@pytest.fixture(scope="module")
def busy() -> Iterator[tuple[Any, bytes]]:
    """The config and the archive of an engine with a bit of everything."""
    made = crowd(5, restores=False)
    made.input(made.live()[0], Segment(control=lib.TCP_ACK, seq=2000, ack=1, wnd=100, payload=b"x" * 50))
    archive = saved(made.engine.handle)
    yield made.engine.config, archive
    made.close()


def assert_harmless(config: Any, archive: bytes) -> bool:
    """A forged archive is refused, and the engine empty, or it makes one that saves the same and lives."""
    made = lib.tcp_engine_create(config)
    taken = loads(made, archive)
    if taken:
        other = lib.tcp_engine_create(config)
        assert loads(other, saved(made))
        assert saved(other) == saved(made)
        lib.tcp_engine_destroy(other)
        assert all(
            lib.tcp_check_structure(made, lib.tcp_at(made, i)) == ffi.NULL
            for i in range(1, config.connections + 1)
        )
    result, now = ffi.new("struct tcp_result *"), 0
    for _ in range(300):
        now = max(now, min(int(lib.tcp_deadline(made)), 2**62))
        c = lib.tcp_expired(made, now)
        if c != ffi.NULL:
            lib.tcp_timeout(made, c, now, result)
    empty = lib.tcp_engine_create(config)
    if not taken:
        lib.tcp_engine_reset(made)
        assert len(saved(made)) == len(saved(empty))
    lib.tcp_engine_destroy(empty)
    lib.tcp_engine_destroy(made)
    return taken


@pytest.mark.requirement("IMG-8")
def test_every_record_changed_in_turn(busy: tuple[Any, bytes]) -> None:
    config, archive = busy
    taken = 0
    places = list(records(archive))
    for at, size in places[:80] + places[80::7] + places[-150:]:
        near = (int.from_bytes(archive[at : at + size], "little") ^ 1).to_bytes(size, "little")
        for value in (b"\0" * size, b"\xff" * size, near):
            taken += assert_harmless(config, archive[:at] + value + archive[at + size :])
    assert taken > 0


@pytest.mark.requirement("IMG-8")
def test_an_archive_cut_short_is_refused(busy: tuple[Any, bytes]) -> None:
    config, archive = busy
    assert assert_harmless(config, archive)
    assert not assert_harmless(config, archive + b"\0")
    for length in range(0, len(archive), 97):
        assert not assert_harmless(config, archive[:length])


@pytest.mark.requirement("IMG-8")
def test_reset_forgets_connections() -> None:
    made = crowd(9, restores=False)
    lib.tcp_engine_reset(made.engine.handle)
    assert lib.tcp_deadline(made.engine.handle) == 2**64 - 1
    assert made.engine.statistics.segments_in == 0
    made.seen.clear()
    made.open(1)
    assert made.seen[0] == ("place", 1)
    replace_engine(made.engine)
    made.advance(5000)
    assert any(entry[0] == "timer" for entry in made.seen)
    made.close()
