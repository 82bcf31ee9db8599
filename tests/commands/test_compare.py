"""What `vnic run --chimney --compare` makes of its figures: medians, the live table, a picture."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from vnic.abi import OffloadEvent
from vnic.cli import main
from vnic.commands import live
from vnic.commands.live import Live, live_figures
from vnic.commands.plot import check_plot, plot_bars
from vnic.commands.spared import compare_rows, per_mib, typical_costs
from vnic.errors import ArgumentError
from vnic.protocol.chimney_options import ChimneyOptions
from vnic.stack.config import StackConfig
from vnic.stack.stack import Stack
from vnic.stack.stopwatch import Stopwatch
from vnic.testbench.traffic import Costs, Traffic, TrafficPlan

COSTS = Costs(
    moved=2 << 20,
    interrupts=10,
    touched=4096,
    stack_ns=8_000,
    total_ns=2_008_000,
    offloaded_bytes=1 << 20,
    moved_by_netdma=6 << 10,
)
PLAN = TrafficPlan(connections=2, total_bytes=1 << 18)


def test_one_disturbed_round_changes_nothing() -> None:
    disturbed = replace(COSTS, stack_ns=900_000, total_ns=90_000_000)
    slower = replace(COSTS, stack_ns=9_000, total_ns=2_010_000)
    assert typical_costs([disturbed, COSTS, slower]) == replace(COSTS, total_ns=2_010_000)


def test_what_is_counted_is_divided_by_the_mib_moved() -> None:
    figures = per_mib({"a": COSTS, "b": Costs()})
    assert figures["interrupts"] == [5.0, 0.0]
    assert figures["KiB copied"][0] == 2.0
    assert figures["KiB moved by NetDMA"] == [3.0, 0.0]
    assert figures["C stack, us"][0] == 4.0
    assert figures["simulation, ms"][0] == 1.0
    assert compare_rows({"a": COSTS, "b": Costs()})[-1] == ("moved through the chimney", "50%", "0%")


def test_polls_that_find_nothing_and_time_that_stands_still_do_not_count() -> None:
    with Stack(StackConfig(seed=1)) as stack, Stopwatch(stack) as watch:
        stack.advance(1000)
        assert watch.calls == 1
        for _ in range(10):
            stack.advance(1000)
            assert stack.dispatch() == 0
            stack.next_deadline_ns()
        assert watch.calls == 1
        stack.advance(2000)
        stack.listen(("0.0.0.0", 80))
        assert watch.calls == 3
        with Stack(StackConfig(seed=2)) as other:
            other.advance(5000)
        assert watch.calls == 3


def test_a_host_whose_connections_never_leave_asks_for_no_news(monkeypatch: pytest.MonkeyPatch) -> None:
    with Traffic(PLAN, ChimneyOptions(), None) as traffic:
        asked: list[int] = []
        news = traffic.host.chimney._offload.news

        def ask() -> list[tuple[int, OffloadEvent]]:
            asked.append(1)
            return news()

        monkeypatch.setattr(traffic.host.chimney._offload, "news", ask)
        traffic._open()
        traffic.network.run_for(1000)
        assert not asked
        assert traffic.host.chimney.offload(traffic.host.stack.connections[0])
        traffic.network.run_for(1000)
        assert asked


# ---- while it lasts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_rich", [False, True])
def test_figures_are_shown_while_it_runs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, has_rich: bool
) -> None:
    if has_rich:
        pytest.importorskip("rich")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(live, "_SHOW_EVERY_S", 0.0)
    monkeypatch.setattr(live, "is_rich", lambda stream: has_rich)
    shown = Live(quiet=False)
    shown.begin("storage, both")
    with Traffic(PLAN, ChimneyOptions(), shown.show) as traffic:
        traffic.run()
        figures = live_figures(traffic)
        shown._draw(figures) if has_rich else shown.show(traffic)
    shown.close()
    assert {"moved", "retransmitted by the host", "interrupts", "DPCs"} <= set(figures)
    assert figures["interrupts"] != 0
    err = capsys.readouterr().err
    assert ("storage, both" in err or has_rich) and "Traceback" not in err


# ---- a picture ---------------------------------------------------------------------------------------------


def test_a_picture_needs_matplotlib(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ArgumentError, match=r"pip install 'vnic\[plot\]'"):
        check_plot(tmp_path / "x.png")


@pytest.mark.parametrize(
    ("name", "complaint"), [("x.gif", "--plot makes"), ("none/x.svg", "is no directory")]
)
def test_a_picture_that_cannot_be(tmp_path: Path, name: str, complaint: str) -> None:
    with pytest.raises(ArgumentError, match=complaint):
        check_plot(tmp_path / name)


def test_plot_and_rounds_go_with_compare(capsys: pytest.CaptureFixture[str]) -> None:
    for option in (("--plot", "x.png"), ("--rounds", "2")):
        assert main(["run", "--chimney", *option]) == 2
        assert "go with --compare" in capsys.readouterr().err


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="needs matplotlib")
@pytest.mark.parametrize(("name", "magic"), [("x.png", b"\x89PNG"), ("x.svg", b"<?xml")])
def test_a_picture_is_drawn(tmp_path: Path, name: str, magic: bytes) -> None:
    check_plot(tmp_path / name)
    plot_bars(tmp_path / name, "storage", ["nothing", "both"], per_mib({"nothing": COSTS, "both": COSTS}))
    assert (tmp_path / name).read_bytes().startswith(magic)
