"""Namespaces of the kernel for the tests of this folder, with the reason where there can be none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from vnic.link.netns import Namespace, unavailable


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """A network namespace of the test's own."""
    reason = unavailable()
    if not reason and not Path("/dev/net/tun").exists():
        reason = "needs /dev/net/tun: no TAP driver here"
    if reason:
        pytest.skip(reason)
    with Namespace() as made:
        yield made
