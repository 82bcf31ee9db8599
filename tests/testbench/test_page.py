"""The page about testing a driver: its blocks are one file, and that runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "testing.md"


def test_the_page_runs(pytester: pytest.Pytester) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    source = "\n\n".join(blocks)
    pytester.makepyfile(test_of_the_page=source)
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:xdist", "--strict-markers")
    result.assert_outcomes(passed=source.count("\ndef test_") + 2)
