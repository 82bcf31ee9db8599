"""A coverage as a whole: its file, its sum, the command, the plugin, and the pages."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trace.traces import recorded
from vnic.cli import main
from vnic.errors import ArgumentError
from vnic.fuzz.effort import examples
from vnic.trace.coverage.chimney import EVENTS, SAYS
from vnic.trace.coverage.registers import Kind, registers
from vnic.trace.coverage.resets import Level
from vnic.trace.coverage.run import FORMAT, RunCoverage, cover, load, parsed
from vnic.trace.coverage.shadow import State
from vnic.trace.coverage.tables import missing, reached_kinds
from vnic.trace.file import TraceReader

pytest_plugins = ["pytester"]
KEYS = [key for key, _ in registers()]
counts = st.integers(1, 1000)


@st.composite
def coverages(draw: st.DrawFn) -> RunCoverage:
    run = RunCoverage(runs=draw(counts), events=draw(counts))
    key = st.sampled_from(KEYS)
    for each, kind in draw(st.lists(st.tuples(key, st.sampled_from(Kind)), max_size=4)):
        run.registers.accesses[each, kind] += draw(counts)
    for each, level in draw(st.lists(st.tuples(key, st.sampled_from(Level)), max_size=3)):
        run.registers.after[each, level] += draw(counts)
    for each in draw(st.lists(key, max_size=3)):
        run.registers.see(each, draw(counts), 0x3FF)
    for state, what in draw(st.lists(st.tuples(st.sampled_from(State), st.sampled_from(EVENTS)), max_size=3)):
        run.chimney.cells[state, what] += draw(counts)
    for state, what in draw(st.lists(st.tuples(st.sampled_from(State), st.sampled_from(SAYS)), max_size=2)):
        run.chimney.said[state, what] += draw(counts)
    run.requirements.update(draw(st.lists(st.sampled_from(["CHM-1", "RX-2"]), max_size=3)))
    return run


def total(*runs: RunCoverage) -> dict[str, Any]:
    into = RunCoverage()
    for run in runs:
        into.merge(parsed(run.as_json()))
    return into.as_json()


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("traces") / "run.pcapng"
    path.write_bytes(recorded(8))
    return path


@pytest.mark.requirement("COV-9")
@examples(20)
@given(coverages(), coverages(), coverages())
def test_merging_is_addition(a: RunCoverage, b: RunCoverage, c: RunCoverage) -> None:
    assert total(a, b, c) == total(c, a, b)
    assert total(a) == a.as_json()
    both = parsed(total(a, b))
    for key, kind in {*a.registers.accesses, *b.registers.accesses}:
        assert both.registers.accesses[key, kind] == sum(
            each.registers.accesses[key, kind] for each in (a, b)
        )


@pytest.mark.requirement("COV-10")
@examples(20)
@given(coverages())
def test_a_file_holds_all_of_it(run: RunCoverage) -> None:
    assert parsed(json.loads(json.dumps(run.as_json()))).as_json() == run.as_json()


@pytest.mark.requirement("COV-10")
@pytest.mark.parametrize(
    "change",
    [
        {"format": "vnic-coverage/2"},
        {"maps": {}},
        {"runs": -1},
        {"runs": True},
        {"accesses": [["vnic_bar0", "NO_SUCH", "READ", 1]]},
        {"accesses": [["vnic_bar0", "GLB_CAPS", "LOOK", 1]]},
        {"accesses": [["vnic_bar0", "GLB_CAPS", 1]]},
        {"accesses": {}},
        {"after": [["vnic_bar0", "GLB_CAPS", "FLR", "1"]]},
        {"bits": [["vnic_bar0", "GLB_CAPS", -1, 0]]},
        {"chimney": [["ESTABLISHED", "NO_SUCH", 1]]},
        {"said": [["NOWHERE", "FIN", 1]]},
        {"requirements": [[7, 1]]},
        {"strays": None},
        {"connections": 1e9},
    ],
)
def test_a_file_that_is_none_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps(RunCoverage().as_json() | change))
    with pytest.raises(ArgumentError, match=r"run\.json"):
        load(path)


@pytest.mark.requirement("COV-10")
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_noise_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(content)
    with pytest.raises(ArgumentError, match=r"run\.json"):
        load(path)


@pytest.mark.requirement("COV-11")
def test_the_command_adds_traces_and_files(
    trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "sum.json"
    assert main(["coverage", str(trace), "--out", str(kept)]) == 0
    once = capsys.readouterr().out
    assert "registers' kinds of access" in once and "looked at after FLR" in once
    assert main(["coverage", str(trace), str(kept), "--json"]) == 0
    both = json.loads(capsys.readouterr().out)
    one = load(kept).as_json()
    assert both["format"] == FORMAT and both["events"] == 2 * one["events"] and both["runs"] == 2
    assert main(["coverage", str(kept), "--map", "vnic_bar0"]) == 0
    assert "QP_TX_TAIL" in capsys.readouterr().out


@pytest.mark.requirement("COV-11")
def test_the_command_names_what_is_missing(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["coverage", str(trace), "--missing"]) == 0
    said = capsys.readouterr().out.splitlines()
    with TraceReader(trace) as reader:
        run = cover(reader)
    assert said == list(missing(run))
    assert any(line.startswith("vnic_bar0 QP_RX_BASE: never looked at after") for line in said)
    assert not any("QP_RX_TAIL: never write" in line for line in said)


@pytest.mark.requirement("COV-11")
def test_the_command_fails_under_a_share(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with TraceReader(trace) as reader:
        reached, all_of_them = reached_kinds(cover(reader).registers)
    percent = 100 * reached / all_of_them
    assert main(["coverage", str(trace), "--fail-under", f"{percent - 0.1}"]) == 0
    assert main(["coverage", str(trace), "--fail-under", f"{percent + 0.1}"]) == 1
    capsys.readouterr()


@pytest.mark.requirement("COV-11")
@pytest.mark.parametrize("content", [None, b"{}", b"noise", b'{"format": "vnic-coverage/1"}'])
def test_the_command_refuses_what_it_cannot_read(
    content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "input"
    if content is not None:
        path.write_bytes(content)
    assert main(["coverage", str(path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("vnic: ") and "Traceback" not in said


@pytest.mark.requirement("COV-11")
@pytest.mark.requirement("COV-13")
def test_the_pages_show_the_tables(trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own, report = tmp_path / "coverage.html", tmp_path / "report.html"
    assert main(["coverage", str(trace), "--html", str(own)]) == 0
    assert main(["trace", "report", str(trace), "--out", str(report)]) == 0
    capsys.readouterr()
    for page in (own.read_text(), report.read_text()):
        assert "looked at after D3hot to D0" in page
    assert "never looked at after" in own.read_text()


TESTS = """
    import pytest
    from vnic.device import Device

    @pytest.mark.requirement("RX-1")
    def test_that_passes():
        with Device(manual=True) as device:
            device.read32(0)

    @pytest.mark.requirement("RX-2")
    def test_that_fails():
        Device(manual=True).read32(0)
        assert False
"""


def pytest_of(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    pytester.makeini("[pytest]\nmarkers = requirement: an id\n")
    pytester.makepyfile(TESTS)
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", *options)


@pytest.mark.requirement("COV-8")
@pytest.mark.requirement("COV-12")
def test_the_plugin_adds_to_its_file(pytester: pytest.Pytester, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    for times in (1, 2):
        result = pytest_of(pytester, "-p", "no:xdist", f"--vnic-coverage={path}")
        result.assert_outcomes(passed=1, failed=1)
        run = load(path)
        assert run.registers.accesses[("vnic_bar0", "GLB_TYPE"), Kind.READ] == 2 * times
        assert run.requirements == {"RX-1": times}
        assert run.runs == 2 * times


@pytest.mark.requirement("COV-12")
def test_the_plugin_refuses_another_s_file(pytester: pytest.Pytester, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text("mine")
    result = pytest_of(pytester, "-p", "no:xdist", f"--vnic-coverage={path}")
    assert result.ret != 0 and path.read_text() == "mine"
    both = pytest_of(pytester, "-p", "no:xdist", f"--vnic-coverage={path}", "--vnic-replay")
    assert both.ret == pytest.ExitCode.USAGE_ERROR


def test_a_cut_trace_counts_what_is_whole(
    trace: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    cut = tmp_path / "cut.pcapng"
    cut.write_bytes(trace.read_bytes()[:-5])
    assert main(["coverage", str(cut)]) == 1
    assert "NOT WHOLE" in capsys.readouterr().out
    whole = cover(TraceReader(io.BytesIO(trace.read_bytes())))
    assert whole.events > 100
