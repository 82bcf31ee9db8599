"""Names of registers and of results."""

from __future__ import annotations

import pytest

from vnic._core import ffi, lib
from vnic.abi import Result
from vnic.gen.registers import BAR0


def name_at(offset: int, bar: int = 0) -> str | None:
    """What the library calls an offset."""
    name = lib.vnic_register_name(bar, offset)
    return None if name == ffi.NULL else ffi.string(name).decode()


def test_every_word_of_every_register_has_its_name() -> None:
    expected: dict[int, str] = {}
    for register in BAR0.MAP:
        for offset in register.offsets():
            for word in range(offset, offset + register.bytes, 4):
                expected[word] = register.name
    found = {offset: name_at(offset) for offset in range(0, 1 << 16, 4)}
    assert {offset: name for offset, name in found.items() if name} == expected
    assert len(expected) > 1000


def test_bytes_of_a_register_have_its_name() -> None:
    assert {name_at(BAR0.GLB_TIME.offset + n) for n in range(8)} == {"GLB_TIME"}


@pytest.mark.parametrize("offset", [1 << 16, (1 << 16) + 4, 1 << 32, (1 << 64) - 1])
def test_beyond_the_map_there_are_no_names(offset: int) -> None:
    assert name_at(offset) is None


def test_other_bars_have_no_names() -> None:
    assert name_at(0) == "GLB_TYPE"
    assert [name_at(0, bar) for bar in (1, 2, 5, 6, 1 << 31)] == [None] * 5


def test_every_result_has_a_text_of_its_own() -> None:
    texts = {result: ffi.string(lib.vnic_strerror(result)).decode() for result in Result}
    assert len(set(texts.values())) == len(Result)
    assert texts[Result.OK] == "success"
    unknown = {
        ffi.string(lib.vnic_strerror(value)).decode() for value in (1, 1000, -10, -1000, -(1 << 31) + 1)
    }
    assert unknown == {"unknown result"}
    assert unknown.isdisjoint(texts.values())


def test_the_map_has_a_hash() -> None:
    assert lib.vnic_register_map_hash() == lib.vnic_register_map_hash() != 0
