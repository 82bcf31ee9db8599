"""A shared library that exports vnic_driver_entry(): loaded, its table checked before anything is called."""

from __future__ import annotations

import shutil
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from vnic.host.memory import GuestMemory
from vnic.testbench.c_driver.declarations import C, abi, declared, is_sanitized
from vnic.testbench.c_driver.miniport import CMiniport
from vnic.testbench.driver import DriverError

__all__ = ["CDriver"]

_ASAN = b"__asan_init"
_PRELOAD = "set LD_PRELOAD to what `gcc -print-file-name=libasan.so` says, and ASAN_OPTIONS=detect_leaks=0"
_OPTIONAL = {"cancel_send", "cancel_oid_request", "check_for_hang_ex"}
_CONTEXT_MAX = 64 << 20
_LOADED: dict[Path, tuple[int, int, int]] = {}
#: To the end of the process: a debugger reads the files too.
_COPIES: list[TemporaryDirectory[str]] = []


class CDriver:
    """A driver in C. Raises DriverError when it cannot be loaded, or is none.

    A library that was built anew since this process loaded it is loaded anew, beside the old one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._is_instrumented = path.is_file() and _ASAN in path.read_bytes()
        self._library = self._open(path)
        self._table = self._entry()
        self._check_table()

    def make(self, memory: GuestMemory) -> CMiniport:
        """A miniport for a machine."""
        return self._kind(self._table, memory)

    @cached_property
    def _kind(self) -> type[CMiniport]:
        """A class of the library's name, by which violations call it; it keeps the library loaded."""
        members = {
            "__doc__": f"{self.path}",
            "library": self._library,
            "is_instrumented": self._is_instrumented,
        }
        return type(self.path.name, (CMiniport,), members)

    def _open(self, path: Path) -> C:
        if not path.is_file():
            raise DriverError(f"{path}: no such file")
        if self._is_instrumented and not is_sanitized():  # its runtime would end the process
            raise DriverError(f"{path}: built with -fsanitize=address; {_PRELOAD}")
        try:
            return declared().dlopen(str(_fresh(path.resolve())))
        except OSError as error:
            raise DriverError(str(error)) from None

    def _entry(self) -> C:
        try:
            entry = self._library.vnic_driver_entry
        except AttributeError:
            raise DriverError(f"{self.path}: exports no vnic_driver_entry()") from None
        table = entry(abi())
        if not table:
            raise DriverError(f"{self.path}: vnic_driver_entry({abi()}) returned NULL: it wants another ABI")
        return table

    def _check_table(self) -> None:
        table, size = self._table, declared().sizeof("struct vnic_miniport")
        if table.abi != abi():
            raise DriverError(f"{self.path}: its table is of ABI {table.abi}, this is ABI {abi()}")
        if table.size < size:
            raise DriverError(f"{self.path}: its table has {table.size} bytes, ABI {abi()} has {size}")
        if table.ndis_major != 6:
            raise DriverError(f"{self.path}: written for NDIS {table.ndis_major}.{table.ndis_minor}, not 6.x")
        if table.context_bytes > _CONTEXT_MAX:
            raise DriverError(f"{self.path}: context_bytes {table.context_bytes} is above {_CONTEXT_MAX}")
        missing = [name for name in _entry_points() if not getattr(table, name) and name not in _OPTIONAL]
        if missing:
            raise DriverError(f"{self.path}: entry points are NULL: {', '.join(missing)}")


def _fresh(path: Path) -> Path:
    """The file, or a copy where the loader would take it for another that it has under this name."""
    found = path.stat()
    identity = found.st_ino, found.st_mtime_ns, found.st_size
    if _LOADED.setdefault(path, identity) == identity:
        return path
    folder = TemporaryDirectory(prefix="vnic-driver-")
    _COPIES.append(folder)
    return Path(shutil.copy(path, folder.name))


def _entry_points() -> list[str]:
    fields = declared().typeof("struct vnic_miniport").fields or []
    return [name for name, field in fields if field.type.kind == "function"]
