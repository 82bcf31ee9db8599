"""The connections of a run for those outside: a file while it lasts, and `vnic status` to read it."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from vnic.commands.table import Table, print_tables
from vnic.errors import ArgumentError
from vnic.protocol.chimney_tally import Row

COLUMNS = ("proto", "local address", "foreign address", "state", "offload state", "recv-q", "send-q")


def status_directory() -> Path:
    """Where runs of this user leave what they show."""
    base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    return Path(base) / f"vnic-{os.getuid()}"


class StatusFile:
    """One run's file, named by its process; it takes its place whole, and goes when the run ends."""

    def __init__(self, directory: Path | None = None) -> None:
        self._path = (directory or status_directory()) / f"{os.getpid()}.json"
        self._is_there = False

    def write(self, rows: Sequence[Row]) -> None:
        """Replace what was there; a file that cannot be written is no reason to stop."""
        content = json.dumps([_cells(row) for row in rows])
        with suppress(OSError):
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            part = self._path.with_suffix(".part")
            part.write_text(content)
            os.replace(part, self._path)
            self._is_there = True

    def remove(self) -> None:
        """The run is over."""
        if self._is_there:
            self._path.unlink(missing_ok=True)


def _cells(row: Row) -> list[str | int]:
    state = row.state.name if row.state is not None else "LISTEN"
    ends = str(row.local), str(row.remote)
    return [row.protocol, *ends, state, str(row.where), row.receive_queue, row.send_queue]


def status_table(title: str, rows: Sequence[Row]) -> Table:
    """As netstat -t shows them."""
    return Table(title, COLUMNS, [_cells(row) for row in rows])


# ---- the command -------------------------------------------------------------------------------------------


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("--pid", type=int, metavar="N", help="only the run of this process")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")


def execute(options: argparse.Namespace) -> int:
    """0: at least one run was there."""
    runs = _read_runs(options.pid)
    if options.json:
        print(json.dumps({str(pid): rows for pid, rows in runs.items()}, indent=2))
    elif not runs:
        print("no run with connections; start one with: vnic run --chimney")
    else:
        print_tables([Table(f"Run {pid}", COLUMNS, list(rows)) for pid, rows in runs.items()])
    return 0 if runs else 1


def _read_runs(wanted: int | None) -> dict[int, list[list[str | int]]]:
    runs: dict[int, list[list[str | int]]] = {}
    for path in sorted(status_directory().glob("*.json")):
        pid = int(path.stem) if path.stem.isdigit() else 0
        if not pid or wanted not in (None, pid) or not Path(f"/proc/{pid}").exists():
            continue
        try:
            rows = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        if not _is_sound(rows):
            raise ArgumentError(f"{path} is no status of a run")
        runs[pid] = rows
    return runs


def _is_sound(rows: object) -> bool:
    if not isinstance(rows, list):
        return False
    return all(isinstance(row, list) and len(row) == len(COLUMNS) for row in rows)
