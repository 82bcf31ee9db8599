"""A snapshot as the records that it is made of: to look at, and to edit as a stranger would."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

_HEADER = struct.Struct("<HH")
_WORD = (1 << 64) - 1


class Tag(IntEnum):
    """Tags that say where the card stands in its work (csrc/nic/tags.h)."""

    RECEIVE_IS_ACTIVE = 0x50
    RECEIVE_IS_FIRST = 0x51
    TRANSMIT_PHASE = 0x60


class Phase(IntEnum):
    """What the transmit engine does with the frame at hand."""

    NONE = 0
    GATHER = 1
    READY = 2
    SEGMENT = 3


class Edit(IntEnum):
    """What an edit does with a record and a value."""

    SET = 0
    XOR = 1
    ADD = 2
    CUT = 3
    TAG = 4
    DROP = 5
    BYTE = 6


class Record(NamedTuple):
    """Where a record begins, its tag, and its bytes."""

    at: int
    tag: int
    value: bytes

    @property
    def number(self) -> int:
        """The first 8 bytes as a number."""
        return int.from_bytes(self.value[:8], "little")

    @property
    def start(self) -> int:
        """Where its bytes begin."""
        return self.at + _HEADER.size


def records(image: bytes | bytearray, at: int = 0) -> Iterator[Record]:
    """The records of a snapshot from the one at an offset, up to one that is cut short."""
    while at + _HEADER.size <= len(image):
        tag, size = _HEADER.unpack_from(image, at)
        start = at + _HEADER.size
        if start + size > len(image):
            return
        yield Record(at, tag, bytes(image[start : start + size]))
        at = start + size


def first(image: bytes, tag: Tag) -> int | None:
    """The number in the first record of a tag."""
    return next((record.number for record in records(image) if record.tag == tag), None)


def is_mid_receive(image: bytes) -> bool:
    """Whether a frame is under delivery and some of its buffers are filled."""
    return first(image, Tag.RECEIVE_IS_FIRST) == 0


def transmit_phase(image: bytes) -> Phase:
    """What the transmit engine was doing."""
    return Phase(first(image, Tag.TRANSMIT_PHASE) or 0)


def edited(image: bytes, edits: list[tuple[int, int, int]]) -> bytes:
    """The snapshot after edits, triples of record, kind (Edit, counted around) and value."""
    out = bytearray(image)
    for number, kind, value in edits:
        places = _places(out)
        if places:
            record = next(records(out, places[number % len(places)]))
            _edit(out, record, Edit(kind % len(Edit)), value)
    return bytes(out)


def _places(image: bytearray) -> list[int]:
    """Where the records begin, without a look at them: edits are many and each needs one record."""
    places, at = [], 0
    while at + _HEADER.size <= len(image):
        following = at + _HEADER.size + _HEADER.unpack_from(image, at)[1]
        if following > len(image):
            break
        places.append(at)
        at = following
    return places


def _edit(out: bytearray, record: Record, kind: Edit, value: int) -> None:
    start, size = record.start, len(record.value)
    if kind in (Edit.SET, Edit.XOR, Edit.ADD):
        old = record.number
        new = value if kind == Edit.SET else old ^ value if kind == Edit.XOR else old + value
        out[start : start + min(size, 8)] = (new & _WORD).to_bytes(8, "little")[: min(size, 8)]
    elif kind == Edit.CUT:
        del out[value % (len(out) + 1) :]
    elif kind == Edit.TAG:
        out[record.at + value % _HEADER.size] ^= 1 << value // _HEADER.size % 8
    elif kind == Edit.DROP:
        del out[record.at : start + size]
    elif size:
        out[start + value % size] ^= (value >> 32 | 1) & 0xFF
