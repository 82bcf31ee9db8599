"""What an argument of an act may be, told once for the random author, for Hypothesis and for shrinking."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = ["Choice", "Edges", "OneOf", "Range", "Value"]

Value = int | str

_LAST = (1 << 64) - 1
#: Where arithmetic goes wrong.
EDGES: tuple[int, ...] = (
    *(0, 1, 2, 7, 8, 14, 59, 60, 63, 64, 127, 128, 255, 256, 1514, 2047, 2048, 4095, 4096, 9728),
    *(32767, 32768, 65535, 65536, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 32, 1 << 63, _LAST),
)


class Choice(Protocol):
    """The values that an argument may take."""

    @property
    def simplest(self) -> Value:
        """What an argument shrinks towards."""

    def pick(self, random: Random) -> Value:
        """Any of them."""

    def accepts(self, value: object) -> bool:
        """Whether it is one of them: a script may come from anywhere."""

    def strategy(self) -> SearchStrategy[Value]:
        """All of them, for Hypothesis; simplest first."""


class Range:
    """A whole number from `least` to `most`."""

    def __init__(self, least: int, most: int) -> None:
        self.least = least
        self.most = most

    @property
    def simplest(self) -> int:
        """The least."""
        return self.least

    def pick(self, random: Random) -> int:
        """Each as often as the others."""
        return random.randint(self.least, self.most)

    def accepts(self, value: object) -> bool:
        """Whether it is in the range."""
        return isinstance(value, int) and self.least <= value <= self.most

    def strategy(self) -> SearchStrategy[Value]:
        """st.integers."""
        from hypothesis import strategies as st  # noqa: PLC0415 - an extra

        return st.integers(self.least, self.most)


class OneOf:
    """One of a few values, simplest first; who comes twice is picked twice as often."""

    def __init__(self, *values: Value) -> None:
        self.values = values

    @property
    def simplest(self) -> Value:
        """The first."""
        return self.values[0]

    def pick(self, random: Random) -> Value:
        """Each as often as it was given."""
        return random.choice(self.values)

    def accepts(self, value: object) -> bool:
        """Whether it is one of them."""
        return value in self.values

    def strategy(self) -> SearchStrategy[Value]:
        """st.sampled_from."""
        from hypothesis import strategies as st  # noqa: PLC0415 - an extra

        return st.sampled_from(self.values)


class Edges:
    """Numbers of `bits` bits: those where arithmetic goes wrong, small ones, and any."""

    def __init__(self, bits: int = 64) -> None:
        self.most = (1 << bits) - 1
        self._edges = tuple(edge for edge in EDGES if edge <= self.most)

    @property
    def simplest(self) -> int:
        """Nothing."""
        return 0

    def pick(self, random: Random) -> int:
        """A third of each kind."""
        kind = random.randrange(3)
        if kind == 0:
            return random.choice(self._edges)
        return random.randint(0, min(self.most, 64 if kind == 1 else self.most))

    def accepts(self, value: object) -> bool:
        """Whether it has no more bits."""
        return isinstance(value, int) and 0 <= value <= self.most

    def strategy(self) -> SearchStrategy[Value]:
        """The same three kinds."""
        from hypothesis import strategies as st  # noqa: PLC0415 - an extra

        return st.sampled_from(self._edges) | st.integers(0, min(self.most, 64)) | st.integers(0, self.most)
