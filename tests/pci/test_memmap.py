"""The map of host memory against a dictionary of pages: add, remove with splitting, find."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.fuzz.effort import examples

Make = Callable[..., Any]
PAGE = 4096
TOP = 2**64
OK, EINVAL, EOVERLAP, ENOSPC, ENOENT = 0, -1, -3, -4, -5

# Two windows of 12 pages: one at 64 KiB, one that ends with the address space.
PAGES = [16 + i for i in range(12)] + [TOP // PAGE - 12 + i for i in range(12)]
RANGES = st.tuples(st.sampled_from(PAGES), st.integers(1, 12))
OPS = st.one_of(
    st.tuples(st.just("map"), RANGES, st.integers(1, 3)),
    st.tuples(st.just("unmap"), RANGES, st.just(0)),
    st.tuples(st.just("clear"), st.just((0, 1)), st.just(0)),
)


class Pages:
    """Page number -> (region number, permissions); a region is what one call mapped and no unmap divided."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.page: dict[int, tuple[int, int, int]] = {}
        self.next = 0

    def regions(self) -> int:
        """Runs of neighbouring pages of one mapping."""
        return sum(1 for p, (region, _, _) in self.page.items() if self.page.get(p - 1, (None,))[0] != region)

    def map(self, first: int, count: int, permissions: int, host: int) -> int:
        if (first + count) * PAGE > TOP:
            return EINVAL
        if any(p in self.page for p in range(first, first + count)):
            return EOVERLAP
        if self.regions() == self.capacity:
            return ENOSPC
        self.next += 1
        for i in range(count):
            self.page[first + i] = (self.next, permissions, host + i * PAGE)
        return OK

    def unmap(self, first: int, count: int) -> int:
        if (first + count) * PAGE > TOP:
            return EINVAL
        if any(p not in self.page for p in range(first, first + count)):
            return ENOENT
        saved = dict(self.page)
        for p in range(first, first + count):
            del self.page[p]
        if self.regions() > self.capacity:
            self.page = saved
            return ENOSPC
        return OK


class Pair:
    """A function's map and its model, driven together; counts how calls ended."""

    def __init__(self, f: Any, capacity: int) -> None:
        self.f, self.model = f, Pages(capacity)
        self.f.cfg_set(4, 1 << 2)
        self.arena = f.ffi.new("uint8_t[]", 12 * PAGE)
        self.base = int(f.ffi.cast("uintptr_t", self.arena))
        self.ends: Counter[tuple[str, int]] = Counter()

    def do(self, what: str, first: int, count: int, permissions: int) -> None:
        generation = self.f.generation()
        if what == "map":
            result = self.f.map(first * PAGE, self.arena, count * PAGE, permissions)
            assert result == self.model.map(first, count, permissions, self.base)
        elif what == "unmap":
            result = self.f.unmap(first * PAGE, count * PAGE)
            assert result == self.model.unmap(first, count)
        else:
            self.f.unmap_all()
            self.model.page.clear()
            result = OK
        assert (self.f.generation() != generation) == (result == OK)
        assert self.f.regions() == self.model.regions()
        self.ends[what, result] += 1

    def compare(self) -> None:
        """Where each page is, and that its neighbours are nowhere else."""
        for p in {q + d for q in PAGES for d in (-1, 0, 1)}:
            addr = (p * PAGE + p % PAGE) % TOP
            pointer = self.f.direct(addr, 1, 1)
            expected = self.model.page.get(addr // PAGE)
            if expected is None or not expected[1] & 1:
                assert pointer == self.f.ffi.NULL
            else:
                assert int(self.f.ffi.cast("uintptr_t", pointer)) == expected[2] + addr % PAGE


@pytest.mark.requirement("PCI-11", "PCI-12")
@given(capacity=st.integers(1, 5), ops=st.lists(OPS, max_size=30))
@examples(80)
def test_any_sequence_equals_the_dictionary(make: Make, capacity: int, ops: list[Any]) -> None:
    f = make(regions=capacity)
    pair = Pair(f, capacity)
    for what, (first, count), permissions in ops:
        pair.do(what, first, count, permissions)
    pair.compare()
    f.close()


@pytest.mark.requirement("PCI-11", "PCI-12")
def test_a_long_walk_equals_the_dictionary(make: Make) -> None:
    """Small ranges, so that most regions are in the middle of others, and every end of a call is seen."""
    pick = random.Random(20)
    pair = Pair(make(regions=6), 6)
    for step in range(3000):
        what = pick.choice(["map", "unmap"])
        pair.do(what, pick.choice(PAGES), pick.randint(1, 4), pick.randint(1, 3))
        if step % 30 == 0:
            pair.compare()
    for end in [("map", r) for r in (OK, EINVAL, EOVERLAP, ENOSPC)] + [
        ("unmap", r) for r in (OK, EINVAL, ENOENT, ENOSPC)
    ]:
        assert pair.ends[end] > 0, end


@pytest.mark.requirement("PCI-11")
@pytest.mark.parametrize(
    ("iova", "size", "permissions"),
    [
        (0, 0, 3),
        (1, PAGE, 3),
        (0, PAGE + 1, 3),
        (0, 100, 3),
        (TOP - PAGE, 2 * PAGE, 3),
        (TOP - 2 * PAGE, TOP - PAGE, 3),
        (0, PAGE, 0),
        (0, PAGE, 4),
        (0, PAGE, 7),
    ],
)
def test_refused_mappings(bare: Any, iova: int, size: int, permissions: int) -> None:
    memory = bare.ffi.new("uint8_t[]", PAGE)
    assert bare.map(iova, memory, size, permissions) == EINVAL
    assert bare.regions() == 0
    if permissions == 3:
        assert bare.unmap(iova, size) == EINVAL


@pytest.mark.requirement("PCI-11")
def test_no_memory_no_mapping(bare: Any) -> None:
    assert bare.map(0, bare.ffi.NULL, PAGE, 3) == EINVAL


@pytest.mark.requirement("PCI-11")
def test_the_last_granule_can_be_mapped(function: Any) -> None:
    memory = function.memory(TOP - PAGE, PAGE)
    assert function.dma_put(TOP - 4, b"last") == 0
    assert memory[PAGE - 4 : PAGE] == b"last"


@pytest.mark.requirement("PCI-12")
def test_a_hole_in_a_mapping(function: Any) -> None:
    memory = function.memory(0x10000, 4 * PAGE)
    memory[:] = bytes(i // PAGE for i in range(4 * PAGE))
    assert function.unmap(0x11000, 2 * PAGE) == OK
    assert function.regions() == 2
    assert function.dma_get(0x10FFF, 1) == (0, b"\0")
    assert function.dma_get(0x11000, 1)[0] == 1
    assert function.dma_get(0x13000, 1) == (0, b"\3")


@pytest.mark.requirement("PCI-12")
def test_an_unmap_across_regions_keeps_both_ends(function: Any) -> None:
    function.memory(0x10000, 2 * PAGE)
    function.memory(0x12000, 2 * PAGE)
    assert function.unmap(0x11000, 2 * PAGE) == OK
    assert function.regions() == 2
    assert function.unmap(0x10000, 2 * PAGE) == ENOENT


@pytest.mark.requirement("PCI-12")
def test_a_split_beyond_capacity_changes_nothing(make: Make) -> None:
    f = make(regions=1)
    f.start()
    f.memory(0x10000, 3 * PAGE)
    assert f.unmap(0x11000, PAGE) == ENOSPC
    assert f.dma_get(0x11000, 1)[0] == 0
    assert f.unmap(0x12000, PAGE) == OK
    assert f.dma_get(0x11000, 1)[0] == 0


def test_a_generation_is_never_zero(bare: Any) -> None:
    bare.set_generation(2**32 - 1)
    bare.memory(0, PAGE)
    assert bare.generation() == 1


def test_a_stale_hint_is_not_used(function: Any) -> None:
    function.memory(0x10000, PAGE)
    assert function.direct(0x10000, 16, 1) != function.ffi.NULL
    assert function.unmap(0x10000, PAGE) == OK
    assert function.direct(0x10000, 16, 1) == function.ffi.NULL
    assert function.dma_get(0x10000, 4) == (1, b"\xff" * 4)
