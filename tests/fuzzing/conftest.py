"""What the tests of fuzzing share: children that find the package, and scripts that are kept beside them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


@pytest.fixture
def children(python_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that are started from here on can import the package."""
    for name in python_environment.keys() - os.environ.keys():
        monkeypatch.setenv(name, python_environment[name])
