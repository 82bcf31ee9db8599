"""What most tests of the copy engine start with: an engine, and a driver of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.copy.driver import Driver
from vnic.copy_engine import CopyEngine


@pytest.fixture
def engine() -> Iterator[CopyEngine]:
    """An engine with a vector for each of its four channels, in auto mode."""
    with CopyEngine(channels=4, vectors=5) as made:
        yield made


@pytest.fixture
def driver(engine: CopyEngine) -> Driver:
    """The same, enabled, with memory."""
    return Driver(engine)
