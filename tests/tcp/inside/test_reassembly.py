"""Reassembly against a set of bytes: what is new is kept once, what is held stays, and SACK says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tcp.inside.conftest import Blocks, Inside
from vnic.fuzz.effort import examples

MODULUS = 2**32
BASES = [0, 1000, 2**31 - 60, 2**32 - 60]  # RCV.NXT; the window crosses both wraps
SPAN = 120


class Reference:
    """Bytes held beyond RCV.NXT by their distance from the base, and when each was last touched."""

    def __init__(self, base: int, ranges: int, nodes: int) -> None:
        self.base, self.ranges, self.nodes = base, ranges, nodes
        self.next = 0
        self.touched: dict[int, int] = {}
        self.time = 0
        self.duplicate: tuple[int, int] | None = None

    def blocks(self) -> list[tuple[int, int]]:
        """Maximal runs, in order."""
        runs: list[tuple[int, int]] = []
        for at in sorted(self.touched):
            if runs and runs[-1][1] == at:
                runs[-1] = (runs[-1][0], at + 1)
            else:
                runs.append((at, at + 1))
        return runs

    def real(self, block: tuple[int, int]) -> tuple[int, int]:
        """As sequence numbers."""
        return (self.base + block[0]) % MODULUS, (self.base + block[1]) % MODULUS

    def first_new(self, left: int, right: int) -> tuple[int, int] | None:
        """The first run of bytes in left .. right that are not held."""
        new = [at for at in range(left, right) if at not in self.touched]
        if not new:
            return None
        end = new[0]
        while end < right and end not in self.touched:
            end += 1
        return new[0], end

    def first_held(self, left: int, right: int) -> tuple[int, int] | None:
        """The first run of bytes in left .. right that are held."""
        for low, high in self.blocks():
            if low < right and left < high:
                return max(low, left), min(high, right)
        return None

    def has_room(self, left: int, right: int) -> bool:
        """Whether the range joins another, or a node is left for one more."""
        count = len(self.blocks())
        joins = any(low <= right and left <= high for low, high in self.blocks())
        return joins or (count < self.ranges and count + (self.duplicate is not None) < self.nodes)

    def touch(self, left: int, right: int) -> None:
        """These bytes are held, and the newest."""
        self.time += 1
        for at in range(left, right):
            self.touched[at] = self.time

    def sacks(self, limit: int) -> Blocks:
        """RFC 2018 4 and RFC 2883 4: the duplicate and what holds it, then the most recently touched."""
        runs = sorted(self.blocks(), key=lambda run: -max(self.touched[at] for at in range(*run)))
        if self.duplicate is not None:
            low, high = self.duplicate
            runs.sort(key=lambda run: not (run[0] <= low and high <= run[1]))
            runs.insert(0, self.duplicate)
            self.duplicate = None
        return [self.real(run) for run in runs[:limit]]


def compare(inside: Inside, reference: Reference) -> None:
    """Both hold the same."""
    assert inside.held() == [reference.real(run) for run in reference.blocks()]
    used = len(reference.blocks()) + (reference.duplicate is not None)
    assert inside.nodes_used() == used
    assert bool(inside.is_empty(1)) == (not reference.touched)


def add(inside: Inside, reference: Reference, left: int, right: int) -> None:
    """An out-of-order segment: the answer, then its effect on both."""
    fit = inside.add(1, *reference.real((left, right)))
    new, held = reference.first_new(left, right), reference.first_held(left, right)
    assert bool(fit.is_duplicate) == (held is not None)
    if held is not None:
        assert (fit.dup_left, fit.dup_right) == reference.real(held)
    assert bool(fit.is_kept) == (new is not None and reference.has_room(left, right))
    if fit.is_kept and new is not None:
        assert (fit.left, fit.right) == reference.real(new)
        reference.touch(*new)
    elif held is not None:
        reference.touch(*held)


def in_order(inside: Inside, reference: Reference, right: int) -> None:
    """The segment at RCV.NXT, cut where bytes are held; then what follows becomes in-order too."""
    left = reference.next
    fit = inside.in_order(1, *reference.real((left, right)))
    new = reference.first_new(left, right)
    assert fit.is_kept
    assert new is not None
    assert (fit.left, fit.right) == reference.real(new)
    assert new[0] == left
    end = new[1]
    while end in reference.touched:
        end += 1
    assert inside.reassembled(1, fit.right) == reference.real((end, end))[0]
    reference.next = end
    reference.touched = {at: when for at, when in reference.touched.items() if at >= end}


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["add", "add", "add"]), st.integers(1, SPAN), st.integers(1, 40)),
        st.tuples(st.just("in order"), st.just(0), st.integers(1, 20)),
        st.tuples(st.just("duplicate"), st.integers(0, SPAN), st.integers(1, 10)),
        st.tuples(st.just("ack"), st.integers(0, 4), st.just(0)),
        st.tuples(st.just("drop"), st.just(0), st.just(0)),
    ),
    max_size=40,
)


@pytest.mark.requirement("SEG-12", "ACK-05", "ACK-06", "ACK-08", "ACK-09", "SEG-03")
@examples(150)
@given(
    base=st.sampled_from(BASES),
    ranges=st.sampled_from([4, 6, 32]),
    nodes=st.sampled_from([1, 5, 64]),
    steps=STEPS,
)
def test_against_set_of_bytes(
    library: tuple[Any, Any], base: int, ranges: int, nodes: int, steps: list[tuple[str, int, int]]
) -> None:
    inside = Inside(*library, 1, nodes, ranges)
    inside.sack(1, 1)
    reference = Reference(base, ranges, nodes)
    for name, offset, length in steps:
        if name == "add":
            left = reference.next + offset
            add(inside, reference, left, left + length)
        elif name == "in order":
            in_order(inside, reference, reference.next + length)
        elif name == "duplicate":
            low = reference.next - 5 + offset
            inside.duplicate(1, *reference.real((low, low + length)))
            used = len(reference.blocks())
            reference.duplicate = (low, low + length) if used < nodes else None
        elif name == "ack":
            had = reference.duplicate if offset == 0 else None
            assert inside.sacks(offset) == reference.sacks(offset)
            reference.duplicate = had or reference.duplicate
        else:
            inside.drop(1)
            reference.touched, reference.duplicate = {}, None
        compare(inside, reference)
    inside.lib.harness_destroy(inside.h)


def blocks(*bounds: int) -> Blocks:
    """Pairs of numbers."""
    return list(zip(bounds[::2], bounds[1::2], strict=True))


@pytest.fixture
def inside(make: Callable[..., Inside]) -> Inside:
    """A connection with SACK, RCV.NXT 100."""
    made = make()
    made.sack(1, 1)
    return made


@pytest.mark.requirement("SEG-12")
def test_zero_length_is_never_held(inside: Inside) -> None:
    """Bug class 7: an empty segment out of order took a node and broke the list."""
    fit = inside.add(1, 200, 200)
    assert not fit.is_kept
    assert not fit.is_duplicate
    assert inside.nodes_used() == 0
    assert inside.is_empty(1)
    inside.add(1, 200, 300)
    for at in (200, 250, 300):
        assert not inside.add(1, at, at).is_kept
    assert inside.held() == [(200, 300)]


def test_backward_range_is_never_held(inside: Inside) -> None:
    assert not inside.add(1, 300, 200).is_kept
    assert not inside.add(1, 200, (201 + 2**31) % MODULUS).is_kept
    assert inside.nodes_used() == 0


@pytest.mark.requirement("SEG-13")
def test_fin_takes_a_number(inside: Inside) -> None:
    """A FIN alone and out of order is held and reported as one octet."""
    assert inside.add(1, 200, 201).is_kept
    assert inside.sacks() == [(200, 201)]
    assert inside.add(1, 150, 200).is_kept
    assert inside.held() == [(150, 201)]
    assert inside.reassembled(1, 150) == 201


@pytest.mark.requirement("ACK-05", "ACK-06")
def test_newest_block_first(inside: Inside) -> None:
    for left in (200, 400, 600, 800, 1000):
        inside.add(1, left, left + 100)
    assert inside.sacks(3) == blocks(1000, 1100, 800, 900, 600, 700)
    inside.add(1, 300, 350)  # extends the oldest
    assert inside.sacks(4) == blocks(200, 350, 1000, 1100, 800, 900, 600, 700)
    inside.add(1, 450, 480)  # a duplicate within a block touches it too
    assert inside.sacks(2) == blocks(400, 500, 200, 350)


@pytest.mark.requirement("ACK-08")
def test_duplicate_within_a_block(inside: Inside) -> None:
    """RFC 2883 4.2.3: the duplicate, then the block around it, once."""
    inside.add(1, 200, 300)
    inside.add(1, 400, 500)
    fit = inside.add(1, 220, 240)
    assert fit.is_duplicate
    inside.duplicate(1, fit.dup_left, fit.dup_right)
    inside.add(1, 600, 700)
    assert inside.sacks(3) == blocks(220, 240, 200, 300, 600, 700)
    assert inside.sacks(3) == blocks(600, 700, 200, 300, 400, 500)


@pytest.mark.requirement("ACK-08")
def test_duplicate_below_the_acknowledgment(inside: Inside) -> None:
    inside.duplicate(1, 50, 100)
    assert inside.is_empty(1)
    assert inside.sacks(3) == [(50, 100)]
    assert inside.sacks(3) == []
    assert inside.nodes_used() == 0


@pytest.mark.requirement("ACK-07")
def test_no_report_without_sack(inside: Inside) -> None:
    inside.sack(1, 0)
    inside.duplicate(1, 50, 100)
    assert inside.nodes_used() == 0


def test_report_survives_in_order_data(inside: Inside) -> None:
    inside.add(1, 200, 300)
    inside.duplicate(1, 50, 100)
    assert inside.reassembled(1, 200) == 300
    assert inside.is_empty(1)
    assert inside.sacks(3) == [(50, 100)]


@pytest.mark.requirement("SEG-12")
def test_nodes_run_out(make: Callable[..., Inside]) -> None:
    """Another connection holds all nodes: what joins a held range is still kept, what does not is refused."""
    inside = make(nodes=3)
    inside.sack(1, 1)
    inside.add(2, 200, 300)
    inside.add(2, 400, 500)
    inside.add(1, 200, 300)
    before = inside.no_nodes()
    assert not inside.add(1, 400, 500).is_kept
    inside.duplicate(1, 0, 10)
    assert inside.no_nodes() == before + 2
    assert inside.add(1, 300, 350).is_kept
    assert inside.held() == [(200, 350)]
    assert inside.sacks() == [(200, 350)]
    inside.drop(2)
    assert inside.add(1, 400, 500).is_kept


def test_limit_of_a_connection(make: Callable[..., Inside]) -> None:
    inside = make(nodes=64, ranges=4)
    for left in range(200, 2000, 100):
        inside.add(1, left, left + 50)
    assert len(inside.held()) == 4
    inside.add(1, 250, 300)  # closes a hole
    assert inside.add(1, 1000, 1001).is_kept


def test_recency_survives_its_overflow(inside: Inside) -> None:
    inside.add(1, 200, 300)
    inside.stamp(1, 2**32 - 2)
    inside.add(1, 400, 500)
    for left in (600, 800, 1000):
        inside.add(1, left, left + 100)
    assert inside.sacks(4) == blocks(1000, 1100, 800, 900, 600, 700, 400, 500)
