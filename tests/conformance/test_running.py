"""Running the suite: order, jobs, selection, reports, traces, exit status."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.conformance import drivers
from tests.conformance.test_verdicts import driver, idle, sends, toy
from vnic.cli import build_parser, main
from vnic.commands.conformance import choose
from vnic.conformance import groups
from vnic.conformance.case import Case, Subject
from vnic.conformance.explain import document, summary
from vnic.conformance.html_page import html_page
from vnic.conformance.junit import junit
from vnic.conformance.shift import Shift
from vnic.conformance.verdict import Result, Verdict
from vnic.errors import ArgumentError
from vnic.fuzz.effort import EFFORT
from vnic.testbench.bench import Bench
from vnic.testbench.driver import load_driver
from vnic.testbench.frames import plain_frame
from vnic.testbench.rig import Rig
from vnic.trace.file import TraceReader

BROKEN = "tests.conformance.drivers"


def slowly(bench: Bench) -> None:
    """Takes longer than those behind it."""
    time.sleep(0.15)


@pytest.mark.requirement("CONF-20")
def test_results_come_in_order_and_are_the_same_for_any_jobs() -> None:
    cases = [toy(slowly if n == 0 else sends, name=f"toys.n{n}") for n in range(4)]

    def verdicts(jobs: int) -> list[tuple[str, Verdict, str]]:
        shift = Shift(driver(drivers.CompletesTwice), jobs=jobs)
        return [(each.case, each.verdict, each.happened) for each in shift.run(cases)]

    one = verdicts(1)
    assert [name for name, _, _ in one] == [case.name for case in cases]
    assert verdicts(4) == one
    assert [verdict for _, verdict, _ in one] == [Verdict.PASSED] + [Verdict.FAILED] * 3


@pytest.mark.requirement("CONF-20")
def test_a_case_cannot_spoil_the_next() -> None:
    def spoils(bench: Bench) -> None:
        drivers.Right.initialize_ex = None  # type: ignore[assignment, method-assign]

    results = list(Shift(driver(drivers.Right)).run([toy(spoils, name="toys.a"), toy(idle, name="toys.b")]))
    assert [each.verdict for each in results] == [Verdict.PASSED] * 2


@pytest.mark.requirement("CONF-23")
@pytest.mark.parametrize("maker", [drivers.CompletesTwice, drivers.Crashes])
def test_a_trace_is_kept_of_what_fails_and_of_nothing_else(maker: type, tmp_path: Path) -> None:
    shift = Shift(driver(maker), record=tmp_path / "traces")
    results = list(shift.run([toy(idle, name="toys.good"), toy(sends, name="toys.bad")]))
    assert results[0].traces == []
    (path,) = results[1].traces
    assert [found.name for found in (tmp_path / "traces").iterdir()] == [Path(path).name]
    with TraceReader(Path(path)) as reader:
        assert sum(1 for _ in reader) > 50


def examples() -> tuple[dict[str, Case], list[Result]]:
    """A result of each verdict, with bytes in them that XML and HTML do not like."""
    cases = {
        f"toys.{verdict.name.lower()}": toy(idle, name=f"toys.{verdict.name.lower()}") for verdict in Verdict
    }
    nasty = "<b>&\"'\x00\x1b[31m\ud800\uffff]]>"
    results = [
        Result(name, verdict, 0.25, nasty, nasty * 3, "SEND-2", "page", [nasty], ["a<b>.pcapng"])
        for name, verdict in zip(cases, Verdict, strict=True)
    ]
    return cases, results


@pytest.mark.requirement("CONF-22")
def test_junit_is_well_formed_and_counts() -> None:
    root = ElementTree.fromstring(junit(*examples(), 'driver<&">'))
    (suite,) = root
    assert [suite.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["5", "1", "2", "1"]
    kinds = [[child.tag for child in each] for each in suite]
    assert kinds == [[], ["failure"], ["skipped"], ["error"], ["error"]]
    assert suite[1].get("classname") == "toys"
    text = suite[1][0].text
    assert text is not None
    assert "https://example.org/page" in text


@pytest.mark.requirement("CONF-22")
def test_the_page_needs_nothing_else_and_escapes_all() -> None:
    text = html_page(*examples(), 'driver<&">')
    assert "<b>" not in text
    assert "src=" not in text
    assert 'href="https://example.org/page"' in text
    assert text.count("<details open>") == 3
    assert text.count("<details") == 5
    assert text.encode("utf-8", errors="replace")


@pytest.mark.requirement("CONF-22")
def test_json_is_complete() -> None:
    cases, results = examples()
    found = json.loads(document(cases, results, "d"))
    assert found["summary"] == dict.fromkeys([verdict.value for verdict in Verdict], 1)
    entry = found["cases"][1]
    assert (entry["case"], entry["rule"], entry["page"]) == (
        "toys.failed",
        "it shall not",
        "https://example.org/page",
    )
    assert Result.unpack(results[1].pack()) == results[1]
    assert summary(results) == "1 passed, 1 failed, 1 not supported, 1 hung, 1 crashed"


@pytest.mark.requirement("CONF-21")
def test_exit_status_and_reports_of_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / name for name in ("j.xml", "p.html", "v.json")]
    only = "--only=bring_up.sets_its_attributes,halt.frees_everything"
    reports = [f"--junit={files[0]}", f"--html={files[1]}", f"--json={files[2]}"]
    assert main(["conformance", only, *reports]) == 0
    assert "2 passed" in capsys.readouterr().out
    assert [path.stat().st_size > 300 for path in files] == [True] * 3
    assert main(["conformance", only, f"--driver={BROKEN}:Leaks", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["driver"] == f"{BROKEN}:Leaks"
    assert found["summary"]["FAILED"] == 2


@pytest.mark.requirement("CONF-21")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only=bring_upp"], "the groups are bring_up"),
        (["--only=halt.nothing"], "halt has frees_everything"),
        (["--driver=nowhere.module:Class"], "nowhere"),
        (["--jobs=0"], "above 0"),
        (["--timeout=-1"], "above 0"),
        (["--only=halt.frees_everything", "--junit=/nonexistent/x.xml"], "No such file"),
    ],
)
def test_wrong_calls(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conformance", *arguments]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.requirement("CONF-30")
def test_a_provider_is_judged_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    only = "--only=netdma_chains.append_at_every_step"
    assert main(["conformance", only]) == 0
    assert "1 passed" in capsys.readouterr().out
    assert main(["conformance", only, f"--driver={BROKEN}:Right"]) == 0
    assert "1 not supported" in capsys.readouterr().out
    assert main(["conformance", only, f"--provider={BROKEN}:NeverAppends"]) == 1
    text = capsys.readouterr().out
    assert "FAILED" in text
    assert "AppendDma" in text or "pieces" in text
    assert main(["conformance", f"--provider={BROKEN}:nothing"]) == 2
    assert main(["conformance", "--provider=nowhere.py:Name"]) == 2


@pytest.mark.requirement("CONF-30", "CONF-31")
@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ([], set(Subject)),
        (["--driver=reference"], set(Subject)),
        ([f"--driver={BROKEN}:Right"], {Subject.MINIPORT, Subject.PROVIDER}),
        ([f"--provider={BROKEN}:NeverAppends"], {Subject.PROVIDER}),
        ([f"--driver={BROKEN}:Right", "--only=card"], {Subject.CARD}),
    ],
)
def test_who_is_judged(arguments: list[str], wanted: set[Subject]) -> None:
    assert {
        case.subject for case in choose(build_parser("conformance").parse_args(["conformance", *arguments]))
    } == wanted


@pytest.mark.requirement("CONF-31")
def test_a_card_that_is_wrong_fails() -> None:
    def masks_nothing(rig: Rig) -> None:
        rig.inject(plain_frame(100))
        assert rig.stat("RX_UNICAST_FRAMES") == 2, "one frame was counted"

    wrong = replace(toy(idle), run=masks_nothing, bench={}, subject=Subject.CARD)
    result = Shift(driver(drivers.Right)).one(wrong)
    assert (result.verdict, result.happened) == (Verdict.FAILED, "one frame was counted")


def test_the_list_names_every_case(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conformance", "--list"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in groups.load())
    assert main(["conformance", "--list", "--only=halt", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {each["case"].partition(".")[0] for each in listed} == {"halt"}


def test_selection_keeps_the_order_of_the_suite() -> None:
    names = [case.name for case in groups.select(["halt", "bring_up.works_with_msi"])]
    assert names[0] == "bring_up.works_with_msi"
    assert len(names) == len([name for name in groups.load() if name.startswith("halt.")]) + 1
    with pytest.raises(ArgumentError):
        groups.select(["nothing"])


@pytest.mark.requirement("CONF-25")
def test_the_reference_miniport_passes() -> None:
    """One case of each group; all of them when there is time."""
    cases = groups.select()
    if EFFORT <= 1:
        small = [case for case in cases if not case.group.startswith(("chimney_", "races"))]
        cases = [[case for case in small if case.group == group][1] for group in {c.group: 0 for c in small}]
    results = list(Shift(load_driver(), jobs=2, timeout=60).run(cases))
    assert [(each.case, each.happened) for each in results if each.verdict is not Verdict.PASSED] == []
