"""Kept inputs: what the core does with every input of the fuzz targets' corpora, as a digest of each input.

`python -m tests.fuzz.kept [TARGET...]` writes them anew, after a change that is meant or with another corpus.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from resource import RLIMIT_CPU, setrlimit
from typing import NamedTuple

from tests.fuzz.workshop import FLAVOURS, HERE, ROOT, Target, Workshop, run_compiler, targets

FOLDER = HERE / "digests"
#: Beside the fuzz targets: two stacks that talk. An input is a number.
TALK = Target(
    "talk", ("base", "wire", "tcp", "stack"), ("fuzz_talk", "talk_user", "talk_client", "talk_router"), ()
)
SECONDS = 300
#: Besides a corpus, lines of so many inputs each that a target's own author makes.
LINES = 60
EACH = {"talk": 15, "segment": 20, "image": 40, "card": 4, "trace": 10}
#: Calls of a failing input that are shown, of those where it may have changed.
SHOWN = 6


class Input(NamedTuple):
    """What became of an input: calls into the core, a digest of all, and digests on the way (kept.c)."""

    calls: int
    digest: str
    notes: str


def all_targets() -> dict[str, Target]:
    """Whatever has kept inputs, by name: a target without rooms asks nothing of the core."""
    return {name: each for name, each in targets().items() if each.rooms} | {TALK.name: TALK}


def sources(target: Target) -> list[str]:
    """Names in tests/fuzz of a target's own C files, and of those that keep."""
    if target == TALK:
        return [*target.sources, "kept", "kept_memory", "kept_edit"]
    rooms = ["card"] if "nic" in target.rooms else ["tcp"] if "tcp" in target.rooms else []
    rooms += [room for room in ("copy", "trace") if room in target.rooms]
    return [*target.sources, "kept", "kept_memory", "kept_edit", *(f"kept_{room}" for room in rooms)]


def link_flags(objects: Iterable[str]) -> list[str]:
    """That every function with a `__wrap_` in the objects is called through it."""
    said = subprocess.run(["nm", *objects], check=True, capture_output=True, text=True, timeout=SECONDS)
    names = {line.split()[-1] for line in said.stdout.splitlines() if " T __wrap_" in line}
    return [f"-Wl,--wrap={name.removeprefix('__wrap_')}" for name in sorted(names)]


def link(compiler: Sequence[str], own: Sequence[str], core: Sequence[str], program: Path) -> Path:
    """A program of a target's own objects and those of the core. Raises BuildError."""
    run_compiler([*compiler, *link_flags(own), *own, *core, "-o", str(program)])
    return program


def parsed(text: str) -> dict[str, Input]:
    """Inputs by name, of what a program said or a file has."""
    rows = (line.split() for line in text.splitlines())
    return {name: Input(int(calls), digest, notes) for name, calls, digest, notes in rows}


def kept(target: Target) -> dict[str, Input]:
    """As they were when the file was written."""
    path = FOLDER / f"{target.name}.txt"
    return parsed(path.read_text(encoding="utf-8")) if path.is_file() else {}


def corpus(target: Target) -> list[str]:
    """The inputs, in order."""
    return sorted(map(str, target.corpus.iterdir())) if target.corpus.is_dir() else []


def made(target: Target, lines: int) -> list[str]:
    """The program's option for so many lines."""
    return ["--made", str(lines), str(EACH.get(target.name, 1))]


def arguments(target: Target, lines: int = LINES) -> list[str]:
    """What makes a target's program say all that is kept, or its corpus and so many lines."""
    return [*made(target, lines), *corpus(target)]


def run(
    program: Path, arguments: Sequence[str], processor_seconds: int = SECONDS
) -> subprocess.CompletedProcess[str]:
    """The program over some inputs; SIGXCPU ends it when it hangs."""
    return subprocess.run(
        [str(program), *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=program.parent,
        env={"ASAN_OPTIONS": "detect_leaks=0"},
        preexec_fn=lambda: setrlimit(RLIMIT_CPU, (processor_seconds, processor_seconds)),
    )


def told(program: Path, target: Target, name: str, first: int, last: int) -> list[str]:
    """Some of the calls that today's core gets from an input, and what it answers."""
    line = re.fullmatch(r"made-(\d+)", name)
    asked = made(target, int(line[1]) + 1) if line else [str(target.corpus / name)]
    lines = run(program, ["--tell", *asked]).stdout.splitlines()
    ends = [at for at, line in enumerate(lines) if line.count(":") == 0]
    calls = lines[ends[-2] + 1 if len(ends) > 1 else 0 : -1]
    return [line for line in calls if first < int(line.partition(" ")[0]) <= last][:SHOWN]


def _places() -> list[int]:
    """After how many calls kept.c takes digests on the way."""
    found = [1, 2, 3, 4]
    while len(found) < 64:
        found += [found[-1] // 2 * 3, found[-1] * 2]
    return found


def window(before: Input, now: Input) -> tuple[int, int]:
    """The calls where an input first changed: behind one, up to another."""
    places = _places()
    pairs = (
        zip(before.notes[::2], before.notes[1::2], strict=False),
        zip(now.notes[::2], now.notes[1::2], strict=False),
    )
    same = 0
    for old, new in zip(*pairs, strict=False):
        if old != new:
            return (places[same - 1] if same else 0), places[same]
        same += 1
    return (places[same - 1] if same else 0), max(before.calls, now.calls)


def difference(target: Target, program: Path, lines: int = LINES) -> str | None:
    """What is not as it was kept: the first input, and where in it; None when all is."""
    beyond = {f"made-{number}" for number in range(lines, LINES)}
    before = {name: each for name, each in kept(target).items() if name not in beyond}
    done = run(program, arguments(target, lines))
    now = parsed(done.stdout)
    if done.returncode != 0:
        return f"behind {next(reversed(now), 'nothing')}: {done.stderr[-2000:]} (status {done.returncode})"
    if gone := set(before) - set(now):
        return f"kept, but no inputs any more: {' '.join(sorted(gone))}"
    changed = [name for name, each in now.items() if before.get(name) != each]
    if not changed:
        return None
    name = changed[0]
    if name not in before:
        return f"{len(changed)} of {len(now)} inputs, the first, {name}, was never kept"
    first, last = window(before[name], now[name])
    return "\n".join(
        [
            f"{len(changed)} of {len(now)} inputs, the first: {name};",
            f"{before[name].calls} calls were kept, {now[name].calls} are made, the first that differs is",
            f"between {first + 1} and {last}; today they are",
            *told(program, target, name, first, last),
        ]
    )


def build(workshop: Workshop, target: Target) -> Path:
    """A target as a program that keeps. Raises BuildError."""
    flavour = FLAVOURS["gcc"]
    own = [str(path) for path in workshop.objects([HERE / f"{name}.c" for name in sources(target)], flavour)]
    rooms = [path for room in target.rooms for path in sorted((workshop.root / "csrc" / room).glob("*.c"))]
    core = [str(path) for path in workshop.objects(rooms, flavour)]
    return link([flavour.compiler, *flavour.flags], own, core, workshop.folder / f"kept_{target.name}")


def write(workshop: Workshop, target: Target) -> tuple[int, int]:
    """Keep what is done today; how many inputs, and how many were not as kept. Raises RuntimeError."""
    program, before = build(workshop, target), kept(target)
    done = run(program, arguments(target))
    if done.returncode != 0:
        raise RuntimeError(f"{target.name}: {done.stderr[-2000:]}")
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{target.name}.txt").write_text(done.stdout, encoding="utf-8")
    now = parsed(done.stdout)
    return len(now), sum(before.get(name) != each for name, each in now.items())


def main() -> int:
    """Write them anew."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.kept", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="all, when none is named")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "fuzz")
    wanted = parser.parse_args()
    workshop = Workshop(wanted.folder.resolve() / "build")
    for name in wanted.targets or all_targets():
        inputs, changed = write(workshop, all_targets()[name])
        print(f"{name:10} {inputs:4} inputs, {changed:4} not as they were kept")
    return 0


if __name__ == "__main__":
    sys.exit(main())
