"""The chimney's fuzz target: offloaded connections under random commands, segments and snapshots."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.c_objects import build_program
from tests.fuzz.conftest import POSIX
from vnic.fuzz.effort import EFFORT

HERE = Path(__file__).resolve().parent
SECONDS = 1
SOURCES = ("fuzz_chimney.c", "chimney_scene.c", "random_bytes.c")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The target with its random driver, in a folder of its own."""
    folder = tmp_path_factory.mktemp("chimney-fuzz")
    files = [HERE / name for name in SOURCES]
    return build_program(folder / "fuzz_chimney", files, *POSIX, f"-I{HERE}")


@pytest.mark.requirement("CHM-2", "CHM-3", "CHM-41", "CHM-60", "CHM-80")
def test_new_inputs(program: Path) -> None:
    """Nothing breaks, the card comes to rest within its bound, and a restored card is the same card."""
    command = [str(program), "--seconds", str(SECONDS * EFFORT), "--seed", "1"]
    limit, environment = 120 + 2 * SECONDS * EFFORT, {"ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        cwd=program.parent,
        timeout=limit,
        env=environment,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert int(done.stdout.split()[0]) >= 10
