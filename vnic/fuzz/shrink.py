"""Shrinking a script: fewer acts, then simpler arguments, as long as the same failure comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from vnic.fuzz.choice import Choice, Value
from vnic.fuzz.scene import Act, ActKind

__all__ = ["Shrinker", "shrink"]

Acts = tuple[Act, ...]


class Shrinker:
    """`fails` says whether acts still fail in the same way; it is asked at most `tries` times."""

    def __init__(self, kinds: Mapping[str, ActKind], fails: Callable[[Acts], bool], tries: int) -> None:
        self._kinds = kinds
        self._fails = fails
        self._limit = tries
        self.tries = 0

    @property
    def is_spent(self) -> bool:
        """Whether no try is left."""
        return self.tries >= self._limit

    def run(self, acts: Acts) -> Acts:
        """To a script of which no act can go and no argument can be simpler, or until tries run out."""
        before: Acts = ()
        while acts != before and not self.is_spent:
            before = acts
            acts = self._drop(acts)
            acts = self._simplify(acts)
        return acts

    def _try(self, acts: Acts) -> bool:
        if self.is_spent:
            return False
        self.tries += 1
        return self._fails(acts)

    def _drop(self, acts: Acts) -> Acts:
        """Without runs of acts, from long ones to single ones, from the end on."""
        size = max(len(acts) // 2, 1)
        while size and not self.is_spent:
            end = len(acts)
            while end > 0:
                start = max(end - size, 0)
                rest = acts[:start] + acts[end:]
                if self._try(rest):
                    acts = rest
                end = start
            size //= 2
        return acts

    def _simplify(self, acts: Acts) -> Acts:
        for place, act in enumerate(acts):
            for name, choice in self._kinds[act.name].choices.items():
                acts = self._simplify_argument(acts, place, name, choice)
        return acts

    def _simplify_argument(self, acts: Acts, place: int, name: str, choice: Choice) -> Acts:
        """The simplest value, else a number half as far from it, and again."""
        value = acts[place].arguments[name]
        if value == choice.simplest:
            return acts
        for candidate in _simpler(value, choice):
            changed = acts[place]._replace(arguments={**acts[place].arguments, name: candidate})
            fewer = (*acts[:place], changed, *acts[place + 1 :])
            if choice.accepts(candidate) and self._try(fewer):
                return fewer
        return acts


def _simpler(value: Value, choice: Choice) -> list[Value]:
    least = choice.simplest
    if not isinstance(value, int) or not isinstance(least, int):
        return [least]
    found = [least, least + (value - least) // 2, least + (value - least) // 16, value - 1]
    return [each for each in dict.fromkeys(found) if each != value]


def shrink(
    kinds: Mapping[str, ActKind], acts: Acts, fails: Callable[[Acts], bool], tries: int = 400
) -> tuple[Acts, int]:
    """The shortest script found, and how many tries that took."""
    shrinker = Shrinker(kinds, fails, tries)
    return shrinker.run(acts), shrinker.tries
