"""The copy engine's fuzz target: twins under random chains, registers, memory maps, faults and snapshots."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.c_objects import CSRC, INCLUDE, WARNINGS, flavour, is_asked, objects_of
from tests.fuzz.conftest import POSIX
from vnic.fuzz.effort import EFFORT

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CORPUS = sorted((HERE / "corpus" / "copy").glob("*.bytes"))
ROOMS = ("base", "gen", "wire", "pci")
TARGET = ("fuzz_copy.c", "copy_scene.c", "copy_acts.c", "random_bytes.c")
SECONDS = 0.5
COMPILERS = 2


def _compile(folder: Path) -> list[str]:
    """The engine and the target; its objects."""
    sources = [*sorted((CSRC / "copy").glob("*.c")), *(HERE / name for name in TARGET)]
    command = ["gcc", *POSIX, *WARNINGS, *flavour(), *INCLUDE, f"-I{HERE}", "-c"]
    running = [
        subprocess.Popen([*command, *map(str, sources[n::COMPILERS])], cwd=folder) for n in range(COMPILERS)
    ]
    assert [process.wait(timeout=240) for process in running] == [0] * COMPILERS
    return [f"{source.stem}.o" for source in sources]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The target with its random driver; for coverage it is built where the report looks."""
    is_counted = is_asked("VNIC_COVERAGE")
    folder = ROOT / "build/tests-fuzz-copy" if is_counted else tmp_path_factory.mktemp("copy-fuzz")
    folder.mkdir(parents=True, exist_ok=True)
    objects = [*_compile(folder), *objects_of(ROOMS, flavour())]
    command = ["gcc", *flavour(), *objects, "-o", "fuzz_copy"]
    subprocess.run(command, check=True, timeout=120, cwd=folder)
    return folder / "fuzz_copy"


def run(program: Path, *arguments: str) -> str:
    """The target with arguments; AssertionError with what it said when it found something."""
    done = subprocess.run(
        [str(program), *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=program.parent,
        timeout=120 + 2 * SECONDS * EFFORT,
        env={"ASAN_OPTIONS": "detect_leaks=0"},
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.mark.requirement("DMA-41", "DMA-51", "DMA-52", "DMA-54")
def test_corpus(program: Path) -> None:
    """Inputs that once reached something new, or failed."""
    assert len(CORPUS) > 50
    run(program, *map(str, CORPUS))


@pytest.mark.requirement("DMA-41", "DMA-51", "DMA-52", "DMA-54")
def test_new_inputs(program: Path) -> None:
    """No byte outside of what is mapped, budgets and bounds kept, steps taken together as one by one."""
    said = run(program, "--seconds", str(SECONDS * EFFORT), "--seed", "1")
    assert int(said.split()[0]) >= 10
