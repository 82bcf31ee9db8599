"""docs/first_c_driver.md taken apart: the driver as it grows, and what is printed at each step."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from .conftest import ROOT

PAGE = ROOT / "docs" / "first_c_driver.md"
BLOCK = re.compile(r"^```(\w+(?: \w+)?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: Where lines for the table go.
TABLE_END = "};\n"


@dataclass
class Growth:
    """The driver's text: what was written so far, and its end, which stays its end."""

    body: str = ""
    end: str = ""

    @property
    def text(self) -> str:
        """As a file."""
        return f"{self.body}\n{self.end}"

    def add(self, kind: str, text: str) -> None:
        """What a block of the page adds or changes; blocks of other kinds do nothing."""
        if kind == "c":
            self.body = f"{self.body}\n{text}" if self.body else text
        elif kind == "c end":
            self.end = text
        elif kind == "c table":
            before, _, after = self.end.partition(TABLE_END)
            self.end = f"{before}{text}{TABLE_END}{after}"
        elif kind == "diff":
            self._change(text)

    def _change(self, diff: str) -> None:
        old, new = ("".join(line[1:] for line in diff.splitlines(True) if line[0] == sign) for sign in "-+")
        assert self.body.count(old) == 1, old
        self.body = self.body.replace(old, new)


@dataclass
class Step:
    """A heading of the page: the driver as it is when its commands run, and what they print."""

    title: str
    text: str = ""
    consoles: list[tuple[str, str]] = field(default_factory=list)
    checks: list[tuple[str, str]] = field(default_factory=list)


def steps() -> list[Step]:
    """Every section that has a driver to try."""
    growth, found = Growth(), []
    for section in re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        step = Step(section.partition("\n")[0])
        blocks = BLOCK.findall(section)
        for number, (kind, text) in enumerate(blocks):
            growth.add(kind, text)
            if kind == "console":
                line, _, printed = text.removeprefix("$ ").partition("\n")
                step.consoles.append((line, printed))
            elif kind == "python check":
                step.checks.append((text, blocks[number + 1][1]))
        step.text = growth.text
        found.append(step)
    return found


def whole_file() -> str:
    """The driver that the steps arrive at."""
    return next(step.text for step in reversed(steps()) if re.match(r"\d", step.title))


def commands() -> list[str]:
    """The lines of the page that a shell is given, without what they print."""
    text = PAGE.read_text(encoding="utf-8")
    return [line for kind, block in BLOCK.findall(text) if kind == "sh" for line in block.splitlines()]


def without_chance(printed: str) -> str:
    """Without milliseconds, blanks in rows of a table, and addresses of this run."""
    timed = re.sub(r" +\d+ ms", " 0 ms", printed)
    return re.sub(r"0x7[0-9a-f]{11}\b", "0x7", timed)


def write(folder: Path, text: str) -> Path:
    """The driver as the page names it."""
    path = folder / "driver.c"
    path.write_text(text, encoding="utf-8")
    return path
