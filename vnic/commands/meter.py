"""How far a transfer is: a bar of rich on a terminal, else a line now and then, on standard error."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Protocol

from vnic.commands.table import is_rich

if TYPE_CHECKING:
    from rich.progress import Progress

_LINE_EVERY_S = 2.0
_BAR_EVERY_S = 0.1
_UNITS = ("B", "kB", "MB", "GB", "TB")


def size_text(count: float) -> str:
    """Bytes in a unit that suits, 1000 to 1: '67.1 MB'."""
    unit = 0
    while count >= 1000 and unit < len(_UNITS) - 1:
        count, unit = count / 1000, unit + 1
    return f"{count:.0f} {_UNITS[unit]}" if unit == 0 else f"{count:.1f} {_UNITS[unit]}"


def rate_text(count: float, seconds: float) -> str:
    """Bytes a second: '34.1 MB/s'."""
    return f"{size_text(count / seconds)}/s" if seconds > 0 else "-"


class Meter(Protocol):
    """Shows progress."""

    def show(self, done: int, total: int | None) -> None:
        """So many bytes are there, of so many, if that is known."""

    def note(self, line: str) -> None:
        """Print a line that stays."""

    def close(self) -> None:
        """No more to show."""


class Silence:
    """Shows nothing."""

    def show(self, done: int, total: int | None) -> None:
        """Nothing."""

    def note(self, line: str) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Lines:
    """A line every two seconds."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._started = self._shown = time.monotonic()

    def show(self, done: int, total: int | None) -> None:
        """Print when it is time."""
        now = time.monotonic()
        if now - self._shown < _LINE_EVERY_S:
            return
        self._shown = now
        if not done:
            return
        share = f" of {size_text(total)} ({done / total:.0%})" if total else ""
        rate = rate_text(done, now - self._started)
        print(f"{self._name}: {size_text(done)}{share}, {rate}", file=sys.stderr, flush=True)

    def note(self, line: str) -> None:
        """To standard output."""
        print(line, flush=True)

    def close(self) -> None:
        """Nothing more."""


class Bar:
    """A bar of rich, there from the first bytes on."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._progress: Progress | None = None
        self._shown = 0.0

    def show(self, done: int, total: int | None) -> None:
        """Draw when it is time, and at the end."""
        now = time.monotonic()
        if not done or (now - self._shown < _BAR_EVERY_S and done != total):
            return
        self._shown = now
        if self._progress is None:
            self._progress = _rich_progress()
            self._progress.add_task(self._name, total=total)
            self._progress.start()
        self._progress.update(self._progress.task_ids[0], completed=done, total=total, refresh=True)

    def note(self, line: str) -> None:
        """Above the bar."""
        if self._progress is None:
            print(line, flush=True)
        else:
            self._progress.console.print(line, markup=False, highlight=False)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def _rich_progress() -> Progress:
    from rich.console import Console  # noqa: PLC0415 (an extra, and slow to import)
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    # Drawn when told to: a thread of its own would compete with the transfer.
    return Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), auto_refresh=False)


def make_meter(name: str, *, quiet: bool) -> Meter:
    """What suits standard error."""
    if quiet:
        return Silence()
    return Bar(name) if is_rich(sys.stderr) else Lines(name)
