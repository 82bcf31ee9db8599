"""Scenes of every target: a sample of random scripts, scripts that once failed, and bugs that are planted."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.fuzzing import planted_drivers
from vnic.abi import OpCode
from vnic.fuzz.card_scene import script_of
from vnic.fuzz.effort import EFFORT
from vnic.fuzz.finding import Finding
from vnic.fuzz.oplang import Flag, Program, Step, decode, encode
from vnic.fuzz.script import Script, read_script
from vnic.fuzz.shard import ShardPlan, work
from vnic.fuzz.trial import run_script
from vnic.gen.registers import BAR0

HERE = Path(__file__).resolve().parent
FOUND = sorted((HERE / "found").glob("*.json"))
PLANTED = sorted((HERE / "planted").glob("*.json"))
#: Executions in the default run: what takes about a third of a second.
SAMPLES = {
    **{"card": 8, "copy": 12, "driver": 6, "machine": 2, "chimney": 1, "netdma": 3, "trace": 12},
    **{"chimney-driver": 4, "netdma-driver": 10},
}


def told(findings: list[Finding]) -> str:
    """What was found, with the script that shows it."""
    return "\n".join(f"{each.failure.text}\n{each.script.to_text()}" for each in findings)


@pytest.mark.requirement("FUZ-40", "FUZ-42", "FUZ-43")
@pytest.mark.requirement("FUZ-50", "FUZ-53", "FUZ-60", "FUZ-61", "FUZ-62", "FUZ-63")
@pytest.mark.parametrize("target", SAMPLES)
def test_random_scripts_find_nothing(target: str) -> None:
    executions = max(int(SAMPLES[target] * EFFORT), 1)
    result = work(ShardPlan(target, seed=11, shard=0, executions=executions))
    assert not result.findings, told(result.findings)
    assert result.executions == executions and result.reached


@pytest.mark.requirement("FUZ-57")
@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
def test_what_was_found_once_holds(path: Path) -> None:
    failure = run_script(read_script(path)).failure
    assert failure is None, failure.text


@pytest.mark.requirement("FUZ-58")
@pytest.mark.parametrize("path", PLANTED, ids=lambda path: path.stem)
def test_planted_bugs_fail_as_they_did_and_only_they(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = read_script(path)
    assert run_script(script).failure is None
    planted_drivers.BY_NAME[path.stem](monkeypatch.setattr)
    failure = run_script(script).failure
    assert failure is not None
    assert failure.key == json.loads(path.read_text(encoding="utf-8"))["key"]


@pytest.mark.requirement("FUZ-58")
def test_there_is_a_script_for_each_planted_bug() -> None:
    assert {path.stem for path in PLANTED} == planted_drivers.BY_NAME.keys()
    targets = [read_script(path).target for path in PLANTED]
    assert Counter(targets) == {"driver": 5, "chimney-driver": 5, "machine": 5}


@pytest.mark.requirement("FUZ-58")
@pytest.mark.parametrize("name", planted_drivers.BY_NAME if EFFORT > 1 else ["turns_batches_around"])
def test_a_planted_bug_is_found_from_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them where there is time; what the search took, `pytest -s` shows."""
    planted_drivers.BY_NAME[name](monkeypatch.setattr)
    target = read_script(HERE / "planted" / f"{name}.json").target
    started, executions = time.monotonic(), 0
    for shard in range(200):
        result = work(ShardPlan(target, seed=5, shard=shard, executions=5, shrinks=EFFORT > 1))
        executions += result.executions
        if result.findings:
            acts, key = result.findings[0].script.acts, result.findings[0].failure.key
            took = time.monotonic() - started
            print(f"{name}: {executions} executions, {took:.1f} s, {len(acts)} acts, {key}")
            return
    pytest.fail(f"not found in {executions} executions")


def test_a_script_does_the_same_each_time() -> None:
    plan = ShardPlan("driver", seed=3, shard=1, executions=3)
    first, second = work(plan), work(plan)
    assert first.reached == second.reached and first.acts == second.acts


def test_programs_of_the_operation_language_are_scripts() -> None:
    """As the C fuzzers leave them, in bytes or as text."""
    doorbell = Step(OpCode.WRITE, 0, 4, BAR0.QP_TX_TAIL.at(0), 8)
    steps = (Step(OpCode.RECEIVE, data=bytes(60)), doorbell, Step(OpCode.RUN, addr=64, value=1 << 20))
    script = script_of(decode(encode(Program(Flag.UP | Flag.WATCH, steps))))
    assert len(script.acts) == 3 and script.options["is_up"] and script.options["is_watched"]
    trial = run_script(Script.from_text(script.to_text()))
    assert trial.failure is None and len(trial.acts) == 3
