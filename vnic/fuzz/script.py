"""A script: which scene, how it is made, and the acts, as text that anybody can read, edit and run again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from vnic.errors import ArgumentError
from vnic.fuzz.scene import Act

__all__ = ["FORMAT", "Script", "read_script"]

FORMAT: Final = "vnic-fuzz/1"
_BYTES_MAX: Final = 16 << 20
_ACTS_MAX: Final = 100_000


@dataclass(frozen=True, slots=True)
class Script:
    """`target` names the scene; `options` are what it is made with, of JSON's types."""

    target: str
    acts: tuple[Act, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    def with_acts(self, acts: tuple[Act, ...]) -> Script:
        """The same scene with other acts."""
        return Script(self.target, acts, self.options)

    def to_text(self, **more: Any) -> str:
        """JSON, an act a line; `more` is for readers."""
        head = {"format": FORMAT, **more, "target": self.target, "options": dict(self.options)}
        lines = [json.dumps([act.name, dict(act.arguments)]) for act in self.acts]
        return json.dumps(head)[:-1] + ', "acts": [\n ' + ",\n ".join(lines) + "\n]}\n"

    @classmethod
    def from_text(cls, text: str) -> Script:
        """The reverse; ArgumentError when it is no script. Whether the acts exist, the scene says."""
        try:
            found = json.loads(text)
            if found["format"] != FORMAT:
                raise ArgumentError(f"a script of format {found['format']!r}, not {FORMAT}")
            acts = tuple(_act(each) for each in found["acts"])
            target, options = found["target"], found["options"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ArgumentError(f"not a script: {error}") from None
        if not (isinstance(target, str) and isinstance(options, dict)) or len(acts) > _ACTS_MAX:
            raise ArgumentError("not a script: target, options or acts are of another kind")
        return cls(target, acts, options)


def _act(item: Any) -> Act:
    name, arguments = item
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise TypeError(f"{item!r} is no act")
    return Act(name, arguments)


def read_script(path: Path) -> Script:
    """The script of a file; ArgumentError when it cannot be read or is none."""
    try:
        with path.open("rb") as file:
            octets = file.read(_BYTES_MAX + 1)
    except OSError as error:
        raise ArgumentError(f"{path}: {error.strerror}") from None
    if len(octets) > _BYTES_MAX:
        raise ArgumentError(f"{path}: more than {_BYTES_MAX} bytes")
    try:
        return Script.from_text(octets.decode())
    except (UnicodeDecodeError, ArgumentError) as error:
        raise ArgumentError(f"{path}: {error}") from None
