"""`vnic fuzz`: a campaign of hostile programs, cards, traces or machines, and its findings run again."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from vnic.commands.fuzz_native import fuzz_native
from vnic.commands.table import Cell, Table, print_tables
from vnic.errors import ArgumentError
from vnic.fuzz.campaign import Campaign, Order, Tally
from vnic.fuzz.executors import Workers, dask_workers, local_workers
from vnic.fuzz.finding import Failure
from vnic.fuzz.keep import Kept, keep
from vnic.fuzz.repro import reproduce
from vnic.fuzz.target import TARGETS, target_of
from vnic.fuzz.trial import LIMIT_S
from vnic.testbench.driver import REFERENCE, load_driver

_SECONDS = 60.0
#: Targets with a driver of the user's.
_DRIVEN = ("driver", "chimney-driver", "machine")
_JOBS_MAX = 256


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("target", nargs="?", metavar="TARGET", help="what to fuzz (--list), or `repro`")
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="of `repro`: .json, .pcapng, .ops")
    parser.add_argument("--list", action="store_true", help="name the targets and end")
    limit = parser.add_mutually_exclusive_group()
    limit.add_argument("--time", type=_seconds, metavar="S", help=f"seconds ({_SECONDS:.0f}); or 90s, 5m, 2h")
    limit.add_argument("--shards", type=_count, metavar="N", help="so many shards, however long that takes")
    parser.add_argument("--jobs", type=_count, metavar="N", help="shards at a time (1; Dask: its threads)")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="shard k of a seed is always the same (0)"
    )
    parser.add_argument(
        "--executions", type=_count, default=0, metavar="N", help="executions a shard (by target)"
    )
    parser.add_argument(
        "--executor",
        nargs="+",
        default=["local"],
        metavar="WHERE",
        help="local, or: dask ADDRESS (extra `dist`)",
    )
    parser.add_argument(
        "--driver",
        default=REFERENCE,
        metavar="NAME",
        help="of driver, chimney-driver, machine: reference, pkg.mod:Class, file.py:Class, library.so",
    )
    parser.add_argument(
        "--engine",
        choices=("python", "libfuzzer"),
        default="python",
        help="of `driver`: libfuzzer builds harness and driver by clang, --driver FILE.c (python)",
    )
    parser.add_argument("--limit", type=_seconds, default=LIMIT_S, metavar="S", help="of one execution (20)")
    parser.add_argument(
        "--keep",
        type=Path,
        default=Path("vnic-findings"),
        metavar="DIR",
        help="where findings go (vnic-findings)",
    )
    parser.add_argument("--json", action="store_true", help="the result as JSON")


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 1 << 30:
        raise argparse.ArgumentTypeError(f"{text}: from 1 on")
    return value


def _seconds(text: str) -> float:
    factor = {"s": 1, "m": 60, "h": 3600}.get(text[-1:], 0)
    try:
        value = float(text[:-1] if factor else text) * (factor or 1)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: a number of seconds, or 90s, 5m, 2h") from None
    if not 0 < value <= 1e7:
        raise argparse.ArgumentTypeError(f"{text}: more than nothing")
    return value


def execute(options: argparse.Namespace) -> int:
    """0: nothing was found, or a finding is no longer one; 1: it is, or there are some; 2: a wrong call."""
    if options.list:
        return _list(options.json)
    if options.target is None:
        raise ArgumentError("what is to be fuzzed? `vnic fuzz --list` names the targets")
    if options.target == "repro":
        return _repro(options)
    if options.file is not None:
        raise ArgumentError(f"{options.file}: a file goes with `repro` only")
    return _fuzz(options)


def _list(as_json: bool) -> int:
    if as_json:
        print(json.dumps({each.name: each.summary for each in TARGETS.values()}, indent=2))
    else:
        width = max(map(len, TARGETS))
        for each in TARGETS.values():
            print(f"{each.name:<{width}}  {each.summary}")
    return 0


# -- repro ---------------------------------------------------------------------------------------------------


def _repro(options: argparse.Namespace) -> int:
    if options.file is None:
        raise ArgumentError("repro of what? name a file that `vnic fuzz` kept, a trace, or a program")
    failure = reproduce(options.file, options.limit)
    if options.json:
        print(json.dumps({"file": str(options.file), "fails": failure is not None, **_failure_json(failure)}))
    elif failure is None:
        print(f"{options.file}: does not fail")
    else:
        print(f"{options.file}: fails: {failure.key}\n\n{failure.text}")
    return int(failure is not None)


def _failure_json(failure: Failure | None) -> dict[str, str]:
    return {"key": failure.key, "title": failure.title, "text": failure.text} if failure else {}


# -- campaigns -----------------------------------------------------------------------------------------------


def _fuzz(options: argparse.Namespace) -> int:
    target = target_of(options.target)
    if options.engine == "libfuzzer":
        return fuzz_native(options, options.time or _SECONDS)
    scene: dict[str, Any] = {}
    if options.driver != REFERENCE:
        if target.name not in _DRIVEN:
            raise ArgumentError(
                f"target {target.name} has no driver of yours: --driver is of {', '.join(_DRIVEN)}"
            )
        load_driver(options.driver)
        scene["driver"] = _placed(options.driver)
    seconds = 0.0 if options.shards else options.time or _SECONDS
    order = Order(
        target.name, options.seed, seconds, options.shards or 0, scene, options.limit, options.executions
    )
    line = ProgressLine(target.name, is_shown=sys.stderr.isatty())
    with _workers(options) as workers:
        tally = Campaign(order, workers, line.show).run()
    line.clear()
    kept = keep(options.keep, tally.in_order())
    (_print_json if options.json else _print)(order, tally, kept)
    return int(bool(kept))


def _placed(driver: str) -> str:
    """The same driver from wherever a shard runs: a file by its whole path."""
    name, colon, attribute = driver.partition(":")
    return f"{Path(name).resolve()}{colon}{attribute}" if Path(name).is_file() else driver


def _workers(options: argparse.Namespace) -> AbstractContextManager[Workers]:
    if (options.jobs or 1) > _JOBS_MAX:
        raise ArgumentError(f"{options.jobs} jobs: {_JOBS_MAX} at most")
    where, *rest = options.executor
    if where == "local" and not rest:
        return local_workers(options.jobs or 1)
    if where == "dask" and len(rest) == 1:
        return dask_workers(rest[0], options.jobs or 0)
    raise ArgumentError(f"executor {' '.join(options.executor)!r}: local, or dask ADDRESS")


class ProgressLine:
    """A line on a terminal that is written over; nothing where there is none."""

    def __init__(self, name: str, *, is_shown: bool) -> None:
        self._name = name
        self._is_shown = is_shown
        self._started = time.monotonic()

    def show(self, tally: Tally) -> None:
        """How far it is."""
        if self._is_shown:
            elapsed = time.monotonic() - self._started
            text = (
                f"{self._name}: {elapsed:.0f} s, {tally.executions:,} executions, {tally.rate:,.0f}/s, "
                f"{len(tally.reached)} reached, {len(tally.findings)} findings"
            )
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """It is over."""
        if self._is_shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def _print(order: Order, tally: Tally, kept: list[Kept]) -> None:
    columns = ("target", "executions", "exec/s", "acts", "shards", "reached", "findings")
    row = (order.target, tally.executions, round(tally.rate), tally.acts, tally.shards, len(tally.reached))
    title = f"seed {order.seed}, {tally.seconds:.1f} s{', interrupted' if tally.is_interrupted else ''}"
    rows: list[Sequence[Cell]] = [
        (each.finding.failure.key, each.finding.count, len(each.finding.script.acts), each.stem)
        for each in kept
    ]
    print_tables(
        [
            Table(title, columns, [(*row, len(kept))]),
            Table("findings", ("what", "times", "acts", "kept as"), rows),
        ]
    )
    if kept:
        print(f"\nrun one again: vnic fuzz repro {kept[0].script}")


def _print_json(order: Order, tally: Tally, kept: list[Kept]) -> None:
    found = [
        {**_failure_json(each.finding.failure), "count": each.finding.count, "shard": each.finding.shard,
         "acts": len(each.finding.script.acts), "script": str(each.script), "test": str(each.test),
         "trace": str(each.trace) if each.trace.exists() else None}
        for each in kept
    ]  # fmt: skip
    figures = {
        "target": order.target, "seed": order.seed, "seconds": round(tally.seconds, 3),
        "executions": tally.executions, "executions_per_second": round(tally.rate, 1), "acts": tally.acts,
        "shards": tally.shards, "reached": sorted(tally.reached), "interrupted": tally.is_interrupted,
        "findings": found,
    }  # fmt: skip
    print(json.dumps(figures, indent=2))
