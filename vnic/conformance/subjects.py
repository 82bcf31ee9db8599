"""What is judged: a miniport, and a NetDMA provider, each by the name that a user gives it."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import NamedTuple

from vnic.testbench.copy_bench import MakeProvider
from vnic.testbench.driver import REFERENCE, Driver, DriverError


class NamedProvider(NamedTuple):
    """A driver of a copy engine; without `make` it is the reference."""

    name: str = REFERENCE
    make: MakeProvider | None = None


class Subjects(NamedTuple):
    """A miniport, and a provider where one is judged too."""

    driver: Driver
    provider: NamedProvider | None = NamedProvider()


def load_provider(name: str = REFERENCE) -> NamedProvider:
    """`reference`, `package.module:Name` or `path/file.py:Name`; raises DriverError.

    Name is called as MakeProvider says.
    """
    if name == REFERENCE:
        return NamedProvider()
    where, _, attribute = name.rpartition(":")
    if not where:
        raise DriverError(f"{name}: a provider is {REFERENCE}, module:Name or file.py:Name")
    try:
        if where.endswith(".py"):
            spec = importlib.util.spec_from_file_location(f"vnic_provider_{Path(where).stem}", where)
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(where)
    except (ImportError, OSError) as error:
        raise DriverError(f"{where}: {error}") from error
    found = getattr(module, attribute, None)
    if not callable(found):
        raise DriverError(f"{name}: {attribute} is nothing that makes a provider")
    return NamedProvider(name, found)
