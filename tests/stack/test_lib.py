"""`make lib`: what it exports, what pkg-config says, and the example as a program of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.c_objects import PLAIN, room_folders

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str | Path, **environment: str) -> str:
    """The output of a command that succeeds."""
    done = subprocess.run(
        [str(part) for part in command],
        check=True,
        timeout=240,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | environment,
    )
    return done.stdout


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the library is installed."""
    folder = tmp_path_factory.mktemp("lib")
    if shutil.which("make") is None or shutil.which("pkg-config") is None:
        pytest.skip("needs make and pkg-config")
    # The card's rooms are in other tests' programs too; what is newer than its source is not made again.
    for room, objects in room_folders(PLAIN).items():
        shutil.copytree(objects, folder / "build" / "objects" / "csrc" / room)
    flags = ("LIB_FLAGS=-O0", f"LIB={folder / 'build'}", f"PREFIX={folder / 'usr'}")
    run("make", "-s", "-j2", "install", *flags)
    return folder / "usr"


def symbols(*options: str | Path) -> set[str]:
    """Names that nm prints."""
    return {line.split()[-1] for line in run("nm", *options).splitlines() if len(line.split()) >= 3}


def declared() -> set[str]:
    """The functions of the public headers."""
    texts = [path.read_text("utf-8") for path in (ROOT / "csrc/include/vnic").glob("*.h")]
    return {name for text in texts for name in re.findall(r"^VNIC_API [^(;]*?(\w+)\(", text, re.MULTILINE)}


def test_it_exports_what_the_headers_declare(prefix: Path) -> None:
    shared = symbols("-D", "--defined-only", prefix / "lib/libvnic.so")
    assert shared == declared()
    assert all(name.startswith("vnic_") for name in shared)
    assert len(shared) > 70


def test_the_archive_has_no_other_names(prefix: Path) -> None:
    assert symbols("--defined-only", "--extern-only", prefix / "lib/libvnic.a") == declared()


def test_it_needs_the_c_library_alone(prefix: Path) -> None:
    lines = run("readelf", "-d", prefix / "lib/libvnic.so").splitlines()
    assert [line.split("[")[1] for line in lines if "(NEEDED)" in line] == ["libc.so.6]"]
    assert [line.split("[")[1] for line in lines if "(SONAME)" in line] == ["libvnic.so.0]"]


@pytest.mark.parametrize("is_static", [True, False])
def test_the_example_runs(prefix: Path, tmp_path: Path, is_static: bool) -> None:
    where = {"PKG_CONFIG_PATH": str(prefix / "lib/pkgconfig")}
    flags = run("pkg-config", "--cflags", "--libs", "vnic", **where).split()
    assert f"-I{prefix}/include" in flags
    if is_static:
        flags = [str(prefix / "lib/libvnic.a") if flag == "-lvnic" else flag for flag in flags]
    program = tmp_path / "loopback"
    example = ROOT / "csrc/examples/loopback.c"
    run("gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", example, "-o", program, *flags)
    out = run(program, LD_LIBRARY_PATH=str(prefix / "lib"))
    assert out.startswith("1048576 bytes after ")


def test_headers_are_good_c_plus_plus(prefix: Path, tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    program = tmp_path / "program.cpp"
    main = "int main() { return vnic_stack_create(nullptr) != nullptr; }"
    program.write_text(f"#include <vnic/vnic_stack.h>\n{main}\n")
    flags = ("-Wall", "-Wextra", "-Werror", f"-I{prefix}/include")
    run("g++", *flags, program, prefix / "lib/libvnic.a", "-o", tmp_path / "program")
    run(tmp_path / "program")


def test_the_version_is_the_packages(prefix: Path) -> None:
    version = run("pkg-config", "--modversion", "vnic", PKG_CONFIG_PATH=str(prefix / "lib/pkgconfig")).strip()
    assert f'version = "{version}"' in (ROOT / "pyproject.toml").read_text("utf-8")
