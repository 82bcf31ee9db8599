"""A pytest plugin: which blocks of the C core each test enters, by the flags of clang's coverage.

For a module built by `chart.py` and the agent in the process; `VNIC_CHART` is the folder for what it finds.
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import time
import zlib
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

FOLDER = "VNIC_CHART"
AGENT = "agent.so"
_PATH_BYTES = 512


class _Module(ctypes.Structure):
    """`struct module` of agent.c."""

    _fields_ = (
        ("flags", ctypes.c_void_p),
        ("blocks", ctypes.c_void_p),
        ("count", ctypes.c_uint64),
        ("base", ctypes.c_uint64),
        ("path", ctypes.c_char * _PATH_BYTES),
    )


class Watch:
    """Asks the agent after each test; what it says is written at once, for a test may end the process."""

    def __init__(self, folder: Path) -> None:
        self._agent: Any = ctypes.CDLL(str(folder / AGENT), mode=ctypes.RTLD_GLOBAL)
        self._agent.agent_module.restype = ctypes.POINTER(_Module)
        self._part = folder / f"part-{os.getpid()}.jsonl"
        self._told = 0

    def _say(self, row: dict[str, Any]) -> None:
        with self._part.open("a", encoding="utf-8") as out:
            out.write(json.dumps(row) + "\n")

    def _modules(self) -> list[_Module]:
        """All that are loaded; new ones are told."""
        found = [self._agent.agent_module(n).contents for n in range(self._agent.agent_modules())]
        for number, module in enumerate(found[self._told :], self._told):
            self._say({"module": number, "path": module.path.decode(), "addresses": self._addresses(module)})
        self._told = len(found)
        return found

    def _addresses(self, module: _Module) -> list[int]:
        if not module.blocks:
            return []
        pairs = (ctypes.c_uint64 * (2 * module.count)).from_address(module.blocks)
        return [address - module.base for address in pairs[::2]]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Clear the flags, run the test with its fixtures, read them."""
        self._agent.agent_clear()
        began = time.perf_counter()
        result = yield
        seconds = time.perf_counter() - began
        flags = {n: ctypes.string_at(each.flags, each.count) for n, each in enumerate(self._modules())}
        entered = {n: packed(each) for n, each in flags.items() if any(each)}
        if entered:
            self._say({"test": item.nodeid, "seconds": round(seconds, 3), "entered": entered})
        return result


def packed(flags: bytes) -> str:
    """Flags as text."""
    return base64.b64encode(zlib.compress(flags, 1)).decode()


def unpacked(text: str) -> bytes:
    """What `packed` was given."""
    return zlib.decompress(base64.b64decode(text))


def pytest_configure(config: pytest.Config) -> None:
    """One for each process."""
    if FOLDER in os.environ:
        config.pluginmanager.register(Watch(Path(os.environ[FOLDER])), "vnic-watch")
