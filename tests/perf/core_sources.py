"""The C core for contenders: its sources by room, and the flags with which the package compiles it."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

from .workshop import ROOT

CSRC = ROOT / "csrc"
CARD_ROOMS = ("base", "gen", "wire", "pci", "tcp", "nic")
COPY_ROOMS = ("base", "gen", "wire", "pci", "copy")
STACK_ROOMS = ("base", "wire", "tcp", "stack")


def package_flags() -> list[str]:
    """The flags with which the package compiles the core."""
    build: dict[str, Any] = runpy.run_path(str(ROOT / "vnic" / "_build.py"))
    flags: list[str] = build["compile_flags"]()
    return [*flags, f"-I{CSRC / 'include'}", f"-I{CSRC}"]


def sources_of(*rooms: str) -> list[Path]:
    """The C files of some rooms, in a stable order."""
    return sorted(path for room in rooms for path in (CSRC / room).rglob("*.c"))


CORE_FLAGS = package_flags()
