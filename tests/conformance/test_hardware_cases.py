"""Cases of the card and the copy engine: they run twice, and their frames are of every kind."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from vnic.conformance import case as cases
from vnic.conformance.card_drive import WAYS, arrive
from vnic.conformance.case import Case, card_case, engine_case
from vnic.conformance.shapes import shapes, trains
from vnic.copy_engine import CopyEngine
from vnic.testbench.engine_rig import EngineRig
from vnic.testbench.frames import plain_frame
from vnic.testbench.rig import Rig
from vnic.wire.parse import L3, L4, Frame, Mark


def test_shapes_are_of_every_kind_and_each_another() -> None:
    found = shapes()
    assert len(set(found.values())) == len(found) >= 50
    parsed = [Frame.parse(frame) for frame in found.values()]
    assert {each.l3 for each in parsed} == set(L3)
    assert {each.l4 for each in parsed} == set(L4)
    marks = Mark.NONE
    for each in parsed:
        marks |= each.marks
    assert set(Mark) - {Mark.NONE} <= set(marks)
    assert any(each.home_address for each in parsed)
    assert any(each.routing_address for each in parsed)


def test_frames_of_a_train_differ_in_their_numbers_only() -> None:
    for train in trains():
        parsed = [Frame.parse(frame) for frame in train]
        assert len(set(train)) == len(train) > 16
        assert len({(each.l3, each.l4, len(each.data), each.marks) for each in parsed}) == 1


def test_frames_arrive_in_either_way() -> None:
    with Rig() as rig:
        for run in WAYS:
            sent = [plain_frame(100, number) for number in range(8)]
            assert [each.data for each in arrive(rig, sent, run)] == sent
        assert not rig.device.is_manual


def _declared(
    monkeypatch: pytest.MonkeyPatch,
    declare: Callable[[str, str], Callable[[Callable[..., None]], object]],
    run: Callable[..., None],
) -> Case:
    """A case that no suite has."""
    monkeypatch.setattr(cases, "CASES", {})
    run.__module__, run.__name__, run.__doc__ = "x.toys", "toy", "Does something."
    declare("spec/rings.md#RING-1", "a rule of this test alone")(run)
    return cases.CASES["toys.toy"]


@pytest.mark.requirement("CONF-31")
def test_a_case_of_the_card_runs_again_where_each_transfer_is_watched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Rig] = []

    def run(rig: Rig) -> None:
        seen.append(rig)
        assert rig.receive(plain_frame(100))
        assert len(seen) < 2 or rig is seen[0], "this is another card"

    found = _declared(monkeypatch, card_case, run)
    with Rig() as rig, pytest.raises(AssertionError, match="where each transfer is watched: this is another"):
        found.run(rig)
    assert len(seen) == 2


@pytest.mark.requirement("CONF-31")
def test_a_case_of_the_engine_runs_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[EngineRig] = []

    def run(rig: EngineRig) -> None:
        seen.append(rig)

    found = _declared(monkeypatch, engine_case, run)
    with CopyEngine() as engine:
        found.run(EngineRig(engine))
    assert len({id(rig.engine) for rig in seen}) == 2
