"""The command: python -m tests.perf [--only NAME] [--json FILE] [--rounds N] [--quick]."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from .benchmarks import all_benchmarks
from .harness import Benchmark, Outcome
from .report import machine_facts, outcome_text, write_json
from .workshop import Workshop

ROUNDS, QUICK_ROUNDS = 15, 3
EFFORT, QUICK_EFFORT = 1.0, 0.1


def parse_arguments(names: list[str], arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.perf", description=__doc__)
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"rounds of each contender ({ROUNDS})")
    parser.add_argument("--quick", action="store_true", help="a glance: few and short rounds")
    parser.add_argument("--cpu", type=int, help="processor to pin to (the last one allowed)")
    chosen = parser.parse_args(arguments)
    if chosen.rounds is None:
        chosen.rounds = QUICK_ROUNDS if chosen.quick else ROUNDS
    if chosen.rounds < 1:
        parser.error("--rounds must be at least 1")
    return chosen


def pin(cpu: int | None) -> tuple[int, bool]:
    """Keep this process and its children on one processor; which one, and whether the system allowed it."""
    if not hasattr(os, "sched_setaffinity"):
        return 0, False
    wanted = max(os.sched_getaffinity(0)) if cpu is None else cpu
    try:
        os.sched_setaffinity(0, {wanted})
    except OSError:
        return wanted, False
    return wanted, True


def tell(line: str) -> None:
    """Progress, on a terminal only."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


def run_all(chosen: argparse.Namespace, benchmarks: list[Benchmark], shop: Workshop) -> list[Outcome]:
    """Run the benchmarks asked for and print each when it is done."""
    outcomes = []
    for benchmark in benchmarks:
        if chosen.only and benchmark.name not in chosen.only:
            continue
        outcome = benchmark.run(shop, chosen.rounds, QUICK_EFFORT if chosen.quick else EFFORT, tell)
        tell("")
        print(outcome_text(outcome), end="\n\n", flush=True)
        outcomes.append(outcome)
    return outcomes


def main(arguments: list[str] | None = None) -> int:
    """Run; 1 if a contender that is here broke, never because one is slow or missing."""
    benchmarks = all_benchmarks()
    chosen = parse_arguments([benchmark.name for benchmark in benchmarks], arguments)
    cpu, is_pinned = pin(chosen.cpu)
    with tempfile.TemporaryDirectory(prefix="vnic-perf-") as folder:
        shop = Workshop(Path(folder), cpu)
        facts = machine_facts(shop, is_pinned)
        outcomes = run_all(chosen, benchmarks, shop)
    if chosen.json:
        settings = {"rounds": chosen.rounds, "quick": chosen.quick}
        write_json(chosen.json, facts, settings, outcomes)
    return 1 if any(outcome.failed for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
