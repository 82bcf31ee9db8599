"""Faults that keep things for later, stick, draw by chance, or take the function away."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.fuzz.effort import examples

DMA_READ, DMA_WRITE, INTERRUPT, FRAME_IN, FRAME_OUT, MMIO_READ, MMIO_WRITE, TIMER, ADMIN = range(9)
ERROR, DROP, CORRUPT, DUPLICATE, DELAY, REORDER, STUCK, REMOVE = range(8)
CHANCE, EVERY = 1, 2
FAULT, INTERRUPT_TOLD, DMA_WRITE_TOLD = 18, 7, 6
ALWAYS = NEVER = 2**64 - 1
PAGE = 4096
SCRATCH = 0x640  # RSS_KEY[0]: a plain register
AT = 0x10000


def posted(function: Any, **options: Any) -> tuple[Any, int]:
    """A page of memory, and a fault of writes to it."""
    return function.memory(AT, PAGE), function.arm_fault(DMA_WRITE, **options)


# --- delay


@pytest.mark.requirement("FLT-4")
def test_a_late_write_arrives_at_its_time(function: Any) -> None:
    memory, fault = posted(function, action=DELAY, argument=100)
    function.observe(1 << DMA_WRITE_TOLD | 1 << FAULT)
    assert function.dma_put(AT, b"late") == 0
    assert function.dma_put(AT + 8, b"next") == 0
    assert (bytes(memory[:4]), bytes(memory[8:12])) == (b"\0" * 4, b"next")
    assert function.deadline() == 100
    assert function.set_now(99) == 0
    assert bytes(memory[:4]) == b"\0" * 4
    assert function.set_now(100) == 0
    assert bytes(memory[:4]) == b"late"
    assert function.deadline() == NEVER
    told = [(e.type, e.addr, e.data, e.time_ns) for e in function.seen()]
    assert told == [(FAULT, AT, b"", 0), (6, AT + 8, b"next", 0), (6, AT, b"late", 100)]
    assert function.fired(fault) == 1


@pytest.mark.requirement("FLT-4")
@given(delays=st.lists(st.integers(1, 9), min_size=1, max_size=4), step=st.integers(1, 12))
@examples(30)
def test_who_is_due_first_goes_first(make: Any, delays: list[int], step: int) -> None:
    f = make()
    f.start()
    memory = f.memory(AT, PAGE)
    for number, delay in enumerate(delays):
        f.arm_fault(DMA_WRITE, DELAY, argument=delay, first=AT + number, last=AT + number, count=ALWAYS)
    f.observe(1 << DMA_WRITE_TOLD)
    for number in range(len(delays)):
        f.dma_put(AT + number, bytes([number + 1]))
    for now in range(step, 25, step):
        f.set_now(now)
    due = sorted(range(len(delays)), key=lambda number: (delays[number], number))
    assert [e.addr - AT for e in f.seen()] == due
    assert bytes(memory[: len(delays)]) == bytes(range(1, len(delays) + 1))
    f.close()


@pytest.mark.requirement("FLT-4")
def test_time_does_not_wrap(function: Any) -> None:
    memory, fault = posted(function, action=DELAY, argument=2**64 - 1)
    function.set_now(5)
    function.dma_put(AT, b"late")
    function.set_now(2**64 - 3)
    assert (bytes(memory[:4]), function.deadline()) == (b"\0" * 4, 2**64 - 2)
    function.set_now(2**64 - 2)
    assert bytes(memory[:4]) == b"late"
    assert function.fired(fault) == 1


@pytest.mark.requirement("FLT-4", "FLT-8")
def test_late_interrupts_and_register_writes(function: Any) -> None:
    function.enable_msix()
    function.arm_fault(INTERRUPT, DELAY, index=2, argument=10)
    function.arm_fault(MMIO_WRITE, DELAY, argument=10)
    for vector in (2, 3):
        assert function.raise_vector(vector)
    assert [m.vector for m in function.take()] == [3]
    function.write(0, SCRATCH, 4, 0x12345678)
    assert function.read(0, SCRATCH, 4) == 0
    function.set_now(10)
    assert [m.vector for m in function.take()] == [2]
    assert function.read(0, SCRATCH, 4) == 0x12345678


@pytest.mark.requirement("FLT-8")
def test_a_late_edge_that_is_untrue_is_followed_by_the_true_one(function: Any) -> None:
    function.arm_fault(INTERRUPT, DELAY, argument=10)
    function.set_line(1)
    function.set_line(0)
    assert [m.data for m in function.take()] == [0]
    function.set_now(10)
    assert [m.data for m in function.take()] == [1, 0]
    function.arm_fault(INTERRUPT, DELAY, argument=10)
    function.set_line(1)
    function.set_now(20)
    assert [m.data for m in function.take()] == [1]


@pytest.mark.requirement("FLT-8")
def test_a_late_interrupt_waits_for_room(function: Any) -> None:
    function.enable_msix()
    function.arm_fault(INTERRUPT, DELAY, index=7, argument=1)
    function.raise_vector(7)
    for _ in range(256):
        function.raise_vector(0)
    function.set_now(1)
    assert function.deadline() == NEVER  # time alone does not let it go
    assert [m.vector for m in function.take()] == [0] * 256 + [7]


# --- order and doubles


@pytest.mark.requirement("FLT-5")
def test_two_writes_change_places(function: Any) -> None:
    _, fault = posted(function, action=REORDER, argument=1, count=ALWAYS)
    function.observe(1 << DMA_WRITE_TOLD)
    for number in range(5):
        assert function.dma_put(AT + number, bytes([number])) == 0
    assert [e.addr - AT for e in function.seen()] == [1, 0, 3, 2]
    assert function.fired(fault) == 3
    assert function.disarm(fault) == 0
    assert [e.addr - AT for e in function.seen()] == [4]


@pytest.mark.requirement("FLT-5")
@pytest.mark.parametrize("behind", [1, 2, 3])
def test_one_lets_several_pass(function: Any, behind: int) -> None:
    function.enable_msix()
    fault = function.arm_fault(INTERRUPT, REORDER, argument=behind)
    for vector in range(5):
        function.raise_vector(vector)
    order = [*range(1, behind + 1), 0, *range(behind + 1, 5)]
    assert [m.vector for m in function.take()] == order
    assert function.fired(fault) == 1


@pytest.mark.requirement("FLT-5")
def test_what_passes_is_not_counted(function: Any) -> None:
    """Two firings are two pairs that change places, not one write that passes itself."""
    function.enable_msix()
    fault = function.arm_fault(INTERRUPT, REORDER, argument=1, count=2)
    for vector in range(6):
        function.raise_vector(vector)
    assert [m.vector for m in function.take()] == [1, 0, 3, 2, 4, 5]
    assert function.fired(fault) == 2


@pytest.mark.requirement("FLT-5")
def test_register_writes_change_places(function: Any) -> None:
    function.arm_fault(MMIO_WRITE, REORDER, argument=1)
    function.write(0, SCRATCH, 4, 1)
    function.write(0, SCRATCH, 4, 2)
    assert function.read(0, SCRATCH, 4) == 1


@pytest.mark.requirement("FLT-4")
def test_a_stale_double_of_a_write(function: Any) -> None:
    memory, _ = posted(function, action=DUPLICATE, argument=7)
    function.dma_put(AT, b"old")
    assert bytes(memory[:3]) == b"old"
    function.dma_put(AT, b"new")
    function.set_now(7)
    assert bytes(memory[:3]) == b"old"


@pytest.mark.requirement("FLT-10", "PCI-42")
def test_doubles_at_once(function: Any) -> None:
    posted(function, action=DUPLICATE)
    function.observe(1 << DMA_WRITE_TOLD)
    function.dma_put(AT, b"two")
    assert [e.data for e in function.seen()] == [b"two", b"two"]
    reads, writes = function.told().bar_reads, function.told().bar_writes
    function.arm_fault(MMIO_READ, DUPLICATE)
    function.arm_fault(MMIO_WRITE, DUPLICATE)
    function.write(0, SCRATCH, 4, 5)
    assert function.read(0, SCRATCH, 4) == 5
    assert (function.told().bar_reads - reads, function.told().bar_writes - writes) == (2, 2)


def test_a_double_of_a_write_that_fails_is_not_made(function: Any) -> None:
    function.arm_fault(DMA_WRITE, DUPLICATE)
    function.observe(1 << DMA_WRITE_TOLD)
    assert function.dma_put(AT, b"x") == 1
    assert len(function.seen()) == 1


# --- the store


@pytest.mark.requirement("FLT-6")
def test_what_does_not_fit_goes_on_unharmed(function: Any) -> None:
    memory, fault = posted(function, action=DELAY, argument=10, count=ALWAYS)
    for number in range(66):
        function.dma_put(AT + number, b"x")
    assert bytes(memory[:67]) == b"\0" * 64 + b"xx\0"
    assert function.fired(fault) == 64
    function.set_now(10)
    assert bytes(memory[:66]) == b"x" * 66
    function.dma_put(AT + 100, b"x")
    assert (memory[100], function.fired(fault)) == (b"\0", 65)


@pytest.mark.requirement("FLT-6")
def test_the_store_is_bounded_in_bytes(function: Any) -> None:
    memory = function.memory(0, 64 * PAGE)
    fault = function.arm_fault(DMA_WRITE, DELAY, argument=10, count=ALWAYS)
    function.dma_put(0, b"a" * 131_071)
    function.dma_put(PAGE * 40, b"bb")
    function.dma_put(PAGE * 41, b"c")
    assert function.fired(fault) == 2
    assert bytes(memory[PAGE * 40 : PAGE * 40 + 2]) == b"bb"
    function.set_now(10)
    assert bytes(memory[:131_072]) == b"a" * 131_071 + b"\0"
    assert memory[PAGE * 41] == b"c"


@pytest.mark.requirement("FLT-6")
def test_a_function_without_faults_keeps_nothing(make: Any) -> None:
    f = make(faults=0)
    assert f.arm_fault(DMA_WRITE, DELAY, argument=1) == -4
    assert f.footprint() < 131_072 < make(faults=1).footprint()


@pytest.mark.requirement("FLT-8")
@pytest.mark.parametrize("level", range(4))
def test_resets_do_not_touch_what_is_on_its_way(function: Any, level: int) -> None:
    """FLR, D3hot, hot reset; only a power cycle takes it along."""
    memory, _ = posted(function, action=DELAY, argument=10)
    function.dma_put(AT, b"late")
    function.reset(level)
    function.set_now(10)
    assert bytes(memory[:4]) == (b"\0" * 4 if level == 3 else b"late")


@pytest.mark.requirement("FLT-8")
@pytest.mark.parametrize("way", ["remove", "load"])
def test_what_is_kept_goes_with_the_function(function: Any, way: str) -> None:
    memory, fault = posted(function, action=DELAY, argument=10)
    image = function.snapshot()
    function.dma_put(AT, b"late")
    assert function.snapshot() == image  # it is not of the state
    if way == "remove":
        function.remove()
    else:
        assert function.restore(image) in (0, -7)
        function.reset(3)
    function.set_now(10)
    assert function.disarm(fault) == 0
    assert bytes(memory[:4]) == b"\0" * 4


@pytest.mark.requirement("FLT-8")
def test_a_late_write_finds_memory_as_it_is_then(function: Any) -> None:
    posted(function, action=DELAY, argument=10)
    function.dma_put(AT, b"late")
    assert function.unmap(AT, PAGE) == 0
    errors = function.told().dma_errors
    function.cfg_set(0x04, 1 << 2, 0)  # it was posted while the function could
    function.set_now(10)
    assert function.told().dma_errors == errors + 1


@pytest.mark.requirement("FLT-8")
def test_disarming_lets_all_of_it_go(function: Any) -> None:
    memory, fault = posted(function, action=DELAY, argument=1000, count=2)
    other = function.arm_fault(DMA_WRITE, DELAY, argument=1000, first=AT + 16, last=AT + 16, skip=2)
    for number in (0, 1, 16):
        function.dma_put(AT + number, b"x")
    assert function.disarm(fault) == 0
    assert (bytes(memory[:2]), memory[16]) == (b"xx", b"x")  # that one was the third of its kind: not kept
    assert function.disarm(other) == 0


# --- bits that stick


@pytest.mark.requirement("FLT-7")
@given(
    bits=st.tuples(st.integers(0, ALWAYS), st.integers(1, ALWAYS)),
    place=st.tuples(st.integers(0, 24), st.integers(1, 40), st.integers(0, 40)),
    write=st.booleans(),
)
@examples(60)
def test_stuck_lines_by_address(
    make: Any, bits: tuple[int, int], place: tuple[int, int, int], write: bool
) -> None:
    f = make()
    f.start()
    memory = f.memory(AT, PAGE)
    (value, mask), (start, size, span) = bits, place
    data = bytes(0x5A ^ n for n in range(size))
    first, last = AT + 8, AT + 8 + span
    options = {"argument": value, "mask": mask, "first": first, "last": last, "count": ALWAYS}
    f.arm_fault(DMA_WRITE if write else DMA_READ, STUCK, **options)
    expected = bytearray(data)
    for n in range(size):
        at, lane = AT + start + n, (AT + start + n - first) % 8
        if first <= at <= last:
            own, put = mask.to_bytes(8, "little")[lane], value.to_bytes(8, "little")[lane]
            expected[n] = data[n] & ~own | put & own
    if write:
        f.dma_put(AT + start, data)
        assert bytes(memory[start : start + size]) == bytes(expected)
    else:
        memory[start : start + size] = data
        assert f.dma_get(AT + start, size) == (0, bytes(expected))
    f.close()


@pytest.mark.requirement("FLT-7")
def test_a_stuck_line_of_a_long_write(function: Any) -> None:
    memory = function.memory(AT, 4 * PAGE)
    function.arm_fault(DMA_WRITE, STUCK, argument=0x80, mask=0x80, count=ALWAYS)
    assert function.dma_put(AT + 1, b"\0" * 9000) == 0
    written = bytes(memory[1:9001])
    assert [n for n in range(9000) if written[n]] == list(range(7, 9000, 8))
    assert function.dma_put(AT + 3 * PAGE, b"\1" * (PAGE + 8)) == 1  # it ends where memory ends


@pytest.mark.requirement("FLT-7")
def test_a_stuck_bit_of_a_register_at_any_width(function: Any) -> None:
    function.write(0, SCRATCH, 8, 0)
    options = {"argument": 1 << 9, "mask": 1 << 9, "first": SCRATCH, "last": SCRATCH + 3, "count": ALWAYS}
    read = function.arm_fault(MMIO_READ, STUCK, **options)
    assert function.read(0, SCRATCH, 4) == 0x200
    assert [function.read(0, SCRATCH + n, 1) for n in range(6)] == [0, 2, 0, 0, 0, 0]
    assert function.read(0, SCRATCH, 8) == 0x200
    assert function.read(0, SCRATCH + 4, 4) == 0
    function.disarm(read)
    function.arm_fault(MMIO_WRITE, STUCK, **options)
    function.write(0, SCRATCH, 4, 0xFFFF0000)
    assert function.read(0, SCRATCH, 4) == 0xFFFF0200


# --- chance


def splitmix(state: int) -> tuple[int, int]:
    """The reference generator: next state, and draw."""
    state = (state + 0x9E3779B97F4A7C15) % 2**64
    z = ((state ^ state >> 30) * 0xBF58476D1CE4E5B9) % 2**64
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) % 2**64
    return state, z ^ z >> 31


@pytest.mark.requirement("FLT-3")
@given(
    seed=st.integers(0, ALWAYS), one_in=st.integers(1, 6), skip=st.integers(0, 2), count=st.integers(1, 20)
)
@examples(30)
def test_chance_is_the_faults_own(make: Any, seed: int, one_in: int, skip: int, count: int) -> None:
    f = make()
    f.start()
    f.write(0, SCRATCH, 4, 0)
    f.arm_fault(MMIO_READ, ERROR, pick=CHANCE, one_in=one_in, seed=seed, skip=skip, count=count)
    expected, turn, state = [], 0, seed
    for _ in range(40):
        state, draw = splitmix(state)
        picked = (draw >> 32) * one_in >> 32 == 0
        expected.append(picked and skip <= turn < skip + count)
        turn += picked
    assert [f.read(0, SCRATCH, 4) != 0 for _ in range(40)] == expected
    f.close()


@pytest.mark.requirement("FLT-3")
@pytest.mark.parametrize(
    ("one_in", "seed", "hits"), [(3, 0, [2, 5, 8]), (3, 2, [0, 3, 6, 9]), (1, 0, list(range(10)))]
)
def test_every_third(function: Any, one_in: int, seed: int, hits: list[int]) -> None:
    function.arm_fault(MMIO_READ, ERROR, pick=EVERY, one_in=one_in, seed=seed, count=ALWAYS)
    assert [n for n in range(10) if function.read(0, SCRATCH, 4) != 0] == hits


# --- removal


@pytest.mark.requirement("FLT-9", "FLT-2")
@pytest.mark.parametrize("site", [DMA_READ, DMA_WRITE, INTERRUPT, MMIO_READ, MMIO_WRITE])
def test_a_match_takes_the_function_away(function: Any, site: int) -> None:
    memory = function.memory(AT, PAGE)
    memory[:4] = b"data"
    function.enable_msix()
    function.write(0, SCRATCH, 4, 7)
    function.observe(1 << FAULT | 1 << INTERRUPT_TOLD)
    fault = function.arm_fault(site, REMOVE)
    match site:
        case 0:
            assert function.dma_get(AT, 4) == (1, b"\xff" * 4)
        case 1:
            assert function.dma_put(AT, b"more") == 1
        case 2:
            function.raise_vector(1)
        case 5:
            assert function.read(0, SCRATCH, 4) == 0xFFFFFFFF
        case _:
            function.write(0, SCRATCH, 4, 9)
    function.set_now(1)
    assert function.read(0, SCRATCH, 4) == 0xFFFFFFFF
    assert function.cfg(0) == 0xFFFFFFFF
    assert function.dma_put(AT, b"more") == 5
    assert bytes(memory[:4]) == b"data"
    assert function.take() == []
    assert [(e.type, e.value) for e in function.seen()] == [(FAULT, fault)]
    function.insert()
    assert function.cfg(0) == 0x0C0D1AF4


@pytest.mark.requirement("FLT-2")
def test_nothing_fires_on_a_function_that_is_not_there(function: Any) -> None:
    function.remove()
    fault = function.arm_fault(MMIO_READ, ERROR)
    assert function.read(0, SCRATCH, 4) == 0xFFFFFFFF
    assert function.fired(fault) == 0
