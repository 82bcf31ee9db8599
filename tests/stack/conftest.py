"""What the tests of the host stack share: stacks that end with their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.stack.offload_scene import Scene
from tests.stack.offload_world import Hosts
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


@pytest.fixture
def make_scene() -> Iterator[Callable[..., Scene]]:
    """`make_scene(**arguments of Hosts)`: a connection that may go to an offload target."""
    with ExitStack() as stack:

        def make(passive: bool = False, **arguments: Any) -> Scene:
            return Scene(stack.enter_context(Hosts(**arguments)), passive=passive)

        yield make


@pytest.fixture
def scene(make_scene: Callable[..., Scene]) -> Scene:
    """A connection that A opened."""
    return make_scene()
