"""`python -m tests.mutants`: seeds one fault after the other; do the tests of its invariant notice?"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.mutants.fault import Fault
from tests.mutants.table import FAULTS, INVARIANTS
from tests.mutants.trial import Result, Verdict, run
from tests.mutants.workshop import BuildError, Workshop

LIMIT_SECONDS = 60.0
#: Of the tests of all invariants, before anything is broken.
HEALTHY_SECONDS = 900.0


def try_out(workshop: Workshop, fault: Fault, limit_seconds: float) -> Result:
    """Break the copy, run the tests of the invariant, heal it."""
    try:
        workshop.seed(fault)
        return run(workshop.folder, [fault.invariant], limit_seconds)
    except BuildError as error:
        return Result(Verdict.BROKEN, 0.0, str(error))
    finally:
        workshop.heal(fault)


def tell(fault: Fault, result: Result) -> None:
    """One fault, one line; more when nobody noticed."""
    print(
        f"{fault.invariant:7} {result.verdict.value:10} {result.seconds:5.1f} s  {fault.file}: {fault.broken}"
    )
    print(f"{'':27}{result.witness}", flush=True)


def chosen(only: Sequence[str]) -> list[Fault]:
    """The faults of some invariants, or all."""
    return [fault for fault in FAULTS if not only or fault.invariant in only]


def options() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="INV-n", choices=INVARIANTS)
    parser.add_argument("--list", action="store_true", help="the faults, without trying them")
    parser.add_argument("--limit", type=float, default=LIMIT_SECONDS, help="seconds for the tests of a fault")
    parser.add_argument("--folder", type=Path, help="work there and leave it; else in a temporary folder")
    return parser.parse_args()


def try_all(folder: Path, faults: Sequence[Fault], limit_seconds: float) -> int:
    """Exit status: 0 when every fault was caught."""
    workshop = Workshop(folder)
    workshop.open()
    healthy = run(folder, list(dict.fromkeys(fault.invariant for fault in faults)), HEALTHY_SECONDS)
    if healthy.verdict is not Verdict.PASSED:
        print(f"the tests fail without a fault: {healthy.witness}")
        return 2
    caught = 0
    for fault in faults:
        result = try_out(workshop, fault, limit_seconds)
        caught += result.verdict.is_caught
        tell(fault, result)
    invariants = len({fault.invariant for fault in faults})
    print(f"{caught} of {len(faults)} seeded faults caught, of {invariants} invariants")
    return 0 if caught == len(faults) else 1


def main() -> int:
    """List, or try."""
    wanted = options()
    faults = chosen(wanted.only)
    if wanted.list:
        for fault in faults:
            print(f"{fault.invariant:7} {fault.file}: {fault.broken}")
        return 0
    if wanted.folder is not None:
        return try_all(wanted.folder, faults, wanted.limit)
    with tempfile.TemporaryDirectory(prefix="vnic-mutants-") as folder:
        return try_all(Path(folder), faults, wanted.limit)


if __name__ == "__main__":
    sys.exit(main())
