"""A finding: what went wrong, where, by which script; and the key by which two findings are the same."""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vnic.errors import LeakError
from vnic.fuzz.scene import Broken, Overrun
from vnic.fuzz.script import Script
from vnic.fuzz.world import Broken as WorldBroken
from vnic.ndis.verifier import NdisViolation

__all__ = ["Failure", "Finding", "failure_of", "failure_of_report"]

_FRAMES: Final = 3
_TEXT_MAX: Final = 16_000
_NUMBER = re.compile(r"0x[0-9A-Fa-f]+|\d+")
_PACKAGE: Final = str(Path(__file__).resolve().parent.parent)
#: Folders of the package that only carry a failure on.
_CARRIERS: Final = ("fuzz", "testbench")
_ERROR_LINE = re.compile(
    r"ERROR: (\w*Sanitizer): ([\w-]+)|runtime error: ([^\n]+)|Fatal Python error: ([^\n]+)"
)
_NATIVE_FRAME = re.compile(r"^\s*#\d+ 0x[0-9a-f]+ in (\S+) \(?([^\s:)]+)", re.MULTILINE)
_PYTHON_FRAME = re.compile(r'^  File "([^"]+)", line \d+ in (\S+)', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Failure:
    """`key`: equal for failures of one cause; `title`: one line; `text`: all that is known."""

    key: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A failure and the script that leads there; `seed`, `shard`: where it was met first."""

    failure: Failure
    script: Script
    seed: int
    shard: int
    count: int = 1
    is_shrunk: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Of JSON's types."""
        return {
            "key": self.failure.key,
            "title": self.failure.title,
            "text": self.failure.text,
            "script": self.script.to_text(),
            "seed": self.seed,
            "shard": self.shard,
            "count": self.count,
            "is_shrunk": self.is_shrunk,
        }

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Finding:
        """The reverse of to_dict()."""
        return cls(
            Failure(found["key"], found["title"], found["text"]),
            Script.from_text(found["script"]),
            found["seed"],
            found["shard"],
            found["count"],
            found["is_shrunk"],
        )


def failure_of(error: BaseException) -> Failure:
    """Of an exception: by rule or invariant where it names one, else by its kind and the innermost frames."""
    title = (str(error).partition("\n")[0] or type(error).__name__)[:200]
    text = "".join(traceback.format_exception(error))[-_TEXT_MAX:]
    if isinstance(error, NdisViolation):
        return Failure(f"{error.rule_id} {error.driver}", title, text)
    if isinstance(error, Broken):
        return Failure(f"{error.invariant}", title, text)
    if isinstance(error, WorldBroken):
        return Failure(f"card {_NUMBER.sub('N', title)[:60]}", title, text)
    if isinstance(error, LeakError):
        return Failure(f"LeakError {_NUMBER.sub('N', title)[:60]}", title, text)
    if isinstance(error, Overrun):
        return Failure(f"Overrun {_places(error)}", title, text)
    return Failure(f"{type(error).__name__} {_places(error)}", f"{type(error).__name__}: {title}", text)


def _places(error: BaseException) -> str:
    """The innermost frames, as file:function; those that only lead there are left out."""
    frames = traceback.extract_tb(error.__traceback__)
    found = [f"{Path(each.filename).name}:{each.name}" for each in frames if not _is_carrier(each.filename)]
    found = found or [f"{Path(each.filename).name}:{each.name}" for each in frames]
    return " < ".join(reversed(found[-_FRAMES:]))


def _is_carrier(filename: str) -> bool:
    return any(filename.startswith(f"{_PACKAGE}/{folder}/") for folder in _CARRIERS)


def failure_of_report(status: int, report: str) -> Failure:
    """Of a process that died: by sanitizer and innermost frames, or by the signal and Python's frames."""
    found = _ERROR_LINE.search(report)
    kind = next((group for group in found.groups()[1:] if group), "") if found else ""
    what = _NUMBER.sub("N", kind) or (f"signal {-status}" if status < 0 else f"exit status {status}")
    native = [name for name, _ in _NATIVE_FRAME.findall(report) if not name.startswith("__")]
    python = [
        f"{Path(file).name}:{name}" for file, name in _PYTHON_FRAME.findall(report) if not _is_carrier(file)
    ]
    places = " < ".join((native or python)[:_FRAMES])
    return Failure(f"crash {what} {places}".strip(), f"the process died: {what}", report[-_TEXT_MAX:])
