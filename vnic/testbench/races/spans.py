"""Ranges of addresses, each of somebody, and who is where."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)

_SMALL = 256  # a descriptor is small, a buffer is not: each is sought among its like
_SMALL_SHIFT, _LARGE_SHIFT = 9, 12


class Spans(Generic[T]):
    """A set of (first, bytes, item); finding costs what is near, not what is there."""

    def __init__(self) -> None:
        self._levels: tuple[Level[T], Level[T]] = (Level(_SMALL_SHIFT), Level(_LARGE_SHIFT))

    def add(self, start: int, length: int, item: T) -> None:
        """Put an item; it may be at one place only."""
        self._levels[length > _SMALL].add(start, length, item)

    def remove(self, start: int, length: int, item: T) -> None:
        """Take an item that is there, or is not, away."""
        self._levels[length > _SMALL].remove(start, length, item)

    def at(self, start: int, length: int) -> list[T]:
        """The items that overlap a range."""
        small, large = self._levels
        return small.at(start, length) + large.at(start, length)


class Level(Generic[T]):
    """Items of like size, in buckets by address."""

    def __init__(self, shift: int) -> None:
        self._shift = shift
        self._buckets: dict[int, dict[T, tuple[int, int]]] = {}

    def _numbers(self, start: int, length: int) -> range:
        shift = self._shift
        return range(start >> shift, (start + max(length, 1) - 1 >> shift) + 1)

    def add(self, start: int, length: int, item: T) -> None:
        """Put an item."""
        for number in self._numbers(start, length):
            self._buckets.setdefault(number, {})[item] = (start, start + length)

    def remove(self, start: int, length: int, item: T) -> None:
        """Take it away."""
        for number in self._numbers(start, length):
            bucket = self._buckets.get(number)
            if bucket is not None and item in bucket:
                del bucket[item]
            if bucket is not None and not bucket:
                del self._buckets[number]

    def at(self, start: int, length: int) -> list[T]:
        """The items that overlap a range, each once."""
        buckets, shift, end = self._buckets, self._shift, start + length
        if not buckets:
            return []
        first, last = start >> shift, end - 1 >> shift
        if first >= last:
            near = buckets.get(first)
            return [] if near is None else [i for i, (a, b) in near.items() if a < end and start < b]
        found: dict[T, None] = {}
        for number in self._known(range(first, last + 1)):
            for item, (a, b) in buckets[number].items():
                if a < end and start < b:
                    found[item] = None
        return list(found)

    def _known(self, numbers: range) -> list[int]:
        """Those of a range that have a bucket, found by the shorter way."""
        if len(numbers) > len(self._buckets):
            return [number for number in self._buckets if number in numbers]
        return [number for number in numbers if number in self._buckets]


class Past(Generic[T]):
    """Items that are over, the last `limit` of them, by where they were."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._spans: Spans[T] = Spans()
        self._order: deque[tuple[int, int, T]] = deque()
        self._live: dict[T, tuple[int, int]] = {}

    def add(self, start: int, length: int, item: T) -> None:
        """Remember one; the oldest is forgotten when there are too many."""
        self._spans.add(start, length, item)
        self._live[item] = (start, length)
        self._order.append((start, length, item))
        if len(self._order) > self._limit:
            self._drop(self._order.popleft()[2])

    def forget(self, start: int, length: int) -> None:
        """What was in a range does not matter any more: the range has a new life."""
        if self._live:
            for item in self._spans.at(start, length):
                self._drop(item)

    def at(self, start: int, length: int) -> list[T]:
        """The items that were in a range, oldest first."""
        return self._spans.at(start, length) if self._live else []

    def _drop(self, item: T) -> None:
        where = self._live.pop(item, None)
        if where is not None:
            self._spans.remove(*where, item)
