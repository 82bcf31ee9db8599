"""The generator: outputs are stable, drift is seen, broken sources are refused."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("systemrdl", reason="needs systemrdl-compiler")

ROOT = Path(__file__).resolve().parents[2]

SAMPLE = """
property flat { component = regfile; type = boolean; };
property keep { component = reg | field; type = boolean; };
property cprefix { component = addrmap; type = string; };
property mapsize { component = addrmap; type = longint unsigned; };
enum wide { BIG = 0x80000000; };
enum speed { SLOW = 1 { desc = "one | two"; }; FAST = 2; };
addrmap card_regs {
    cprefix = "CRD_"; mapsize = 0x1000; desc = "The sample.";
    default hw = rw;
    reg { desc = "Control.";
        field { sw = w; singlepulse; swmod; } RESET[0:0] = 0;
        field { sw = rw; encode = speed; desc = "Rate \\" of */ it."; } SPEED[5:4] = 2;
        field { sw = rw; keep; } WAKE[8:8] = 1;
    } CTRL @0x0;
    reg {
        field { sw = r; swacc; } UP[0:0] = 1;
        field { sw = rw; onwrite = woclr; } CHANGED[1:1] = 0;
        field { sw = r; onread = rclr; } CAUSE[15:8] = 0;
    } STATUS @0x4;
    reg { regwidth = 64; accesswidth = 32; keep; field { sw = rw; } ADDR[63:6] = 1; } BASE @0x8;
    regfile { flat; reg { field { sw = rw; } X[7:0] = 0; } FILTER @0x0; } GROUP @0x80;
    regfile {
        reg { field { sw = w; swmod; } TAIL[15:0] = 0; } TAIL @0x0;
        reg { field { sw = rw; } E[31:0] = 7; } CELL[3] @0x10 += 8;
        regfile { reg { field { sw = rw; } V[3:0] = 5; } VALUE @0x4; } LANE[2] @0x30 += 8;
    } RING[4] @0x400 += 0x60;
};
"""
DESCRIPTOR_SAMPLE = """
addrmap one_word {
    default regwidth = 64; default sw = rw; default hw = rw;
    reg { field { desc = "Low."; } LOW[7:0] = 3; field {} CLASS[63:60]; } W0;
};
"""


@dataclass(frozen=True)
class Result:
    """How a run of the command ended."""

    returncode: int
    stdout: str
    stderr: str


@cache
def command() -> ModuleType:
    """`spec/regen.py` as a module; its own folder is on the path, as when it is run."""
    sys.path.insert(0, str(ROOT / "spec"))
    return importlib.import_module("regen")


def regen(root: Path, *options: str) -> Result:
    """Run the command on a tree, in this process: most of its time would go into imports."""
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        code = command().main(["--root", str(root), *options])
    return Result(code, out.getvalue(), err.getvalue())


def write_sources(root: Path, registers: str = SAMPLE, descriptor: str = DESCRIPTOR_SAMPLE) -> Path:
    """A tree with nothing but sources."""
    (root / "spec").mkdir(parents=True, exist_ok=True)
    (root / "spec/registers.rdl").write_text(registers)
    (root / "spec/descriptors.rdl").write_text(descriptor)
    return root


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """A generated sample tree."""
    result = regen(write_sources(tmp_path))
    assert result.returncode == 0, result.stderr
    return tmp_path


def load(root: Path, name: str) -> ModuleType:
    """A module of the sample tree's vnic/gen, under a package name of its own."""
    package = f"regen_sample_{abs(hash(root))}"
    for full, file in ((package, "__init__"), (f"{package}.{name}", name)):
        path = root / f"vnic/gen/{file}.py"
        places = [str(path.parent)] if file == "__init__" else None
        spec = importlib.util.spec_from_file_location(full, path, submodule_search_locations=places)
        assert spec is not None and spec.loader is not None
        module = sys.modules[full] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


# --- the command


def test_output_is_deterministic_and_check_is_content(sample: Path) -> None:
    before = {path: path.read_bytes() for path in sample.rglob("*") if path.is_file()}
    assert regen(sample).stdout == ""
    assert regen(sample, "--check").returncode == 0
    assert before == {path: path.read_bytes() for path in sample.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["csrc/gen/card_regs.c", "csrc/gen/reg_map.h", "vnic/gen/descriptors.py"])
def test_check_sees_one_byte_of_drift(sample: Path, name: str) -> None:
    path = sample / name
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    result = regen(sample, "--check")
    assert result.returncode == 1
    assert f"differs: {name}" in result.stderr
    assert path.read_bytes() == content


def test_check_sees_missing_files_and_a_changed_source(sample: Path) -> None:
    (sample / "csrc/gen/enums.h").unlink()
    assert "differs: csrc/gen/enums.h" in regen(sample, "--check").stderr
    assert regen(sample).returncode == 0
    write_sources(sample, SAMPLE.replace("WAKE[8:8] = 1", "WAKE[9:9] = 1"))
    assert "differs: csrc/gen/card_regs.h" in regen(sample, "--check").stderr


def test_stale_files_are_named_then_removed(sample: Path) -> None:
    old = sample / "vnic/gen/old.py"
    old.write_text("# generated by spec/regen.py from spec/old.rdl; do not edit.\n")
    result = regen(sample, "--check")
    assert (result.returncode, "stale: vnic/gen/old.py" in result.stderr) == (1, True)
    assert regen(sample).returncode == 0
    assert not old.exists()


def test_a_stranger_in_a_generated_folder_is_never_removed(sample: Path) -> None:
    mine = sample / "csrc/gen/mine.c"
    mine.write_text("int mine;\n")
    result = regen(sample)
    assert result.returncode == 2
    assert "was not generated" in result.stderr
    assert mine.exists()


# --- the sample's maps


def test_sample_names_offsets_and_arrays(sample: Path) -> None:
    regs = load(sample, "registers").MAPS["card_regs"]
    assert [r.name for r in regs] == [
        "CTRL", "STATUS", "BASE", "FILTER", "RING_TAIL", "RING_CELL", "RING_LANE_VALUE",
    ]  # fmt: skip
    assert regs.size == 0x1000
    assert regs["RING_CELL"].at(2, 1) == 0x400 + 2 * 0x60 + 0x10 + 8
    assert regs["RING_LANE_VALUE"].at(3, 1) == 0x400 + 3 * 0x60 + 0x30 + 8 + 4
    assert regs.lookup(regs["RING_CELL"].at(2, 1) + 3)[1] == 2 * 3 + 1
    assert [f.access for f in regs["CTRL"].fields] == ["pulse", "rw", "rw"]
    assert [f.access for f in regs["STATUS"].fields] == ["ro", "w1c", "rc"]
    assert [f.sticky for f in (*regs["CTRL"].fields, *regs["BASE"].fields)] == [False, False, True, True]
    assert (regs["CTRL"].hook_read, regs["CTRL"].hook_write) == (False, True)
    assert (regs["STATUS"].hook_read, regs["STATUS"].hook_write) == (True, False)


def test_sample_c_tables_agree_with_python(sample: Path, words_agree: Callable[..., int]) -> None:
    assert words_agree("cc", sample / "csrc/gen", list(load(sample, "registers").MAPS.values())) > 20


def test_the_hash_follows_meaning_not_prose(sample: Path) -> None:
    def hash_of(text: str) -> int:
        assert regen(write_sources(sample, text)).returncode == 0
        value: int = load(sample, "registers").MAPS["card_regs"].hash
        return value

    original = hash_of(SAMPLE)
    assert hash_of(SAMPLE.replace("Control.", "Controls.")) == original
    for old, new in (("WAKE[8:8] = 1", "WAKE[8:8] = 0"), ("FAST = 2", "FAST = 3"), ("+= 0x60", "+= 0x80")):
        assert hash_of(SAMPLE.replace(old, new)) != original


def test_sample_descriptor_defaults_and_keywords(sample: Path) -> None:
    one_word = load(sample, "descriptors").OneWord
    assert one_word(class_=0xA).pack() == (3 | 0xA << 60).to_bytes(8, "little")


# --- tables in the chapters


CHAPTER = """# Chapter
before
<!-- begin generated: {key} -->
old rows
<!-- end generated -->
after
"""


@pytest.mark.parametrize(
    ("key", "row"),
    [
        ("card_regs", "| 0x0000 | `CTRL` | pulse/rw | 0x120 | Control. |"),
        ("card_regs.RING", "| 0x0410 + 0x60 i + 0x8 j, i < 4, j < 3 | `RING_CELL` | rw | 0x7 |  |"),
        ("card_regs.GROUP", "| 7:0 | `X` | rw | 0x0 |  |"),
        ("card_regs.CTRL", "| 8 | `WAKE` | rw | 0x1 | Survives FLR. |"),
        ("descriptor one_word", "| 0 | 7:0 | `LOW` | Low. |"),
        ("enum speed", r"| 1 | `SLOW` | one \| two |"),
    ],
)
def test_tables_fill_the_markers(sample: Path, key: str, row: str) -> None:
    chapter = sample / "spec/chapter.md"
    chapter.write_text(CHAPTER.format(key=key))
    assert "differs: spec/chapter.md" in regen(sample, "--check").stderr
    assert regen(sample).returncode == 0
    lines = chapter.read_text().splitlines()
    assert row in lines
    assert lines[:2] == ["# Chapter", "before"]
    assert lines[-1] == "after"
    assert "old rows" not in lines
    assert regen(sample, "--check").returncode == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CHAPTER.format(key="card_regs.NONE"), "'card_regs.NONE' names no"),
        (CHAPTER.format(key="descriptor none"), "'descriptor none' names no"),
        (CHAPTER.format(key="enum none"), "'enum none' names no"),
        ("<!-- end generated -->\n", "chapter.md:1: table ends before"),
        ("<!-- begin generated: card_regs -->\n", "has no end marker"),
        ("<!-- begin generated: card_regs -->\n" * 2, "chapter.md:2: table begins inside"),
    ],
)
def test_broken_markers_are_refused(sample: Path, text: str, message: str) -> None:
    (sample / "spec/chapter.md").write_text(text)
    result = regen(sample)
    assert (result.returncode, message in result.stderr) == (2, True), result.stderr
    assert (sample / "spec/chapter.md").read_text() == text


# --- broken sources


BROKEN = {
    "syntax": ("addrmap card_regs {", "addrmap card_regs", "error"),
    "lower case": ("} STATUS @0x4", "} status @0x4", "upper case"),
    "access kind": ("onwrite = woclr", "onwrite = woset", "STATUS.CHANGED: sw/onread/onwrite"),
    "write-only reset": ("TAIL[15:0] = 0", "TAIL[15:0] = 1", "reset must be 0"),
    "overlap": ("} STATUS @0x4", "} STATUS @0x0", "overlap"),
    "shared page": (
        "+= 0x60;",
        "+= 0x44; reg { field { sw = rw; } X[7:0] = 0; } AFTER @0x520;",
        "share the 64-byte page at 0x500",
    ),
    "array base": ("RING[4] @0x400", "RING[4] @0x410", "must start on a 64-byte page"),
    "two dimensions": ("CELL[3] @0x10 += 8", "CELL[2][2] @0x10 += 4", "arrays have one dimension"),
    "map size": ("mapsize = 0x1000", "mapsize = 0x100", "mapsize 0x100"),
    "enum width": ("FAST = 2", "FAST = 4", "not wide enough"),
    "enum value": ("sw = rw; } E[31:0]", "sw = rw; encode = wide; } E[31:0]", "exceeds an int"),
    "width": ('desc = "Control.";', 'regwidth = 16; desc = "Control.";', "regwidth is 32 or 64"),
    "C name": ("FILTER @0x0", "RING_COUNT @0x0", "C name CRD_RING_COUNT stands for both"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(BROKEN))
def test_broken_registers_are_refused_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    old, new, message = BROKEN[name]
    assert old in SAMPLE
    result = regen(write_sources(tmp_path, SAMPLE.replace(old, new)))
    assert result.returncode == 2, result.stderr
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "csrc").exists()


@pytest.mark.parametrize(
    ("old", "new"),
    [("W0;", "W1;"), ("W0;", "W0 @0x8;"), ("regwidth = 64", "regwidth = 32"), ("W0;", "W0[2];")],
)
def test_broken_descriptors_are_refused(tmp_path: Path, old: str, new: str) -> None:
    text = DESCRIPTOR_SAMPLE.replace("CLASS[63:60]", "CLASS[31:28]").replace(old, new)
    result = regen(write_sources(tmp_path, descriptor=text))
    assert (result.returncode, "64-bit regs W0, W1" in result.stderr) == (2, True), result.stderr


def test_a_folder_without_sources_is_an_error(tmp_path: Path) -> None:
    result = regen(tmp_path)
    assert (result.returncode, "no *.rdl file" in result.stderr) == (2, True)
