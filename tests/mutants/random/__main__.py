"""`python -m tests.mutants.random`: plants one random mutant after the other; does any test notice?"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.mutants.random.chart import Chart, draw
from tests.mutants.random.operators import Change
from tests.mutants.random.plant import Plant
from tests.mutants.random.sample import Mutant, mutants
from tests.mutants.random.trial import Trial

KILLED, SURVIVED, NOT_ENTERED = "killed", "SURVIVED", "NOT ENTERED"
ENOUGH_PERCENT = 85.0
Rows = dict[tuple[Any, ...], dict[str, Any]]
COUNTED = (KILLED, SURVIVED, NOT_ENTERED)


def options() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants.random", description=__doc__)
    parser.add_argument("--count", type=int, default=500, help="mutants that compile and are not equivalent")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=float, default=20.0, help="seconds of tests for one mutant")
    parser.add_argument("--from", type=Path, dest="earlier", help="results to go on from, and to add to")
    parser.add_argument("--folder", type=Path, required=True, help="for the chart and the copy; kept")
    parser.add_argument(
        "--leave-out", action="append", default=[], metavar="FILE", help="csrc/...c, not mutated"
    )
    parser.add_argument("--again", action="store_true", help="only the survivors of --from, once more")
    return parser.parse_args()


def chart_of(folder: Path) -> Chart:
    """The chart of an earlier run, or a new one."""
    path = folder / "chart.json.gz"
    if not path.is_file():
        print("charting which tests enter which lines: one run of the suite", flush=True)
        (folder / "chart").mkdir(parents=True, exist_ok=True)
        draw(folder / "chart", ["tests"]).write(path)
    return Chart.read(path)


class Campaign:
    """Plants, tries, heals and keeps what came of it in a file, a line each."""

    def __init__(self, folder: Path, limit_seconds: float, results: Path) -> None:
        chart = chart_of(folder)
        self._chart = chart
        self._plant = Plant(folder / "plant")
        self._plant.open()
        self._trial = Trial(self._plant.folder, chart, limit_seconds)
        self._results = results

    def try_out(self, mutant: Mutant) -> dict[str, Any]:
        """One mutant, told and kept."""
        began = time.monotonic()
        outcome = self._plant.plant(mutant)
        witness = ""
        if outcome is None:
            try:
                outcome, witness = self._tried(mutant)
            finally:
                self._plant.heal()
        row: dict[str, Any] = {
            "outcome": outcome,
            "place": f"{mutant.file}:{mutant.change.line}",
            "change": mutant.told(self._plant.folder),
            "witness": witness,
            "seconds": round(time.monotonic() - began, 1),
            "mutant": [mutant.file, *mutant.change],
        }
        with self._results.open("a", encoding="utf-8") as out:
            out.write(json.dumps(row) + "\n")
        return row

    def _tried(self, mutant: Mutant) -> tuple[str, str]:
        if not self._chart.of(mutant.file, mutant.change.line):
            return NOT_ENTERED, ""
        witness = self._trial.killer(mutant)
        return (SURVIVED, "") if witness is None else (KILLED, witness)


def tell(row: dict[str, Any]) -> None:
    """One mutant, one line."""
    print(
        f"{row['outcome']:16} {row['seconds']:5.1f} s  {row['place']}  {row['change']}  {row['witness']}",
        flush=True,
    )


def tell_score(rows: list[dict[str, Any]]) -> float:
    """How many of how many, in percent."""
    found = Counter(str(row["outcome"]) for row in rows)
    total = sum(found[each] for each in COUNTED)
    share = 100 * found[KILLED] / max(total, 1)
    lasted = sum(float(row["seconds"]) for row in rows)
    print(f"{found[KILLED]} of {total} mutants killed: {share:.1f} %; {dict(found)}; {lasted:.0f} s")
    return share


def kept_rows(path: Path) -> Rows:
    """Results of an earlier run, the last of each mutant."""
    if not path.is_file():
        return {}
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {tuple(row["mutant"]): row for row in rows}


def wanted(chosen: argparse.Namespace, root: Path, rows: Rows) -> Iterator[Mutant]:
    """Mutants of the seed that have no result yet; with --again, those that survived."""
    if chosen.again:
        survivors = [row["mutant"] for row in rows.values() if row["outcome"] in (SURVIVED, NOT_ENTERED)]
        yield from (Mutant(file, Change(*change)) for file, *change in survivors)
        return
    for mutant in mutants(root, chosen.seed, tuple(chosen.leave_out)):
        if sum(row["outcome"] in COUNTED for row in rows.values()) >= chosen.count:
            return
        if (mutant.file, *mutant.change) not in rows:
            yield mutant


def main() -> int:
    """Exit status 1 when fewer than 85 % are killed."""
    chosen = options()
    results = chosen.earlier or chosen.folder / "results.jsonl"
    campaign = Campaign(chosen.folder, chosen.limit, results)
    rows = kept_rows(results)
    for mutant in wanted(chosen, chosen.folder / "plant", rows):
        row = campaign.try_out(mutant)
        rows[tuple(row["mutant"])] = row
        tell(row)
    return 0 if tell_score(list(rows.values())) >= ENOUGH_PERCENT else 1


if __name__ == "__main__":
    sys.exit(main())
