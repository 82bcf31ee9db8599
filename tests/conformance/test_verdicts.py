"""Verdicts: what becomes of a driver that is right, and of those that are wrong in one way each."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.conformance import drivers
from vnic.conformance.case import Case, Feature, NotSupported
from vnic.conformance.drive import works
from vnic.conformance.explain import explain
from vnic.conformance.judge import judge
from vnic.conformance.shift import Shift
from vnic.conformance.verdict import Result, Verdict
from vnic.host.bus import VectorKinds
from vnic.host.memory import GuestMemory
from vnic.miniport import Adapter
from vnic.ndis.miniport import Miniport
from vnic.ndis.oid import OID
from vnic.testbench.bench import Bench
from vnic.testbench.driver import Driver
from vnic.testbench.frames import plain_frame

SMALL: dict[str, Any] = {"queues": 1, "cpus": 1, "keywords": {"*ReceiveBuffers": 16, "*TransmitBuffers": 16}}


def driver(maker: Callable[[GuestMemory], Miniport]) -> Driver:
    """A driver under test."""
    return Driver("toy", maker)


def toy(
    run: Callable[[Bench], None],
    *needs: Feature,
    name: str = "toys.one",
    bench: dict[str, Any] = SMALL,
    seeds: tuple[int | None, ...] = (None,),
    is_rough: bool = False,
) -> Case:
    """A case that is not in the suite."""
    page, rule, done = "https://example.org/page", "it shall not", "It runs."
    return Case(name, "a toy", page, rule, run, frozenset(needs), bench, done, seeds, is_rough)


def idle(bench: Bench) -> None:
    """Nothing."""


def sends(bench: Bench) -> None:
    """Three sends."""
    for number in range(3):
        bench.send(plain_frame(80, number))
    bench.settle()


def asks(bench: Bench) -> None:
    """A query that the driver answers."""
    bench.query(OID.GEN_STATISTICS)


def resets(bench: Bench) -> None:
    """A reset."""
    bench.adapter.reset()


def pauses(bench: Bench) -> None:
    """A pause."""
    bench.adapter.pause()


def verdict(
    run: Callable[[Bench], None], maker: Callable[[GuestMemory], Miniport], timeout: float = 0.4
) -> Result:
    """Of a toy, in a process of its own."""
    return Shift(driver(maker), timeout=timeout, grace=0.4).one(toy(run))


@pytest.mark.requirement("CONF-3", "CONF-10")
def test_a_driver_that_is_right_passes() -> None:
    result = verdict(works, drivers.Right, 20)
    assert (result.verdict, result.happened) == (Verdict.PASSED, "")


@pytest.mark.requirement("CONF-12")
@pytest.mark.parametrize("maker", [drivers.Loops, drivers.LoopsDeaf])
def test_python_that_loops_is_hung_and_says_where(maker: Callable[[GuestMemory], Miniport]) -> None:
    result = verdict(asks, maker)
    assert result.verdict is Verdict.HUNG
    assert "oid_request" in result.detail
    assert "MiniportOidRequest" in result.detail


@pytest.mark.requirement("CONF-13")
def test_c_that_loops_is_killed_with_its_stack() -> None:
    result = verdict(asks, drivers.LoopsInC)
    assert result.verdict is Verdict.HUNG
    assert "oid_request" in result.detail, result.detail


@pytest.mark.requirement("CONF-12")
def test_an_operation_that_never_ends_in_virtual_time_is_hung() -> None:
    result = verdict(pauses, drivers.NeverPauses, 20)
    assert result.verdict is Verdict.HUNG
    assert result.rule_id == "HANG-1"


@pytest.mark.requirement("CONF-14")
@pytest.mark.parametrize(
    ("maker", "run", "words"),
    [
        (drivers.Crashes, sends, "SIGSEGV"),
        (drivers.Aborts, idle, "SIGABRT"),
        (drivers.Reports, sends, "exit status 1: ==7==ERROR: AddressSanitizer: heap-use-after-free"),
    ],
)
def test_a_process_that_dies_is_crashed(
    maker: Callable[[GuestMemory], Miniport], run: Callable[[Bench], None], words: str
) -> None:
    result = verdict(run, maker, 20)
    assert result.verdict is Verdict.CRASHED
    if words == "SIGSEGV" and "VNIC_PRELOAD" in os.environ:
        words = "AddressSanitizer:DEADLYSIGNAL"  # it takes the signal, and reports
    assert words in result.happened


@pytest.mark.requirement("CONF-3")
@pytest.mark.parametrize(
    ("maker", "run", "words"),
    [
        (drivers.LosesSends, sends, "never ends"),
        (drivers.Leaks, idle, "LeakError"),
        (drivers.Raises, resets, "ZeroDivisionError: in the driver"),
    ],
)
def test_what_is_left_or_raised_fails(
    maker: Callable[[GuestMemory], Miniport], run: Callable[[Bench], None], words: str
) -> None:
    result = verdict(run, maker, 20)
    assert not result.verdict.is_good
    assert words in result.happened


@pytest.mark.requirement("CONF-3", "CONF-11")
def test_a_breach_that_the_driver_hid_is_the_reason_and_names_its_rule() -> None:
    def looks_at_something_else(bench: Bench) -> None:
        sends(bench)
        assert len(bench.transmitted) == 3, "nothing left"

    result = verdict(looks_at_something_else, drivers.CompletesTwice, 20)
    assert result.verdict is Verdict.FAILED
    assert (result.rule_id, "ndismsendnetbufferlistscomplete" in result.rule_page) == ("SEND-2", True)
    assert "completed twice" in result.happened


@pytest.mark.requirement("CONF-4")
def test_an_access_to_no_register_fails_unless_the_case_is_rough() -> None:
    assert "no register" in judge(toy(idle), driver(drivers.Strays)).happened
    assert judge(toy(idle, is_rough=True), driver(drivers.Strays)).verdict is Verdict.PASSED


@pytest.mark.requirement("CONF-5")
def test_what_the_driver_does_not_have_is_not_supported() -> None:
    def without(bench: Bench) -> None:
        raise NotSupported("something")

    assert judge(toy(without), driver(drivers.Right)).happened == "something"
    without_rss = {"queues": 1, "cpus": 1, "keywords": {"*RSS": 0}}
    lacking = judge(toy(idle, Feature.RSS, bench=without_rss), driver(drivers.Right))
    assert lacking.verdict is Verdict.NOT_SUPPORTED
    assert "receive side scaling" in lacking.happened


@pytest.mark.requirement("CONF-6")
@pytest.mark.parametrize("kind", ["line", "msi", "msix"])
def test_the_machine_grants_what_the_case_names(kind: str) -> None:
    found: list[str] = []
    case = toy(lambda bench: found.append(bench.system.vector_kind.name), bench=SMALL | {"interrupt": kind})
    assert judge(case, driver(drivers.Right)).verdict is Verdict.PASSED
    assert found == [{"line": "INTX"}.get(kind, kind.upper())]

    def picky(memory: GuestMemory) -> Miniport:
        return Adapter(memory, kinds=VectorKinds.MSIX)

    expected = Verdict.PASSED if kind == "msix" else Verdict.NOT_SUPPORTED
    assert judge(case, driver(picky)).verdict is expected


@pytest.mark.requirement("CONF-7")
def test_seeds_are_tried_until_one_fails() -> None:
    seen: list[int | None] = []

    def third_fails(bench: Bench) -> None:
        seen.append(bench.processors.seed)
        assert bench.processors.seed != 3, "at three"

    result = judge(toy(third_fails, seeds=(1, 2, 3, 4)), driver(drivers.Right))
    assert (seen, result.seed, result.verdict) == ([1, 2, 3], 3, Verdict.FAILED)


@pytest.mark.requirement("CONF-15")
def test_an_explanation_has_everything_that_a_stranger_needs() -> None:
    def fails(bench: Bench) -> None:
        bench.receive(plain_frame(9000))
        raise AssertionError("two is not three")

    case = toy(fails)
    result = judge(case, driver(drivers.Right))
    result.traces = ["somewhere/a.pcapng"]
    text = explain(case, result)
    for words in ("FAILED  toys.one", "It runs.", "it shall not", "two is not three", case.page, "a.pcapng"):
        assert words in text
    assert "RX_DROP_OVERSIZE 1" in text
    assert "test_verdicts.py" in explain(case, result, with_detail=True)
