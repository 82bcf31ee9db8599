"""The C fuzzer: a while of random programs, and every program of the corpus."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from vnic.fuzz.effort import EFFORT

CORPUS = Path(__file__).resolve().parent / "corpus"
SECONDS = 2


def run(fuzzer: Path, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The fuzzer's output; failures are written into the folder."""
    limit = 120 + 2 * SECONDS * EFFORT
    command = [str(fuzzer), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder, timeout=limit)


@pytest.mark.requirement("RUN-4", "RUN-6", "RUN-7", "PCI-16", "PCI-45", "PCI-46", "RST-3")
def test_random_programs(fuzzer: Path, tmp_path: Path) -> None:
    done = run(fuzzer, "--seconds", str(SECONDS * EFFORT), "--seed", "1", folder=tmp_path)
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stderr
    assert " programs of " in done.stdout


def test_corpus(fuzzer: Path, tmp_path: Path) -> None:
    programs = sorted(map(str, CORPUS.glob("*.ops")))
    assert programs
    done = run(fuzzer, *programs, folder=tmp_path)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
