"""What the tests of the host stack share: stacks that end with their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.stack.world import World


@pytest.fixture
def make_world() -> Iterator[Callable[..., World]]:
    """`make_world(**arguments of World)`."""
    with ExitStack() as stack:

        def make(**arguments: Any) -> World:
            return stack.enter_context(World(**arguments))

        yield make


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """A stack at 10.0.0.1/24 and 2001:db8::1/64 on a link that is up."""
    return make_world()
