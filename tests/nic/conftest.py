"""What the tests of the card share: a maker of rigs that closes them at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from vnic.testbench.rig import Rig


@pytest.fixture
def make_rig() -> Iterator[Callable[..., Rig]]:
    """`make_rig(**arguments of Rig)`: a card that is up, with the smallest driver."""
    with ExitStack() as stack:

        def make(**arguments: Any) -> Rig:
            return stack.enter_context(Rig(**arguments))

        yield make
