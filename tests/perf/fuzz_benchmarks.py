"""Rates of the fuzzers: what an input of libFuzzer's costs on the card, and an example of Hypothesis."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.fuzz import campaign
from tests.fuzz import workshop as fuzz
from vnic.fuzz.machines import machine_of

from .harness import Figures, Goal, InterleavedBenchmark, MissingError, RoundError
from .workshop import BuildError, Workshop

RUNS = 150_000
EXAMPLES, STEPS = 30, 50
#: An input of the goal has as many; shorter ones would be quicker.
OPERATIONS, ACCESSES = 32, 8
INPUT_MOST = campaign.INPUT_MOST["card"]
#: Without bookkeeping of rare features, of shorter inputs that reach the same, and of comparisons, which no
#: mutator asks for; without a line for each new input, and a symbolizer for each new function.
PLAIN = ("-entropic=0", "-reduce_inputs=0", "-use_cmp=0", "-verbosity=0", "-print_funcs=0")
#: Files of inputs that are thrown away again are no fuzzer's work.
MEMORY = Path("/dev/shm")
_FIGURES = re.compile(r"an input has ([\d.]+) operations and ([\d.]+) DMA reads and ([\d.]+) DMA writes")


class FuzzContender:
    """libFuzzer on the target `card`, from the kept corpus: nanoseconds of processor time an input."""

    def __init__(self, sanitizer: str) -> None:
        self.name = f"card, {sanitizer}"
        self._sanitizer = sanitizer
        self._program: Path | None = None

    def start(self, shop: Workshop) -> None:
        """Build the target."""
        if not fuzz.has_libfuzzer():
            raise MissingError("needs clang with libFuzzer")
        made = fuzz.Workshop(shop.folder / "fuzz")
        try:
            self._program = made.build(fuzz.targets()["card"], fuzz.FLAVOURS[self._sanitizer])
        except fuzz.BuildError as error:
            raise BuildError(str(error)) from error

    def round(self, effort: float) -> Figures:
        """New inputs, and what they were on average; the inputs found are thrown away."""
        assert self._program is not None
        runs = max(int(RUNS * effort), 1000)
        memory = MEMORY if MEMORY.is_dir() else None
        with tempfile.TemporaryDirectory(prefix="vnic-perf-", dir=memory) as new:
            limits = [f"-runs={runs}", f"-max_len={INPUT_MOST}", "-len_control=0", "-seed=1", *PLAIN]
            command = [str(self._program), *limits, new, str(fuzz.targets()["card"].corpus)]
            environment = {**os.environ, "VNIC_FUZZ_FIGURES": "1", "ASAN_OPTIONS": "quarantine_size_mb=1"}
            before = _spent_ns()
            done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
            spent = _spent_ns() - before
        said = _FIGURES.search(done.stderr)
        if done.returncode != 0 or said is None:
            raise RoundError(f"broke off: {done.stderr[-300:]}")
        operations, reads, writes = map(float, said.groups())
        if operations < OPERATIONS or reads + writes < ACCESSES:
            raise RoundError(f"inputs of {operations} operations, {reads + writes} DMA accesses: too small")
        return {f"an input, {self._sanitizer}": spent / runs}

    def stop(self) -> None:
        """Nothing runs between rounds."""


def _spent_ns() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1e9 * (used.ru_utime + used.ru_stime)


def fuzz_rate() -> InterleavedBenchmark:
    """At least 30,000 inputs a second under ASan and UBSan."""
    return InterleavedBenchmark(
        "fuzz-rate",
        "one input of libFuzzer on a card of the default shape, full reset first, at least 32 operations, 8 "
        "DMA accesses; CPU time, start and corpus included",
        [FuzzContender("asan"), FuzzContender("bare")],
        [Goal("ASan and UBSan", "an input, asan", at_most=33_333), Goal("no sanitizer", "an input, bare")],
    )


class MachineContender:
    """A state machine of Hypothesis's on one of the scenes: nanoseconds of processor time an example."""

    def __init__(self, target: str) -> None:
        self.name = f"state machine of {target}"
        self._target = target

    def start(self, shop: Workshop) -> None:
        """There is nothing to build."""

    def round(self, effort: float) -> Figures:
        """New examples, neither kept nor shrunk; their steps are counted where they are taken."""
        examples = steps = 0
        plain: Any = machine_of(self._target, seed=0)

        class Counted(plain):  # type: ignore[misc]  # a class that is made at run time
            def __init__(self) -> None:
                nonlocal examples
                examples += 1
                super().__init__()

            def perform(self, act: Any) -> None:
                nonlocal steps
                steps += 1
                super().perform(act)

        wanted = settings(
            max_examples=max(int(EXAMPLES * effort), 2),
            stateful_step_count=STEPS,
            phases=[Phase.generate],
            database=None,
            derandomize=True,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        before = time.process_time_ns()
        run_state_machine_as_test(Counted, settings=wanted)
        spent = time.process_time_ns() - before
        return {f"an example, {self._target}": spent / examples, f"a step, {self._target}": spent / steps}

    def stop(self) -> None:
        """Nothing runs between rounds."""


def hypothesis_rate() -> InterleavedBenchmark:
    """Beside libFuzzer's: what a driver, a card and a wire cost in an example of Hypothesis."""
    targets = ("machine", "driver", "netdma")
    return InterleavedBenchmark(
        "hypothesis-rate",
        f"one example of up to {STEPS} steps: a bench with the reference driver is made, checked after each "
        "step, and ended; CPU time",
        [MachineContender(target) for target in targets],
        [
            Goal(f"{what} of {target}", f"{what}, {target}")
            for target in targets
            for what in ("an example", "a step")
        ],
    )
