"""Hypothesis state machines: driver, card and wire; the chimney; the NetDMA provider; the hostile card."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import Phase
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from tests.fuzzing import planted_drivers
from vnic.fuzz.effort import examples
from vnic.fuzz.machines import machine_of, scripts_of
from vnic.fuzz.script import Script
from vnic.fuzz.target import TARGETS
from vnic.fuzz.trial import run_script
from vnic.testbench.driver import REFERENCE

SEEDS = st.integers(0, 3)
#: Target, options, examples and steps of the default run.
MACHINES: list[tuple[str, dict[str, Any], int, int]] = [
    ("machine", {"seed": SEEDS}, 2, 15),
    ("chimney", {"seed": SEEDS}, 1, 10),
    ("netdma", {"seed": SEEDS, "minor": st.sampled_from((10, 11, 20, 21))}, 3, 20),
    ("driver", {"seed": SEEDS, "unbounded": st.booleans()}, 3, 20),
    ("chimney-driver", {"seed": SEEDS, "unbounded": st.booleans()}, 1, 20),
]


@pytest.mark.requirement("FUZ-60", "FUZ-61", "FUZ-62", "FUZ-64")
@pytest.mark.parametrize(
    ("target", "options", "count", "steps"), MACHINES, ids=[each[0] for each in MACHINES]
)
def test_machines_hold(target: str, options: dict[str, Any], count: int, steps: int) -> None:
    run_state_machine_as_test(
        machine_of(target, **options), settings=examples(count, stateful_step_count=steps)
    )


@pytest.mark.requirement("FUZ-64")
def test_a_machine_finds_what_is_left_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    planted_drivers.leaks_its_bounce_buffer(monkeypatch.setattr)
    machine = machine_of("machine", driver=REFERENCE, seed=0)
    with pytest.raises(Exception, match="coherent memory") as caught:
        run_state_machine_as_test(
            machine, settings=examples(1, stateful_step_count=2, phases=[Phase.generate])
        )
    assert "state.teardown()" in "\n".join(getattr(caught.value, "__notes__", []))


@pytest.mark.requirement("FUZ-64")
def test_every_act_is_a_rule() -> None:
    for name, target in TARGETS.items():
        machine = machine_of(name)
        for kind in target.scene.ACTS.values():
            assert hasattr(machine, kind.name) == bool(kind.weight)


@pytest.mark.requirement("FUZ-64")
def test_scripts_are_drawn_for_any_scene() -> None:
    from hypothesis import given  # noqa: PLC0415 - settings of this test alone

    @examples(4)
    @given(scripts_of(TARGETS["trace"].scene, most=6))
    def check(acts: list[Any]) -> None:
        assert run_script(Script("trace", tuple(acts))).failure is None

    check()
