"""Requirements and tests: every id of spec/ has a test, and every id that a test names exists."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

# A chapter defines an id in bold at the start of a list item, or in the first cell of a row:
#   - **RX-7** (device MUST) ...        | **RX-7** | ...        | INV-51 | ...
ID = r"[A-Z][A-Z0-9]*-\d+[a-z]?"
DEFINITION = re.compile(rf"^\s*(?:[-*]\s+\*\*({ID})\*\*|\|\s*(?:\*\*)?({ID})(?:\*\*)?\s*\|)", re.MULTILINE)


def defined_in(text: str) -> list[str]:
    """The ids that a chapter defines, in order."""
    return [listed or cell for listed, cell in DEFINITION.findall(text)]


@cache
def definitions() -> dict[str, list[str]]:
    """The ids of each chapter."""
    return {path.name: defined_in(path.read_text("utf-8")) for path in sorted((ROOT / "spec").glob("*.md"))}


def marks_in(source: str) -> Iterator[str]:
    """The ids in every `...mark.requirement(...)` of a test file; ValueError when one is not written out."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr != "requirement" or ast.unparse(node.func.value) not in ("pytest.mark", "mark"):
            continue
        for argument in node.args:
            if not isinstance(argument, ast.Constant) or not isinstance(argument.value, str):
                raise ValueError(f"line {node.lineno}: requirement ids are written out as strings")
            yield argument.value


@cache
def marked() -> dict[str, list[str]]:
    """The test files that name each id."""
    files: dict[str, list[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        if path == Path(__file__).resolve():
            continue
        for identifier in marks_in(path.read_text("utf-8")):
            files.setdefault(identifier, []).append(path.relative_to(ROOT).as_posix())
    return files


def test_no_id_is_defined_twice() -> None:
    counts = Counter(identifier for ids in definitions().values() for identifier in ids)
    assert [identifier for identifier, count in counts.items() if count > 1] == []


def test_every_requirement_has_a_test() -> None:
    untested = {
        chapter: missing
        for chapter, ids in definitions().items()
        if (missing := [identifier for identifier in ids if identifier not in marked()])
    }
    assert untested == {}


def test_every_id_that_a_test_names_exists() -> None:
    known = {identifier for ids in definitions().values() for identifier in ids}
    assert {name: files for name, files in marked().items() if name not in known} == {}


def test_chapters_define_requirements() -> None:
    assert sum(len(ids) for ids in definitions().values()) > 50


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("- **RX-7** (device MUST) ...\n  * **TX-12** more", ["RX-7", "TX-12"]),
        ("| Id | Text |\n|---|---|\n| INV-51 | ... |\n| **NDIS-3** | ... |", ["INV-51", "NDIS-3"]),
        ("see **RX-7** and RX-8, | not a row |", []),
        ("| 0x10 | `GLB_CTRL` | rw |", []),
    ],
)
def test_definitions_are_found(text: str, ids: list[str]) -> None:
    assert defined_in(text) == ids


def test_marks_are_found() -> None:
    source = '@pytest.mark.requirement("A-1", "B-2")\ndef f(): pass\nx = pytest.mark.requirement("C-3")\n'
    assert sorted(marks_in(source)) == ["A-1", "B-2", "C-3"]


def test_a_mark_that_hides_its_id_is_refused() -> None:
    with pytest.raises(ValueError, match="written out"):
        list(marks_in("@pytest.mark.requirement(NAME)\ndef f(): pass"))
