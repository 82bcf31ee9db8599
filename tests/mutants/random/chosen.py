"""A pytest plugin: only the tests that are named in a file, in the order of that file."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

NAMES = "VNIC_CHOSEN_TESTS"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that the file does not name are left out."""
    names: list[str] = json.loads(Path(os.environ[NAMES]).read_text(encoding="utf-8"))
    places = {name: place for place, name in enumerate(names)}
    items[:] = sorted((each for each in items if each.nodeid in places), key=lambda each: places[each.nodeid])
