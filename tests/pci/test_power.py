"""Power states, resets by level, surprise removal and return."""

from __future__ import annotations

from typing import Any

import pytest

COMMAND, PM_CTRL, DEVCTL, LNKCTL, MSI_MASK = 0x04, 0x44, 0x78, 0x80, 0x60
AER_STATUS, AER_MASK, AER_SEVERITY, AER_COR_MASK = 0x104, 0x108, 0x10C, 0x114
UR = 1 << 20
FLR, D3, HOT, POWER = range(4)
INTX = 0


def dirty(f: Any) -> None:
    """Write configuration space and the MSI-X table full of what a reset must undo or keep."""
    f.enable_msix(function_mask=1)
    f.raise_vector(1)
    f.cfg_write(0x3C, 1, 0x0B)
    f.cfg_write(0x0C, 1, 0x10)
    f.cfg_write(MSI_MASK, 4, 0xFF)
    f.cfg_write(DEVCTL, 2, 0x5 << 12 | 2 << 5 | 0xF)
    f.cfg_write(LNKCTL, 2, 0x43)
    f.cfg_write(AER_MASK, 4, 1 << 14)
    f.cfg_write(AER_SEVERITY, 4, UR)
    f.cfg_write(AER_COR_MASK, 4, 0)
    f.log_unsupported(1)


def config(f: Any) -> list[int]:
    return [f.cfg(offset) for offset in range(0, 0x200, 4)]


def reset_by(f: Any, level: int) -> None:
    match level:
        case 0:
            f.cfg_set(DEVCTL, 0x8000)
        case 1:
            f.cfg_write(PM_CTRL, 2, 3)
            f.cfg_write(PM_CTRL, 2, 0)
        case _:
            f.reset(level)


@pytest.mark.requirement("PCI-18")
@pytest.mark.parametrize("state", [1, 2])
def test_power_states_that_the_function_lacks(function: Any, state: int) -> None:
    function.cfg_write(PM_CTRL, 2, state)
    assert function.cfg(PM_CTRL) & 3 == 0
    function.cfg_write(PM_CTRL, 2, 3)
    function.cfg_write(PM_CTRL, 2, state)
    assert function.cfg(PM_CTRL) & 3 == 3
    assert list(function.told().resets) == [0, 0, 0, 0]


@pytest.mark.requirement("PCI-6", "PCI-19")
def test_d3hot_answers_configuration_only(function: Any) -> None:
    function.cfg_write(PM_CTRL, 1, 3)
    reads = function.told().bar_reads
    assert function.cfg(0) == 0x0C0D1AF4
    assert function.read(0, 0, 4) == 0xFFFFFFFF
    assert function.told().bar_reads == reads
    assert function.cfg(DEVCTL) & 1 << 19
    assert not function.is_memory_enabled()
    assert not function.is_master()


@pytest.mark.requirement("PCI-20", "PCI-22")
def test_the_way_to_d0_resets(function: Any) -> None:
    function.cfg_write(PM_CTRL, 2, 3)
    assert list(function.told().resets) == [0, 0, 0, 0]
    function.cfg_write(PM_CTRL, 2, 0)
    assert list(function.told().resets) == [0, 1, 0, 0]
    assert function.cfg(COMMAND) & 7 == 0
    assert function.cfg(0x10) == 4
    function.cfg_write(PM_CTRL, 2, 0)
    assert list(function.told().resets) == [0, 1, 0, 0]


@pytest.mark.requirement("PCI-21", "PCI-22", "PCI-23", "PCI-2")
@pytest.mark.parametrize("level", [FLR, D3, HOT, POWER])
def test_what_each_level_keeps(function: Any, make: Any, level: int) -> None:
    fresh = config(make())
    dirty(function)
    before = config(function)
    reset_by(function, level)
    assert list(function.told().resets) == [int(i == level) for i in range(4)]
    expected = list(fresh)
    if level != POWER:
        for offset in range(AER_STATUS, 0x12C, 4):
            expected[offset // 4] = before[offset // 4]
        assert function.cfg(AER_STATUS) == UR
        assert function.cfg(AER_SEVERITY) == UR
        assert function.cfg(0x118) & 0x1F == 20
    if level == FLR:
        expected[DEVCTL // 4] |= 2 << 5
        expected[LNKCTL // 4] |= 0x43
    assert config(function) == expected
    function.cfg_set(COMMAND, 2)
    assert [function.read(2, 16 * n + 12, 4) for n in range(8)] == [1] * 8
    assert [function.read(2, 16 * n, 8) for n in range(8)] == [0] * 8
    assert function.read(2, 0x1000, 8) == 0


@pytest.mark.requirement("PCI-21")
@pytest.mark.parametrize("width", [1, 2, 4])
def test_flr_by_any_width(function: Any, width: int) -> None:
    offset, value = (DEVCTL + 1, 0x80) if width == 1 else (DEVCTL, 0x8000)
    function.cfg_write(offset, width, value)
    assert function.told().resets[FLR] == 1
    assert function.cfg(DEVCTL) & 0x8000 == 0
    function.cfg_write(DEVCTL, 1, 0xFF)
    function.cfg_write(DEVCTL + 2, 2, 0x8000)
    assert function.told().resets[FLR] == 1


@pytest.mark.requirement("PCI-21")
def test_flr_in_d3hot_leads_to_d0(function: Any) -> None:
    function.cfg_write(PM_CTRL, 2, 3)
    function.cfg_write(DEVCTL, 2, 0x8000)
    assert function.cfg(PM_CTRL) & 3 == 0
    assert list(function.told().resets) == [1, 0, 0, 0]


@pytest.mark.requirement("PCI-23")
@pytest.mark.parametrize("level", [FLR, D3, HOT])
def test_messages_that_left_before_a_reset_arrive_and_the_line_falls(function: Any, level: int) -> None:
    function.set_line(1)
    reset_by(function, level)
    assert [m.data for m in function.take()] == [1, 0]
    function.start()
    function.enable_msix()
    function.raise_vector(4)
    reset_by(function, level)
    assert [m.vector for m in function.take()] == [4]


@pytest.mark.requirement("PCI-23")
def test_a_power_cycle_forgets_what_was_queued(function: Any) -> None:
    function.enable_msix()
    function.raise_vector(4)
    function.reset(POWER)
    assert function.take() == []


@pytest.mark.requirement("PCI-23", "PCI-24")
@pytest.mark.parametrize("how", ["power", "remove"])
@pytest.mark.parametrize(("levels", "taken"), [([1], True), ([1], False), ([1, 0], False), ([1], None)])
def test_the_line_falls_if_it_may_have_been_up(
    function: Any, how: str, levels: list[int], taken: bool | None
) -> None:
    function.set_line(levels[0])
    if taken is not False:
        function.take()
    for level in levels[1:]:
        function.set_line(level)
    if taken is None:
        function.set_line(0)
    function.reset(POWER) if how == "power" else function.remove()
    assert [(m.kind, m.data) for m in function.take()] == [(INTX, 0)]
    assert function.take() == []


@pytest.mark.requirement("PCI-24")
def test_a_removed_function_is_all_ones(function: Any) -> None:
    memory = function.memory(0x10000, 4096)
    function.enable_msix()
    function.raise_vector(0)
    function.remove()
    assert function.take() == []
    for width in (1, 2, 4, 8):
        ones = 2 ** (8 * width) - 1
        assert function.read(0, 0, width) == ones
        assert function.read(2, 0, width) == ones
        assert width == 8 or function.cfg(0, width) == ones
    reads, strays = function.told().bar_reads, function.strays()
    function.write(0, 0x14, 4, 1)
    function.cfg_write(DEVCTL, 2, 0x8000)
    function.cfg_write(COMMAND, 2, 0)
    function.raise_vector(0)
    function.set_line(1)
    assert function.take() == []
    assert function.dma_put(0x10000, b"x") == 5
    assert memory[0] == b"\0"
    told = function.told()
    assert (told.bar_reads, function.strays(), told.bar_writes) == (reads, strays, 0)
    assert list(told.resets) == [0, 0, 0, 0]


@pytest.mark.requirement("PCI-25")
def test_insertion_is_a_power_cycle(function: Any, make: Any) -> None:
    dirty(function)
    function.remove()
    function.insert()
    assert list(function.told().resets) == [0, 0, 0, 1]
    assert function.snapshot() == make().snapshot()
    function.insert()
    assert function.told().resets[POWER] == 1


@pytest.mark.requirement("PCI-24")
def test_removal_logs_nothing(function: Any) -> None:
    function.remove()
    function.read(0, 0, 4)
    function.write(0, 0, 4, 0)
    function.insert()
    assert function.cfg(DEVCTL) >> 16 == 0
    assert function.cfg(AER_STATUS) == 0
