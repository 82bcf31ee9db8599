"""Which transfers of a list need a fence behind them."""

from __future__ import annotations

from collections.abc import Sequence

from vnic.netdma.types import Transfer


def fenced(transfers: Sequence[Transfer]) -> frozenset[int]:
    """Indices of the transfers that a later one reads from or writes over, or whose source it writes over."""
    if not _may_overlap(transfers):
        return frozenset()
    pairs = ((i, j) for j in range(len(transfers)) for i in range(j))
    return frozenset(i for i, j in pairs if _conflict(transfers[i], transfers[j]))


def _conflict(first: Transfer, second: Transfer) -> bool:
    return (
        _meet(first.destination, first.length, second.source, second.length)
        or _meet(first.destination, first.length, second.destination, second.length)
        or _meet(first.source, first.length, second.destination, second.length)
    )


def _meet(a: int, a_length: int, b: int, b_length: int) -> bool:
    return bool(a_length and b_length) and a < b + b_length and b < a + a_length


def _may_overlap(transfers: Sequence[Transfer]) -> bool:
    """Whether any destination meets another range: one pass over all ranges by address."""
    ranges = [(t.destination, t.length, True) for t in transfers if t.length]
    ranges += [(t.source, t.length, False) for t in transfers if t.length]
    written_to = read_to = 0
    for start, length, is_written in sorted(ranges):
        if start < written_to or (is_written and start < read_to):
            return True
        if is_written:
            written_to = max(written_to, start + length)
        else:
            read_to = max(read_to, start + length)
    return False
