"""The cases as they are declared: a page, a rule, a text each, and nothing of a driver's inside."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vnic.conformance import pages
from vnic.conformance.case import CASES, case
from vnic.conformance.groups import GROUPS, load
from vnic.errors import ArgumentError
from vnic.testbench.bench import Bench

ROOT = Path(__file__).resolve().parents[2]
SUITE = ROOT / "vnic" / "conformance"


@pytest.mark.requirement("CONF-1")
def test_every_case_says_what_where_and_why() -> None:
    cases = load().values()
    assert len(cases) > 150
    for each in cases:
        assert each.group in GROUPS
        assert each.page.startswith((*_starts(), "spec/")), each.name
        assert len(each.rule) > 20, each.name
        assert len(each.done) > 15, each.name
    assert {each.group for each in cases} == set(GROUPS)


def _starts() -> tuple[str, ...]:
    """What addresses of public pages begin with."""
    made = (pages.guide(""), pages.ddi("", ""), pages.kernel(""), pages.chimney(""), pages.netdma(""))
    return tuple(address.removesuffix(".md").rstrip("/") + "/" for address in made)


def test_requirements_that_cases_cite_exist() -> None:
    for each in load().values():
        if each.page.startswith("spec/"):
            path, _, requirement = each.page.partition("#")
            assert f"**{requirement}**" in (ROOT / path).read_text("utf-8"), each.name


def imported(path: Path) -> list[str]:
    """The modules that a file imports."""
    names = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return names


@pytest.mark.requirement("CONF-2", "CONF-24")
def test_nothing_of_a_driver_is_imported_and_nothing_of_pytest() -> None:
    command = ROOT / "vnic" / "commands" / "conformance.py"
    for path in [*SUITE.rglob("*.py"), command]:
        inside = ("vnic.miniport", "vnic.netdma.provider")
        others = () if path.name == "test_conformance.py" else ("pytest", "hypothesis")
        assert not [name for name in imported(path) if name.startswith((*inside, *others))], path


@pytest.mark.parametrize("missing", ["docstring", "page", "rule", "name"])
def test_a_case_that_lacks_something_is_refused(missing: str) -> None:
    def run(bench: Bench) -> None:
        """A title."""

    if missing == "docstring":
        run.__doc__ = None
    if missing == "name":
        known = next(iter(load()))
        group, _, name = known.partition(".")
        run.__module__, run.__name__ = f"x.{group}", name
    before = dict(CASES)
    declare: Callable[[Callable[[Bench], None]], object] = case(
        "" if missing == "page" else "https://example.org", "" if missing == "rule" else "a rule"
    )
    with pytest.raises(ArgumentError):
        declare(run)
    assert before == CASES


@pytest.mark.requirement("CONF-24")
def test_it_is_a_pytest_module_too(python_environment: dict[str, str], tmp_path: Path) -> None:
    call = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--pyargs",
        "vnic.conformance",
        "-p",
        "no:cacheprovider",
        "-rs",
    ]
    driver = "--vnic-driver=tests.conformance.drivers:Leaks"
    only = ["-k", "halt.frees_everything"]
    environment = python_environment | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*call, driver, *only],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed" in done.stdout
    assert "expected" in done.stdout
