"""docs/first_driver.md as a newcomer reads it: each step is loaded, each check run, its output compared."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "first_driver.md"
EXAMPLES = ROOT / "vnic" / "examples"
BLOCK = re.compile(r"^```(\w+(?: \w+)?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[str, str]]:
    """Kind and text of each code block of the page, in order."""
    return [(kind, text) for kind, text in BLOCK.findall(PAGE.read_text(encoding="utf-8"))]


def steps() -> list[tuple[str, str, str]]:
    """Of each step that has a check: the file so far, the check, and what it prints."""
    found = []
    file = check = ""
    for kind, text in blocks():
        if kind == "python":
            file = f"{file}\n{text}" if file else text
        elif kind == "python check":
            check = text
        elif kind == "text":
            found.append((file, check, text))
    return found


def whole_file() -> str:
    """The driver that the page arrives at."""
    return "\n".join(text for kind, text in blocks() if kind == "python")


def command(start: str) -> str:
    """A command line of the page."""
    lines = [line for kind, text in blocks() if kind == "sh" for line in text.splitlines()]
    return next(line for line in lines if line.startswith(start))


def test_what_the_page_arrives_at_is_the_example() -> None:
    assert whole_file() == (EXAMPLES / "minimal.py").read_text(encoding="utf-8")
    assert len(whole_file().splitlines()) <= 150


def test_the_page_has_its_steps() -> None:
    assert len(steps()) == 5


@pytest.mark.parametrize("number", range(5))
def test_step(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, check, expected = steps()[number]
    (tmp_path / "driver.py").write_text(file, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    exec(compile(check, f"step {number + 1}", "exec"), {})
    assert capsys.readouterr().out == expected
