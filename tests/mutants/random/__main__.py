"""`python -m tests.mutants.random`: plants one random mutant after the other; does any test notice?"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from tests.mutants.random.chart import Chart, draw
from tests.mutants.random.inputs import Inputs
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
    parser.add_argument(
        "--more",
        action="append",
        default=[],
        metavar="TEST",
        help="file or folder, charted into a chart that is there",
    )
    parser.add_argument("--quick", action="store_true", help="the kept inputs alone; see --again")
    parser.add_argument(
        "--part",
        type=part_of,
        default=(0, 1),
        metavar="K/N",
        help="of each N mutants the Kth; --count of those",
    )
    return parser.parse_args()


def part_of(text: str) -> tuple[int, int]:
    """`0/2` as numbers; argparse.ArgumentTypeError for what is none."""
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and int(part) < int(parts)):
        raise argparse.ArgumentTypeError(f"{text!r} is not K/N with K below N")
    return int(part), int(parts)


def chart_of(folder: Path, more: list[str]) -> Chart:
    """The chart of an earlier run, or a new one; `more`: tests to be charted anew."""
    path = folder / "chart.json.gz"
    asked = more if path.is_file() else ["tests"]
    if asked:
        print(f"charting which tests of {' '.join(asked)} enter which lines", flush=True)
        (folder / "chart").mkdir(parents=True, exist_ok=True)
        drawn = draw(folder / "chart", asked)
        (Chart.read(path).and_more(drawn) if path.is_file() else drawn).write(path)
    return Chart.read(path)


class Campaign:
    """Plants, tries, heals and keeps what came of it in a file, a line each."""

    def __init__(self, folder: Path, chart: Chart, limit_seconds: float, results: Path) -> None:
        """With a limit of 0 the kept inputs alone are asked."""
        self._chart = chart
        self._plant = Plant(folder / "plant")
        self._plant.open()
        inputs = Inputs(folder / "inputs", self._plant.object_of)
        inputs.open()
        self._trial = Trial(self._plant, chart, inputs, limit_seconds)
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
        witness = self._trial.killer(mutant)
        if witness is not None:
            return KILLED, witness
        return (SURVIVED if self._chart.of(mutant.file, mutant.change.line) else NOT_ENTERED), ""


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
    """The first mutants of the seed that have no result yet; with --again, those that survived."""
    if chosen.again:
        survivors = [row["mutant"] for row in rows.values() if row["outcome"] in (SURVIVED, NOT_ENTERED)]
        yield from (Mutant(file, Change(*change)) for file, *change in survivors)
        return
    part, parts = chosen.part
    counted = 0
    for mutant in islice(mutants(root, chosen.seed, tuple(chosen.leave_out)), part, None, parts):
        key = (mutant.file, *mutant.change)
        if key not in rows:
            yield mutant
        counted += rows[key]["outcome"] in COUNTED
        if counted >= chosen.count:
            return


def main() -> int:
    """Exit status 1 when fewer than 85 % are killed."""
    chosen = options()
    results = chosen.earlier or chosen.folder / "results.jsonl"
    chart = chart_of(chosen.folder, chosen.more)
    campaign = Campaign(chosen.folder, chart, 0 if chosen.quick else chosen.limit, results)
    rows = kept_rows(results)
    for mutant in wanted(chosen, chosen.folder / "plant", rows):
        row = campaign.try_out(mutant)
        rows[tuple(row["mutant"])] = row
        tell(row)
    return 0 if tell_score(list(rows.values())) >= ENOUGH_PERCENT else 1


if __name__ == "__main__":
    sys.exit(main())
