"""Hypothesis's examples, shared: a failure that one worker found is the first thing that the others try.

VNIC_EXAMPLES is a directory, or redis://HOST[:PORT][/NUMBER]; what others wrote there is read, what is found
here is written both here and there. Without it Hypothesis keeps its examples as it always does.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from urllib.parse import urlsplit

from hypothesis.database import (
    DirectoryBasedExampleDatabase,
    ExampleDatabase,
    MultiplexedDatabase,
    ReadOnlyDatabase,
)

from vnic.errors import ArgumentError

__all__ = ["VARIABLE", "database", "shared"]

VARIABLE = "VNIC_EXAMPLES"
_LOCAL = ".hypothesis/examples"
_READ_ONLY = "read-only:"


def database(wanted: str | None = None, local: Path | None = None) -> ExampleDatabase | None:
    """What VNIC_EXAMPLES says, or `wanted`; None without either. ArgumentError.

    read-only:WHERE reads what is shared and writes to `local` alone, for workers that are not to be trusted.
    """
    where = wanted if wanted is not None else os.environ.get(VARIABLE, "")
    if not where:
        return None
    here = DirectoryBasedExampleDatabase(local or Path(_LOCAL))
    if where.startswith(_READ_ONLY):
        return MultiplexedDatabase(here, ReadOnlyDatabase(shared(where.removeprefix(_READ_ONLY))))
    return MultiplexedDatabase(here, shared(where))


def shared(where: str) -> ExampleDatabase:
    """The database at a place; ArgumentError when it cannot be had."""
    parts = urlsplit(where)
    if parts.scheme in ("redis", "rediss"):
        return _redis(where)
    if parts.scheme and len(parts.scheme) > 1:
        raise ArgumentError(f"{VARIABLE}={where}: a directory, or redis://HOST")
    return DirectoryBasedExampleDatabase(Path(where))


def _redis(url: str) -> ExampleDatabase:
    try:
        store = importlib.import_module("hypothesis.extra.redis").RedisExampleDatabase
        client = importlib.import_module("redis").Redis
    except ImportError:
        raise ArgumentError(f"{url} needs an extra: pip install 'hypothesis[redis]'") from None
    made: ExampleDatabase = store(client.from_url(url))
    return made
