"""Engines of a test are freed at its end, and what was sent and never looked at is a failure."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from tests.tcp import states

FAILED = pytest.StashKey[bool]()


@pytest.fixture(autouse=True)
def conversations(request: pytest.FixtureRequest) -> Iterator[None]:
    """Closes the engines of a test; a segment that nobody expected fails it."""
    yield
    leftovers = [seen for made in states.close_all() for seen in made.outbox]
    has_failed = request.node.stash.get(FAILED, False)
    assert has_failed or not leftovers, f"sent and never expected: {leftovers[0]}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tells the fixture whether the test itself failed already."""
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report
