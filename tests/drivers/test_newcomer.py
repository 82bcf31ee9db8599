"""A newcomer's run: nothing but a page, its driver in Python or C, and what the conformance suite says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from vnic.fuzz.effort import EFFORT

from . import c_page
from .conftest import EXAMPLES, ROOT, Build
from .test_tutorial import command, whole_file

needs_nightly = pytest.mark.skipif(EFFORT <= 1, reason="in `make nightly` only: the whole conformance suite")
#: Enough to tell a driver that works from one that does not.
SAMPLE = ("--only", "bring_up.initializes_to_paused", "--only", "pause_restart.there_and_back")


def judge(python: Path, folder: Path, driver: str, *options: str, env: dict[str, str]) -> dict[str, str]:
    """The page's command on a driver; the verdict of each case."""
    line = command("vnic conformance").split()
    assert line[:3] == ["vnic", "conformance", "--driver"]
    arguments = [str(python), "-m", *line[:3], driver, "--jobs", "1", "--json", "verdicts.json", *options]
    done = subprocess.run(
        arguments, cwd=folder, env=env, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((folder / "verdicts.json").read_text(encoding="utf-8"))
    return {case["case"]: case["verdict"] for case in report["cases"]}


def assert_good(verdicts: dict[str, str], least: int) -> None:
    """Nothing failed, and something was asked."""
    assert set(verdicts.values()) <= {"PASSED", "NOT SUPPORTED"}
    assert list(verdicts.values()).count("PASSED") >= least


@pytest.mark.requirement("DRV-16")
def test_the_driver_of_the_page_is_judged_good(tmp_path: Path, python_environment: dict[str, str]) -> None:
    (tmp_path / "driver.py").write_text(whole_file(), encoding="utf-8")
    verdicts = judge(Path(sys.executable), tmp_path, "driver.py:Minimal", *SAMPLE, env=python_environment)
    assert_good(verdicts, 2)


@needs_nightly
@pytest.mark.requirement("DRV-16")
@pytest.mark.parametrize("language", ["python", "c"])
def test_the_examples_pass_the_whole_suite(
    language: str, tmp_path: Path, build: Build, python_environment: dict[str, str]
) -> None:
    library = build(EXAMPLES / "minimal.c", name="whole")
    driver = str(library) if language == "c" else f"{EXAMPLES / 'minimal.py'}:Minimal"
    assert_good(judge(Path(sys.executable), tmp_path, driver, env=python_environment), 150)


@needs_nightly
@pytest.mark.requirement("DRV-16", "DRV-15")
def test_from_an_empty_environment(tmp_path: Path) -> None:
    """A fresh venv with the package in it, and a folder with what the page says to write."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    clean = {name: value for name, value in os.environ.items() if not re.match("PYTHON|LD_PRELOAD", name)}
    source = shutil.copytree(
        ROOT, tmp_path / "source", ignore=shutil.ignore_patterns("build", ".git", "*.so")
    )
    pip = [str(python), "-m", "pip", "install", "-q", f"{source}[cli]"]
    subprocess.run(pip, cwd=tmp_path, env=clean, check=True, timeout=600)
    shutil.rmtree(source)
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "driver.py").write_text(whole_file(), encoding="utf-8")
    assert_good(judge(python, folder, "driver.py:Minimal", env=clean), 150)
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    c_page.write(folder, c_page.whole_file())
    (build,) = (line for step in c_page.steps() for line, _ in step.consoles if line.startswith("cc "))
    in_venv = clean | {"PATH": f"{python.parent}{os.pathsep}{clean['PATH']}"}
    subprocess.run(["sh", "-ec", build], cwd=folder, env=in_venv, check=True, timeout=60)
    assert_good(judge(python, folder, "driver.so", env=clean), 150)
