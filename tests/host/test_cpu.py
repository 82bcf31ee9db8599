"""Virtual processors: levels, merging, yield points, and schedules that a seed reproduces."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.host.bus import Interrupt, InterruptKind
from vnic.host.cpu import DeadlockError, Kind, Level, Processors, SchedulerError, SpinLock
from vnic.host.interrupts import InterruptController


def test_an_interrupt_runs_at_dirql_and_a_dpc_at_dispatch_on_their_processor() -> None:
    processors, seen = Processors(3), list[tuple[str, int, Level]]()

    def service(cpu: int) -> None:
        seen.append(("isr", cpu, processors.level))
        processors.queue_dpc(2, dpc, "later")

    def dpc(argument: object) -> None:
        seen.append((str(argument), processors.current, processors.level))

    processors.raise_interrupt(service, 1)
    assert processors.run_until_idle() == 2
    assert seen == [("isr", 1, Level.DIRQL), ("later", 2, Level.DISPATCH)]
    assert (processors[1].interrupts, processors[2].dpcs) == (1, 1)
    assert processors.current == 0
    assert processors.is_idle


def test_interrupts_come_before_dpcs_and_dpcs_before_work() -> None:
    processors, order = Processors(1), list[str]()
    processors.queue_work(lambda: order.append("work"))
    processors.queue_dpc(0, lambda _: order.append("dpc"))
    processors.raise_interrupt(lambda _: order.append("isr"), 0)
    processors.run_until_idle()
    assert order == ["isr", "dpc", "work"]


def test_a_dpc_object_is_queued_once_a_processor() -> None:
    processors, ran = Processors(2), list[int]()

    def dpc(_: object) -> None:
        ran.append(processors.current)

    assert processors.queue_dpc(0, dpc)
    assert not processors.queue_dpc(0, dpc)
    assert processors.queue_dpc(1, dpc)
    assert processors.queue_dpc(0, dpc, source="another object")
    processors.run_until_idle()
    assert sorted(ran) == [0, 0, 1]


def test_a_dpc_may_be_queued_again_while_it_runs() -> None:
    processors, ran = Processors(1), list[int]()

    def dpc(_: object) -> None:
        ran.append(len(ran))
        if len(ran) < 3:
            assert processors.queue_dpc(0, dpc)

    processors.queue_dpc(0, dpc)
    processors.run_until_idle()
    assert ran == [0, 1, 2]


def test_pending_interrupts_of_one_source_merge() -> None:
    processors, ran = Processors(1), list[int]()
    for _ in range(5):
        processors.raise_interrupt(ran.append, 0, "vector 7")
    processors.run_until_idle()
    assert ran == [0]


def test_discard_forgets_what_pends() -> None:
    processors, ran = Processors(2), list[int]()
    processors.raise_interrupt(ran.append, 0, "gone")
    processors.queue_dpc(1, lambda _: ran.append(1), source="gone")
    processors.raise_interrupt(ran.append, 1, "kept")
    assert processors.is_pending("gone")
    assert processors.discard("gone") == 2
    processors.run_until_idle()
    assert ran == [1]


def test_without_a_seed_a_yield_point_does_nothing() -> None:
    processors, ran = Processors(2), list[int]()
    processors.raise_interrupt(ran.append, 1)
    processors.yield_point("here")
    assert ran == []


def test_a_processor_runs_nothing_at_or_below_its_level() -> None:
    for seed in range(50):
        processors, ran = Processors(2, seed, preemption=0.9), list[str]()

        def dpc(where: object, processors: Processors = processors, ran: list[str] = ran) -> None:
            ran.append(f"dpc {where} at {processors.current}")

        with processors.raised_to(Level.DISPATCH):
            processors.queue_dpc(0, dpc, "own")
            processors.queue_dpc(1, dpc, "other")
            processors.yield_point("at DISPATCH")
            assert "dpc own at 0" not in ran
        with processors.raised_to(Level.DIRQL):
            processors.raise_interrupt(lambda _, ran=ran: ran.append("isr 0"), 0)  # type: ignore[misc]
            processors.yield_point("at DIRQL")
            assert "isr 0" not in ran
        processors.run_until_idle()
        assert sorted(ran) == ["dpc other at 1", "dpc own at 0", "isr 0"]


def test_another_processor_gets_ahead_at_a_yield_point() -> None:
    """Two processors add to one counter and yield between load and store: some schedules lose one."""
    outcomes = set()
    for seed in range(64):
        processors, counter = Processors(2, seed), [0]

        def add(_: object, processors: Processors = processors, counter: list[int] = counter) -> None:
            loaded = counter[0]
            processors.yield_point("between load and store")
            counter[0] = loaded + 1

        processors.queue_dpc(0, add)
        processors.queue_dpc(1, add)
        processors.run_until_idle()
        outcomes.add(counter[0])
    assert outcomes == {1, 2}


def _busy(seed: int | None, count: int) -> tuple[list[str], list[object]]:
    """Interrupts that queue DPCs elsewhere, with yield points in both."""
    processors, trace = Processors(count, seed), list[str]()

    def note(text: str) -> None:
        trace.append(f"{text}@{processors.current}")
        processors.yield_point(text)

    def dpc(argument: object) -> None:
        note(f"dpc {argument}")

    def service(vector: int) -> Callable[[int], None]:
        def run(cpu: int) -> None:
            note(f"isr {vector}")
            processors.queue_dpc((cpu + vector) % count, dpc, vector, source=("dpc", vector))

        return run

    for vector in range(6):
        processors.raise_interrupt(service(vector), vector % count, vector)
        processors.yield_point("raised")
    processors.run_until_idle()
    return trace, list(processors.schedule)


@given(st.integers(0, 2**32), st.integers(1, 4))
def test_a_seed_reproduces_its_schedule(seed: int, count: int) -> None:
    assert _busy(seed, count) == _busy(seed, count)


def test_seeds_differ() -> None:
    assert len({tuple(_busy(seed, 4)[0]) for seed in range(20)}) > 10


@given(st.integers(0, 2**32))
def test_nothing_is_lost_whatever_the_schedule(seed: int) -> None:
    trace, schedule = _busy(seed, 3)
    assert sorted(entry.split("@")[0] for entry in trace) == sorted(
        [f"isr {n}" for n in range(6)] + [f"dpc {n}" for n in range(6)]
    )
    assert len(schedule) == 12


def test_the_log_names_where_and_how_deep() -> None:
    for seed in range(20):
        _, schedule = _busy(seed, 4)
        nested = [step for step in schedule if getattr(step, "depth", 0) > 0]
        if nested:
            assert {getattr(step, "kind", None) for step in schedule} == {Kind.INTERRUPT, Kind.DPC}
            return
    pytest.fail("no schedule nested")


def test_waiting_at_raised_level_is_refused() -> None:
    processors = Processors(1)
    with processors.raised_to(Level.DISPATCH), pytest.raises(SchedulerError, match="DISPATCH"):
        processors.run_until_idle()


def test_an_interrupt_storm_is_stopped() -> None:
    processors = Processors(1)

    def again(cpu: int) -> None:
        processors.raise_interrupt(again, cpu)

    processors.raise_interrupt(again, 0)
    with pytest.raises(SchedulerError, match="storm"):
        processors.run_until_idle(limit=100)


def test_a_level_is_never_lowered_by_raising() -> None:
    processors = Processors(1)
    with (
        processors.raised_to(Level.DIRQL),
        pytest.raises(SchedulerError),
        processors.raised_to(Level.DISPATCH),
    ):
        pass
    assert processors.level is Level.PASSIVE


def test_a_thread_moves_between_processors_at_passive_only() -> None:
    processors = Processors(2)
    with processors.on(1):
        assert processors.current == 1
        with processors.raised_to(Level.DISPATCH), pytest.raises(SchedulerError), processors.on(0):
            pass
    assert processors.current == 0


def test_an_exception_restores_processor_and_level() -> None:
    processors = Processors(2)

    def fail(_: int) -> None:
        raise ValueError("broken ISR")

    processors.raise_interrupt(fail, 1)
    with pytest.raises(ValueError, match="broken"):
        processors.run_until_idle()
    assert (processors.current, processors.level, processors[1].level) == (0, Level.PASSIVE, Level.PASSIVE)


def test_a_spin_lock_raises_to_dispatch_and_keeps_dpcs_away() -> None:
    for seed in range(20):
        processors, ran = Processors(2, seed, preemption=0.9), list[str]()
        lock = SpinLock(processors, "list")
        processors.queue_dpc(1, lambda _, ran=ran: ran.append("dpc"))  # type: ignore[misc]
        processors.raise_interrupt(lambda _, ran=ran: ran.append("isr"), 1)  # type: ignore[misc]
        with lock:
            assert processors.level is Level.DISPATCH
            processors.yield_point("held")
            assert "dpc" not in ran
        processors.run_until_idle()
        assert sorted(ran) == ["dpc", "isr"]


def test_a_spin_lock_taken_twice_is_a_deadlock() -> None:
    lock = SpinLock(Processors(1), "stats")
    with lock, pytest.raises(DeadlockError, match="stats"), lock:
        pass


def test_a_spin_lock_is_not_for_an_isr() -> None:
    processors = Processors(1)
    lock = SpinLock(processors)
    with processors.raised_to(Level.DIRQL), pytest.raises(DeadlockError), lock:
        pass


def test_the_interrupt_controller_delivers_by_processors() -> None:
    processors, seen = Processors(4), list[object]()
    controller = InterruptController(processors.raise_interrupt)
    (irq,) = controller.allocate(1)
    irq.handler = lambda vector: seen.append((vector, processors.current, processors.level))
    address, data = controller.message(irq, 3)
    for _ in range(2):
        controller.signal(Interrupt(InterruptKind.MSIX, 0, address, data))
    processors.run_until_idle()
    assert seen == [(0, 3, Level.DIRQL)]


def test_there_is_no_processor_beyond_the_last() -> None:
    processors = Processors(2)
    with pytest.raises(SchedulerError, match="no processor 2"):
        processors.queue_dpc(2, lambda _: None)
    with pytest.raises(SchedulerError):
        Processors(0)
