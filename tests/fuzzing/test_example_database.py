"""Examples that are shared: what one worker found, the next tries first."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.database import DirectoryBasedExampleDatabase, ExampleDatabase, MultiplexedDatabase

from vnic.errors import ArgumentError
from vnic.fuzz.example_database import database

NEEDLE = 917_311
_PHASES = (Phase.reuse, Phase.generate)


def calls_until_failure(store: ExampleDatabase | None, count: int = 2_000) -> int:
    """How often the property is called up to its first failure; 0 when it does not fail."""
    seen: list[int] = []
    first: list[int] = []

    @settings(database=store, max_examples=count, deadline=None, report_multiple_bugs=False, phases=_PHASES)
    @given(st.integers(0, 1 << 20), st.integers(0, 255))
    def property_(number: int, other: int) -> None:
        seen.append(number)
        if number % 101 == NEEDLE % 101 and other > 3:
            first.append(len(seen))
            raise AssertionError(number)

    try:
        property_()
    except AssertionError:
        return first[0]
    return 0


@pytest.mark.requirement("FUZ-65")
def test_a_failure_of_one_worker_is_the_next_ones_first(tmp_path: Path) -> None:
    shared = str(tmp_path / "shared")
    found = calls_until_failure(database(shared, tmp_path / "a"))
    assert found > 2
    assert calls_until_failure(database(shared, tmp_path / "b"), count=5) == 1
    reader = database(f"read-only:{shared}", tmp_path / "c")
    assert calls_until_failure(reader, count=5) == 1


@pytest.mark.requirement("FUZ-65")
def test_who_only_reads_writes_nothing_there(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    store = database(f"read-only:{shared}", tmp_path / "local")
    assert store is not None
    store.save(b"key", b"value")
    assert list(store.fetch(b"key")) == [b"value"]
    assert list(DirectoryBasedExampleDatabase(shared).fetch(b"key")) == []


@pytest.mark.requirement("FUZ-65")
def test_without_the_variable_nothing_is_shared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("VNIC_EXAMPLES", raising=False)
    assert database() is None
    monkeypatch.setenv("VNIC_EXAMPLES", str(tmp_path))
    assert isinstance(database(local=tmp_path / "local"), MultiplexedDatabase)


@pytest.mark.requirement("FUZ-65")
@pytest.mark.parametrize("where", ["ftp://there", "redis://there"])
def test_places_that_cannot_be_had(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.delitem(sys.modules, "hypothesis.extra.redis", raising=False)
    with pytest.raises(ArgumentError):
        database(where)


class Pipeline:
    """What RedisExampleDatabase calls, over a dictionary."""

    def __init__(self, sets: dict[bytes, set[bytes]]) -> None:
        self._sets = sets
        self._results: list[Any] = []

    def sadd(self, key: bytes, value: bytes) -> None:
        """Add."""
        before = len(self._sets.setdefault(key, set()))
        self._sets[key].add(value)
        self._results.append(len(self._sets[key]) - before)

    def srem(self, key: bytes, value: bytes) -> None:
        """Remove."""
        self._results.append(value in self._sets.setdefault(key, set()))
        self._sets[key].discard(value)

    def smembers(self, key: bytes) -> None:
        """All."""
        self._results.append(set(self._sets.get(key, ())))

    def expire(self, key: bytes, after: object) -> None:
        """Kept for ever here."""
        self._results.append(True)

    def execute(self) -> list[Any]:
        """The results."""
        return self._results


class Redis:
    """A server in memory, the same for every client of a URL."""

    servers: ClassVar[dict[str, dict[bytes, set[bytes]]]] = {}

    def __init__(self, sets: dict[bytes, set[bytes]]) -> None:
        self._sets = sets

    @classmethod
    def from_url(cls, url: str) -> Redis:
        """A client."""
        return cls(cls.servers.setdefault(url, {}))

    def pipeline(self) -> Pipeline:
        """A pipeline."""
        return Pipeline(self._sets)

    def publish(self, channel: str, message: str) -> None:
        """Nobody listens."""


@pytest.mark.requirement("FUZ-65")
def test_a_redis_is_shared_as_a_directory_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = ModuleType("redis")
    module.Redis = Redis  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "redis", module)
    monkeypatch.delitem(sys.modules, "hypothesis.extra.redis", raising=False)
    monkeypatch.setattr(Redis, "servers", {})
    url = "redis://there:6379/1"
    assert calls_until_failure(database(url, tmp_path / "a")) > 2
    assert calls_until_failure(database(url, tmp_path / "b"), count=5) == 1
    assert Redis.servers[url]
