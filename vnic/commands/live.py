"""What `vnic run --chimney --netdma` shows while it lasts: a table drawn anew, or a line now and then."""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

from vnic.commands.kernel import KernelTraffic
from vnic.commands.meter import size_text
from vnic.commands.table import Cell, cell_text, is_rich
from vnic.commands.view import StatusFile
from vnic.testbench.traffic import Traffic

if TYPE_CHECKING:
    from rich.live import Live as RichLive
    from rich.table import Table as RichTable

_SHOW_EVERY_S = 0.5


class Live:
    """Standard error gets the figures of a run, others of this user its connections (`vnic status`)."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._shown = time.monotonic()
        self._title = ""
        self._drawing: RichLive | None = None
        self.status = StatusFile()

    def begin(self, title: str) -> None:
        """A run of this name begins."""
        self._title = title

    def show(self, traffic: Traffic | KernelTraffic) -> None:
        """Draw when it is time."""
        now = time.monotonic()
        if now - self._shown < _SHOW_EVERY_S:
            return
        self._shown = now
        self.status.write(traffic.rows())
        if self._quiet:
            return
        figures = live_figures(traffic)
        if is_rich(sys.stderr):
            self._draw(figures)
        else:
            line = "; ".join(f"{what} {cell_text(value)}" for what, value in figures.items())
            print(f"{self._title}: {line}", file=sys.stderr, flush=True)

    def _draw(self, figures: dict[str, Cell]) -> None:
        if self._drawing is None:
            self._drawing = _rich_live()
            self._drawing.start()
        self._drawing.update(_rich_table(self._title, figures), refresh=True)

    def close(self) -> None:
        """No more to show; a table vanishes."""
        self.status.remove()
        if self._drawing is not None:
            self._drawing.stop()
            self._drawing = None


def live_figures(traffic: Traffic | KernelTraffic) -> dict[str, Cell]:
    """Connections by offload state and TCP state, then what was moved, sent again and interrupted."""
    rows = traffic.rows()
    wheres = Counter(str(row.where) for row in rows)
    states = Counter(row.state.name for row in rows if row.state is not None)
    processors = traffic.host.bench.processors
    every = [processors[cpu] for cpu in range(len(processors))]
    host = traffic.host
    copied = {"of these by NetDMA": size_text(host.netdma.tally.bytes_by_engine)} if host.has_netdma else {}
    return {
        **wheres,
        **states,
        "moved": size_text(traffic.moved),
        **copied,
        "retransmitted by the host": traffic.host.stack.statistics["tcp_retransmits"],
        "interrupts": sum(each.interrupts for each in every),
        "DPCs": sum(each.dpcs for each in every),
    }


def _rich_live() -> RichLive:
    from rich.console import Console  # noqa: PLC0415 (an extra, and slow to import)
    from rich.live import Live as Made  # noqa: PLC0415

    # Drawn when told to: a thread of its own would compete with the run.
    return Made(console=Console(stderr=True), auto_refresh=False, transient=True)


def _rich_table(title: str, figures: dict[str, Cell]) -> RichTable:
    from rich.table import Table as Made  # noqa: PLC0415

    made = Made(title=title, title_justify="left", title_style="bold", show_header=False)
    made.add_column("what")
    made.add_column("value", justify="right")
    for what, value in figures.items():
        made.add_row(what, cell_text(value))
    return made
