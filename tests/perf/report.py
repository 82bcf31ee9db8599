"""Prints outcomes as tables and writes them as JSON, with what is known of the machine."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .harness import Comparison, Outcome
from .workshop import Workshop, compiler_version, python_version

NUMERIC = frozenset({2, 4, 5, 6})
FLAGS_OF_INTEREST = ("avx2", "avx512f", "avx512vl", "avx512_vnni", "gfni", "vpclmulqdq")
PACKAGES = ("libdpdk", "lwip")
RATES = {"Gbit/s": 8, "GB/s": 1}  # of a byte a nanosecond


def number_text(value: float | None) -> str:
    """Three or four digits that count; a dash for None."""
    if value is None:
        return "-"
    return f"{value:,.2f}" if value < 100 else f"{value:,.0f}"


def comparison_cells(row: Comparison) -> tuple[str, ...]:
    """One row of the table as text."""
    met = {True: "yes", False: "NO", None: "-"}[row.is_met]
    ratio = "-" if row.ratio is None else f"{row.ratio:,.2f}x" if row.ratio < 100 else f"{row.ratio:,.0f}x"
    peer = row.peer or "(not measured)"
    return (
        row.goal.work,
        row.goal.ours,
        number_text(row.ours_ns),
        peer,
        number_text(row.peer_ns),
        ratio,
        str(row.goal),
        met,
    )


def table_text(rows: Sequence[Sequence[str]], headings: Sequence[str], numeric: frozenset[int]) -> str:
    """Rows under headings, in columns wide enough for all."""
    every = [headings, *rows]
    widths = [max(len(row[i]) for row in every) for i in range(len(headings))]

    def line(row: Sequence[str]) -> str:
        cells = (
            cell.rjust(width) if i in numeric else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join(cells).rstrip()

    return "\n".join([line(headings), line(["-" * width for width in widths]), *map(line, rows)])


def comparison_text(outcome: Outcome) -> str:
    """The table of ours beside the peers."""
    headings = ("work", "ours", outcome.unit, "peer", outcome.unit, "ratio", "goal", "met?")
    return table_text([comparison_cells(row) for row in outcome.comparisons], headings, NUMERIC)


def figure_text(outcome: Outcome) -> str:
    """The table of all figures; the rate is that of the payload."""
    unit, payloads = outcome.unit, outcome.payloads
    headings = ["figure", f"least {unit}", f"median {unit}", f"most {unit}"]
    headings += [outcome.rate] if payloads else []
    rows = []
    for name, figure in outcome.figures.items():
        row = [name, *map(number_text, (figure.low, figure.median, figure.high))]
        if payloads:
            per_ns = payloads.get(name, 0) * RATES[outcome.rate] / figure.median
            row.append(f"{per_ns:.1f}" if name in payloads else "-")
        rows.append(row)
    return table_text(rows, headings, frozenset({1, 2, 3, 4}))


def outcome_text(outcome: Outcome) -> str:
    """One benchmark: the comparisons, every figure measured, and what was left out."""
    parts = [f"{outcome.name}: {outcome.title}"]
    if outcome.comparisons:
        parts.append(comparison_text(outcome))
    if outcome.figures:
        parts.append(figure_text(outcome))
    parts += [f"skipped {line}" for line in outcome.skipped]
    parts += [f"FAILED {line}" for line in outcome.failed]
    return "\n\n".join(parts)


def _first_line(command: Sequence[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    lines = done.stdout.splitlines()
    return lines[0] if lines else None


def _cpu_facts() -> dict[str, Any]:
    facts: dict[str, Any] = {"machine": platform.machine(), "cpus": os.cpu_count()}
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return facts
    entries = dict(line.split(":", 1) for line in text.split("\n\n", 1)[0].splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in entries.items()}
    flags = fields.get("flags", "").split()
    return {
        **facts,
        "model": fields.get("model name"),
        "family": fields.get("cpu family"),
        "model_number": fields.get("model"),
        "flags": [flag for flag in FLAGS_OF_INTEREST if flag in flags],
    }


def machine_facts(shop: Workshop, is_pinned: bool) -> dict[str, Any]:
    """What the figures depend on: processor, system, tools and peers with their versions."""
    return {
        "cpu": _cpu_facts(),
        "pinned_to": shop.cpu if is_pinned else None,
        "load": list(os.getloadavg()),
        "system": f"{platform.system()} {platform.release()}",
        "libc": " ".join(platform.libc_ver()),
        "python": python_version(),
        "compiler": compiler_version(shop.cc),
        "packages": {name: _first_line(["pkg-config", "--modversion", name]) for name in PACKAGES},
        "qemu": _first_line(["qemu-system-x86_64", "--version"]),
    }


def comparison_facts(row: Comparison) -> dict[str, Any]:
    """One row of the table as plain values."""
    return {**asdict(row), "ratio": row.ratio, "met": row.is_met, "goal_text": str(row.goal)}


def write_json(
    path: Path, facts: dict[str, Any], settings: dict[str, Any], outcomes: Sequence[Outcome]
) -> None:
    """Write everything that was found; figures are in the benchmark's unit for one piece of work."""
    document = {
        "machine": facts,
        "settings": settings,
        "benchmarks": [
            {
                "name": outcome.name,
                "title": outcome.title,
                "unit": outcome.unit,
                "payload_bytes": dict(outcome.payloads),
                "comparisons": [comparison_facts(row) for row in outcome.comparisons],
                "figures": {
                    name: {"min": f.low, "median": f.median, "max": f.high}
                    for name, f in outcome.figures.items()
                },
                "skipped": outcome.skipped,
                "failed": outcome.failed,
            }
            for outcome in outcomes
        ],
    }
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
