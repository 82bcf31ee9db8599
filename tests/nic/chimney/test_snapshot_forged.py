"""Snapshots of a busy chimney with one number forged: refused, or exactly what the card then holds."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from tests.nic.chimney.test_snapshot import ENGINES, Script, records
from vnic.abi import Engine
from vnic.device import Device
from vnic.errors import SnapshotError

#: csrc/nic/chimney_tags.h: where an admin command stands.
PHASE = 0x591
ACTS = (
    "send",
    "post",
    "segment",
    "later",
    "query",
    "update",
    "terminate",
    "disconnect",
    "table",
    "fin",
    "ack",
)
CHANGES = 500  # of an image


def number_in(image: bytes, tag: int) -> int:
    """The first record of a tag."""
    return next(int.from_bytes(image[at : at + size], "little") for t, at, size in records(image) if t == tag)


def moments(seed: int, most: int) -> Iterator[tuple[Any, int, bytes]]:
    """Config, phase of the admin command, and image, each time the command has come to another phase."""
    script = Script(seed, 0.0, 2)
    last, found = 0, 0
    while found < most:
        getattr(script, f"on_{script.random.choice(ACTS)}")(script.random.choice(script.connections))
        for _ in range(3):
            ready = [engine for engine in ENGINES if engine in script.device.runnable]
            if not ready:
                break
            script.device.step(Engine.ADMIN if Engine.ADMIN in ready else script.random.choice(ready))
            image = script.device.save()
            phase = number_in(image, PHASE)
            if phase != last:
                found += 1
                yield script.device.config, phase, image
            last = phase
        if script.random.random() < 0.2:
            script.on_poll(script.connections[0])
    script.device.close()


def forgeries(image: bytes, random: Random) -> Iterator[bytes]:
    """The image with one number changed, in records of the chimney, rare tags before common ones."""
    places: dict[int, list[tuple[int, int]]] = {}
    for tag, at, size in records(image):
        if tag >= 0x100 and size <= 8:
            places.setdefault(tag, []).append((at, size))
    for _ in range(CHANGES):
        at, size = random.choice(places[random.choice(sorted(places))])
        value = int.from_bytes(image[at : at + size], "little")
        other = random.choice([0, 1, 2, 3, 4, 5, value ^ 1, value + 1, value - 1, 2 * value, -1, value + 4])
        yield image[:at] + (other % (1 << 8 * size)).to_bytes(size, "little") + image[at + size :]


@pytest.mark.requirement("CHM-80")
def test_what_is_taken_is_what_was_written() -> None:
    random, taken, refused, phases = Random(5), 0, 0, set[int]()
    for config, phase, image in moments(21, 13):
        phases.add(phase)
        with Device(config, manual=True) as device:
            for forged in forgeries(image, random):
                try:
                    device.load(forged)
                except SnapshotError:
                    refused += 1
                else:
                    taken += 1
                    assert device.save() == forged
    assert len(phases) >= 4
    assert min(taken, refused) > 300
