"""Builds fuzz targets: for libFuzzer with a sanitizer, or as programs that run files and random inputs."""

from __future__ import annotations

import argparse
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
TABLE = HERE / "targets.txt"
#: Of drivers in C, with the package.
HARNESS = "vnic/fuzz/harness"
COMPILERS = 2
SECONDS = 300
LANGUAGE = ("-std=c11", "-D_POSIX_C_SOURCE=200809L")


class BuildError(Exception):
    """The compiler or the linker refused; the text is the end of what it said."""


@dataclass(frozen=True)
class Target:
    """A fuzz target: rooms of the core, its own sources, and those that it needs without libFuzzer."""

    name: str
    rooms: tuple[str, ...]
    sources: tuple[str, ...]
    alone: tuple[str, ...]

    @property
    def corpus(self) -> Path:
        """Where its inputs are kept."""
        return HERE / "corpus" / self.name


@dataclass(frozen=True)
class Flavour:
    """A compiler with its sanitizers; `last`: flags of linking beside those of compiling."""

    name: str
    compiler: str
    flags: tuple[str, ...]
    last: tuple[str, ...]

    @property
    def is_libfuzzer(self) -> bool:
        """Whether libFuzzer drives the target."""
        return self.compiler == "clang"


_UNDEFINED = "-fno-sanitize-recover=undefined"
#: What is made plainly, see there.
PLAIN = HERE / "plain.txt"
# What libFuzzer needs, without the tables of comparisons: mutators that keep a grammar do not ask them.
_COUNTED = ("-fsanitize-coverage=inline-8bit-counters,pc-table", f"-fsanitize-coverage-ignorelist={PLAIN}")
# Half as quick again, and nothing is lost: accesses that are proven to stay inside of a local variable are
# not looked at; the stack of a function that returned never was, without an option of run time. Each check
# of alignment is a branch that counts as two edges, a third of all: `memory` and `gcc-asan` have them.
_QUICK = (f"-fsanitize-ignorelist={PLAIN}", "-mllvm", "-asan-use-stack-safety=1",
          "-fsanitize-address-use-after-return=never", "-fno-sanitize=alignment")  # fmt: skip
FLAVOURS = {
    flavour.name: flavour
    for flavour in (
        Flavour("asan", "clang", ("-O2", "-g1", "-fno-omit-frame-pointer", _UNDEFINED,
                "-fsanitize=address,undefined", *_QUICK, *_COUNTED), ("-fsanitize=fuzzer",)),
        Flavour("memory", "clang", ("-O2", "-g1", "-fno-omit-frame-pointer", _UNDEFINED,
                "-fsanitize=memory,alignment", *_COUNTED), ("-fsanitize=fuzzer",)),
        Flavour("bare", "clang", ("-O2", "-g1", *_COUNTED),
                ("-fsanitize=fuzzer",)),
        Flavour("gcc", "gcc", ("-O1", "-g1"), ()),
        Flavour("gcc-asan", "gcc", ("-O1", "-g1", "-fsanitize=address,undefined", _UNDEFINED), ()),
    )
}  # fmt: skip


@functools.cache
def targets() -> dict[str, Target]:
    """All targets by name, as the table has them."""
    found = {}
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            head, _, sources = line.partition(":")
            name, *rooms = head.split()
            always, _, alone = sources.partition("+")
            found[name] = Target(name, tuple(rooms), tuple(always.split()), tuple(alone.split()))
    return found


def files_of(name: str, root: Path = ROOT) -> list[Path]:
    """C files of a name of the table: one of this folder; with a folder of its own, some of the project's."""
    return sorted(root.glob(f"{name}.c")) if "/" in name else [HERE / f"{name}.c"]


@functools.cache
def has_libfuzzer() -> bool:
    """Whether clang is here with its fuzzer's runtime."""
    if shutil.which("clang") is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "empty.c"
        source.write_text("int LLVMFuzzerTestOneInput(const char *d, long n) { return d == 0 && n < 0; }\n")
        command = ["clang", "-fsanitize=fuzzer", str(source), "-o", f"{folder}/empty"]
        return subprocess.run(command, check=False, capture_output=True, timeout=60).returncode == 0


def run_compiler(command: Sequence[str]) -> None:
    """Raises BuildError."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode != 0:
        raise BuildError(done.stderr[-3000:])


def _digest(paths: Iterable[Path]) -> bytes:
    total = hashlib.sha256()
    for path in paths:
        total.update(path.name.encode() + path.read_bytes())
    return total.digest()


class Workshop:
    """Objects by what they are made of, in `folder`; `root` has csrc, and tests/fuzz is this one's."""

    def __init__(self, folder: Path, root: Path = ROOT) -> None:
        self.folder = folder
        self.root = root

    def sources(self, target: Target, flavour: Flavour) -> list[Path]:
        """All C files of a target."""
        core = [path for room in target.rooms for path in sorted((self.root / "csrc" / room).glob("*.c"))]
        own = target.sources if flavour.is_libfuzzer else (*target.sources, *target.alone)
        return core + [path for name in own for path in files_of(name, self.root)]

    def includes(self) -> list[str]:
        """Where headers are."""
        csrc = self.root / "csrc"
        harness = self.root / HARNESS
        return [f"-I{csrc}", f"-I{csrc / 'include'}", f"-I{HERE}", f"-I{harness}"]

    def build(self, target: Target, flavour: Flavour) -> Path:
        """The target as a program. Raises BuildError."""
        objects = self.objects(self.sources(target, flavour), flavour)
        made_of = hashlib.sha256("".join(path.name for path in objects).encode()).hexdigest()[:12]
        program = self.folder / flavour.name / f"fuzz_{target.name}-{made_of}"
        if not program.exists():
            part = program.with_suffix(f".{os.getpid()}")
            run_compiler(
                [flavour.compiler, *flavour.flags, *flavour.last, *map(str, objects), "-o", str(part)]
            )
            part.rename(program)
        return program

    def objects(self, sources: Iterable[Path], flavour: Flavour) -> list[Path]:
        """Compiled where that has not been done; an object's name says what it is made of."""
        folder = self.folder / flavour.name
        folder.mkdir(parents=True, exist_ok=True)
        core = _digest(sorted((self.root / "csrc").rglob("*.h"))) + repr(flavour).encode()
        own = _digest([PLAIN, *sorted(HERE.glob("*.h")), *sorted((self.root / HARNESS).glob("*.h"))])

        def compiled(source: Path) -> Path:
            headers = core if source.is_relative_to(self.root / "csrc") else core + own
            digest = hashlib.sha256(headers + source.read_bytes()).hexdigest()[:20]
            made = folder / f"{source.stem}-{digest}.o"
            if not made.exists():
                part = made.with_suffix(f".{os.getpid()}")
                command = [flavour.compiler, *LANGUAGE, *flavour.flags, *self.includes()]
                run_compiler([*command, "-c", str(source), "-o", str(part)])
                part.rename(made)
            return made

        with ThreadPoolExecutor(COMPILERS) as pool:
            return list(pool.map(compiled, sources))


def main() -> int:
    """`python -m tests.fuzz.workshop --run SECONDS`: random inputs for every target, without libFuzzer."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.workshop", description=__doc__)
    parser.add_argument("--run", type=float, required=True, metavar="SECONDS", help="of each target")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "fuzz")
    wanted = parser.parse_args()
    workshop = Workshop(wanted.folder.resolve() / "build")
    failed = 0
    for target in targets().values():
        program = workshop.build(target, FLAVOURS["gcc-asan"])
        print(f"{target.name}: ", end="", flush=True)
        failed += subprocess.run([str(program), "--seconds", str(wanted.run)], check=False).returncode != 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
