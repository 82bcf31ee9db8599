"""Object files of the C core for what tests compile and link: made once a run, whoever asks first."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CSRC = ROOT / "csrc"
CARD = ("base", "gen", "wire", "pci", "tcp", "nic")
ROOMS = (*CARD, "copy", "stack", "trace")
WARNINGS = ["-Wall", "-Wextra", "-Wstrict-prototypes", "-Wconversion", "-Wshadow", "-Werror"]
PLAIN = ["-O1"]
INCLUDE = [f"-I{CSRC}", f"-I{CSRC / 'include'}"]
_SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-g"]
_SHARABLE = ["-fPIC", "-fvisibility=hidden"]  # good for programs and for libraries
_AT_ONCE = 2
_SECONDS = 300


def is_asked(name: str) -> bool:
    """Whether an environment variable selects a flavour of the build."""
    return os.environ.get(name, "0") not in ("", "0")


def flavour() -> list[str]:
    """Flags of optimisation, sanitizers and coverage, of objects and programs alike."""
    flags = [*PLAIN, *(_SANITIZE if is_asked("VNIC_SANITIZE") else [])]
    return flags + (["--coverage", "-fno-early-inlining"] if is_asked("VNIC_COVERAGE") else [])


def build_folder(name: str, elsewhere: pytest.TempPathFactory) -> Path:
    """An empty folder to compile in: for coverage where the report looks, and each worker's own."""
    if not is_asked("VNIC_COVERAGE"):
        return elsewhere.mktemp(name)
    folder = ROOT / "build" / f"tests-{name}" / os.environ.get("PYTEST_XDIST_WORKER", "alone")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _digest(flags: list[str]) -> str:
    """Changes with every byte of the core."""
    total = hashlib.sha256(" ".join(flags).encode())
    for path in sorted(CSRC.rglob("*.[ch]")):
        total.update(path.name.encode() + path.read_bytes())
    return total.hexdigest()


def _compile(folder: Path, flags: list[str]) -> None:
    """All rooms, each in a folder of its own, shared out between compilers that run at once."""
    lots: list[tuple[Path, list[str]]] = []
    for room in ROOMS:
        target = folder / room
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        sources = sorted(map(str, (CSRC / room).glob("*.c")))
        lots += [(target, part) for n in range(_AT_ONCE) if (part := sources[n::_AT_ONCE])]
    for first in range(0, len(lots), _AT_ONCE):
        language = ["-std=c11", "-D_POSIX_C_SOURCE=200809L", *WARNINGS]
        command = ["gcc", *language, *_SHARABLE, *flags, *INCLUDE, "-c"]
        running = [
            subprocess.Popen([*command, *sources], cwd=target)
            for target, sources in lots[first : first + _AT_ONCE]
        ]
        if any(process.wait(timeout=_SECONDS) for process in running):
            raise RuntimeError("the C core does not compile")


def room_folders(flags: list[str]) -> dict[str, Path]:
    """Where the object files of each room are; for coverage they lie where the report looks."""
    folder = ROOT / "build" / "tests-objects" / ("-".join(flags).replace(",", "-").replace("=", "-"))
    folder.mkdir(parents=True, exist_ok=True)
    stamp, digest = folder / "stamp", _digest(flags)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.is_file() or stamp.read_text() != digest:
            stamp.unlink(missing_ok=True)
            _compile(folder, flags)
            stamp.write_text(digest)
    return {room: folder / room for room in ROOMS}


def objects_of(rooms: Iterable[str], flags: list[str]) -> list[str]:
    """Object files of some rooms."""
    folders = room_folders(flags)
    return [str(path) for room in rooms for path in sorted(folders[room].glob("*.o"))]


def build_program(target: Path, sources: list[Path], *flags: str) -> Path:
    """A program over the card: its own sources are compiled with `flags` besides the flavour's."""
    files = [*map(str, sources), *objects_of(CARD, flavour())]
    command = ["gcc", *flags, *WARNINGS, *flavour(), *INCLUDE, *files, "-o", str(target)]
    subprocess.run(command, check=True, timeout=_SECONDS, cwd=target.parent)
    return target
