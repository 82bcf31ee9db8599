"""Campaigns: shards on workers, findings once a cause, the same for the same seed, kept and run again."""

from __future__ import annotations

import itertools
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import replace
from pathlib import Path

import pytest

from vnic.cli import main
from vnic.commands.fuzz import ProgressLine
from vnic.errors import ArgumentError
from vnic.fuzz.campaign import Campaign, Order, Tally
from vnic.fuzz.executors import Workers, dask_workers, local_workers
from vnic.fuzz.finding import Failure, Finding, failure_of_report
from vnic.fuzz.keep import keep
from vnic.fuzz.process import run_shard
from vnic.fuzz.repro import assert_holds, reproduce
from vnic.fuzz.scene import Act
from vnic.fuzz.script import Script
from vnic.fuzz.shard import ShardPlan, ShardResult, work
from vnic.fuzz.trial import run_script

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
UNRULY = HERE / "unruly_drivers.py"
RESET = Script("driver", (Act("initialize", {}), Act("restart", {}), Act("reset", {})))


class Inline(Executor):
    """Runs what is submitted at once, in this process."""

    def submit(self, fn: Callable[..., object], /, *args: object, **kwargs: object) -> Future:  # type: ignore[type-arg]
        future: Future[object] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


def unruly(name: str) -> Script:
    """A reset of a driver that must not have one."""
    return Script("driver", RESET.acts, {"driver": f"{UNRULY}:{name}"})


def build_library(folder: Path, source: str) -> Path:
    """A driver under test, compiled as its tutorial says."""
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    folder.mkdir()
    (folder / "driver.c").write_text(source, encoding="utf-8")
    library = folder / "driver.so"
    includes = [f"-I{ROOT / 'csrc' / 'include'}", f"-I{ROOT / 'vnic' / 'examples'}"]
    command = ["cc", "-std=c11", "-shared", "-fPIC", *includes, str(folder / "driver.c"), "-o", str(library)]
    subprocess.run(command, check=True, timeout=60)
    return library


def alone(script: Script, limit_s: float = 20.0) -> ShardResult:
    """Run in a process of its own."""
    plan = ShardPlan(script.target, 0, 0, limit_s=limit_s, script=script.to_text())
    return run_shard(plan)


def campaign(order: Order, run: Callable[[ShardPlan], ShardResult] = work) -> Tally:
    """In this process."""
    return Campaign(order, Workers(Inline(), run, 2)).run()


@pytest.mark.requirement("FUZ-54", "FUZ-70")
def test_a_driver_that_raises_or_spins_is_a_finding() -> None:
    raised = run_script(unruly("Raises")).failure
    assert raised is not None and raised.key.startswith("ZeroDivisionError unruly_drivers.py:reset_ex")
    spun = run_script(unruly("Spins"), limit_s=0.2).failure
    assert spun is not None and spun.key.startswith("Overrun unruly_drivers.py:reset_ex")


@pytest.mark.requirement("FUZ-54")
def test_a_loop_that_cannot_be_interrupted_is_killed(children: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vnic.fuzz.process._GRACE_S", 0.5)
    (found,) = alone(unruly("Sleeps"), limit_s=0.3).findings
    assert found.failure.key == "hang driver reset"


@pytest.mark.requirement("FUZ-71")
def test_reports_of_sanitizers_are_told_apart_by_their_frames() -> None:
    report = (
        "==7==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x602 at pc 0x4\n"
        "    #0 0x55d in ring_fetch csrc/nic/ring.c:40\n    #1 0x55e in vnic_step csrc/nic/run.c:12\n"
    )
    failure = failure_of_report(1, report)
    assert failure.key == "crash heap-buffer-overflow ring_fetch < vnic_step"
    assert failure.key == failure_of_report(1, report.replace("0x55d", "0x99d")).key
    assert failure.key != failure_of_report(1, report.replace("ring_fetch", "ring_post")).key
    assert failure_of_report(-signal.SIGSEGV, "").key == "crash signal 11"


def gist(tally: Tally) -> list[tuple[str, str, int, int]]:
    """What makes the findings what they are."""
    found = tally.in_order()
    return [(each.failure.key, each.script.to_text(), each.shard, each.count) for each in found]


@pytest.mark.requirement("FUZ-72")
def test_the_same_seed_finds_the_same() -> None:
    options = {"driver": f"{UNRULY}:Raises", "seed": 0}
    order = Order("driver", seed=4, shards=2, options=options, executions=4, shrinks=False)
    first, second = campaign(order), campaign(order)
    assert (first.executions, first.acts) == (second.executions, second.acts)
    assert first.reached == second.reached
    assert first.findings and gist(first) == gist(second)
    other = campaign(replace(order, seed=5))
    assert other.reached != first.reached


@pytest.mark.requirement("FUZ-71", "FUZ-72")
def test_findings_are_merged_by_cause_whoever_comes_first() -> None:
    def found(shard: int, *keys: str) -> ShardResult:
        findings = [Finding(Failure(key, key, ""), RESET, 0, shard, 2) for key in keys]
        return ShardResult(shard, 10, 100, 1.0, True, {f"{shard}"}, findings)

    results = (found(2, "a", "c"), found(0, "b", "a"), found(1, "c", "a"))
    for order in itertools.permutations(results):
        tally = Tally()
        for result in order:
            tally.add(result)
        listed = [(each.failure.key, each.shard, each.count) for each in tally.in_order()]
        assert listed == [("b", 0, 2), ("a", 0, 6), ("c", 1, 4)]
        assert (tally.executions, tally.reached) == (30, {"0", "1", "2"})


@pytest.mark.requirement("FUZ-73")
def test_time_ends_a_campaign() -> None:
    def slow(plan: ShardPlan) -> ShardResult:
        time.sleep(0.05)
        return ShardResult(plan.shard, 1)

    tally = campaign(Order("card", seconds=0.2), slow)
    assert 2 <= tally.executions <= 8
    assert work(ShardPlan("trace", 1, 0, executions=100_000, seconds=0.05)).is_whole is False


@pytest.mark.requirement("FUZ-73")
def test_ctrl_c_gives_what_there_is() -> None:
    stopped = threading.Event()

    def interrupted(plan: ShardPlan) -> ShardResult:
        if plan.shard == 3:
            raise KeyboardInterrupt
        return ShardResult(plan.shard, 1)

    tally = Campaign(Order("card", seconds=60), Workers(Inline(), interrupted, 1, stopped.set)).run()
    assert tally.is_interrupted and tally.executions == 3 and stopped.is_set()


@pytest.mark.requirement("FUZ-74")
def test_a_finding_is_kept_as_script_trace_and_test(tmp_path: Path) -> None:
    script = unruly("Raises")
    finding = Finding(Failure("key of it", 'a "title"\\', "text"), script, 1, 2)
    (kept,) = keep(tmp_path / "kept", [finding])
    assert kept.trace.read_bytes()[:4] == bytes.fromhex("0a0d0d0a")
    assert "driver_key_of_it" in (tmp_path / "kept" / "findings.txt").read_text(encoding="utf-8")
    source = kept.test.read_text(encoding="utf-8")
    names: dict[str, object] = {}
    exec(compile(source, str(kept.test), "exec"), names)
    (test,) = [value for name, value in names.items() if name.startswith("test_")]
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        test()  # type: ignore[operator]
    keep(tmp_path / "kept", [finding])
    assert len((tmp_path / "kept" / "findings.txt").read_text(encoding="utf-8").splitlines()) == 1
    assert_holds(RESET.to_text())


@pytest.mark.requirement("FUZ-75")
def test_repro_says_whether_it_still_fails(
    children: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, good, trace = tmp_path / "bad.json", tmp_path / "good.json", tmp_path / "run.pcapng"
    bad.write_text(unruly("Dies").to_text(), encoding="utf-8")
    good.write_text(RESET.to_text(), encoding="utf-8")
    assert main(["fuzz", "repro", str(bad), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["fails"] is True
    assert main(["fuzz", "repro", str(good)]) == 0
    assert "does not fail" in capsys.readouterr().out
    finding = Finding(Failure("k", "t", ""), RESET, 0, 0)
    trace.write_bytes(keep(tmp_path, [finding])[0].trace.read_bytes())
    assert reproduce(trace) is None
    for wrong in (tmp_path / "none.json", tmp_path / "none.pcapng", tmp_path / "none.ops"):
        with pytest.raises(ArgumentError):
            reproduce(wrong)


@pytest.mark.requirement("FUZ-76")
def test_the_command(
    children: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_in = str(tmp_path / "kept")
    words = ["fuzz", "trace", "--shards", "1", "--executions", "5", "--keep", keep_in]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["target"], found["executions"], found["findings"]) == ("trace", 5, [])
    assert not (tmp_path / "kept").exists()
    monkeypatch.setattr("vnic.fuzz.executors.run_shard", lambda plan, stop: work(plan))
    driver = f"{UNRULY}:Raises"
    words = ["fuzz", "driver", "--driver", driver, "--shards", "1", "--executions", "6", "--keep", keep_in]
    assert main(words) == 1
    table = capsys.readouterr().out
    assert "ZeroDivisionError" in table and "vnic fuzz repro" in table


@pytest.mark.requirement("FUZ-76")
@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "--list"),
        (["nothing"], "there are card, copy"),
        (["repro"], "repro of what"),
        (["card", "x.json"], "goes with `repro`"),
        (["card", "--driver", "x.py:Y"], "--driver is of driver, chimney-driver, machine"),
        (["driver", "--driver", "/none.py:Y"], "no such file"),
        (["card", "--executor", "smoke"], "local, or dask ADDRESS"),
        (["card", "--executor", "dask"], "local, or dask ADDRESS"),
        (["card", "--jobs", "100000"], "at most"),
    ],
)
def test_wrong_calls_are_told(words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fuzz", *words]) == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.requirement("FUZ-76")
def test_the_list_names_every_target(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fuzz", "--list"]) == 0
    plain = capsys.readouterr().out
    assert main(["fuzz", "--list", "--json"]) == 0
    targets = json.loads(capsys.readouterr().out)
    assert [line.split()[0] for line in plain.splitlines()] == list(targets)


@pytest.mark.requirement("FUZ-54", "FUZ-70")
def test_a_process_that_dies_is_a_finding(children: None) -> None:
    order = Order("driver", 1, shards=2, options={"driver": f"{UNRULY}:Dies"}, executions=4, shrinks=False)
    with local_workers(2) as workers:
        tally = Campaign(order, workers).run()
    assert tally.shards == 2
    (found,) = tally.in_order()
    assert found.failure.key.startswith("crash") and "reset_ex" in found.failure.key


@pytest.mark.requirement("FUZ-50", "FUZ-54", "FUZ-70")
def test_a_driver_in_c_is_fuzzed_by_its_library(children: None, tmp_path: Path) -> None:
    """The example, and the same with a null pointer where it starts its rings again."""
    source = (ROOT / "vnic" / "examples" / "minimal.c").read_text(encoding="utf-8")
    library = build_library(tmp_path / "sound", source)
    acts = (*RESET.acts, Act("send", {"number": 3, "count": 1, "pieces": 0}))
    assert not alone(Script("driver", acts, {"driver": str(library)})).findings
    start = "    memset(m->mem->cq, 0,"
    assert source.count(start) == 1
    broken = source.replace(start, f"    if (m->owner[1]) {{ *(volatile int *)0 = 0; }}\n{start}")
    library = build_library(tmp_path / "broken", broken)
    (found,) = alone(Script("driver", acts, {"driver": str(library)})).findings
    assert found.failure.key.startswith("crash Segmentation fault"), found.failure.key
    assert found.script.acts == RESET.acts


@pytest.mark.requirement("FUZ-77")
def test_dask_runs_the_same_shards(children: None) -> None:
    distributed = pytest.importorskip("distributed", reason="needs distributed")
    order = Order("trace", seed=9, shards=3, executions=4)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        dask_workers(cluster.scheduler_address, 0) as workers,
    ):
        assert workers.count == 2
        tally = Campaign(order, workers).run()
    assert (tally.shards, tally.executions) == (3, 12)
    assert tally.reached == campaign(order).reached


@pytest.mark.requirement("FUZ-77")
def test_without_the_extra_dask_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ArgumentError, match=r"vnic\[dist\]"), dask_workers("tcp://127.0.0.1:1", 1):
        pass


def test_a_terminal_gets_one_line_that_is_written_over(capsys: pytest.CaptureFixture[str]) -> None:
    line = ProgressLine("card", is_shown=True)
    line.show(Tally(executions=1000, seconds=2.0))
    line.clear()
    shown = capsys.readouterr().err
    assert "card: 0 s, 1,000 executions, 500/s" in shown and shown.endswith("\r\033[K") and "\n" not in shown
    ProgressLine("card", is_shown=False).show(Tally())
    assert capsys.readouterr().err == ""
