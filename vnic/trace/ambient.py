"""Recording of devices that somebody else makes: each function into a file of its own, from its making on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vnic.function import PciFunction
from vnic.trace.recorder import Recorder


@dataclass
class Recorded:
    """What was recorded so far: a file a function, and how many events each has."""

    path: Path
    recorders: list[tuple[Path, Recorder]] = field(default_factory=list)
    events: dict[Path, int] = field(default_factory=dict)

    def next_path(self) -> Path:
        """FILE.pcapng, then FILE.1.pcapng, and so on."""
        number = len(self.recorders)
        if number == 0:
            return self.path
        stem, dot, rest = self.path.name.partition(".")
        return self.path.with_name(f"{stem}.{number}{dot}{rest}")


@contextmanager
def recording(path: Path, *, compact: bool = False, seed: int = 0) -> Iterator[Recorded]:
    """Record every function that is made within the block; OSError where a file cannot be written."""
    recorded = Recorded(path)

    def watch(function: PciFunction[Any]) -> None:
        place = recorded.next_path()
        recorded.recorders.append((place, Recorder(place, function, compact=compact, seed=seed)))

    PciFunction.watchers.append(watch)
    try:
        yield recorded
    finally:
        PciFunction.watchers.remove(watch)
        for place, recorder in recorded.recorders:
            recorder.hash()
            recorded.events[place] = recorder.events
            recorder.close()
