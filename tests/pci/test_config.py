"""Configuration space as an operating system sees it: identity, capabilities, BARs, access rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.fuzz.effort import examples
from vnic.gen.registers import CONFIG

ALL_ONES = 0xFFFFFFFF
Make = Callable[..., Any]


def walk(f: Any) -> dict[int, int]:
    """Capability id -> offset, following the list; fails on a loop."""
    found: dict[int, int] = {}
    at = f.cfg(0x34, 1)
    while at:
        assert at % 4 == 0
        assert 0x40 <= at < 0x100
        assert at not in found.values()
        found[f.cfg(at, 1)] = at
        at = f.cfg(at + 1, 1)
    return found


def probe(f: Any, bar: int) -> tuple[int, int]:
    """Size and type bits of a BAR, by the procedure of the specification."""
    low, high = 0x10 + 4 * bar, 0x14 + 4 * bar
    saved = f.cfg(low), f.cfg(high)
    f.cfg_write(low, 4, ALL_ONES)
    f.cfg_write(high, 4, ALL_ONES)
    value = f.cfg(high) << 32 | f.cfg(low)
    f.cfg_write(low, 4, saved[0])
    f.cfg_write(high, 4, saved[1])
    return (~(value & ~0xF) + 1) & (2**64 - 1), value & 0xF


@pytest.mark.requirement("PCI-2")
def test_identity(bare: Any) -> None:
    assert bare.cfg(0x00) == 0x0C0D1AF4
    assert bare.cfg(0x08) == 0x02000007
    assert bare.cfg(0x0C) & 0xFF0000 == 0
    assert bare.cfg(0x2C) == 0x56781234
    assert bare.cfg(0x3D, 1) == 1
    assert (bare.cfg(0xB0) >> 16 & 0x7FF) == 7
    assert bare.cfg(0xB4) == 2
    assert bare.cfg(0xB8) == 0x1002
    assert bare.cfg(0x50) >> 17 & 7 == 3


@pytest.mark.requirement("PCI-2")
def test_multifunction_bit(make: Make) -> None:
    assert make(multi=1).cfg(0x0E, 1) == 0x80


@pytest.mark.requirement("PCI-2")
@given(writes=st.lists(st.tuples(st.integers(0, 4095), st.sampled_from([1, 2, 4]), st.integers(0, ALL_ONES))))
@examples(30)
def test_identity_survives_writes(make: Make, writes: list[tuple[int, int, int]]) -> None:
    f = make()
    for offset, width, value in writes:
        f.cfg_write(offset, width, value)
    test_identity(f)
    assert walk(f) == {1: 0x40, 5: 0x50, 16: 0x70, 17: 0xB0}
    f.close()


@pytest.mark.requirement("PCI-3")
def test_capability_list(bare: Any) -> None:
    assert bare.cfg(0x06, 2) & 1 << 4
    assert walk(bare) == {1: 0x40, 5: 0x50, 16: 0x70, 17: 0xB0}
    assert bare.cfg(0x100) & 0xFFFF == 1
    assert bare.cfg(0x100) >> 20 == 0


@pytest.mark.requirement("PCI-4")
def test_a_walk_finds_what_fixed_offsets_would(bare: Any) -> None:
    found = walk(bare)
    assert found[0x01] == CONFIG.PM_CAP.offset
    assert found[0x05] == CONFIG.MSI_CTRL.offset
    assert found[0x10] == CONFIG.PCIE_CAP.offset
    assert found[0x11] == CONFIG.MSIX_CTRL.offset


@pytest.mark.requirement("PCI-5")
def test_bar_sizing(bare: Any) -> None:
    assert probe(bare, 0) == (0x10000, 4)
    assert probe(bare, 2) == (0x2000, 4)
    for offset in (0x20, 0x24, 0x30):
        bare.cfg_write(offset, 4, ALL_ONES)
        assert bare.cfg(offset) == 0


@pytest.mark.requirement("PCI-5")
def test_bar_sizes_from_small_to_large(make: Make) -> None:
    f = make(bars=[16, 0, 0x2000, 0, 0x80000000, 0])
    assert [probe(f, bar)[0] for bar in (0, 2, 4)] == [16, 0x2000, 0x80000000]


@pytest.mark.requirement("PCI-5")
def test_bar_byte_writes_keep_the_type(bare: Any) -> None:
    for i in range(8):
        bare.cfg_write(0x10 + i, 1, 0xFF)
    assert bare.cfg(0x10) == 0xFFFF0004
    assert bare.cfg(0x14) == ALL_ONES
    bare.cfg_write(0x10, 1, 0)
    assert bare.cfg(0x10) == 0xFFFF0004


@pytest.mark.requirement("PCI-1")
def test_bytes_and_words_of_a_dword(bare: Any) -> None:
    dword = bare.cfg(0x00).to_bytes(4, "little")
    for offset in range(4):
        assert bare.cfg(offset, 1) == dword[offset]
    for offset in range(3):
        assert bare.cfg(offset, 2) == int.from_bytes(dword[offset : offset + 2], "little")
    bare.cfg_write(0x3C, 1, 0x0B)
    bare.cfg_write(0x3D, 1, 0x55)
    assert bare.cfg(0x3C) == 0x010B


@pytest.mark.requirement("PCI-1")
@pytest.mark.parametrize(
    ("offset", "width", "ones"),
    [
        (3, 2, 0xFFFF),
        (1, 4, ALL_ONES),
        (2, 4, ALL_ONES),
        (4096, 1, 0xFF),
        (4096, 4, ALL_ONES),
        (ALL_ONES, 1, 0xFF),
    ]
    + [(0, width, ALL_ONES) for width in (0, 3, 5, 8, 300)],
)
def test_accesses_that_no_dword_holds(bare: Any, offset: int, width: int, ones: int) -> None:
    before = bare.snapshot()
    assert bare.cfg(offset, width) == ones
    bare.cfg_write(offset, width, 0)
    assert bare.snapshot() == before


@pytest.mark.requirement("PCI-1")
def test_unimplemented_dwords_read_zero(bare: Any) -> None:
    implemented = {offset for register in CONFIG.MAP for offset in register.offsets()}
    for offset in range(0, 4096, 4):
        if offset not in implemented:
            bare.cfg_write(offset, 4, ALL_ONES)
            assert bare.cfg(offset) == 0


@pytest.mark.requirement("PCI-1", "PCI-8")
def test_every_dword_takes_what_its_table_says(make: Make) -> None:
    resets = (CONFIG.DEVCTL.offset, CONFIG.PM_CTRL.offset)  # a write of ones there resets
    for register in CONFIG.MAP:
        for offset in register.offsets():
            if offset in resets or register.name == "BAR":
                continue
            f = make(channel_errors=1)
            before = f.cfg(offset)
            f.cfg_write(offset, 4, ALL_ONES)
            assert f.cfg(offset) == before | register.mask("rw"), register.name
            f.cfg_write(offset, 4, 0)
            assert f.cfg(offset) == before & ~register.mask("rw"), register.name


@pytest.mark.parametrize(
    "options",
    [
        {"vectors": 0},
        {"vectors": 65},
        {"msi_log2": 6},
        {"pin": 5},
        {"bars": [0x3000, 0, 0x2000, 0, 0, 0]},
        {"bars": [8, 0, 0x2000, 0, 0, 0]},
        {"bars": [0x1000, 0x1000, 0x2000, 0, 0, 0]},
        {"bars": [0x1000, 0, 0x2000, 0, 0, 0x1000]},
        {"bars": [0x1000, 0, 0x1000, 0, 0, 0]},
        {"msix_bar": 6},
        {"msix_bar": 1},
        {"table": 4, "bars": [0x1000, 0, 0x4000, 0, 0, 0]},
        {"pba": 0x800},
    ],
)
def test_identities_that_no_function_can_have(make: Make, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="-1"):
        make(**options)


def test_footprint_counts_capacities(make: Make) -> None:
    small, large = make(regions=1, faults=1), make(regions=1001, faults=1)
    assert large.footprint() - small.footprint() == 1000 * 32
