"""A driver in C under libFuzzer: built with the harness, run for a while, and what it did not survive."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vnic.errors import ArgumentError
from vnic.fuzz.harness import arguments

__all__ = ["NativeFinding", "NativeRun", "build", "run"]

_FLAGS: Final = (
    "-g",
    "-O1",
    "-fno-omit-frame-pointer",
    "-fsanitize=fuzzer,address,undefined",
    "-fno-sanitize-recover=undefined",
    "-fno-sanitize-coverage=trace-cmp",  # whole acts are changed: nobody asks the tables of comparisons
)
_COMPILE_S: Final = 600
_INPUT_BYTES: Final = 2050
_CAUSES: Final = (
    re.compile(r"^driver: ((\S+): .*)$", re.MULTILINE),
    re.compile(r"^SUMMARY: (\w+Sanitizer: .*)$", re.MULTILINE),
    re.compile(r"^==\d+== ERROR: (libFuzzer: .*)$", re.MULTILINE),
)


@dataclass(frozen=True, slots=True)
class NativeFinding:
    """An input that is not survived. key: the rule, or the sanitizer's summary; text: the whole report."""

    key: str
    text: str
    input: Path


@dataclass(frozen=True, slots=True)
class NativeRun:
    """What a run came to; edges: libFuzzer's `cov`."""

    program: Path
    executions: int
    seconds: float
    edges: int
    corpus: int
    finding: NativeFinding | None

    @property
    def rate(self) -> float:
        """Executions a second."""
        return self.executions / self.seconds if self.seconds else 0.0


def build(driver: Path, folder: Path) -> Path:
    """A program of a driver (a C file, or a shared library) and the harness, in `folder`.

    `CFLAGS` are added. ArgumentError: there is no clang, or it refuses.
    """
    if not driver.is_file() or driver.suffix not in (".c", ".so"):
        raise ArgumentError(f"{driver}: libFuzzer's driver is a C file or a shared library: FILE.c, FILE.so")
    clang = shutil.which("clang")
    if clang is None:
        raise ArgumentError("libFuzzer comes with clang, and there is no clang here")
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / f"fuzz_{driver.stem}"
    own = [f"-I{driver.resolve().parent}", str(driver.resolve())]
    flags = [*_FLAGS, *shlex.split(os.environ.get("CFLAGS", ""))]
    command = [clang, *flags, *own, *arguments(), "-o", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_COMPILE_S, check=False)
    if done.returncode != 0:
        raise ArgumentError(f"{driver} does not build:\n{done.stderr[-3000:].rstrip()}")
    return program


def run(program: Path, *, seconds: float, seed: int, limit_s: float) -> NativeRun:
    """Fuzz for some seconds, or until an input is not survived; inputs of earlier runs come first."""
    folder = program.parent
    corpus = folder / f"{program.name}-corpus"
    corpus.mkdir(exist_ok=True)
    command = [
        str(program.resolve()),
        f"-max_total_time={max(round(seconds), 1)}",
        f"-seed={seed % (1 << 32) or 1}",
        f"-timeout={max(round(limit_s), 1)}",
        f"-max_len={_INPUT_BYTES}",
        "-print_final_stats=1",
        f"-artifact_prefix={folder.resolve()}/{program.name}-",
        str(corpus.resolve()),
    ]
    started = time.monotonic()
    said = _said(command)
    elapsed = time.monotonic() - started
    executions = _number(r"stat::number_of_executed_units:\s*(\d+)", said)
    edges = max((int(each) for each in re.findall(r" cov: (\d+) ", said)), default=0)
    kept = sum(1 for _ in corpus.iterdir())
    return NativeRun(program, executions, elapsed, edges, kept, _finding(said))


def _said(command: list[str]) -> str:
    """All that libFuzzer says; Ctrl-C ends it, and it still says what there was."""
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        assert process.stderr is not None
        lines: list[str] = []
        while True:
            try:
                lines += process.stderr
                return "".join(lines)
            except KeyboardInterrupt:
                continue


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    return int(found[1]) if found else 0


def _finding(said: str) -> NativeFinding | None:
    written = re.search(r"Test unit written to (\S+)", said)
    if written is None:
        return None
    for pattern in _CAUSES:
        if found := pattern.search(said):
            report = said[said.rfind("\n", 0, found.start()) + 1 :] if pattern is _CAUSES[0] else said
            return NativeFinding(found[1], report[-16000:], Path(written[1]))
    return NativeFinding("ended without a word", said[-16000:], Path(written[1]))
