"""Every fuzz target as a program: its whole corpus, and a while of inputs that are new."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz import kept
from tests.fuzz.workshop import targets
from vnic.fuzz.effort import EFFORT

Build = Callable[[str], Path]
SECONDS = 0.3
FILES, OCTETS = 300, 400_000

#: With what each is about, beside its table's last column.
EACH = pytest.mark.parametrize(
    "name",
    [
        pytest.param("card", marks=pytest.mark.requirement("RUN-4", "RUN-6", "RST-1", "FUZ-4", "FUZ-5")),
        pytest.param(
            "twins",
            marks=pytest.mark.requirement(
                "RUN-4", "RUN-6", "RUN-7", "PCI-16", "PCI-45", "PCI-46", "RST-3", "FUZ-3"
            ),
        ),
        pytest.param("segment", marks=pytest.mark.requirement("OPT-02", "SEG-03", "CC-12", "CH-16")),
        pytest.param("image", marks=pytest.mark.requirement("IMG-4", "IMG-5")),
        pytest.param(
            "chimney", marks=pytest.mark.requirement("CHM-2", "CHM-3", "CHM-41", "CHM-60", "CHM-80")
        ),
        pytest.param("copy", marks=pytest.mark.requirement("DMA-41", "DMA-51", "DMA-52", "DMA-54")),
        pytest.param("snapshot", marks=pytest.mark.requirement("PCI-46")),
        pytest.param("trace", marks=pytest.mark.requirement("TRC-7")),
        pytest.param("driver", marks=pytest.mark.requirement("FUZ-31", "FUZ-37")),
    ],
)


def run(program: Path, *arguments: str, folder: Path) -> str:
    """What the program says; AssertionError with it when it found something."""
    done = subprocess.run(
        [str(program), *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=120 + 2 * SECONDS * EFFORT,
        env={"ASAN_OPTIONS": "detect_leaks=0"},
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def test_every_target_is_run() -> None:
    names = [parameter.values[0] for parameter in EACH.args[1]]
    assert names == list(dict.fromkeys(names)) and set(names) == set(targets())


@pytest.mark.requirement("FUZ-1", "FUZ-6")
@EACH
def test_corpus(fuzz_program: Build, tmp_path: Path, name: str) -> None:
    """Inputs that once reached something new, or failed. Those of the core: test_kept_inputs.py runs them."""
    inputs = sorted(targets()[name].corpus.iterdir())
    assert 30 < len(inputs) <= FILES
    assert sum(path.stat().st_size for path in inputs) <= OCTETS
    if name not in kept.all_targets():
        run(fuzz_program(name), *map(str, inputs), folder=tmp_path)


@pytest.mark.requirement("FUZ-1", "FUZ-2")
@EACH
def test_new_inputs(fuzz_program: Build, tmp_path: Path, name: str) -> None:
    """Nothing breaks, and nothing is left of an input that was survived."""
    said = run(fuzz_program(name), "--seconds", str(SECONDS * EFFORT), "--seed", "1", folder=tmp_path)
    assert int(said.split()[0]) >= 3
    assert not list(tmp_path.iterdir())
