"""The suite under pytest: `pytest --pyargs vnic.conformance [--vnic-driver NAME]`, a test for each case
and driver."""

from __future__ import annotations

from pathlib import Path

import pytest

from vnic.conformance.case import Case
from vnic.conformance.explain import explain
from vnic.conformance.groups import select
from vnic.conformance.shift import Shift
from vnic.conformance.verdict import Verdict
from vnic.testbench.driver import REFERENCE, load_driver

_TIMEOUT_S = 20.0


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every case for every driver asked for."""
    named = metafunc.config.getoption("--vnic-driver", default=None) or [REFERENCE]
    drivers = [named] if isinstance(named, str) else named
    cases = select()
    pairs = [(case, name) for name in drivers for case in cases]
    many = len(drivers) > 1
    metafunc.parametrize(
        ("case", "name"), pairs, ids=[f"{case.name}-{name}" if many else case.name for case, name in pairs]
    )


def test_conformance(case: Case, name: str, pytestconfig: pytest.Config) -> None:
    """One case, in a process of its own."""
    record: Path | None = pytestconfig.getoption("--vnic-record", default=None)
    result = Shift(load_driver(name), timeout=_TIMEOUT_S, record=record).one(case)
    if result.verdict is Verdict.NOT_SUPPORTED:
        pytest.skip(f"not supported: {result.happened}")
    if not result.verdict.is_good:
        pytest.fail(explain(case, result, with_detail=True), pytrace=False)
