"""Evidence: the traces of the devices that a case makes, written while it runs, so that a crash leaves
them too."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from vnic.function import PciFunction
from vnic.trace.recorder import Recorder


class Evidence:
    """Records every device made in the block into a folder; without one, nothing."""

    def __init__(self, folder: Path | None, case: str) -> None:
        self._folder = folder
        self._case = case
        self._recorders: list[Recorder] = []

    def __enter__(self) -> Evidence:
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            for old in self._folder.glob(f"{stem(self._case)}.*.pcapng"):
                old.unlink()
            PciFunction.watchers.append(self._on_create)
        return self

    def _on_create(self, device: PciFunction[Any]) -> None:
        assert self._folder is not None
        path = self._folder / f"{stem(self._case)}.{len(self._recorders)}.pcapng"
        self._recorders.append(Recorder(path, device))

    def flush(self) -> None:
        """Put on disk what was recorded so far: the process may die in the next call of the driver."""
        for each in self._recorders:
            each.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._folder is not None:
            PciFunction.watchers.remove(self._on_create)
        for each in self._recorders:
            each.close()

    @staticmethod
    def left(folder: Path, case: str, is_good: bool) -> list[str]:
        """The traces of a case that is over; those of a good one are thrown away."""
        paths = sorted(folder.glob(f"{stem(case)}.*.pcapng"))
        if not is_good:
            return [str(path) for path in paths]
        for path in paths:
            with suppress(OSError):
                path.unlink()
        return []


def stem(case: str) -> str:
    """A case's name as part of a file's."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", case)
