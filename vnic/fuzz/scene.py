"""A scene: something under test, the acts that may be done to it, and what must hold after each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar, NamedTuple, TypeVar

from vnic.errors import ArgumentError
from vnic.fuzz.choice import Choice, Value

__all__ = ["Act", "ActKind", "Broken", "Options", "Overrun", "Scene", "act"]

Options = Mapping[str, Any]
Method = TypeVar("Method", bound=Callable[..., None])


class Broken(AssertionError):
    """Something did not hold. `invariant` names what, and is the same for every breach of it."""

    def __init__(self, invariant: str, message: str) -> None:
        super().__init__(f"{invariant}: {message}")
        self.invariant = invariant


class Overrun(BaseException):
    """A budget of time or accesses is used up. No driver can catch it by catching Exception."""


class Act(NamedTuple):
    """One thing done to a scene: the name of an act and its arguments."""

    name: str
    arguments: Mapping[str, Value]

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{name}={value!r}' for name, value in self.arguments.items())})"


@dataclass(frozen=True, slots=True)
class ActKind:
    """How an act is called, what its arguments may be, how often it is picked, and when it is legal."""

    method: Callable[..., None]
    choices: Mapping[str, Choice]
    weight: int
    when: Callable[[Any], bool]

    @property
    def name(self) -> str:
        """Its name."""
        return self.method.__name__

    def pick(self, random: Random) -> Act:
        """With any arguments."""
        return Act(self.name, {name: choice.pick(random) for name, choice in self.choices.items()})


def act(
    weight: int = 4, *, when: Callable[[Any], bool] = lambda scene: True, **choices: Choice
) -> Callable[[Method], Method]:
    """Declare a method of a scene as an act; where `when` does not hold of the scene, it is passed over."""

    def declare(method: Method) -> Method:
        method.act_kind = ActKind(method, choices, weight, when)  # type: ignore[attr-defined]
        return method

    return declare


class Scene(ABC):
    """Made, acted on, finished (which looks for what is left) or abandoned. `reached` names what was met.

    After an exception only abandon() may be called.
    """

    ACTS: ClassVar[Mapping[str, ActKind]] = {}

    def __init_subclass__(cls) -> None:
        """Collect the acts, in the order in which they are declared."""
        found = dict(cls.ACTS)
        for name, member in vars(cls).items():
            if hasattr(member, "act_kind"):
                found[name] = member.act_kind
        cls.ACTS = found

    def __init__(self) -> None:
        self.reached: set[str] = set()

    # -- acting ----------------------------------------------------------------------------------------------

    def choose(self, random: Random) -> Act:
        """Any act that is legal now."""
        legal = [kind for kind in self.ACTS.values() if kind.when(self)]
        (kind,) = random.choices(legal, [kind.weight for kind in legal])
        return kind.pick(random)

    @classmethod
    def knows(cls, act: Act) -> bool:
        """Whether there is such an act, with these arguments: a script may come from anywhere."""
        kind = cls.ACTS.get(act.name)
        if kind is None or kind.choices.keys() != act.arguments.keys():
            return False
        return all(choice.accepts(act.arguments[name]) for name, choice in kind.choices.items())

    def perform(self, act: Act) -> bool:
        """Do it and look; False when it is not legal now. ArgumentError for an act that there is not."""
        if not self.knows(act):
            raise ArgumentError(f"{type(self).__name__} has no act {act}")
        kind = self.ACTS[act.name]
        if not kind.when(self):
            return False
        self.reached.add(f"{self.situation}: {act.name}")
        kind.method(self, **act.arguments)
        self.check()
        return True

    @property
    def situation(self) -> str:
        """The state that the scene is in, as far as it matters which act comes next."""
        return "any"

    # -- looking ---------------------------------------------------------------------------------------------

    def check(self) -> None:  # noqa: B027 - optional
        """What must hold after each act; Broken."""

    @abstractmethod
    def finish(self) -> None:
        """Come to an end, and see that nothing is left; Broken and whatever the parts raise."""

    @abstractmethod
    def abandon(self) -> None:
        """Let go without a look; idempotent."""
