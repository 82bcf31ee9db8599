"""`vnic fuzz driver --engine libfuzzer`: a driver in C, built with the harness and fuzzed."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from vnic.commands.table import Table, print_tables
from vnic.errors import ArgumentError
from vnic.fuzz.native import NativeRun, build, run
from vnic.testbench.driver import REFERENCE

__all__ = ["fuzz_native"]


def fuzz_native(options: argparse.Namespace, seconds: float) -> int:
    """0: nothing was found; 1: an input was; ArgumentError for what libFuzzer does not have."""
    if options.target != "driver" or options.driver == REFERENCE:
        raise ArgumentError("--engine libfuzzer goes with target driver, and --driver FILE.c or FILE.so")
    if options.shards or options.executions or (options.jobs or 1) > 1 or options.executor != ["local"]:
        raise ArgumentError("--engine libfuzzer has one process and --time: no shards, jobs or executors")
    program = build(Path(options.driver), options.keep)
    done = run(program, seconds=seconds, seed=options.seed, limit_s=options.limit)
    (_print_json if options.json else _print)(done)
    return int(done.finding is not None)


def _print(done: NativeRun) -> None:
    columns = ("target", "executions", "exec/s", "edges", "inputs", "findings")
    row = (
        "driver",
        done.executions,
        round(done.rate),
        done.edges,
        done.corpus,
        int(done.finding is not None),
    )
    print_tables([Table(f"{done.program}, {done.seconds:.0f} s", columns, [row])])
    if done.finding is not None:
        print(f"\n{done.finding.key}\n\nrun it again: {done.program} {done.finding.input}")
        print(f"act by act:   VNIC_FUZZ_TELL=1 {done.program} {done.finding.input}")


def _print_json(done: NativeRun) -> None:
    found = done.finding
    figures = {
        "target": "driver",
        "program": str(done.program),
        "seconds": round(done.seconds, 3),
        "executions": done.executions,
        "executions_per_second": round(done.rate, 1),
        "edges": done.edges,
        "inputs": done.corpus,
        "findings": [{"key": found.key, "text": found.text, "input": str(found.input)}] if found else [],
    }
    print(json.dumps(figures, indent=2))
