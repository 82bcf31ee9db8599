"""The line, MSI and MSI-X: what leaves, what waits, and what a switch between them does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.fuzz.effort import examples

Make = Callable[..., Any]
INTX, MSI, MSIX = 0, 1, 2
COMMAND, PM_CTRL, MSI_CTRL, MSI_MASK, MSI_PENDING, MSIX_CTRL = 0x04, 0x44, 0x50, 0x60, 0x64, 0xB0
MEMORY, MASTER, INTX_DISABLE, INTX_STATUS = 1 << 1, 1 << 2, 1 << 10, 1 << 19
ENABLE, FUNCTION_MASK = 1 << 31, 1 << 30
PBA = 0x1000


def tuples(messages: list[Any]) -> list[tuple[int, int, int, int]]:
    return [(m.kind, m.vector, m.addr, m.data) for m in messages]


def msix_message(n: int) -> tuple[int, int, int, int]:
    """What `enable_msix` programs."""
    return (MSIX, n, n << 32 | 0xFEE00000 + 0x1000 * n, 0x4000 + n)


def msi_message(n: int, data: int = 0x4300) -> tuple[int, int, int, int]:
    """What `enable_msi` programs."""
    return (MSI, n, 0x1FEE00000, data | n)


def fire(f: Any, vector: int) -> bool:
    """Raise a vector; whether it left at once."""
    return bool(f.raise_vector(vector))


UP, DOWN = (INTX, 0, 0, 1), (INTX, 0, 0, 0)


# --- the line


@pytest.mark.requirement("PCI-27")
def test_each_change_of_the_line_is_told_once(function: Any) -> None:
    for level in (1, 1, 0, 0, 1):
        function.set_line(level)
    assert tuples(function.take()) == [UP, DOWN, UP]


@pytest.mark.requirement("PCI-27", "PCI-28")
def test_interrupt_disable_lowers_the_line_and_not_the_status(function: Any) -> None:
    function.set_line(1)
    function.cfg_set(COMMAND, INTX_DISABLE)
    assert tuples(function.take()) == [UP, DOWN]
    assert function.cfg(COMMAND) & INTX_STATUS
    function.set_line(0)
    assert not function.cfg(COMMAND) & INTX_STATUS
    function.set_line(1)
    assert function.take() == []
    function.cfg_set(COMMAND, INTX_DISABLE, 0)
    assert tuples(function.take()) == [UP]


@pytest.mark.requirement("PCI-27")
def test_the_line_needs_no_bus_master_and_no_memory_space(bare: Any) -> None:
    bare.set_line(1)
    assert tuples(bare.take()) == [UP]


@pytest.mark.requirement("PCI-27", "PCI-19")
def test_the_line_falls_in_d3hot(function: Any) -> None:
    function.set_line(1)
    function.cfg_write(PM_CTRL, 2, 3)
    assert tuples(function.take()) == [UP, DOWN]
    assert function.cfg(COMMAND) & INTX_STATUS


@pytest.mark.requirement("PCI-27")
def test_without_a_pin_there_is_no_line(make: Make) -> None:
    f = make(pin=0)
    f.start()
    f.set_line(1)
    assert f.take() == []


@pytest.mark.requirement("PCI-26", "PCI-27", "PCI-28")
@pytest.mark.parametrize("mode", [MSI, MSIX])
def test_messages_suppress_the_line(function: Any, mode: int) -> None:
    function.set_line(1)
    register, bit = (MSI_CTRL, 1 << 16) if mode == MSI else (MSIX_CTRL, ENABLE)
    changes = function.told().mode_changes
    function.cfg_set(register, bit)
    assert function.mode() == mode
    assert function.told().mode_changes == changes + 1
    assert tuples(function.take()) == [UP, DOWN]
    assert not function.cfg(COMMAND) & INTX_STATUS
    function.cfg_set(register, bit, 0)
    assert tuples(function.take()) == [UP]
    assert function.told().mode_changes == changes + 2


@pytest.mark.requirement("PCI-26")
def test_msix_wins_over_msi(function: Any) -> None:
    function.enable_msi(0)
    function.enable_msix()
    assert fire(function, 3)
    assert tuples(function.take()) == [msix_message(3)]


# --- MSI-X


@pytest.mark.requirement("PCI-29")
def test_msix_sends_the_entry_of_the_vector(function: Any) -> None:
    function.enable_msix()
    assert [fire(function, n) for n in (0, 7, 3, 3)] == [True] * 4
    assert tuples(function.take()) == [msix_message(n) for n in (0, 7, 3, 3)]
    assert not fire(function, 8)
    assert not fire(function, 64)
    assert not fire(function, 2**32 - 1)
    assert function.take() == []
    assert function.read(2, PBA, 8) == 0


@pytest.mark.requirement("PCI-29", "PCI-35")
def test_a_masked_entry_waits_and_goes_once_with_what_it_then_holds(function: Any) -> None:
    function.enable_msix()
    function.write(2, 16 * 2 + 12, 4, 1)
    assert not fire(function, 2)
    assert not fire(function, 2)
    assert function.take() == []
    assert function.read(2, PBA, 4) == 1 << 2
    function.write(2, 16 * 2, 4, 0xFEE55000)
    function.write(2, 16 * 2 + 8, 4, 0x99)
    changes = function.told().mode_changes
    function.write(2, 16 * 2 + 12, 1, 0)
    assert tuples(function.take()) == [(MSIX, 2, 2 << 32 | 0xFEE55000, 0x99)]
    assert function.read(2, PBA, 8) == 0
    assert function.told().mode_changes == changes + 1


@pytest.mark.requirement("PCI-29")
def test_the_function_mask_holds_all_and_releases_in_order(function: Any) -> None:
    function.enable_msix(function_mask=1)
    for n in (5, 1, 3):
        assert not fire(function, n)
    function.write(2, 16 * 3 + 12, 4, 1)
    assert function.read(2, PBA, 4) == 1 << 5 | 1 << 1 | 1 << 3
    function.cfg_set(MSIX_CTRL, FUNCTION_MASK, 0)
    assert tuples(function.take()) == [msix_message(1), msix_message(5)]
    assert function.read(2, PBA, 4) == 1 << 3


@pytest.mark.requirement("PCI-29")
def test_software_cannot_write_the_pending_bits(function: Any) -> None:
    function.enable_msix(function_mask=1)
    fire(function, 4)
    for value in (0, 2**64 - 1):
        function.write(2, PBA, 8, value)
        assert function.read(2, PBA, 8) == 1 << 4


@pytest.mark.requirement("PCI-29", "PCI-30")
def test_sixty_four_vectors(make: Make) -> None:
    f = make(vectors=64)
    f.start()
    f.enable_msix(64, function_mask=1)
    for n in range(64):
        fire(f, n)
    assert f.read(2, PBA, 8) == 2**64 - 1
    assert f.read(2, PBA + 4, 4) == 2**32 - 1
    assert f.read(2, PBA + 3, 2) == 0xFFFF
    f.cfg_set(MSIX_CTRL, FUNCTION_MASK, 0)
    assert tuples(f.take()) == [msix_message(n) for n in range(64)]


@pytest.mark.requirement("PCI-29")
def test_a_table_beside_other_registers_of_a_bar(make: Make) -> None:
    f = make(bars=[0x4000, 0, 0, 0, 0, 0], msix_bar=0, table=0x2000, pba=0x3000)
    f.start()
    assert f.cfg(0xB4) == 0x2000
    assert f.cfg(0xB8) == 0x3000
    assert f.read(0, 0x200C, 4) == 1
    reads = f.told().bar_reads
    f.read(0, 0x1FFC, 4)
    assert f.told().bar_reads == reads + 1
    f.read(0, 0x2000, 4)
    assert f.told().bar_reads == reads + 1


# --- MSI


@pytest.mark.requirement("PCI-31")
@pytest.mark.parametrize("granted", range(8))
def test_msi_folds_vectors_into_the_granted_messages(function: Any, granted: int) -> None:
    function.enable_msi(granted, data=0x4308)
    count = 1 << min(granted, 3)
    for vector in range(8):
        assert fire(function, vector)
    expected = [msi_message(v % count, 0x4308 & ~(count - 1)) for v in range(8)]
    assert tuples(function.take()) == expected


@pytest.mark.requirement("PCI-31")
def test_a_masked_msi_waits(function: Any) -> None:
    function.enable_msi(2)
    function.cfg_write(MSI_MASK, 4, 1 << 1)
    assert not fire(function, 1)
    assert not fire(function, 5)
    assert fire(function, 2)
    assert function.cfg(MSI_PENDING) == 1 << 1
    function.cfg_write(MSI_PENDING, 4, 0)
    assert function.cfg(MSI_PENDING) == 1 << 1
    function.cfg_write(MSI_MASK, 4, 0)
    assert tuples(function.take()) == [msi_message(2), msi_message(1)]
    assert function.cfg(MSI_PENDING) == 0


@pytest.mark.requirement("PCI-33")
def test_fewer_messages_fold_what_waits(function: Any) -> None:
    function.enable_msi(3)
    function.cfg_write(MSI_MASK, 4, 0xFF)
    for vector in (2, 5, 7):
        fire(function, vector)
    function.cfg_set(MSI_CTRL, 7 << 20, 1 << 20)
    assert function.cfg(MSI_PENDING) == 0b11
    function.cfg_write(MSI_MASK, 4, 0)
    assert tuples(function.take()) == [msi_message(0), msi_message(1)]


@pytest.mark.requirement("PCI-31")
def test_thirty_two_messages(make: Make) -> None:
    f = make(vectors=32, msi_log2=5)
    f.start()
    f.enable_msi(5)
    f.cfg_write(MSI_MASK, 4, 0xFFFFFFFF)
    for vector in range(32):
        fire(f, vector)
    assert f.cfg(MSI_PENDING) == 0xFFFFFFFF
    f.cfg_set(MSI_CTRL, 7 << 20, 0)
    assert f.cfg(MSI_PENDING) == 1


# --- what holds messages back


@pytest.mark.requirement("PCI-32")
@pytest.mark.parametrize("mode", [MSI, MSIX])
def test_messages_wait_for_bus_master_enable(function: Any, mode: int) -> None:
    function.cfg_set(COMMAND, MASTER, 0)
    if mode == MSI:
        function.enable_msi(3)
    else:
        function.enable_msix()
    assert not fire(function, 1)
    assert function.take() == []
    function.cfg_set(COMMAND, MASTER)
    assert tuples(function.take()) == [msi_message(1) if mode == MSI else msix_message(1)]


@pytest.mark.requirement("PCI-32", "PCI-19")
@pytest.mark.parametrize("mode", [MSI, MSIX])
def test_no_message_leaves_in_d3hot(function: Any, mode: int) -> None:
    if mode == MSI:
        function.enable_msi(3)
    else:
        function.enable_msix()
    function.cfg_write(PM_CTRL, 2, 3)
    assert not fire(function, 1)
    assert function.take() == []
    assert mode == MSIX or function.cfg(MSI_PENDING) == 2


# --- switching


@pytest.mark.requirement("PCI-33")
def test_what_waits_in_one_mode_does_not_leave_by_another(function: Any) -> None:
    function.enable_msix(function_mask=1)
    fire(function, 2)
    function.cfg_set(MSIX_CTRL, ENABLE | FUNCTION_MASK, 0)
    assert function.take() == []
    assert function.read(2, PBA, 4) == 1 << 2
    function.enable_msi(3)
    function.cfg_write(MSI_MASK, 4, 0xFF)
    fire(function, 6)
    function.cfg_write(MSI_MASK, 4, 0)
    assert tuples(function.take()) == [msi_message(6)]
    function.cfg_set(MSIX_CTRL, ENABLE)
    assert tuples(function.take()) == [msix_message(2)]


@pytest.mark.requirement("PCI-33")
def test_msi_pending_survives_a_time_in_msix(function: Any) -> None:
    function.enable_msi(3)
    function.cfg_write(MSI_MASK, 4, 0xFF)
    fire(function, 6)
    function.enable_msix()
    function.cfg_write(MSI_MASK, 4, 0)
    assert function.take() == []
    function.cfg_set(MSIX_CTRL, ENABLE, 0)
    assert tuples(function.take()) == [msi_message(6)]


@pytest.mark.requirement("PCI-27")
def test_nothing_is_raised_by_vector_at_the_line(function: Any) -> None:
    assert not fire(function, 0)
    assert function.take() == []
    function.enable_msix()
    assert function.take() == []


def test_the_device_hears_only_of_changes(function: Any) -> None:
    changes = function.told().mode_changes
    function.cfg_write(COMMAND, 2, function.cfg(COMMAND, 2))
    function.cfg_write(0x3C, 1, 5)
    function.write(2, 12, 4, 1)
    assert function.told().mode_changes == changes
    function.cfg_set(COMMAND, INTX_DISABLE)
    function.write(2, 12, 4, 0)
    assert function.told().mode_changes == changes + 2


# --- the queue outward


@pytest.mark.requirement("PCI-34")
def test_interrupts_are_taken_in_order_and_in_parts(function: Any) -> None:
    function.enable_msix()
    for n in range(8):
        fire(function, n)
    parts = [function.take(3), function.take(0), function.take(4), function.take(4)]
    assert [m.vector for part in parts for m in part] == list(range(8))
    assert [len(part) for part in parts] == [3, 0, 4, 1]


@pytest.mark.requirement("PCI-34")
def test_a_full_queue_merges_equals(function: Any) -> None:
    function.enable_msix()
    for _ in range(300):
        assert fire(function, 0)
    assert function.read(2, PBA, 4) == 0
    assert len(function.take()) == 256


@pytest.mark.requirement("PCI-34")
def test_a_full_queue_lets_others_wait_and_loses_none(function: Any) -> None:
    function.enable_msix()
    for _ in range(256):
        fire(function, 0)
    assert not fire(function, 1)
    function.write(2, 8, 4, 0x1234)
    assert not fire(function, 0)
    assert function.read(2, PBA, 4) == 0b11
    taken = function.take(1)
    assert tuples(taken) == [msix_message(0)]
    assert function.read(2, PBA, 4) == 0b10
    rest = tuples(function.take())
    assert len(rest) == 257
    assert rest[-2:] == [(MSIX, 0, 0xFEE00000, 0x1234), msix_message(1)]
    assert function.take() == []


@pytest.mark.requirement("PCI-34")
def test_the_line_waits_for_room_too(function: Any) -> None:
    for i in range(256):
        function.set_line(~i & 1)
    function.set_line(1)
    assert len(function.take(1)) == 1
    assert tuples(function.take())[-2:] == [DOWN, UP]
    for i in range(256):
        function.set_line(i & 1)
    function.set_line(0)
    function.set_line(1)
    assert tuples(function.take())[-1] == UP
    assert function.take() == []


OPS = st.one_of(
    st.tuples(st.just("raise"), st.integers(0, 3)),
    st.tuples(st.just("mask"), st.integers(0, 3)),
    st.tuples(st.just("unmask"), st.integers(0, 3)),
    st.tuples(
        st.sampled_from(["function mask", "function unmask", "disable", "enable", "stop", "go"]), st.just(0)
    ),
    st.tuples(st.just("take"), st.integers(0, 4)),
)


@pytest.mark.requirement("PCI-29", "PCI-32", "PCI-33")
@given(ops=st.lists(OPS, max_size=60))
@examples(80)
def test_no_raise_is_lost_and_none_is_invented(make: Make, ops: list[tuple[str, int]]) -> None:
    """A vector that was raised leaves at least once after that; none leaves more often than it was raised."""
    f = make(vectors=4)
    f.start()
    f.enable_msix(4)
    f.write(2, 12, 4, 1)
    raised, sent, waits = [0] * 4, [0] * 4, set()

    def account(messages: list[Any]) -> None:
        for message in messages:
            sent[message.vector] += 1

    for what, n in ops:
        match what:
            case "raise" if f.mode() == MSIX:
                raised[n] += 1
                if not fire(f, n):
                    waits.add(n)
            case "mask":
                f.write(2, 16 * n + 12, 4, 1)
            case "unmask":
                f.write(2, 16 * n + 12, 4, 0)
            case "function mask":
                f.cfg_set(MSIX_CTRL, FUNCTION_MASK)
            case "function unmask":
                f.cfg_set(MSIX_CTRL, FUNCTION_MASK, 0)
            case "disable":
                f.cfg_set(MSIX_CTRL, ENABLE, 0)
            case "enable":
                f.cfg_set(MSIX_CTRL, ENABLE)
            case "stop":
                f.cfg_set(COMMAND, MASTER, 0)
            case "go":
                f.cfg_set(COMMAND, MASTER)
            case "take":
                account(f.take(n))
        pending = f.read(2, PBA, 4)
        assert all(raised[v] >= sent[v] for v in range(4))
        assert {v for v in range(4) if pending >> v & 1} <= waits
    for n in range(4):
        f.write(2, 16 * n + 12, 4, 0)
    f.cfg_set(COMMAND, MASTER)
    f.cfg_set(MSIX_CTRL, ENABLE | FUNCTION_MASK, ENABLE)
    account(f.take())
    assert all((raised[v] > 0) == (sent[v] > 0) and sent[v] <= raised[v] for v in range(4))
    assert f.read(2, PBA, 4) == 0
    f.close()
