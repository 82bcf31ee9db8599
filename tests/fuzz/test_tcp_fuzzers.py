"""The TCP engine's fuzz targets: their corpus, and a while of new inputs. By libFuzzer where clang has it."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from vnic.fuzz.effort import EFFORT

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CSRC = ROOT / "csrc"
TARGETS = ("segment", "image")
SECONDS = 1
FLAGS = ["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-O0", "-g1", "-fno-sanitize-recover=undefined"]
INCLUDE = [f"-I{CSRC}", f"-I{CSRC / 'include'}", f"-I{HERE}"]
COMMON = [
    *sorted((CSRC / "tcp").glob("*.c")),
    CSRC / "wire/tcp_header.c",
    *sorted((CSRC / "base").glob("*.c")),
    HERE / "tcp_world.c",
    HERE / "tcp_world_handoff.c",
    HERE / "tcp_peer.c",
]


def has_libfuzzer(folder: Path) -> bool:
    """Whether clang is here with its fuzzer's runtime."""
    if shutil.which("clang") is None:
        return False
    source = folder / "empty.c"
    source.write_text("int LLVMFuzzerTestOneInput(const char *d, long n) { return d == 0 && n < 0; }\n")
    command = ["clang", "-fsanitize=fuzzer", str(source), "-o", str(folder / "empty")]
    return subprocess.run(command, check=False, capture_output=True, timeout=60).returncode == 0


@dataclass(frozen=True)
class Fuzzers:
    """The targets as programs, and how to drive them."""

    folder: Path
    is_libfuzzer: bool

    def build(self) -> None:
        """Compiles the engine once, and links each target."""
        compiler = "clang" if self.is_libfuzzer else "gcc"
        sanitize = "-fsanitize=address,undefined"
        first = f"{sanitize},fuzzer-no-link" if self.is_libfuzzer else sanitize
        halves = [COMMON[::2], COMMON[1::2]]
        command = [compiler, *FLAGS, first, *INCLUDE, "-c"]
        running = [subprocess.Popen([*command, *map(str, half)], cwd=self.folder) for half in halves]
        assert [process.wait(timeout=240) for process in running] == [0, 0]
        last = f"{sanitize},fuzzer" if self.is_libfuzzer else sanitize
        objects = [str(self.folder / f"{path.stem}.o") for path in COMMON]
        main = [] if self.is_libfuzzer else [str(HERE / "random_bytes.c")]
        for target in TARGETS:
            sources = [str(HERE / f"fuzz_{target}.c"), *main, *objects]
            command = [compiler, *FLAGS, last, *INCLUDE, *sources, "-o", str(self.folder / target)]
            subprocess.run(command, check=True, timeout=120, cwd=self.folder)

    def run(self, target: str, *arguments: str) -> str:
        """A target with arguments; AssertionError with what it said when it found something."""
        command = [str(self.folder / target), *arguments]
        limit, environment = 120 + 2 * SECONDS * EFFORT, {"ASAN_OPTIONS": "detect_leaks=0"}
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            cwd=self.folder,
            timeout=limit,
            env=environment,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout + done.stderr

    def search(self, target: str) -> str:
        """A while of new inputs."""
        seconds = SECONDS * EFFORT
        if not self.is_libfuzzer:
            return self.run(target, "--seconds", str(seconds), "--seed", "1")
        fresh = self.folder / f"{target}.new"
        fresh.mkdir()
        timing = [f"-max_total_time={int(seconds)}", "-seed=1", "-max_len=2048", "-timeout=20"]
        return self.run(target, *timing, str(fresh), str(HERE / "corpus" / target))


@pytest.fixture(scope="module")
def fuzzers(tmp_path_factory: pytest.TempPathFactory) -> Fuzzers:
    """Both targets, compiled."""
    folder = tmp_path_factory.mktemp("tcp-fuzz")
    made = Fuzzers(folder, has_libfuzzer(folder))
    made.build()
    return made


@pytest.mark.requirement("IMG-4", "IMG-5", "OPT-02", "SEG-03", "CC-12", "CH-16")
@pytest.mark.parametrize("target", TARGETS)
def test_corpus(fuzzers: Fuzzers, target: str) -> None:
    """Inputs that once reached something new."""
    inputs = sorted(map(str, (HERE / "corpus" / target).glob("*.bytes")))
    assert len(inputs) > 100
    fuzzers.run(target, *inputs)


@pytest.mark.requirement("IMG-4", "IMG-5", "SEG-03")
@pytest.mark.parametrize("target", TARGETS)
def test_new_inputs(fuzzers: Fuzzers, target: str) -> None:
    said = fuzzers.search(target)
    assert "DONE" in said or " inputs in " in said
