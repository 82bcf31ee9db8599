"""Guest memory: the allocator against a plain model, access at the edges, leaks."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from vnic.errors import AllocationError, ArgumentError, LeakError, UnknownError
from vnic.fuzz.effort import examples
from vnic.host.memory import POISON, GuestBuffer, GuestMemory

SIZE = 16 * 4096


class Allocator(RuleBasedStateMachine):
    """Random allocations; each holds a byte of its own, which nobody else may change."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = GuestMemory(SIZE)
        self.held: list[tuple[GuestBuffer, int]] = []
        self.next_tag = 1

    @rule(size=st.integers(1, 9000), align_log2=st.integers(0, 13))
    def alloc(self, size: int, align_log2: int) -> None:
        try:
            buffer = self.memory.alloc(size, align=1 << align_log2)
        except AllocationError:
            return
        assert buffer.address % (1 << align_log2) == 0
        assert len(buffer) == size
        self.hold(buffer)

    @rule(size=st.integers(1, 9000))
    def alloc_pages(self, size: int) -> None:
        try:
            buffer = self.memory.alloc_pages(size)
        except AllocationError:
            return
        assert buffer.address % 4096 == len(buffer) % 4096 == 0
        assert not any(buffer.view)
        self.hold(buffer)

    def hold(self, buffer: GuestBuffer) -> None:
        tag = self.next_tag % 200 + 1
        self.next_tag += 1
        buffer.view[:] = bytes([tag]) * len(buffer)
        self.held.append((buffer, tag))

    @rule(data=st.data())
    def free(self, data: st.DataObject) -> None:
        if not self.held:
            return
        buffer, tag = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        assert set(buffer.view) == {tag}
        buffer.free()
        assert set(buffer.view) == {POISON}
        with pytest.raises(UnknownError):
            buffer.free()

    @invariant()
    def nothing_is_lost_or_shared(self) -> None:
        assert self.memory.free_bytes + sum(len(buffer) for buffer, _ in self.held) == SIZE
        assert all(buffer.view[0] == tag == buffer.view[-1] for buffer, tag in self.held)
        assert self.memory.live == sorted((buffer for buffer, _ in self.held), key=lambda b: b.address)

    def teardown(self) -> None:
        for buffer, _ in self.held:
            buffer.free()
        self.memory.assert_no_leaks()
        # All of it is one piece again.
        assert len(self.memory.alloc(SIZE)) == SIZE


TestAllocator = Allocator.TestCase
TestAllocator.settings = examples(20, stateful_step_count=30)


def test_reads_and_writes_meet_the_views() -> None:
    memory = GuestMemory(8192, base=0x8000_0000)
    buffer = memory.alloc(100, align=4096)
    memory.write(buffer.address + 10, b"hello")
    assert bytes(buffer.view[10:15]) == b"hello"
    buffer.view[10:12] = b"HE"
    assert memory.read(buffer.address + 10, 5) == b"HEllo"
    assert memory.view[10] == ord("H")
    memory.write(memory.base, bytearray(b"x"))
    memory.write(memory.base + 1, memoryview(b"y"))
    assert memory.read(memory.base, 2) == b"xy"


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (8192, 1), (8191, 2), (0, 8193), (0, -1)])
def test_access_outside_is_refused(offset: int, length: int) -> None:
    memory = GuestMemory(8192)
    with pytest.raises(ArgumentError):
        memory.read(memory.base + offset, length)
    with pytest.raises(ArgumentError):
        memory.slice(memory.base + offset, length)
    if length > 0:
        with pytest.raises(ArgumentError):
            memory.write(memory.base + offset, bytes(length))


def test_ranges_are_cut_at_pages() -> None:
    memory = GuestMemory(5 * 4096)
    base = memory.base
    assert list(memory.pages(base + 100, 0)) == []
    assert list(memory.pages(base + 4000, 200)) == [(base + 4000, 96), (base + 4096, 104)]
    assert list(memory.pages(base, 8192)) == [(base, 4096), (base + 4096, 4096)]


def test_leaks_are_named() -> None:
    memory = GuestMemory(8192)
    memory.assert_no_leaks()
    ring = memory.alloc(64, label="ring")
    with pytest.raises(LeakError, match="ring"):
        memory.assert_no_leaks()
    ring.free()
    memory.assert_no_leaks()
    with pytest.raises(UnknownError):
        GuestMemory(8192).free(ring)


@pytest.mark.parametrize(("size", "base"), [(0, 0), (4095, 0), (4096, 1), (-4096, 0)])
def test_memory_is_made_of_pages(size: int, base: int) -> None:
    with pytest.raises(ArgumentError):
        GuestMemory(size, base)


@pytest.mark.parametrize(("size", "align"), [(0, 1), (-1, 1), (1, 0), (1, 3)])
def test_nonsense_is_not_allocated(size: int, align: int) -> None:
    with pytest.raises(ArgumentError):
        GuestMemory(4096).alloc(size, align=align)


def test_too_much_is_refused() -> None:
    memory = GuestMemory(8192)
    with pytest.raises(AllocationError):
        memory.alloc(8193)
    with pytest.raises(AllocationError):
        memory.alloc_pages(8193)
