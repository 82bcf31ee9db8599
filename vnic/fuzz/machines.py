"""Scenes as Hypothesis state machines: each act a rule, its choices strategies, `check` the invariant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.strategies import SearchStrategy

from vnic.fuzz.scene import Act, ActKind, Scene
from vnic.fuzz.target import target_of

__all__ = ["acts_of", "machine_of", "scripts_of"]


def machine_of(name: str, **options: Any) -> type[RuleBasedStateMachine]:
    """The machine of a target; `options` of its scene, strategies among them are drawn for each run."""
    target = target_of(name)
    members: dict[str, Any] = {
        "begin": _begin(target.make, options),
        "holds": _holds(),
        "teardown": _teardown,
    }
    for kind in target.scene.ACTS.values():
        if kind.weight:
            members[kind.name] = _rule(kind)
    return type(f"{target.scene.__name__}Machine", (SceneMachine,), members)


class SceneMachine(RuleBasedStateMachine):
    """`scene` is there from the first rule on; a failure leaves it as it is."""

    scene: Scene | None = None
    has_failed = False

    def perform(self, act: Act) -> None:
        """An act; what it reaches shows in Hypothesis's statistics."""
        assert self.scene is not None
        try:
            self.scene.perform(act)
        except BaseException:
            self.has_failed = True
            raise


def _begin(make: Callable[[Mapping[str, Any]], Scene], options: Mapping[str, Any]) -> Any:
    drawn = {
        key: value if isinstance(value, SearchStrategy) else st.just(value) for key, value in options.items()
    }

    def begin(self: SceneMachine, options: dict[str, Any]) -> None:
        self.scene = make(options)

    return initialize(options=st.fixed_dictionaries(drawn))(begin)


def _rule(kind: ActKind) -> Any:
    def run(self: SceneMachine, **arguments: Any) -> None:
        self.perform(Act(kind.name, arguments))

    run.__name__ = kind.name
    strategies = {name: choice.strategy() for name, choice in kind.choices.items()}
    declare: Any = rule  # its overloads think of arguments that are called target
    made = declare(**strategies)(run)
    return precondition(lambda self: self.scene is not None and kind.when(self.scene))(made)


def _holds() -> Any:
    def holds(self: SceneMachine) -> None:
        if self.scene is not None and not self.has_failed:
            self.scene.check()

    return invariant()(holds)


def _teardown(self: SceneMachine) -> None:
    """The end of a run that went well is part of it."""
    if self.scene is None:
        return
    try:
        if not self.has_failed:
            self.scene.finish()
            for what in sorted(self.scene.reached)[:64]:
                event(what)
    finally:
        self.scene.abandon()


@st.composite
def acts_of(draw: st.DrawFn, scene: type[Scene]) -> Act:
    """Any act of a scene, legal or not when its turn comes."""
    kinds = [kind for kind in scene.ACTS.values() if kind.weight]
    kind = draw(st.sampled_from(kinds))
    return Act(kind.name, {name: draw(choice.strategy()) for name, choice in kind.choices.items()})


def scripts_of(scene: type[Scene], most: int = 40) -> SearchStrategy[list[Act]]:
    """Lists of acts: what is not legal when its turn comes is passed over."""
    return st.lists(acts_of(scene), max_size=most)
