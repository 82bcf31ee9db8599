"""What a trace says of itself: functions, their configuration, seed; one line of canonical JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from vnic.errors import VnicError

FORMAT: Final = "vnic-trace/1"
KINDS: Final = ("nic", "copy", "foreign")


class TraceError(VnicError):
    """A file is no vnic-trace/1, or breaks its rules."""


@dataclass(frozen=True, slots=True)
class FunctionHeader:
    """One function: its number, its kind, the hash of its register map in hex, and how it was created.

    A foreign function (imported) has a `map` that names a register-map file, or "".
    """

    function: int
    kind: str
    map: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TraceHeader:
    """The whole header."""

    functions: tuple[FunctionHeader, ...]
    seed: int = 0
    mode: str = "full"
    clock: str = "virtual-ns"

    @property
    def is_compact(self) -> bool:
        """Whether outputs are there as digests."""
        return self.mode == "compact"

    def text(self) -> str:
        """As shb_hardware has it."""
        values = {**asdict(self), "functions": [_plain(each) for each in self.functions]}
        return f"{FORMAT} {json.dumps(values, sort_keys=True, separators=(',', ':'), ensure_ascii=True)}"

    @classmethod
    def parse(cls, text: str | None) -> TraceHeader:
        """Of shb_hardware; TraceError."""
        name, _, line = (text or "").partition(" ")
        if name != FORMAT:
            raise TraceError(f"no {FORMAT}: the section header says {name or 'nothing'!r}")
        try:
            values = json.loads(line)
            functions = tuple(_function(each) for each in values["functions"])
            return cls(functions, int(values.get("seed", 0)), str(values["mode"]), str(values["clock"]))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise TraceError(f"the header of the trace is not what {FORMAT} says: {error!r}") from None


def _plain(function: FunctionHeader) -> dict[str, Any]:
    config = {
        name: value.hex() if isinstance(value, bytes) else value for name, value in function.config.items()
    }
    return {"function": function.function, "kind": function.kind, "map": function.map, "config": config}


def _function(values: Mapping[str, Any]) -> FunctionHeader:
    number, kind = int(values["function"]), str(values["kind"])
    if not 0 <= number < 8 or kind not in KINDS:
        raise ValueError(f"function {number} of kind {kind!r}")
    return FunctionHeader(number, kind, str(values.get("map", "")), dict(values.get("config", {})))
