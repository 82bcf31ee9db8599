"""Scripts: as text and back, hostile ones refused, and the shortest that still fails."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.errors import ArgumentError
from vnic.fuzz.choice import Edges, OneOf, Range
from vnic.fuzz.effort import examples
from vnic.fuzz.scene import Act, ActKind, Broken, Scene, act
from vnic.fuzz.script import FORMAT, Script, read_script
from vnic.fuzz.shrink import shrink
from vnic.fuzz.target import TARGETS
from vnic.fuzz.trial import attempt, run_script


class Toy(Scene):
    """Fails when three adds of more than 10 come before an end."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0
        self.is_over = False

    @act(4, number=Range(0, 100), name=OneOf("a", "b"))
    def add(self, number: int, name: str) -> None:
        """One."""
        self.total += number > 10

    @act(1, when=lambda s: s.total > 0)
    def end(self) -> None:
        """Legal when something was added."""
        if self.total >= 3:
            raise Broken("toy", f"{self.total} came")

    def finish(self) -> None:
        """It is over."""
        self.is_over = True

    def abandon(self) -> None:
        """Nothing is held."""


def test_choices_pick_what_they_accept() -> None:
    random = Random(1)
    for choice in (Range(3, 9), OneOf("x", "y"), Edges(32), Edges(4)):
        for _ in range(200):
            assert choice.accepts(choice.pick(random))
        assert choice.accepts(choice.simplest)
    assert not Range(3, 9).accepts(10) and not Range(3, 9).accepts("3")
    assert not Edges(4).accepts(16) and not OneOf(1).accepts(2)


@pytest.mark.requirement("FUZ-55")
def test_a_script_is_text_and_back() -> None:
    acts = (Act("add", {"number": 7, "name": "a"}), Act("end", {}))
    script = Script("driver", acts, {"seed": 3, "keywords": {"*RSS": 0}})
    assert Script.from_text(script.to_text(title="for readers")) == script


@pytest.mark.requirement("FUZ-56")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"format": "vnic-fuzz/9", "target": "card", "options": {}, "acts": []}',
        '{"format": "vnic-fuzz/1", "target": 3, "options": {}, "acts": []}',
        '{"format": "vnic-fuzz/1", "target": "card", "options": [], "acts": []}',
        '{"format": "vnic-fuzz/1", "target": "card", "options": {}, "acts": [1]}',
        '{"format": "vnic-fuzz/1", "target": "card", "options": {}, "acts": [["x"]]}',
        '{"format": "vnic-fuzz/1", "target": "card", "options": {}, "acts": [["x", 3]]}',
        "[" * 100_000,
    ],
)
def test_what_is_no_script_is_refused(text: str) -> None:
    with pytest.raises(ArgumentError):
        Script.from_text(text)


@pytest.mark.requirement("FUZ-56")
@pytest.mark.parametrize(
    ("target", "options", "acts"),
    [
        ("nothing", {}, []),
        ("card", {"colour": 1}, []),
        ("driver", {"interrupt": "smoke"}, []),
        ("driver", {"driver": "/no/such/file.py:Class"}, []),
        ("card", {}, [["fly", {}]]),
        ("card", {}, [["drain", {"fast": 1}]]),
        ("card", {}, [["step", {"engine": 3.5}]]),
        ("card", {}, [["step", {"engine": 1 << 70}]]),
        ("card", {}, [["operation", {"octets": "zz"}]]),
    ],
)
def test_what_a_scene_does_not_know_is_refused(
    target: str, options: dict[str, object], acts: list[object]
) -> None:
    text = json.dumps({"format": FORMAT, "target": target, "options": options, "acts": acts})
    with pytest.raises(ArgumentError):
        run_script(Script.from_text(text))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="No such file"):
        read_script(tmp_path / "none.json")
    with pytest.raises(ArgumentError):
        read_script(tmp_path)
    (tmp_path / "noise.json").write_bytes(bytes(range(256)))
    with pytest.raises(ArgumentError, match="noise"):
        read_script(tmp_path / "noise.json")


@pytest.mark.requirement("FUZ-57")
@examples(8)
@given(
    st.lists(st.builds(lambda n: Act("add", {"number": n, "name": "b"}), st.integers(0, 100)), max_size=30),
    st.integers(0, 100),
)
def test_the_shortest_script_that_fails(acts: list[Act], last: int) -> None:
    whole = (*acts, *(Act("add", {"number": 11 + last % 90, "name": "b"}) for _ in range(3)), Act("end", {}))

    def fails(tried: tuple[Act, ...]) -> bool:
        failure = attempt(Toy, iter(tried)).failure
        return failure is not None and failure.key == "toy"

    assert fails(whole)
    found, _ = shrink(Toy.ACTS, whole, fails, 2000)
    assert found == (*(Act("add", {"number": 11, "name": "a"}),) * 3, Act("end", {}))


def test_acts_that_are_not_legal_are_passed_over() -> None:
    trial = attempt(Toy, iter([Act("end", {}), Act("end", {})]))
    assert trial.failure is None and trial.reached == frozenset()


@pytest.mark.requirement("FUZ-50")
@pytest.mark.parametrize("name", TARGETS)
def test_every_target_has_acts_with_names_and_reasons(name: str) -> None:
    kinds: list[ActKind] = list(TARGETS[name].scene.ACTS.values())
    assert len(kinds) >= 7
    for kind in kinds:
        assert kind.method.__doc__ and kind.weight >= 0
        assert all(choice.accepts(choice.simplest) for choice in kind.choices.values())
