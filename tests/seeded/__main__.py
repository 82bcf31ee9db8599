"""`python -m tests.seeded`: seeds one mistake after the other; does the conformance suite notice it?"""

from __future__ import annotations

import argparse
import json
import queue
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from tests.mutants.workshop import BuildError
from tests.seeded.fault import Fault
from tests.seeded.table import FAULTS, SAMPLE
from tests.seeded.trial import Baseline, Court, Outcome, Trial
from tests.seeded.workshop import SeededWorkshop

LIMIT_SECONDS = 240.0


def options() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.seeded", description=__doc__)
    parser.add_argument("--list", action="store_true", help="the faults, without trying them")
    parser.add_argument(
        "--only", action="append", default=[], metavar="ID", help="a fault, or the letters of several"
    )
    parser.add_argument("--sample", action="store_true", help=f"{len(SAMPLE)} faults of all kinds")
    parser.add_argument("--first", action="store_true", help="the first case that notices is enough")
    parser.add_argument(
        "--group", action="append", default=[], metavar="NAME", help="judge by this group of the suite only"
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="copies of the project at work")
    parser.add_argument("--limit", type=float, default=LIMIT_SECONDS, metavar="S", help="seconds for a suite")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found, after each fault")
    parser.add_argument("--folder", type=Path, help="work there and leave it; else in a temporary folder")
    return parser.parse_args()


def chosen(only: Sequence[str], is_sample: bool) -> list[Fault]:
    """The faults that are asked for; SystemExit when there is none of a name."""
    names = [*only, *(SAMPLE if is_sample else ())]
    found = [fault for fault in FAULTS if not names or any(_is_named(fault, name) for name in names)]
    unknown = [name for name in names if not any(_is_named(fault, name) for fault in FAULTS)]
    if unknown:
        raise SystemExit(f"there is no fault {', '.join(unknown)}; --list names them")
    return found


def _is_named(fault: Fault, name: str) -> bool:
    return name in (fault.id, fault.id.partition("-")[0])


def tell(trial: Trial) -> None:
    """One fault: what it is, what came of it, and the cases that caught it."""
    fault = trial.fault
    print(f"{fault.id:6} {trial.outcome.value:15} {trial.seconds:5.1f} s  {fault.file}: {fault.mistake}")
    names = trial.names
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    said = ", ".join(names[:6]) + more or trial.said.strip().rpartition("\n")[2]
    print(f"{'':31}{said}", flush=True)


def list_faults(faults: Sequence[Fault]) -> None:
    """The table without trials."""
    for fault in faults:
        known = f" [{fault.cites.known}]" if fault.cites.known else ""
        print(f"{fault.id:6} {fault.file}: {fault.mistake}\n{'':7}{fault.cites.rule}{known}")


class Campaign:
    """Faults shared out to copies of the project, a thread each."""

    def __init__(self, faults: Sequence[Fault], wanted: argparse.Namespace) -> None:
        self._left: queue.SimpleQueue[Fault] = queue.SimpleQueue()
        for fault in faults:
            self._left.put(fault)
        self._wanted = wanted
        self._baseline = Baseline()
        self._lock = threading.Lock()
        self.trials: list[Trial] = []
        self.trouble = ""

    def run(self, folder: Path) -> None:
        """All of them."""
        crew = [
            threading.Thread(target=self._work, args=(folder / f"copy{number}",))
            for number in range(max(self._wanted.jobs, 1))
        ]
        for worker in crew:
            worker.start()
        for worker in crew:
            worker.join()

    def _work(self, folder: Path) -> None:
        workshop = SeededWorkshop(folder)
        try:
            workshop.open()
        except BuildError as error:
            self.trouble = str(error)
            return
        court = Court(
            workshop,
            self._baseline,
            limit_seconds=self._wanted.limit,
            is_first_enough=self._wanted.first,
        )
        while not self._left.empty():
            try:
                fault = self._left.get_nowait()
            except queue.Empty:
                return
            self._note(court.try_out(fault, tuple(self._wanted.group)))

    def _note(self, trial: Trial) -> None:
        with self._lock:
            self.trials.append(trial)
            tell(trial)
            if self._wanted.json is not None:
                rows = [each.pack() for each in self.trials]
                self._wanted.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def sum_up(trials: Sequence[Trial]) -> int:
    """The count, and those not caught by name; exit status."""
    caught = [trial for trial in trials if trial.outcome is Outcome.CAUGHT]
    print(f"{len(caught)} of {len(trials)} seeded faults caught")
    for trial in trials:
        if trial.outcome is not Outcome.CAUGHT:
            print(f"{trial.outcome.value}: {trial.fault.id} {trial.fault.mistake}")
    if any(trial.outcome is Outcome.VOID for trial in trials):
        return 2
    return 0 if len(caught) == len(trials) else 1


def main() -> int:
    """List, or try."""
    wanted = options()
    faults = chosen(wanted.only, wanted.sample)
    if wanted.list:
        list_faults(faults)
        return 0
    campaign = Campaign(faults, wanted)
    if wanted.folder is not None:
        campaign.run(wanted.folder)
    else:
        with tempfile.TemporaryDirectory(prefix="vnic-seeded-") as folder:
            campaign.run(Path(folder))
    if campaign.trouble:
        print(f"the copy cannot be built: {campaign.trouble}", file=sys.stderr)
        return 2
    return sum_up(campaign.trials)


if __name__ == "__main__":
    sys.exit(main())
