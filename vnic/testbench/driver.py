"""The driver under test, by the name that a user gives it: ours, a Python class, or a shared library."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from vnic.errors import VnicError
from vnic.host.memory import GuestMemory
from vnic.miniport import Adapter
from vnic.ndis.miniport import Miniport

__all__ = ["REFERENCE", "Driver", "DriverError", "load_driver"]

REFERENCE = "reference"


class DriverError(VnicError):
    """No driver can be had under the name that was given."""


@dataclass(frozen=True, slots=True)
class Driver:
    """What makes a miniport for a machine; `name` is what the user called it."""

    name: str
    make: Callable[[GuestMemory], Miniport]


def load_driver(name: str = REFERENCE) -> Driver:
    """`reference`, `package.module:Class`, `path/file.py:Class` or `path/library.so`.

    A class is called with the machine's memory (NdisAllocateMemory's pool). Raises DriverError.
    """
    if name == REFERENCE:
        return Driver(name, Adapter)
    if name.endswith(".so") or ".so." in Path(name).name:
        return Driver(name, _load_library(name))
    return Driver(name, _load_class(name))


def _load_library(name: str) -> Callable[[GuestMemory], Miniport]:
    from vnic.testbench.c_driver import CDriver  # noqa: PLC0415 - costs a compiler of declarations

    return CDriver(Path(name)).make


def _load_class(name: str) -> Callable[[GuestMemory], Miniport]:
    where, _, attribute = name.rpartition(":")
    if not where:
        raise DriverError(f"{name}: a driver is {REFERENCE}, module:Class, file.py:Class or library.so")
    module = _load_file(Path(where)) if where.endswith(".py") else _load_module(where)
    found = getattr(module, attribute, None)
    if not (isinstance(found, type) and issubclass(found, Miniport)):
        raise DriverError(f"{name}: {attribute} is no class derived from vnic.ndis.miniport.Miniport")
    return found


def _load_module(where: str) -> ModuleType:
    try:
        return importlib.import_module(where)
    except ImportError as error:
        raise DriverError(f"{where}: {error}") from error


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise DriverError(f"{path}: no such file")
    label = f"vnic_driver_under_test_{path.stem}"
    spec = importlib.util.spec_from_file_location(label, path)
    if spec is None or spec.loader is None:
        raise DriverError(f"{path}: not a Python file")
    module = sys.modules[label] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise DriverError(f"{path}: {type(error).__name__}: {error}") from error
    return module
