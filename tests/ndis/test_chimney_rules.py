"""The table of chimney rules, the chapter that tells them, and the faults that break each one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from vnic.ndis.chimney_rules import CHIMNEY_RULES
from vnic.ndis.rules import RULES

HERE = Path(__file__).resolve().parent
CHAPTER = (HERE.parent.parent / "spec" / "chimney-ndis.md").read_text("utf-8")
ROW = re.compile(r"^\| ((?:INV|CHIM)-\d+) \| (.*) \|$", re.MULTILINE)


def rows() -> dict[str, list[str]]:
    """The cells behind each id of the chapter."""
    return {identifier: cells.split(" | ") for identifier, cells in ROW.findall(CHAPTER)}


def broken() -> set[str]:
    """Every id that a test of this folder expects as a breach."""
    found: set[str] = set()
    for path in HERE.glob("test_chimney_*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return found


def test_every_rule_is_broken_by_a_test() -> None:
    assert {rule.id for rule in CHIMNEY_RULES} - broken() == set()


def test_no_rule_is_told_twice() -> None:
    assert len({rule.id for rule in CHIMNEY_RULES}) == len(CHIMNEY_RULES)
    assert all(RULES[rule.id] is rule for rule in CHIMNEY_RULES)


def test_the_chapter_has_every_invariant_and_says_which_the_layer_keeps() -> None:
    numbers = [*range(1, 51), 57]
    assert [name for name in rows() if name.startswith("INV-")] == [f"INV-{number}" for number in numbers]
    kept = {rule.id for rule in CHIMNEY_RULES if rule.id.startswith("INV-")}
    told = {
        name for name, cells in rows().items() if name.startswith("INV-") and "L" in cells[-2].split(", ")
    }
    assert told - kept == {"INV-42"}  # INV-10 is what a failed update breaks at the border
    assert kept - told == set()


@pytest.mark.parametrize(
    "rule", [each for each in CHIMNEY_RULES if each.id.startswith("CHIM-")], ids=lambda rule: rule.id
)
def test_the_chapter_tells_a_rule_in_its_words(rule: object) -> None:
    identifier, binds, text = (getattr(rule, name) for name in ("id", "binds", "text"))
    assert rows()[identifier] == [binds, f"{text[0].upper()}{text[1:]}."]
