"""Examples that are shared: what one worker found, the next tries first."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

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


@pytest.fixture
def redis_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A Redis server of its own on the loopback interface, which keeps nothing on disk."""
    pytest.importorskip("redis", reason="needs redis")
    monkeypatch.delitem(sys.modules, "hypothesis.extra.redis", raising=False)
    if shutil.which("redis-server") is None:
        pytest.skip("needs redis-server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server_at = f"--bind 127.0.0.1 --port {port} --dir {tmp_path}".split()
    quiet = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    with subprocess.Popen(
        ["redis-server", *server_at, "--save", ""], stdout=subprocess.DEVNULL, env=quiet
    ) as server:
        try:
            _wait_for(port)
            yield f"redis://127.0.0.1:{port}/1"
        finally:
            server.terminate()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


@pytest.mark.requirement("FUZ-65")
def test_a_redis_is_shared_as_a_directory_is(redis_url: str, tmp_path: Path) -> None:
    assert calls_until_failure(database(redis_url, tmp_path / "a")) > 2
    assert calls_until_failure(database(redis_url, tmp_path / "b"), count=5) == 1
    reader = database(f"read-only:{redis_url}", tmp_path / "c")
    assert calls_until_failure(reader, count=5) == 1
