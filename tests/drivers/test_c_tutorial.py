"""docs/first_c_driver.md as a newcomer reads it: each step is built, each command run, its output held."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vnic.cli import main
from vnic.fuzz.effort import EFFORT
from vnic.headers import include_dir

from .c_page import commands, steps, whole_file, without_chance, write
from .conftest import EXAMPLES, Build

STEPS = steps()
STRICT = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wstrict-prototypes", "-Werror")


def here(line: str) -> str:
    """A command of the page with this Python."""
    return line.replace("$(python ", f"$({sys.executable} ")


def conformance(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What `vnic conformance ...` prints, here and now."""
    words = shlex.split(line)
    assert words[:2] == ["vnic", "conformance"]
    main(words[1:])
    return capsys.readouterr().out


@pytest.mark.requirement("DRV-17")
def test_what_the_page_arrives_at_is_the_example() -> None:
    assert whole_file() == (EXAMPLES / "minimal.c").read_text(encoding="utf-8")
    assert len(whole_file().splitlines()) <= 150


def test_the_page_has_its_steps() -> None:
    assert [step.title[:2] for step in STEPS] == ["1.", "2.", "3.", "4.", "5.", "6.", "Wh"]
    assert all(step.consoles for step in STEPS)
    assert [len(step.checks) for step in STEPS] == [0, 1, 0, 1, 0, 0, 0]


@pytest.mark.requirement("DRV-17")
@pytest.mark.parametrize("number", range(len(STEPS)))
def test_step(
    number: int,
    tmp_path: Path,
    build: Build,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    step = STEPS[number]
    library = build(write(tmp_path, step.text), *STRICT, name=f"step{number}")
    shutil.copy(library, tmp_path / "driver.so")
    monkeypatch.chdir(tmp_path)
    for check, expected in step.checks:
        exec(compile(check, step.title, "exec"), {})
        assert capsys.readouterr().out == expected
    for line, expected in step.consoles:
        if line.startswith("vnic ") and "|" not in line:
            assert without_chance(conformance(line, capsys)) == without_chance(expected)
        elif line.startswith("vnic "):
            printed = conformance(line.partition("|")[0], capsys)
            assert expected in printed


@pytest.mark.requirement("DRV-15")
def test_the_build_command_builds_it(tmp_path: Path, python_environment: dict[str, str]) -> None:
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    write(tmp_path, STEPS[0].text)
    (line,) = (line for line, _ in STEPS[0].consoles if line.startswith("cc "))
    done = subprocess.run(
        ["sh", "-ec", here(line)],
        cwd=tmp_path,
        env=python_environment,
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == b""
    assert (tmp_path / "driver.so").is_file()


@pytest.mark.skipif(EFFORT <= 1, reason="in `make nightly` only: builds with a sanitizer")
@pytest.mark.requirement("DRV-6", "DRV-17")
def test_the_driver_runs_under_the_sanitizer(tmp_path: Path, python_environment: dict[str, str]) -> None:
    """The page's two commands; some groups of the suite will do."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc's libasan")
    write(tmp_path, whole_file())
    make, judge = (line for line in commands() if "asan" in line or "sanitize" in line)
    run = re.sub(r"\bvnic\b", f"{sys.executable} -m vnic", judge)
    script = f"{here(make)}\n{run} --jobs 1 --only bring_up --only send --only receive --only reset"
    done = subprocess.run(
        ["sh", "-ec", script],
        cwd=tmp_path,
        env=python_environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "failed" not in done.stdout.splitlines()[-1]


@pytest.mark.requirement("DRV-15")
def test_every_header_of_the_page_is_published() -> None:
    text = Path(__file__).parents[2].joinpath("docs", "first_c_driver.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(vnic_\w+\.h)`", text))
    assert len(named) >= 7
    assert all((include_dir() / "vnic" / name).is_file() for name in named)
