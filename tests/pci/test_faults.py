"""Injected faults and the observer: what fires when, what it does at each site, and what is told of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.fuzz.effort import examples

DMA_READ, DMA_WRITE, INTERRUPT, FRAME_IN, FRAME_OUT, MMIO_READ, MMIO_WRITE, TIMER, ADMIN = range(9)
ERROR, DROP, CORRUPT, DUPLICATE, DELAY, REORDER, STUCK, REMOVE = range(8)
EVENTS = {
    "mmio read": 1,
    "mmio write": 2,
    "cfg read": 3,
    "cfg write": 4,
    "dma read": 5,
    "dma write": 6,
    "interrupt": 7,
}
FAULT, ARM = 18, 19
ALL = 0xFFFFFFFF
EINVAL, ENOSPC, ENOENT = -1, -4, -5
PAGE = 4096
SCRATCH = 0x640  # RSS_KEY[0]: a plain register


@pytest.mark.requirement("PCI-42")
@pytest.mark.parametrize("site", range(10))
@pytest.mark.parametrize("action", range(9))
def test_which_action_goes_where(function: Any, site: int, action: int) -> None:
    posted = {DMA_WRITE, INTERRUPT, FRAME_IN, FRAME_OUT, MMIO_WRITE}
    allowed = {
        ERROR: {DMA_READ, DMA_WRITE, MMIO_READ, TIMER, ADMIN},
        DROP: posted | {TIMER, ADMIN},
        CORRUPT: posted | {DMA_READ, MMIO_READ, ADMIN},
        DUPLICATE: posted | {MMIO_READ, ADMIN},
        DELAY: posted | {TIMER, ADMIN},
        REORDER: posted,
        STUCK: {DMA_READ, DMA_WRITE, MMIO_READ, MMIO_WRITE},
        REMOVE: set(range(9)),
    }
    argument = 0 if action == DUPLICATE else 1
    result = function.arm_fault(site, action, index=0, argument=argument, mask=1)
    assert result == (0 if site in allowed.get(action, set()) else EINVAL)


@pytest.mark.requirement("PCI-42")
@pytest.mark.parametrize(
    "options",
    [
        {"count": 0},
        {"first": 2, "last": 1},
        {"argument": 0},
        {"argument": 5},
        {"argument": 2**64 - 1},
        {"one_in": 1},
        {"seed": 1},
        {"pick": 1},
        {"pick": 2},
        {"pick": 2, "one_in": 3, "seed": 3},
        {"pick": 3, "one_in": 3},
    ],
)
def test_faults_that_make_no_sense(function: Any, options: dict[str, Any]) -> None:
    assert function.arm_fault(DMA_READ, ERROR, **{"argument": 1, **options}) == EINVAL


@pytest.mark.requirement("PCI-42")
def test_a_corruption_without_a_mask_is_refused(function: Any) -> None:
    assert function.arm_fault(MMIO_READ, CORRUPT, mask=0) == EINVAL
    assert function.arm(function.ffi.NULL) == EINVAL


def test_ids_capacity_and_disarming(function: Any) -> None:
    ids = [function.arm_fault(MMIO_READ, ERROR) for _ in range(4)]
    assert ids == [0, 1, 2, 3]
    assert function.arm_fault(MMIO_READ, ERROR) == ENOSPC
    assert function.disarm(2) == 0
    assert function.disarm(2) == ENOENT
    assert function.fired(2) == ENOENT
    assert function.arm_fault(DMA_WRITE, DROP) == 2
    for nobody in (-1, 4, 2**31 - 1):
        assert function.disarm(nobody) == ENOENT
        assert function.fired(nobody) == ENOENT


@pytest.mark.requirement("PCI-41")
@given(skip=st.integers(0, 5), count=st.one_of(st.integers(1, 5), st.just(2**64 - 1)))
@examples(20)
def test_skip_and_count(make: Any, skip: int, count: int) -> None:
    f = make()
    f.start()
    fault = f.arm_fault(MMIO_READ, ERROR, skip=skip, count=count)
    got = [f.read(0, SCRATCH, 4) == ALL for _ in range(12)]
    assert got == [skip <= n < skip + count for n in range(12)]
    assert f.fired(fault) == sum(got)
    f.close()


@pytest.mark.requirement("PCI-41")
def test_a_match_is_of_site_index_and_range(function: Any) -> None:
    fault = function.arm_fault(MMIO_READ, ERROR, index=0, first=SCRATCH + 4, last=SCRATCH + 5, count=100)
    hits = [function.read(0, SCRATCH + n, 2) == 0xFFFF for n in range(8)]
    assert hits == [False, False, False, True, True, True, False, False]
    assert function.read(2, SCRATCH + 4, 4) == 0
    function.write(0, SCRATCH + 4, 4, 0)
    assert function.fired(fault) == 3
    assert function.disarm(fault) == 0
    assert function.read(0, SCRATCH + 4, 2) == 0


@pytest.mark.requirement("PCI-41")
def test_of_several_the_lowest_id_fires_and_all_count(function: Any) -> None:
    first = function.arm_fault(MMIO_READ, ERROR, count=2)
    second = function.arm_fault(MMIO_READ, CORRUPT, mask=0xF0, count=3)
    assert [function.read(0, SCRATCH, 4) for _ in range(4)] == [ALL, ALL, 0xF0, 0]
    assert (function.fired(first), function.fired(second)) == (2, 1)


@pytest.mark.requirement("PCI-42")
def test_a_failed_read_touches_nothing(function: Any) -> None:
    reads = function.told().bar_reads
    function.arm_fault(MMIO_READ, ERROR)
    assert function.read(0, 0x510, 8) == 2**64 - 1
    assert function.told().bar_reads == reads


@pytest.mark.requirement("PCI-42", "PCI-43")
def test_register_writes_are_dropped_and_corrupted(function: Any) -> None:
    function.arm_fault(MMIO_WRITE, DROP)
    function.arm_fault(MMIO_WRITE, CORRUPT, skip=1, argument=1, mask=0xFF)
    function.write(0, SCRATCH, 4, 0x11111111)
    assert function.read(0, SCRATCH, 4) == 0
    function.write(0, SCRATCH, 4, 0x11111111)
    assert function.read(0, SCRATCH, 4) == 0x1111EE11
    function.write(0, SCRATCH, 4, 0x22222222)
    assert function.read(0, SCRATCH, 4) == 0x22222222


@pytest.mark.requirement("PCI-43")
@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_a_corrupted_read_stays_in_its_width(function: Any, width: int) -> None:
    function.arm_fault(MMIO_READ, CORRUPT, argument=7, mask=2**64 - 1)
    start = 7 % width
    assert function.read(0, SCRATCH, width) == (2 ** (8 * width) - 1) & ~(2 ** (8 * start) - 1)


@pytest.mark.requirement("PCI-9")
def test_faults_leave_odd_widths_alone(function: Any) -> None:
    fault = function.arm_fault(MMIO_READ, CORRUPT, mask=1)
    for width in (0, 3, 16, 2**31):
        assert function.read(0, SCRATCH, width) == 2**64 - 1
    assert function.fired(fault) == 0


@pytest.mark.requirement("PCI-42")
def test_a_dropped_dma_write_is_lost_in_silence(function: Any) -> None:
    memory = function.memory(0x10000, PAGE)
    function.observe(1 << EVENTS["dma write"] | 1 << FAULT)
    fault = function.arm_fault(DMA_WRITE, DROP, index=3)
    assert function.dma_put(0x10000, b"data", 1) == 0
    assert function.dma_put(0x10010, b"lost", 3) == 0
    assert bytes(memory[:0x20]) == b"data".ljust(0x20, b"\0")
    assert [(e.type, e.addr, e.value) for e in function.seen()] == [(6, 0x10000, 0), (FAULT, 0x10010, fault)]
    assert function.told().dma_errors == 0


@pytest.mark.requirement("PCI-42")
@pytest.mark.parametrize("status", [1, 2, 3, 4])
def test_a_failing_dma_moves_nothing(function: Any, status: int) -> None:
    memory = function.memory(0x10000, PAGE)
    function.observe(1 << 5 | 1 << 6)
    function.arm_fault(DMA_WRITE, ERROR, argument=status)
    function.arm_fault(DMA_READ, ERROR, argument=status)
    assert function.dma_put(0x10000, b"data") == status
    assert function.dma_get(0x10000, 4) == (status, b"\xff" * 4)
    assert memory[:4] == b"\0" * 4
    assert [(e.type, e.len, e.value) for e in function.seen()] == [(6, 0, status), (5, 0, status)]
    assert function.told().dma_errors == 2


@pytest.mark.requirement("PCI-43")
@given(
    size=st.integers(1, 40),
    argument=st.integers(0, 2**64 - 1),
    mask=st.integers(1, 2**64 - 1),
    write=st.booleans(),
)
@examples(50)
def test_corrupted_dma(make: Any, size: int, argument: int, mask: int, write: bool) -> None:
    f = make()
    f.start()
    memory = f.memory(0x10000, PAGE)
    data = bytes(range(1, size + 1))
    wrong = bytearray(data)
    at = argument % size
    for i, byte in enumerate(mask.to_bytes(8, "little")):
        if at + i < size:
            wrong[at + i] ^= byte
    f.observe(1 << 5 | 1 << 6)
    f.arm_fault(DMA_WRITE if write else DMA_READ, CORRUPT, argument=argument, mask=mask)
    if write:
        assert f.dma_put(0x10010, data) == 0
        assert bytes(memory[0x10 : 0x10 + size]) == bytes(wrong)
        assert bytes(memory[:0x10]) + bytes(memory[0x10 + size :]) == b"\0" * (PAGE - size)
    else:
        memory[0x10 : 0x10 + size] = data
        assert f.dma_get(0x10010, size) == (0, bytes(wrong))
        assert bytes(memory[0x10 : 0x10 + size]) == data
    events = f.seen()
    assert b"".join(e.data for e in events) == (bytes(wrong) if write else data)  # as the bus had it
    assert [e.addr for e in events] == [0x10010 + sum(e.len for e in events[:i]) for i in range(len(events))]
    f.close()


@pytest.mark.requirement("PCI-17", "PCI-43")
@pytest.mark.parametrize("argument", [0, 2, 4, 6, 11])
def test_a_corrupted_write_does_not_wrap(function: Any, argument: int) -> None:
    end, start = function.memory(2**64 - PAGE, PAGE), function.memory(0, PAGE)
    function.arm_fault(DMA_WRITE, CORRUPT, argument=argument, mask=0xFF)
    assert function.dma_put(2**64 - 4, b"abcdefghijkl") == 1
    expected = bytearray(b"abcdefghijkl")
    expected[argument] ^= 0xFF
    assert bytes(end[PAGE - 4 :]) == bytes(expected[:4])
    assert bytes(start[:16]) == b"\0" * 16


@pytest.mark.requirement("PCI-14", "PCI-43")
def test_a_corrupted_read_that_fails(function: Any) -> None:
    memory = function.memory(0x10000, PAGE)
    memory[PAGE - 4 :] = b"abcd"
    function.observe(1 << 5)
    function.arm_fault(DMA_READ, CORRUPT, argument=2, mask=0x0101)
    assert function.dma_get(0x10FFC, 8) == (1, b"abbe\xff\xff\xff\xff")
    assert [(e.len, e.data) for e in function.seen()] == [(4, b"abcd")]
    function.arm_fault(DMA_READ, CORRUPT, argument=6, mask=0x0F)
    assert function.dma_get(0x10FFC, 8) == (1, b"abcd\xff\xff\xf0\xff")


@pytest.mark.requirement("PCI-43")
def test_a_corrupted_write_that_fails_stops_there(function: Any) -> None:
    memory = function.memory(0x10000, PAGE)
    function.arm_fault(DMA_WRITE, CORRUPT, argument=6, mask=0xFFFFFFFFFFFFFFFF)
    assert function.dma_put(0x10FFC, b"abcdefghijklmnopqrst") == 1
    assert bytes(memory[PAGE - 4 :]) == b"abcd"


@pytest.mark.requirement("PCI-42", "PCI-43")
def test_interrupts_are_dropped_doubled_and_corrupted(function: Any) -> None:
    function.enable_msix()
    function.arm_fault(INTERRUPT, DROP, index=1)
    function.arm_fault(INTERRUPT, DUPLICATE, index=2)
    function.arm_fault(INTERRUPT, CORRUPT, index=3, argument=1, mask=0x40)
    for n in range(4):
        assert function.raise_vector(n)
    assert [(m.vector, m.data) for m in function.take()] == [
        (0, 0x4000),
        (2, 0x4002),
        (2, 0x4002),
        (3, 0x0003),
    ]
    assert function.read(2, 0x1000, 8) == 0


@pytest.mark.requirement("PCI-43")
def test_the_line_can_lie(function: Any) -> None:
    function.arm_fault(INTERRUPT, CORRUPT, mask=0xFFFFFFFF)
    function.set_line(1)
    assert [(m.kind, m.data) for m in function.take()] == [(0, 0)]
    function.set_line(0)
    assert [(m.kind, m.data) for m in function.take()] == [(0, 0)]


@pytest.mark.requirement("PCI-41")
def test_an_interrupt_fault_matches_the_message_address(function: Any) -> None:
    function.enable_msix()
    fault = function.arm_fault(
        INTERRUPT, DROP, first=2 << 32 | 0xFEE02000, last=2 << 32 | 0xFEE02000, count=9
    )
    for n in range(8):
        function.raise_vector(n)
    assert [m.vector for m in function.take()] == [0, 1, 3, 4, 5, 6, 7]
    assert function.fired(fault) == 1


@pytest.mark.requirement("PCI-34", "PCI-43")
def test_a_doubled_interrupt_needs_room_once(function: Any) -> None:
    function.enable_msix()
    for _ in range(255):
        function.raise_vector(0)
    function.arm_fault(INTERRUPT, DUPLICATE)
    assert function.raise_vector(1)
    assert [m.vector for m in function.take()] == [0] * 255 + [1]


# --- the observer


@pytest.mark.requirement("PCI-44")
def test_every_access_is_told(function: Any) -> None:
    function.memory(0x10000, PAGE)
    function.set_now(12345)
    function.observe(ALL)
    function.write(0, SCRATCH, 2, 0xABCD)
    function.read(0, SCRATCH, 4)
    function.cfg_write(0x3C, 1, 9)
    function.cfg(0x3C, 2)
    function.dma_put(0x10000, b"payload", 3)
    function.dma_get(0x10FFE, 4, 0)
    events = function.seen()
    told = [(e.type, e.index, e.width, e.addr, e.value, e.data) for e in events]
    assert told == [
        (2, 0, 2, SCRATCH, 0xABCD, b""),
        (1, 0, 4, SCRATCH, 0xABCD, b""),
        (4, 0, 1, 0x3C, 9, b""),
        (3, 0, 2, 0x3C, 0x109, b""),
        (6, 3, 0, 0x10000, 0, b"payload"),
        (5, 0, 0, 0x10FFE, 1, b"\0\0"),
    ]
    assert {e.function for e in events} == {3}
    assert {e.time_ns for e in events} == {12345}


@pytest.mark.requirement("PCI-44")
def test_a_write_is_told_before_what_it_causes_and_a_read_after(function: Any) -> None:
    function.enable_msix(function_mask=1)
    function.raise_vector(5)
    function.observe(ALL)
    function.cfg_set(0xB0, 1 << 30, 0)
    assert [e.type for e in function.seen()] == [3, 4, 7]
    function.arm_fault(MMIO_READ, ERROR)
    function.read(0, 0, 4)
    assert [e.type for e in function.seen()] == [ARM, FAULT, 1]


@pytest.mark.requirement("PCI-44")
def test_an_interrupt_is_told_when_it_is_queued(function: Any) -> None:
    function.enable_msix()
    function.observe(1 << EVENTS["interrupt"])
    function.raise_vector(6)
    function.raise_vector(6)
    function.set_line(1)
    told = [(e.type, e.index, e.width, e.addr, e.value) for e in function.seen()]
    assert told == [(7, 6, 2, 6 << 32 | 0xFEE06000, 0x4006)] * 2
    assert len(function.take()) == 2
    assert function.seen() == []


@pytest.mark.requirement("PCI-44")
def test_accesses_that_reach_nothing_are_told_too(function: Any) -> None:
    function.remove()
    function.observe(ALL)
    function.read(1, 0, 4)
    function.write(300, 2**40, 1000, 7)
    function.cfg_read(5000, 3)
    function.cfg_write(1, 999, 1)
    told = [(e.type, e.index, e.width, e.addr, e.value) for e in function.seen()]
    assert told == [
        (1, 1, 4, 0, ALL),
        (2, 255, 255, 2**40, 7),
        (3, 0, 3, 5000, ALL),
        (4, 0, 255, 1, 1),
    ]


@pytest.mark.requirement("PCI-44")
@pytest.mark.parametrize("mask", [0, 1 << 1, 1 << 2, 1 << 5, 1 << 7, ALL])
def test_observation_changes_nothing(make: Any, mask: int) -> None:
    watched, alone = make(), make()
    for f in (watched, alone):
        f.start()
        f.memory(0x10000, PAGE)
    watched.observe(mask)
    for f in (watched, alone):
        f.enable_msix()
        f.raise_vector(1)
        f.write(0, SCRATCH, 8, 0x1234567890)
        f.read(0, 0x510, 8)
        f.dma_put(0x10FFC, b"12345678")
    assert watched.snapshot() == alone.snapshot()
    assert watched.take() == alone.take()


MAP, UNMAP, TIME = 14, 15, 10


def test_what_the_host_changes_is_told_when_it_took_effect(function: Any) -> None:
    function.observe(ALL)
    function.memory(0x10000, 2 * PAGE, 1)
    assert function.map(0x10000, function.keep[-1], PAGE, 3) == -3
    assert function.unmap(0x11000, PAGE) == 0
    assert function.unmap(0x11000, PAGE) == ENOENT
    function.unmap_all()
    assert function.set_now(5) == 0
    assert function.set_now(4) == -6
    fault = function.arm_fault(MMIO_READ, ERROR)
    assert function.disarm(fault) == 0
    assert function.disarm(fault) == ENOENT
    told = [(e.type, e.width, e.addr, e.value) for e in function.seen()]
    assert told == [
        (MAP, 1, 0x10000, 2 * PAGE),
        (UNMAP, 0, 0x11000, PAGE),
        (UNMAP, 0, 0, 2**64 - 1),
        (TIME, 0, 0, 5),
        (ARM, 0, 0, fault),
        (ARM, 0, 0, fault),
    ]
