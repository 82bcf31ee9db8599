"""Ranges and translations of the race checker, against lists that are searched from end to end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vnic.fuzz.effort import examples
from vnic.testbench.races.mappings import Translation
from vnic.testbench.races.spans import Past, Spans

_RANGES = st.tuples(st.integers(0, 20_000), st.one_of(st.integers(1, 300), st.integers(1, 9000)))


@examples(50)
@given(held=st.lists(_RANGES, max_size=30), gone=st.sets(st.integers(0, 29)), asked=_RANGES)
def test_spans_find_what_overlaps_and_is_there(
    held: list[tuple[int, int]], gone: set[int], asked: tuple[int, int]
) -> None:
    spans: Spans[int] = Spans()
    for item, (start, length) in enumerate(held):
        spans.add(start, length, item)
    for item in gone:
        if item < len(held):
            spans.remove(*held[item], item)
    first, end = asked[0], sum(asked)
    expected = [n for n, (at, size) in enumerate(held) if n not in gone and at < end and first < at + size]
    assert sorted(spans.at(*asked)) == expected


def test_the_past_forgets_the_oldest_and_what_has_a_new_life() -> None:
    past: Past[str] = Past(2)
    for start, item in enumerate("abc"):
        past.add(start * 10, 10, item)
    assert past.at(0, 30) == ["b", "c"]
    past.forget(25, 1)
    assert past.at(0, 30) == ["b"]
    past.add(40, 10, "d")
    past.add(50, 10, "e")
    assert past.at(0, 100) == ["d", "e"]


@examples(50)
@given(
    pages=st.dictionaries(st.integers(0, 12), st.integers(0, 50), max_size=8),
    start=st.integers(0, 13 * 64),
    length=st.integers(1, 6 * 64),
)
def test_pieces_are_the_parts_of_a_range_that_lead_somewhere(
    pages: dict[int, int], start: int, length: int
) -> None:
    translation = Translation()
    for bus, guest in pages.items():
        translation.place(bus * 64, guest * 64, 64)
    found = {p.bus + n: p.start + n for p in translation.pieces(start, length) for n in range(p.length)}
    touched = [n for n in range(start, start + length) if n // 64 in pages]
    assert found == {n: pages[n // 64] * 64 + n % 64 for n in touched}
