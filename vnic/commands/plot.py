"""`vnic run --chimney --compare --plot FILE`: what the host is spared, as bars."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from vnic.errors import ArgumentError

SUFFIXES = (".png", ".svg")
_COLUMNS = 4
_SIZE_IN = 3.0


def check_plot(path: Path) -> None:
    """ArgumentError when no picture can come of it, before anything is run."""
    if path.suffix.lower() not in SUFFIXES:
        raise ArgumentError(f"{path}: --plot makes {' or '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise ArgumentError(f"{path.parent} is no directory")
    if importlib.util.find_spec("matplotlib") is None:
        raise ArgumentError("--plot needs matplotlib: pip install 'vnic[plot]'")


def plot_bars(path: Path, title: str, names: Sequence[str], figures: dict[str, list[float]]) -> None:
    """A panel for each figure, a bar in it for each name; check_plot() was passed."""
    from matplotlib.figure import Figure  # noqa: PLC0415 (an extra, and slow to import)

    rows = -(-len(figures) // _COLUMNS)
    drawn = Figure(figsize=(_SIZE_IN * _COLUMNS, _SIZE_IN * rows), layout="constrained")
    drawn.suptitle(title)
    panels = drawn.subplots(rows, _COLUMNS, squeeze=False).flatten()
    for panel, (what, values) in zip(panels, figures.items(), strict=False):
        panel.bar(range(len(names)), values)
        panel.set_title(what, fontsize="medium")
        panel.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize="small")
    for panel in panels[len(figures) :]:
        panel.set_axis_off()
    try:
        drawn.savefig(path)
    except OSError as error:
        raise ArgumentError(f"{path}: {error.strerror}") from None
