"""The language of programs: the same in C and Python, and any bytes are a program."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.errors import ArgumentError
from vnic.fault import Fault, FaultAction, FaultPick, FaultSite
from vnic.fuzz import oplang, scenes, strategies
from vnic.fuzz.bring_up import BRING_UP
from vnic.fuzz.effort import examples
from vnic.fuzz.oplang import Flag, Program, Step, decode, encode, from_text
from vnic.fuzz.records import edited, records

FLAGS = st.integers(0, 255).map(Flag)
SEPARATED = st.lists(st.sampled_from((0xC0, 0xDB, 0xDC, 0xDD)), max_size=40).map(bytes)


def printed(fuzzer: Path, *arguments: str) -> Program:
    """What the C fuzzer prints."""
    command = [str(fuzzer), *arguments]
    return from_text(subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout)


def test_c_and_python_bring_up_alike(fuzzer: Path) -> None:
    assert printed(fuzzer, "--bring-up").steps == BRING_UP


@examples(80)
@given(flags=FLAGS, steps=scenes.programs(0, 12))
def test_a_program_survives_being_bytes(flags: Flag, steps: tuple[Step, ...]) -> None:
    program = Program(flags, steps[: oplang.STEPS_MAX])
    assert decode(encode(program)) == program


@examples(40)
@given(noise=st.binary(max_size=600) | SEPARATED, flags=FLAGS)
def test_c_and_python_read_any_bytes_alike(
    fuzzer: Path, tmp_path_factory: pytest.TempPathFactory, noise: bytes, flags: Flag
) -> None:
    encoded = bytes([oplang.VERSION, flags]) + noise
    path = tmp_path_factory.getbasetemp() / "noise.ops"
    path.write_bytes(encoded)
    assert printed(fuzzer, "--print", str(path)) == decode(encoded)


@examples(20)
@given(flags=FLAGS, steps=scenes.programs(1, 12))
def test_c_and_python_read_a_program_alike(
    fuzzer: Path, tmp_path_factory: pytest.TempPathFactory, flags: Flag, steps: tuple[Step, ...]
) -> None:
    program = Program(flags, steps[: oplang.STEPS_MAX])
    path = tmp_path_factory.getbasetemp() / "program.ops"
    path.write_bytes(encode(program))
    assert printed(fuzzer, "--print", str(path)) == program


@examples(80)
@given(steps=scenes.programs(2, 12), data=st.data())
def test_damage_stays_local(steps: tuple[Step, ...], data: st.DataObject) -> None:
    """A byte that is lost or changed harms the steps on both sides of it, and no others."""
    encoded = bytearray(encode(Program(Flag(0), steps[:100])))
    where = data.draw(st.integers(2, len(encoded) - 1))
    if data.draw(st.booleans()):
        del encoded[where]
    else:
        encoded[where] ^= data.draw(st.integers(1, 255))
    after = decode(bytes(encoded)).steps
    kept = [step for step in steps[:100] if step in after]
    assert len(kept) >= len(steps[:100]) - 2


@pytest.mark.parametrize("encoded", [b"", b"\x01", b"\x02\x00", b"\x00\x00\xc0"])
def test_another_version_is_refused(encoded: bytes) -> None:
    with pytest.raises(ArgumentError):
        decode(encoded)


def test_a_fault_survives_being_data() -> None:
    fault = Fault(
        site=FaultSite.DMA_WRITE,
        action=FaultAction.CORRUPT,
        index=3,
        first=5,
        last=7,
        skip=2,
        count=9,
        argument=4,
        mask=1 << 63,
    )
    assert oplang.unpack_fault(oplang.pack_fault(fault)) == fault
    seeded = replace(fault, pick=FaultPick.CHANCE, one_in=3, seed=2**64 - 1)
    assert oplang.unpack_fault(oplang.pack_fault(seeded)) == seeded
    assert len(oplang.pack_fault(fault)) == 56


@given(triples=strategies.edits)
def test_edits_survive_being_data(triples: list[tuple[int, int, int]]) -> None:
    assert oplang.unpack_edits(oplang.pack_edits(triples)) == triples


def test_an_edit_changes_what_it_names() -> None:
    image = bytes([1, 0, 2, 0, 0xAA, 0xBB, 2, 0, 1, 0, 0xCC])
    assert [(r.at, r.tag, r.value) for r in records(image)] == [(0, 1, b"\xaa\xbb"), (6, 2, b"\xcc")]
    assert edited(image, [(1, 0, 0x11)])[-1] == 0x11
    assert edited(image, [(3, 1, 0xFF)])[-1] == 0x33
    assert edited(image, [(0, 2, 1)])[4:6] == b"\xab\xbb"
    assert edited(image, [(0, 3, 7)]) == image[:7]
    assert edited(image, [(0, 5, 0)]) == image[6:]
    assert edited(image, [(1, 6, 0)])[-1] == 0xCD
