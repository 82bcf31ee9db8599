"""The rule about skips itself: under CI only listed reasons pass."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

CONFTEST = Path(__file__).with_name("conftest.py").read_text(encoding="utf-8")
TESTS = """
import pytest

def test_listed():
    pytest.skip("needs root: to make a TAP")

def test_not_listed():
    pytest.skip("not today")

@pytest.mark.skipif(True, reason="also not today")
def test_by_mark():
    pass

@pytest.mark.xfail(reason="known")
def test_expected_failure():
    assert False
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project with the same rule, and a list of one reason."""
    tests = pytester.mkdir("tests")
    (tests / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    (tests / "test_some.py").write_text(TESTS, encoding="utf-8")
    (tests / "test_module.py").write_text("import pytest\npytest.skip('all off', allow_module_level=True)\n")
    (pytester.mkdir(".ci") / "skips.txt").write_text("# reasons\nneeds root: *\n", encoding="utf-8")
    return pytester


def test_an_unlisted_skip_fails_under_ci(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    result = project.runpytest_subprocess("-p", "no:cacheprovider", "tests/test_some.py")
    result.assert_outcomes(skipped=1, failed=1, errors=1, xfailed=1)
    result.stdout.fnmatch_lines(["*not in .ci/skips.txt: not today*"])


def test_a_skipped_module_fails_under_ci(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    result = project.runpytest_subprocess("-p", "no:cacheprovider", "tests/test_module.py")
    result.assert_outcomes(errors=1)


def test_elsewhere_every_skip_is_fine(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    result = project.runpytest_subprocess("-p", "no:cacheprovider", "tests")
    result.assert_outcomes(skipped=4, xfailed=1)
