"""What coverage counts are the branches of the source, not those that a sanitizer adds to it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / ".ci/source_branches.py"
SANITIZE = ["-fsanitize=undefined", "-fno-sanitize-recover=undefined"]

PROGRAM = """
#include <stdbool.h>
#include <string.h>

static volatile bool flag;
static char to[8], from[8];

static int work(int a, unsigned b)
{
    if (flag) {
        a = a / (int)b;
    }
    memcpy(to, from + b, b);
    return a << b;
}

int main(int argc, char **argv)
{
    (void)argv;
    int sum = work(argc, 3);
    flag = true;
    return sum + work(argc, 2) == 0;
}
"""

Branches = dict[int, list[int]]


def run(*command: str, folder: Path) -> str:
    """What a command printed."""
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def build(folder: Path, *flags: str) -> Path:
    """The program compiled with counters, and run once."""
    folder.mkdir()
    if int(run("gcc", "-dumpversion", folder=folder).split(".")[0]) < 12 or not shutil.which("gcov"):
        pytest.skip("needs gcc 12: its gcov, whose graphs the tool reads")
    (folder / "program.c").write_text(PROGRAM, encoding="utf-8")
    run("gcc", "-O1", "-fno-inline", "--coverage", *flags, "-c", "program.c", folder=folder)
    run("gcc", "--coverage", *flags, "-o", "program", "program.o", folder=folder)
    run("./program", folder=folder)
    return folder


def counted(folder: Path) -> Branches:
    """How often each branch was taken, by line."""
    text = run("gcov", "--json-format", "--branch-probabilities", "--stdout", "program.gcda", folder=folder)
    (file,) = json.loads(text.splitlines()[0])["files"]
    lines = {line["line_number"]: [branch["count"] for branch in line["branches"]] for line in file["lines"]}
    return {number: sorted(counts) for number, counts in lines.items() if counts}


def forget(folder: Path) -> int:
    """Run the tool; how many branches it took out."""
    return int(run(sys.executable, str(TOOL), str(folder), folder=folder).split()[0])


def test_what_is_left_are_the_branches_of_the_source(tmp_path: Path) -> None:
    plain = counted(build(tmp_path / "plain"))
    folder = build(tmp_path / "sanitized", *SANITIZE)
    with_checks = counted(folder)
    assert list(plain.values()) == [[1, 1]]
    assert sum(map(len, with_checks.values())) > 6
    assert forget(folder) > 2
    assert counted(folder) == plain
    assert forget(folder) == 0
    assert counted(folder) == plain


def test_counts_of_lines_stay(tmp_path: Path) -> None:
    folder = build(tmp_path / "sanitized", *SANITIZE)
    before = re.findall(r"Lines executed:.*", run("gcov", "program.gcda", folder=folder))
    forget(folder)
    assert re.findall(r"Lines executed:.*", run("gcov", "program.gcda", folder=folder)) == before


def test_a_graph_without_sanitizer_is_left_alone(tmp_path: Path) -> None:
    folder = build(tmp_path / "plain")
    graph = (folder / "program.gcno").read_bytes()
    assert forget(folder) == 0
    assert (folder / "program.gcno").read_bytes() == graph


@pytest.mark.parametrize("graph", [b"", b"oncg", b"abcd" + bytes(60), b"oncg*85A" + bytes(60)])
def test_another_format_is_refused(tmp_path: Path, graph: bytes) -> None:
    (tmp_path / "other.gcno").write_bytes(graph)
    with pytest.raises(subprocess.CalledProcessError) as caught:
        forget(tmp_path)
    assert "gcc 12" in caught.value.stderr


def test_the_source_has_no_dead_end_but_its_assertion() -> None:
    """Else the tool would take a branch of the source for one of the sanitizer."""
    ends = re.compile(r"\b(abort|exit|_Exit|_Noreturn|noreturn|longjmp|__builtin_(unreachable|trap))\b")
    found = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "csrc").rglob("*.[ch]")
        if path.parent.name != "examples"
        and ends.search(re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.DOTALL))
    }
    assert found == {"csrc/base/check.h"}
