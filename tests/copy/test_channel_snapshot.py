"""A channel in a snapshot: a state that no sequence of accesses and steps leads to is refused."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Any

import pytest

from tests.copy.driver import Driver
from vnic.copy_engine import CopyEngine
from vnic.errors import SnapshotError
from vnic.gen.descriptors import CopyDescriptor
from vnic.gen.enums import ChanStatus


class Tag(IntEnum):
    """Fields of a channel, as csrc/copy/tags.h numbers them."""

    STATUS = 0x10
    PHASE = 0x11
    REPORT = 0x12
    CHANGE = 0x13
    FIRST = 0x14
    REREAD = 0x15
    CURRENT = 0x17
    LAST = 0x18
    PROCESSED = 0x19
    WORD = 0x1A
    MOVED = 0x1B
    ENABLED = 0x1D
    HELD_LEN = 0x20
    HELD_DESCRIPTOR = 0x21
    HELD_TO = 0x22
    HELD_LAST = 0x23


def records(image: bytes) -> Iterator[tuple[int, int, int]]:
    """Tag, position and size of each value."""
    at = 0
    while at < len(image):
        tag, size = struct.unpack_from("<HH", image, at)
        yield tag, at + 4, size
        at += 4 + size


def edited(image: bytes, tag: Tag, value: int) -> bytes:
    """The same with another value in the first field of this tag."""
    at, size = next((at, size) for found, at, size in records(image) if found == tag)
    return image[:at] + value.to_bytes(size, "little") + image[at + size :]


def saved(
    after: int, command: str = "", *, count: int = 3, is_overlapping: bool = False, **first: Any
) -> bytes:
    """One channel with copies of 5000 bytes, after some steps and a command."""
    driver = Driver(CopyEngine(manual=True, channels=1, is_overlapping=is_overlapping))
    channel = driver.channel(0)
    for _ in range(count):
        source, target = driver.memory.alloc(5000, 4096), driver.memory.alloc(5000, 4096)
        channel.post(CopyDescriptor(**{"size": 5000, "src": source, "dst": target, **first}))
    channel.post(CopyDescriptor(null=1))
    channel.start()
    for _ in range(after):
        assert driver.engine.step(0)
    if command:
        channel.command(command)
    return driver.engine.save()


def refused(image: bytes, *, is_overlapping: bool = False) -> bool:
    """Whether an engine of the same shape refuses it; one that takes it must run to rest."""
    engine = CopyEngine(manual=True, channels=1, is_overlapping=is_overlapping)
    fresh = engine.state_hash()
    try:
        engine.load(image)
    except SnapshotError:
        assert engine.state_hash() == fresh
        return True
    bound = engine.idle_steps
    assert engine.run().steps <= bound
    return False


MOVING, REPORTING = 1, 2
SUSPEND = 1
BETWEEN = {"after": 0}
AT_HAND = {"after": 2}
REPORT = {"after": 3, "compl_write": 1}
HALTED = {"after": 1, "command": "ABORT"}
ERROR = {"after": 1, "size": 0}
SUSPENDED = {"after": 0, "command": "SUSPEND"}
DONE = {"after": 4, "count": 1}
HELD = {"after": 3, "is_overlapping": True}
HELD_OWN = {"after": 5, "is_overlapping": True}
WRONG: list[tuple[dict[str, Any], Tag, int]] = [
    (BETWEEN, Tag.STATUS, 5),
    (BETWEEN, Tag.STATUS, ChanStatus.DONE),
    (BETWEEN, Tag.STATUS, ChanStatus.ARMED),
    (BETWEEN, Tag.PHASE, 3),
    (BETWEEN, Tag.REPORT, 1),
    (BETWEEN, Tag.CHANGE, SUSPEND),
    (BETWEEN, Tag.REREAD, 1),
    (BETWEEN, Tag.PROCESSED, 4),
    (BETWEEN, Tag.LAST, 0x1001),
    (BETWEEN, Tag.ENABLED, 1),
    (BETWEEN, Tag.HELD_LEN, 1),
    (AT_HAND, Tag.STATUS, ChanStatus.SUSPENDED),
    (AT_HAND, Tag.STATUS, ChanStatus.HALTED),
    (AT_HAND, Tag.FIRST, 1),
    (AT_HAND, Tag.REREAD, 1),
    (AT_HAND, Tag.CURRENT, 0x20),
    (AT_HAND, Tag.MOVED, 5000),
    (AT_HAND, Tag.MOVED, 1 << 31),
    (AT_HAND, Tag.REPORT, 2),
    (AT_HAND, Tag.WORD, 0),
    (AT_HAND, Tag.WORD, 5000 | 1 << 37),
    (AT_HAND, Tag.WORD, 5000 | 7 << 56),
    (REPORT, Tag.LAST, 0x40),
    (REPORT, Tag.REPORT, 0),
    (REPORT, Tag.MOVED, 4999),
    (REPORT, Tag.PHASE, MOVING),
    (HALTED, Tag.REPORT, 1),
    (HALTED, Tag.PHASE, REPORTING),
    (HALTED, Tag.CHANGE, SUSPEND),
    (HALTED, Tag.REREAD, 1),
    (ERROR, Tag.STATUS, ChanStatus.SUSPENDED),
    (SUSPENDED, Tag.CHANGE, SUSPEND),
    (SUSPENDED, Tag.REREAD, 1),
    (DONE, Tag.STATUS, ChanStatus.ARMED),
    (DONE, Tag.FIRST, 1),
    (DONE, Tag.PROCESSED, 0),
    (HELD, Tag.HELD_LEN, 4097),
    (HELD, Tag.HELD_DESCRIPTOR, 1),
    (HELD, Tag.HELD_TO, 4096 - 1),
    (HELD, Tag.HELD_LAST, 0),
    (HELD, Tag.FIRST, 1),
    (HELD_OWN, Tag.HELD_DESCRIPTOR, 0x40),
    (HELD_OWN, Tag.HELD_TO, 0),
    (HELD_OWN, Tag.MOVED, 1),
    (HELD_OWN, Tag.HELD_LAST, 2),
]


@pytest.mark.requirement("DMA-54")
@pytest.mark.parametrize(("state", "tag", "value"), WRONG, ids=str)
def test_a_state_that_cannot_be_is_refused(state: dict[str, Any], tag: Tag, value: int) -> None:
    image = saved(**state)
    is_overlapping = "is_overlapping" in state
    assert not refused(image, is_overlapping=is_overlapping)
    assert refused(edited(image, tag, value), is_overlapping=is_overlapping)


@pytest.mark.requirement("DMA-54")
def test_a_null_behind_what_is_held_waits_in_a_snapshot_too() -> None:
    image = saved(4, count=1, is_overlapping=True)
    values = {tag: image[at : at + size] for tag, at, size in records(image)}
    assert (values[Tag.PHASE][0], values[Tag.HELD_LAST][0]) == (MOVING, 1)
    assert not refused(image, is_overlapping=True)
    assert refused(edited(image, Tag.MOVED, 1), is_overlapping=True)
    assert refused(edited(image, Tag.HELD_LAST, 0), is_overlapping=True)


@pytest.mark.requirement("DMA-54", "DMA-34")
def test_the_line_follows_from_attention_in_a_snapshot_too() -> None:
    driver = Driver(CopyEngine(manual=True, channels=1))
    driver.channel(0).post(CopyDescriptor(null=1, int_en=1))
    driver.channel(0).start()
    driver.engine.run()
    image = driver.engine.save()
    at = next(at for tag, at, _ in records(image) if tag == 0x212)  # TAG_PCI_LINE_ASSERTED
    assert image[at] == 1
    assert not refused(image)
    assert refused(image[:at] + b"\0" + image[at + 1 :])
