"""The map of host memory, clause by clause: what is taken, what is refused, and transfers at its edges."""

from __future__ import annotations

from collections.abc import Callable

from vnic import errors
from vnic.abi import Map
from vnic.conformance.case import card_case
from vnic.conformance.groups.card import through
from vnic.conformance.pages import manual
from vnic.gen.enums import TestOp, TestResult
from vnic.gen.registers import BAR0
from vnic.testbench.rig import Rig

_PAGE = 4096
_BASE = 0x5000_0000
_END = 1 << 64
_BOTH = Map.READ | Map.WRITE


def _fill(rig: Rig, at: int, length: int, byte: int) -> bool:
    """Whether the card can write there."""
    rig.put(BAR0.TEST_DMA_DST, at)
    rig.put(BAR0.TEST_DMA_LEN, length)
    rig.put(BAR0.TEST_DMA_PATTERN, byte * 0x0101_0101)
    rig.put(BAR0.TEST_DMA_CMD, BAR0.TEST_DMA_CMD.encode(GO=1, OP=TestOp.FILL))
    return rig.field(BAR0.TEST_DMA_STATUS, "RESULT") == TestResult.OK


def error_of(act: Callable[..., object], *arguments: object) -> type[Exception] | None:
    """What kind of error a call ends with, if with one."""
    try:
        act(*arguments)
    except errors.VnicError as error:
        return type(error)
    return None


class _Pages:
    """What ought to be mapped: which byte of which memory each page is, and what the card finds there."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.pages: dict[int, tuple[bytearray, int]] = {}

    def map(self, first: int, count: int) -> None:
        memory = bytearray(count * _PAGE)
        self.rig.device.map(_BASE + first * _PAGE, memory, _BOTH)
        self.pages |= {first + n: (memory, n * _PAGE) for n in range(count)}

    def unmap(self, first: int, count: int) -> None:
        self.rig.device.unmap(_BASE + first * _PAGE, count * _PAGE)
        for n in range(count):
            del self.pages[first + n]

    def check(self, what: str) -> None:
        """Write to each page, mapped or not."""
        for n in range(16):
            byte = 0x11 + n
            is_there = _fill(self.rig, _BASE + n * _PAGE + 8, 16, byte)
            assert is_there == (n in self.pages), (
                f"{what}: page {n} is {'mapped' if is_there else 'not mapped'}"
            )
            if is_there:
                memory, at = self.pages[n]
                assert memory[at + 8 : at + 24] == bytes([byte]) * 16, f"{what}: page {n} is another's"
                memory[at + 8 : at + 24] = bytes(16)


@card_case(
    manual("PCI-11", "pci"),
    "a mapping of whole granules that overlaps none is taken; any other is refused and leaves the map as "
    "it was",
)
def mappings_that_are_refused(rig: Rig) -> None:
    """Mappings at every overlap of another, of odd lengths and places, without leave, around 2^64; all are
    looked at."""
    pages = _Pages(rig)
    pages.map(4, 4)
    pages.map(10, 1)
    for first, count in (
        (3, 2),
        (4, 1),
        (4, 4),
        (5, 2),
        (7, 1),
        (7, 2),
        (3, 6),
        (0, 16),
        (8, 3),
        (10, 1),
        (9, 2),
    ):
        memory = bytearray(count * _PAGE)
        at = _BASE + first * _PAGE
        found = error_of(rig.device.map, at, memory, _BOTH)
        assert found is errors.OverlapError, f"{count} pages from {first} on: {found}"
    for at, length, permissions in (
        (_BASE, 0, _BOTH), (_BASE, 100, _BOTH), (_BASE, _PAGE + 1, _BOTH), (_BASE + 1, _PAGE, _BOTH),
        (_BASE + 2048, _PAGE, _BOTH), (_BASE, _PAGE, 0), (_BASE, _PAGE, 4), (_BASE, _PAGE, 7),
        (_END - _PAGE, 2 * _PAGE, _BOTH),
    ):  # fmt: skip
        found = error_of(rig.device.map, at, bytearray(length), permissions)
        assert found is errors.ArgumentError, f"{length} bytes at {at:#x} with {permissions}: {found}"
    pages.check("after what was refused")
    pages.map(8, 2)
    pages.map(3, 1)
    pages.map(11, 1)
    pages.check("after pages beside others")
    last = bytearray(_PAGE)
    rig.device.map(_END - _PAGE, last, _BOTH)
    assert _fill(rig, _END - 64, 64, 0x77) and last[-64:] == b"\x77" * 64, "the last page is not mapped"


@card_case(
    manual("PCI-12", "pci"),
    "any mapped range of granules can be taken away, across mappings and out of them; the rest stays in "
    "place",
)
def ranges_that_are_taken_away(rig: Rig) -> None:
    """Ranges from within one mapping to within another, whole ones, ends; ranges with a hole; all are
    looked at."""
    for first, count in ((2, 9), (0, 13), (5, 3), (3, 1), (0, 4), (11, 2), (1, 11), (4, 4), (12, 1)):
        pages = _Pages(rig)
        for start, length in ((0, 4), (4, 4), (8, 5)):
            pages.map(start, length)
        pages.unmap(first, count)
        pages.check(f"{count} pages from {first} on taken away")
        left = dict(pages.pages)
        for start, length in ((first, count), (max(first - 1, 0), count + 1), (0, 16), (first, 1)):
            found = error_of(rig.device.unmap, _BASE + start * _PAGE, length * _PAGE)
            assert found is errors.UnknownError, f"{length} pages from {start} on, some not mapped: {found}"
        for at, length in ((_BASE + 1, _PAGE), (_BASE, 100), (_BASE, 0)):
            found = error_of(rig.device.unmap, at, length)
            assert found is errors.ArgumentError, f"{length} bytes at {at:#x}: {found}"
        pages.check(f"{count} pages from {first} on, and what was refused")
        for page in left:
            rig.device.unmap(_BASE + page * _PAGE, _PAGE)
    through(rig)


@card_case(
    manual("PCI-12", "pci"),
    "the map holds as many ranges as it was made for: one more, or a split into one more, is refused",
    map_regions=4,
)
def a_map_that_is_full(rig: Rig) -> None:
    """Three ranges beside the rig's; a fourth; a hole in the middle of one; an end; then there is room
    again."""
    pages = _Pages(rig)
    for first in (0, 4, 8):
        pages.map(first, 3)
    found = error_of(rig.device.map, _BASE + 14 * _PAGE, bytearray(_PAGE), _BOTH)
    assert found is errors.CapacityError, f"a range more than the map holds: {found}"
    found = error_of(rig.device.unmap, _BASE + 5 * _PAGE, _PAGE)
    assert found is errors.CapacityError, f"a split that does not fit: {found}"
    pages.check("a map that is full")
    pages.unmap(0, 1)
    pages.unmap(6, 1)
    pages.check("ends of ranges taken away")
    pages.unmap(8, 3)
    pages.unmap(1, 2)
    pages.map(12, 3)
    pages.unmap(13, 1)
    pages.check("there is room again")
    assert len(pages.pages) == 4


@card_case(
    manual("PCI-17", "pci"),
    "a transfer ends at 2^64, though there is memory at 0; the bytes before the end have been moved",
)
def the_end_of_the_address_space(rig: Rig) -> None:
    """Memory at the top and at 0: fill across the end, copy across it; a frame whose bytes lie there."""
    top, bottom = bytearray(_PAGE), bytearray(_PAGE)
    rig.device.map(_END - _PAGE, top, _BOTH)
    is_mine = error_of(rig.device.map, 0, bottom, _BOTH) is None
    for length in (65, 100, 4096):
        assert not _fill(rig, _END - 64, length, 0x42), f"{length} bytes over the end are written"
        assert top[-64:] == b"\x42" * 64, "the bytes before the end were not moved"
        assert not any(bottom), "a transfer goes on at 0"
        top[-64:] = bytes(64)
    assert _fill(rig, _END - 64, 64, 0x42)
    if is_mine:
        assert _fill(rig, 0, 64, 0x42) and bottom[:64] == b"\x42" * 64
    rig[0].send_raw([rig[0].piece(b"", addr=_END - 50, len=100, rs=1)])
    (report,) = rig[0].reports()
    assert (report.status, rig.sent()) == (4, []), "a frame whose bytes lie on both sides of 2^64 leaves"
