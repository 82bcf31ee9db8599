"""The benchmark frame itself: order of rounds, medians, goals, missing and broken contenders, the report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from .__main__ import main
from .benchmarks import all_benchmarks
from .harness import (
    Comparison,
    Figures,
    Goal,
    InterleavedBenchmark,
    MissingError,
    Outcome,
    RoundError,
    Summary,
    compare,
    rounds_of,
)
from .kernels import KernelBenchmark
from .program import ProgramContender
from .report import comparison_cells, comparison_facts, outcome_text, table_text, write_json
from .workshop import HERE, BuildError, Workshop

EFFORT = 1.0


def silent(_: str) -> None:
    """No progress."""


@dataclass
class Scripted:
    """A contender whose rounds return given figures; None breaks off."""

    name: str
    script: Sequence[float | None]
    missing: str | None = None
    log: list[str] = field(default_factory=list)
    _round: int = 0
    stops: int = 0

    def start(self, shop: Workshop) -> None:
        """Fail if something is said to be missing."""
        if self.missing:
            raise MissingError(self.missing)

    def round(self, effort: float) -> Figures:
        """The next figure of the script; the warm-up round takes none."""
        if effort < EFFORT:
            return {self.name: -1.0}
        self.log.append(self.name)
        figure = self.script[self._round]
        self._round += 1
        if figure is None:
            raise RoundError("lost a frame")
        return {self.name: figure}

    def stop(self) -> None:
        """Count."""
        self.stops += 1


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    """A workshop in a folder of the test."""
    return Workshop(tmp_path, 0)


def test_every_contender_takes_the_first_place_in_turn() -> None:
    contenders = [Scripted(name, []) for name in "abc"]
    order = ["".join(c.name for c in rounds_of(contenders, number)) for number in range(4)]
    assert order == ["abc", "bca", "cab", "abc"]


def test_rounds_interleave_and_medians_leave_the_warm_up_out(shop: Workshop) -> None:
    log: list[str] = []
    ours, peer = Scripted("ours", [10, 11, 90], log=log), Scripted("peer", [40, 44, 48], log=log)
    goal = Goal("work", "ours", ("peer",), at_least=4)
    outcome = InterleavedBenchmark("b", "t", [ours, peer], [goal]).run(shop, 3, EFFORT, silent)
    assert log == ["ours", "peer", "peer", "ours", "ours", "peer"]
    assert outcome.figures == {"ours": Summary(10, 11, 90), "peer": Summary(40, 44, 48)}
    assert outcome.comparisons == [Comparison(goal, 11, "peer", 44)]
    assert outcome.comparisons[0].is_met is True
    assert (ours.stops, peer.stops) == (1, 1)


def test_a_missing_peer_is_named_and_the_rest_is_measured(shop: Workshop) -> None:
    ours, peer = Scripted("ours", [10]), Scripted("peer", [], missing="no libpeer (Debian: libpeer-dev)")
    goal = Goal("work", "ours", ("peer",), at_least=4)
    outcome = InterleavedBenchmark("b", "t", [ours, peer], [goal]).run(shop, 1, EFFORT, silent)
    assert outcome.skipped == ["peer: no libpeer (Debian: libpeer-dev)"]
    assert outcome.failed == []
    assert outcome.comparisons == [Comparison(goal, 10, None, None)]
    assert outcome.comparisons[0].is_met is None
    assert "skipped peer: no libpeer" in outcome_text(outcome)


def test_a_contender_that_breaks_leaves_the_run_and_fails_it(shop: Workshop) -> None:
    broken, steady = Scripted("broken", [1, None]), Scripted("steady", [5, 6, 7])
    outcome = InterleavedBenchmark("b", "t", [broken, steady], []).run(shop, 3, EFFORT, silent)
    assert outcome.failed == ["broken: lost a frame"]
    assert outcome.figures["steady"] == Summary(5, 6, 7)
    assert outcome.figures["broken"] == Summary(1, 1, 1)


def test_contenders_are_stopped_when_a_start_raises(shop: Workshop) -> None:
    class Exploding(Scripted):
        def start(self, shop: Workshop) -> None:
            raise OSError("out of sockets")

    first, second = Scripted("first", []), Exploding("second", [])
    with pytest.raises(OSError, match="out of sockets"):
        InterleavedBenchmark("b", "t", [first, second], []).run(shop, 1, EFFORT, silent)
    assert (first.stops, second.stops) == (1, 1)


def ratio_goal(at_least: float | None) -> Goal:
    """A goal that names two peers."""
    return Goal("w", "o", ("p", "q"), at_least=at_least)


@pytest.mark.parametrize(
    ("goal", "measured", "best", "is_met", "text"),
    [
        (ratio_goal(2), {"o": 10.0, "p": 30.0, "q": 20.0}, "q", True, ">= 2x"),
        (ratio_goal(2), {"o": 10.1, "p": 30.0, "q": 20.0}, "q", False, ">= 2x"),
        (ratio_goal(2), {"o": 10.1, "p": 30.0}, "p", True, ">= 2x"),
        (ratio_goal(1 / 1.5), {"o": 28.0, "p": 19.0}, "p", True, "<= 1.5x its time"),
        (ratio_goal(1 / 1.5), {"o": 29.0, "p": 19.0}, "p", False, "<= 1.5x its time"),
        (Goal("w", "o", ("p",), at_most=3), {"o": 2.5}, None, True, "<= 3 ns"),
        (Goal("w", "o", ("p",), at_most=3), {"o": 3.5, "p": 100.0}, "p", False, "<= 3 ns"),
        (Goal("w", "o", at_most=256, unit="B"), {"o": 256.0}, None, True, "<= 256 B"),
        (Goal("w", "o", ("p",), at_least=0.5, unit="B"), {"o": 3.0, "p": 1.0}, "p", False, "<= 2x its size"),
        (ratio_goal(None), {"o": 1.0, "p": 2.0}, "p", None, "-"),
    ],
)
def test_goals(
    goal: Goal, measured: dict[str, float], best: str | None, is_met: bool | None, text: str
) -> None:
    row = compare(goal, {name: Summary.of([value]) for name, value in measured.items()})
    assert (row.peer, row.is_met, str(goal)) == (best, is_met, text)


def test_ours_missing_shows_the_peer_and_no_ratio() -> None:
    row = compare(Goal("w", "o", ("p",), at_least=2), {"p": Summary.of([7.0])})
    assert comparison_cells(row) == ("w", "o", "-", "p", "7.00", "-", ">= 2x", "-")
    assert comparison_facts(row)["met"] is None


def test_figures_with_a_payload_show_their_rate_and_others_their_unit() -> None:
    outcome = Outcome("b", "t", {"a": Summary(90, 100, 200), "b": Summary(1, 2, 3)}, payloads={"a": 1460})
    lines = outcome_text(outcome).splitlines()
    assert lines[2].split() == ["figure", "least", "ns", "median", "ns", "most", "ns", "Gbit/s"]
    assert [line.split()[-1] for line in lines[4:]] == ["116.8", "-"]
    outcome.rate = "GB/s"
    lines = outcome_text(outcome).splitlines()
    assert [line.split()[-1] for line in lines[2:]] == ["GB/s", lines[3].split()[-1], "14.6", "-"]
    outcome = Outcome("b", "t", {"a": Summary(90, 100, 200)}, [compare(Goal("w", "a"), {})], unit="B")
    assert [line.split().count("B") for line in outcome_text(outcome).splitlines()[2::4]] == [2, 3]


def test_table_columns_are_as_wide_as_their_widest_cell() -> None:
    text = table_text([("a", "1"), ("long", "1234")], ("h", "ns"), frozenset({1}))
    assert text.splitlines() == ["h       ns", "----  ----", "a        1", "long  1234"]


def test_json_holds_figures_goals_and_reasons(tmp_path: Path) -> None:
    goal = Goal("w", "o", ("p",), at_least=2)
    outcome = Outcome("b", "t", {"o": Summary(1, 2, 3)}, [Comparison(goal, 2, "p", 8)], ["q: none"], [])
    write_json(tmp_path / "o.json", {"cpu": "x"}, {"rounds": 1}, [outcome])
    document = json.loads((tmp_path / "o.json").read_text())
    (benchmark,) = document["benchmarks"]
    assert benchmark["figures"] == {"o": {"min": 1, "median": 2, "max": 3}}
    assert benchmark["comparisons"][0] | {"ratio": 4, "met": True} == benchmark["comparisons"][0]
    assert benchmark["skipped"] == ["q: none"]


PROGRAM = r"""
#include "round.h"
int main(void)
{
    double effort;
    struct round_figure figure[] = {{"half", 0.5}, {"effort", 0}};
    round_ready();
    while (round_await(&effort)) {
        figure[1].ns = effort > 2 ? -1 : effort;
        if (!round_print(figure, 2))
            return 1;
    }
    return 0;
}
"""


@pytest.fixture
def program(tmp_path: Path, shop: Workshop) -> ProgramContender:
    """A program that answers with the effort it was asked for and breaks off above 2."""
    if not shop.can_compile():
        pytest.skip("needs a C compiler")
    (tmp_path / "echo.c").write_text(PROGRAM)
    return ProgramContender("echo", [tmp_path / "echo.c"], flags=[f"-I{HERE}"])


def test_a_program_answers_each_round(program: ProgramContender, shop: Workshop) -> None:
    program.start(shop)
    try:
        assert program.round(0.25) == {"half": 0.5, "effort": 0.25}
        assert program.round(2) == {"half": 0.5, "effort": 2}
        with pytest.raises(RoundError, match="effort: the frames sent and the frames received differ"):
            program.round(3)
    finally:
        program.stop()


def test_a_program_that_does_not_start_says_why(tmp_path: Path, shop: Workshop) -> None:
    if not shop.can_compile():
        pytest.skip("needs a C compiler")
    (tmp_path / "dumb.c").write_text(
        '#include <stdio.h>\nint main(void) { fputs("no huge pages\\n", stderr); return 1; }\n'
    )
    contender = ProgramContender("dumb", [tmp_path / "dumb.c"])
    with pytest.raises(MissingError, match="no huge pages"):
        contender.start(shop)
    contender.stop()


def test_an_absent_package_is_named(tmp_path: Path, shop: Workshop) -> None:
    if not shop.can_compile():
        pytest.skip("needs a C compiler")
    (tmp_path / "a.c").write_text("int main(void) { return 0; }\n")
    contender = ProgramContender("a", [tmp_path / "a.c"], package="lib-no-such", debian="no-such-dev")
    with pytest.raises(MissingError, match=r"no lib-no-such \(Debian: no-such-dev"):
        contender.start(shop)


def test_a_source_that_does_not_compile_fails_the_run(tmp_path: Path, shop: Workshop) -> None:
    if not shop.can_compile():
        pytest.skip("needs a C compiler")
    (tmp_path / "bad.c").write_text("int main(void) { return missing; }\n")
    with pytest.raises(BuildError, match="missing"):
        shop.program("bad", [tmp_path / "bad.c"])
    outcome = InterleavedBenchmark("b", "t", [ProgramContender("bad", [tmp_path / "bad.c"])], []).run(
        shop, 1, EFFORT, silent
    )
    assert "bad does not build" in outcome.failed[0]


def test_a_kernel_program_brings_its_own_comparisons(tmp_path: Path, shop: Workshop) -> None:
    if not shop.can_compile():
        pytest.skip("needs a C compiler")
    lines = [
        {"name": "bulk", "ours_ns": 1.0, "peer": "theirs", "peer_ns": 3.0, "ratio": 3.0},
        {"name": "alone", "ours_ns": 2.0},
        {"name": "wide", "skipped": "needs AVX-512"},
    ]
    text = "".join(f"puts({json.dumps(json.dumps(line))});" for line in lines)
    (tmp_path / "k.c").write_text(
        f'#include <stdio.h>\nint main(void) {{ puts("warm");{text} return kernel(); }}\n'
    )
    (tmp_path / "kernel.c").write_text("int kernel(void);\nint kernel(void) { return ANSWER; }\n")
    benchmark = KernelBenchmark(
        "k",
        "t",
        tmp_path / "k.c",
        {("bulk", "theirs"): 2.2},
        [tmp_path / "kernel.c"],
        ["-DANSWER=0", "-Dkernel=kernel_of_ours", "-Wno-implicit-function-declaration"],
        package="lib-no-such",
        debian="no-such-dev",
    )
    outcome = benchmark.run(shop, 1, EFFORT, silent)
    (bulk,) = outcome.comparisons
    assert (bulk.ratio, bulk.is_met, bulk.peer) == (3.0, True, "theirs")
    assert outcome.figures["alone"].median == 2.0
    assert outcome.skipped == [
        "peers of k: no lib-no-such (Debian: no-such-dev, pkg-config)",
        "wide: needs AVX-512",
    ]
    assert not outcome.failed


def test_names_are_unique_and_goals_name_a_work() -> None:
    benchmarks = all_benchmarks()
    assert len({b.name for b in benchmarks}) == len(benchmarks)


@pytest.mark.parametrize("arguments", [["--only", "nothing"], ["--rounds", "0"]])
def test_wrong_arguments_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "error" in capsys.readouterr().err
