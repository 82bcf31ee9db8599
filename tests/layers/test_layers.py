"""Arrows go down: every #include and import is read, and none may lead to a room above or beside its own."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

# Room: the rooms directly below. What they may use, it may use.
C_ROOMS = {
    "include": (),
    "base": (),
    "gen": ("base",),
    "wire": ("base",),
    "tcp": ("wire",),
    "stack": ("tcp", "include"),
    "pci": ("gen", "include"),
    "nic": ("pci", "wire", "tcp"),
    "copy": ("pci", "wire"),
    "trace": ("include", "base"),
    "examples": ("include",),
}
# Headers of the language and of the compiler; a stand-alone library needs no others.
C_SYSTEM = {
    "assert.h",
    "cpuid.h",
    "immintrin.h",
    "inttypes.h",
    "limits.h",
    "stdalign.h",
    "stdarg.h",
    "stdatomic.h",
    "stdbool.h",
    "stddef.h",
    "stdint.h",
    "stdio.h",
    "stdlib.h",
    "string.h",
}
# What only some systems have, where there is another way on the others.
C_PLATFORM = {"pages.c": {"sys/mman.h"}}

PYTHON_ROOMS = {
    "errors": (),
    "abi": (),
    "gen": (),
    "wire": ("errors",),
    "values": ("errors", "abi"),
    "host": ("errors", "abi", "gen", "wire"),
    "device": ("host", "values"),
    "link": ("device",),
    "trace": ("device",),
    "ndis": ("host",),
    "miniport": ("host", "gen", "ndis"),
    "netdma": ("host", "gen"),
    "examples": ("miniport",),
    "protocol": ("ndis", "device", "netdma"),
    "testbench": ("link", "trace", "miniport", "netdma", "protocol"),
    "conformance": ("testbench",),
    "fuzz": ("testbench",),
    "vfio_user": ("testbench",),
    "commands": ("conformance", "fuzz", "vfio_user"),
    "cli": ("commands",),
}
# Modules of the package's own folder, by the room that they are part of.
PYTHON_MODULES = {
    "config": "values",
    "events": "values",
    "fault": "values",
    "headers": "values",
    "oplist": "values",
    "_kind": "device",
    "_native": "device",
    "function": "device",
    "_core": "device",
    "copy_engine": "device",
    "stack": "device",
    "__main__": "cli",
}
CORE_USERS = {
    "vnic/_kind.py",
    "vnic/_native.py",
    "vnic/function.py",
    "vnic/device.py",
    "vnic/copy_engine.py",
    "vnic/stack",
    "vnic/trace/_native.py",
}

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)', re.MULTILINE)


def reach(rooms: dict[str, tuple[str, ...]], room: str) -> set[str]:
    """The room itself and all that is below it."""
    found = {room}
    for below in rooms[room]:
        found |= reach(rooms, below)
    return found


def c_room(path: Path) -> str:
    """The room of a C file: its folder under csrc/."""
    return path.relative_to(ROOT / "csrc").parts[0]


def c_faults(path: Path, text: str) -> Iterator[str]:
    """Includes of a C file that lead up or out."""
    allowed = reach(C_ROOMS, c_room(path))
    for local, system in INCLUDE.findall(text):
        target = "include" if local.startswith("vnic/") else local.partition("/")[0]
        if (
            system
            and system not in C_SYSTEM | C_PLATFORM.get(path.name, set())
            and not (c_room(path) == "examples" and system.startswith("vnic/"))
        ):
            yield f"{path.name} includes <{system}>, which is neither C11 nor the compiler's"
        if local and "/" in local and target not in allowed:
            yield f"{c_room(path)}/{path.name} includes {local}: {target} is not below {c_room(path)}"
        if local and "/" not in local and c_room(path) != "gen":
            yield f'{path.name} includes "{local}" without its room'


def python_room(module: str) -> str:
    """The room of a dotted module: vnic.host.bus is in host."""
    name = [*module.split("."), "cli"][1]
    return PYTHON_MODULES.get(name, name)


def imported(tree: ast.AST, package: str) -> Iterator[str]:
    """Every module of vnic that a file imports, TYPE_CHECKING or not, at the top or in a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "vnic")
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            if module == "vnic":
                yield from (f"vnic.{alias.name}" for alias in node.names if alias.name != "__version__")
            elif module.split(".")[0] == "vnic":
                yield module


def python_faults(path: Path, text: str) -> Iterator[str]:
    """Imports of a Python file that lead up or sideways, or straight to the compiled module."""
    relative = path.relative_to(ROOT)
    parts = relative.with_suffix("").parts
    module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    room = python_room(module)
    allowed = reach(PYTHON_ROOMS, room)
    for target in imported(ast.parse(text), ".".join(parts[:-1])):
        if python_room(target) not in allowed:
            yield f"{relative} imports {target}: {python_room(target)} is not below {room}"
        if target == "vnic._core" and not {relative.as_posix(), relative.parent.as_posix()} & CORE_USERS:
            yield f"{relative} imports the compiled module"


def c_files() -> list[Path]:
    """Every C file, the public headers aside: they are checked as the room `include`."""
    return sorted([*(ROOT / "csrc").rglob("*.c"), *(ROOT / "csrc").rglob("*.h")])


def python_files() -> list[Path]:
    """Every module of the package, but for the build description, which is run and not imported."""
    return [path for path in sorted((ROOT / "vnic").rglob("*.py")) if path.name != "_build.py"]


def test_includes_lead_down() -> None:
    faults = [fault for path in c_files() for fault in c_faults(path, path.read_text(encoding="utf-8"))]
    assert faults == []


def test_imports_lead_down() -> None:
    faults = [fault for path in python_files() for fault in python_faults(path, path.read_text("utf-8"))]
    assert faults == []


def test_files_were_found() -> None:
    assert {c_room(path) for path in c_files()} >= {"base", "gen", "include", "nic", "pci", "wire"}
    assert {path.parent.name for path in python_files()} >= {"vnic", "gen", "host", "link", "ndis", "wire"}


def test_every_room_is_known() -> None:
    assert {c_room(path) for path in c_files()} <= set(C_ROOMS)
    names = {path.relative_to(ROOT / "vnic").with_suffix("").parts[0] for path in python_files()}
    assert {python_room(f"vnic.{name}") for name in names - {"__init__"}} <= set(PYTHON_ROOMS)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("csrc/wire/x.c", '#include "pci/dma.h"'),
        ("csrc/tcp/x.c", '#include "pci/dma.h"'),
        ("csrc/pci/x.c", '#include "tcp/connection.h"'),
        ("csrc/copy/x.h", '#include "nic/card.h"'),
        ("csrc/base/x.c", '#  include "vnic/vnic.h"'),
        ("csrc/nic/x.c", "#include <Python.h>"),
        ("csrc/nic/x.c", '#include "card.h"'),
    ],
)
def test_c_arrow_up_is_found(name: str, line: str) -> None:
    assert len(list(c_faults(ROOT / name, f"#include <stdint.h>\n{line}\n"))) == 1


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("vnic/host/x.py", "from vnic.device import Device"),
        ("vnic/host/x.py", "from vnic import device"),
        ("vnic/miniport/x.py", "import vnic.device"),
        ("vnic/ndis/x.py", "def f():\n    from ..miniport.adapter import Adapter"),
        ("vnic/wire/x.py", "from ..link import tap"),
        ("vnic/trace/x.py", "from vnic._core import lib"),
        ("vnic/miniport/x.py", "from vnic.protocol import tcpip"),
        ("vnic/gen/x.py", "from ..errors import VnicError"),
    ],
)
def test_python_arrow_up_is_found(name: str, line: str) -> None:
    assert len(list(python_faults(ROOT / name, line))) == 1


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("vnic/device.py", "from vnic._core import lib"),
        ("vnic/cli.py", "from vnic.miniport.adapter import Adapter"),
        ("vnic/miniport/x.py", "from . import rings\nfrom ..host.bus import Bus"),
    ],
)
def test_python_arrow_down_is_allowed(name: str, line: str) -> None:
    assert list(python_faults(ROOT / name, line)) == []
