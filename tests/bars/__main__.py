"""`make bars`: bulk transfers of the TCP engine over the reference path, and whether the bars are met."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from os import cpu_count
from pathlib import Path

from tests.bars import table
from tests.bars.measure import Result, build, measure
from tests.bars.scene import scenes

GOLDEN = Path(__file__).resolve().parent / "golden.txt"
SEEDS = 20


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bars", description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="runs of each row")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--json", type=Path, help="write all runs to this file")
    parser.add_argument("--write", action="store_true", help="make this the golden table")
    return parser.parse_args()


def run(seeds: int, only: str) -> Iterator[Result]:
    """Results in the order of the table, as they come."""
    chosen = [scene for scene in scenes() if only in scene.title]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(cpu_count()) as pool:
        program = build(Path(folder))
        yield from pool.map(lambda scene: measure(program, scene, seeds), chosen)


def compare(text: str) -> None:
    """Say which rows are not the golden table's."""
    golden = set(GOLDEN.read_text(encoding="utf-8").splitlines()) if GOLDEN.exists() else set()
    for line in text.splitlines():
        if line not in golden:
            print(f"not in {GOLDEN.name}: {line.split('  ')[0]}")


def main() -> int:
    """1 when a bar is missed."""
    options = arguments()
    results = []
    print(table.HEAD)
    for result in run(options.seeds, options.only):
        print(table.row(result), flush=True)
        results.append(result)
    text = "\n".join(table.lines(results)) + "\n"
    if options.json:
        rows = [asdict(result) for result in results]
        options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    if options.write:
        GOLDEN.write_text(text, encoding="utf-8")
    elif options.seeds == SEEDS:
        compare(text)
    missed = [f"{result.scene.title}: {failure}" for result in results for failure in result.failures()]
    print("\n".join(missed) if missed else "all bars are met")
    return 1 if missed or not results else 0


if __name__ == "__main__":
    sys.exit(main())
