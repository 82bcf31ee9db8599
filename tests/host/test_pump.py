"""The real-time pump: virtual time follows real time, sources come in, and ticks repeat a run exactly."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator

import pytest

from vnic.host.clock import VirtualClock
from vnic.host.pump import Pump
from vnic.testbench import Bench
from vnic.testbench.frames import plain_frame

MS = 1_000_000


class Timeline:
    """A world of timers only."""

    def __init__(self) -> None:
        self.clock = VirtualClock()

    def run_for(self, duration_ns: int) -> None:
        self.clock.advance(duration_ns)

    def next_deadline_ns(self) -> int | None:
        return None


class RealTime:
    """Real time that a test moves."""

    def __init__(self) -> None:
        self.now_ns = 5_000 * MS

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected sockets that keep datagrams apart."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    near.setblocking(False)
    with near, far:
        yield near, far


def drain(source: socket.socket, into: list[tuple[int, bytes]], now_ns: int, most: int = 64) -> int:
    """Read what waits, and when that was."""
    for count in range(most):
        try:
            into.append((now_ns, source.recv(4096)))
        except BlockingIOError:
            return count
    return most


def test_virtual_time_is_real_time_since_the_pump_was_made() -> None:
    world, real = Timeline(), RealTime()
    world.clock.advance(7 * MS)
    pump = Pump(world, read_ns=real)
    assert pump.due_ns() == 7 * MS
    real.now_ns += 30 * MS
    pump.tick(pump.due_ns())
    assert world.clock.now_ns == 37 * MS


def test_timers_fire_at_their_own_times_on_the_way_to_a_tick() -> None:
    world = Timeline()
    fired: list[int] = []
    for after_ns in (3 * MS, MS, 9 * MS):
        world.clock.call_after(after_ns, lambda: fired.append(world.clock.now_ns))
    Pump(world).tick(5 * MS)
    assert fired == [MS, 3 * MS]


def test_a_world_ahead_of_real_time_stands_still_until_that_caught_up() -> None:
    world, real = Timeline(), RealTime()
    ticks: list[int] = []
    pump = Pump(world, read_ns=real, on_tick=ticks.append)
    world.clock.advance(10 * MS)
    for _ in range(3):
        real.now_ns += 4 * MS
        pump.tick(pump.due_ns())
    assert ticks == [10 * MS, 10 * MS, 12 * MS]
    assert pump.statistics.slipped_ns == 0


def test_a_world_far_behind_leaps_no_further_than_allowed_and_does_not_catch_up() -> None:
    world, real = Timeline(), RealTime()
    pump = Pump(world, read_ns=real, leap_max_ns=100 * MS)
    real.now_ns += 3_600_000 * MS
    pump.tick(pump.due_ns())
    assert world.clock.now_ns == 100 * MS
    assert pump.statistics.slipped_ns == 3_599_900 * MS
    real.now_ns += 20 * MS
    pump.tick(pump.due_ns())
    assert world.clock.now_ns == 120 * MS


def test_inputs_are_taken_at_the_time_of_their_tick(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    pump, taken = Pump(Timeline()), list[tuple[int, bytes]]()
    pump.attach(near, lambda now_ns: drain(near, taken, now_ns))
    assert pump.tick(MS) == 0
    far.send(b"one")
    far.send(b"two")
    assert pump.tick(2 * MS) == 2
    assert taken == [(2 * MS, b"one"), (2 * MS, b"two")]
    assert (pump.statistics.ticks, pump.statistics.inputs) == (2, 2)


def test_what_an_intake_leaves_comes_with_the_next_tick(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    pump, taken = Pump(Timeline()), list[tuple[int, bytes]]()
    pump.attach(near, lambda now_ns: drain(near, taken, now_ns, most=2))
    for number in range(5):
        far.send(bytes([number]))
    assert [pump.tick(n) for n in range(4)] == [2, 2, 1, 0]
    assert [data[0] for _, data in taken] == [0, 1, 2, 3, 4]


def test_a_detached_source_is_left_alone(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    pump, taken = Pump(Timeline()), list[tuple[int, bytes]]()
    pump.attach(near, lambda now_ns: drain(near, taken, now_ns))
    with pytest.raises(KeyError):
        pump.attach(near, lambda now_ns: 0)
    pump.detach(near)
    far.send(b"unread")
    assert pump.tick(MS) == 0 and taken == []
    with pytest.raises(KeyError):
        pump.detach(near)


def test_an_error_of_an_intake_reaches_the_caller_and_the_pump_goes_on(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    near, far = pair
    pump, taken = Pump(Timeline()), list[tuple[int, bytes]]()

    def take(now_ns: int) -> int:
        if now_ns == MS:
            raise OSError("gone")
        return drain(near, taken, now_ns)

    pump.attach(near, take)
    far.send(b"x")
    with pytest.raises(OSError, match="gone"):
        pump.tick(MS)
    assert pump.tick(2 * MS) == 1


def test_closing_leaves_the_sources_open(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    with Pump(Timeline()) as pump:
        pump.attach(near, lambda now_ns: 1)
    pump.close()
    far.send(b"still here")
    assert near.recv(100) == b"still here"


def test_the_loop_wakes_for_a_source_and_for_a_timer() -> None:
    world, seen = Timeline(), list[str]()
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb", buffering=0) as source, Pump(world) as pump:

        def take(now_ns: int) -> int:
            seen.append("end" if source.read(1) == b"" else "data")
            return 1

        pump.attach(source, take)
        world.clock.call_after(20 * MS, lambda: os.close(write_end))
        start = time.monotonic_ns()
        assert pump.run_until(lambda: bool(seen), 10)
        assert seen == ["end"]
        assert time.monotonic_ns() - start >= 20 * MS <= world.clock.now_ns


def test_the_loop_gives_up_when_time_is_up() -> None:
    pump, asked = Pump(Timeline()), list[int]()

    def is_done() -> bool:
        asked.append(1)
        return False

    start = time.monotonic_ns()
    assert not pump.run_until(is_done, 0.03)
    assert time.monotonic_ns() - start >= 30 * MS
    assert 2 <= len(asked) < 1000, "it must wait between looks"


def test_the_same_ticks_and_inputs_give_the_same_card(pair: tuple[socket.socket, socket.socket]) -> None:
    """A run in real time, its ticks and frames written down, is repeated without any clock."""
    near, far = pair
    log: list[tuple[int, list[bytes]]] = []
    with Bench(queues=2, cpus=2, seed=3) as bench:
        pump = Pump(bench.world, on_tick=lambda now_ns: log.append((now_ns, [])))

        def take(now_ns: int) -> int:
            log[-1][1].append(near.recv(4096))
            bench.device.deliver(log[-1][1][-1], now_ns)
            return 1

        pump.attach(near, take)
        for number in range(40):
            far.send(plain_frame(100, number))
        assert pump.run_until(lambda: len(bench.received) == 40, 10)
        received, state, events = bench.received, bench.device.state_hash(), bench.device.now_ns
    with Bench(queues=2, cpus=2, seed=3) as again:
        for now_ns, frames in log:
            again.world.run_for(now_ns - again.clock.now_ns)
            for frame in frames:
                again.device.deliver(frame, now_ns)
            again.world.run_for(0)
        assert again.received == received
        assert (again.device.now_ns, again.device.state_hash()) == (events, state)
