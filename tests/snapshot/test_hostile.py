"""Snapshots that a stranger wrote: refused, with a card that can be used; or accepted, and then harmless."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.abi import Engine, OpCode, Result
from vnic.device import Device
from vnic.errors import SnapshotConfigError
from vnic.fuzz import scenes, strategies
from vnic.fuzz.bring_up import BRING_UP, check_card
from vnic.fuzz.effort import examples
from vnic.fuzz.oplang import Step
from vnic.fuzz.records import Phase, edited, is_mid_receive, records, transmit_phase
from vnic.fuzz.world import World
from vnic.gen.registers import BAR0

requirement = pytest.mark.requirement

REFUSALS = (Result.EFORMAT, Result.EVERSION, Result.ECONFIG)


def _tail(pair: int, index: int) -> Step:
    return Step(OpCode.WRITE, 0, 4, BAR0.QP_TX_TAIL.at(pair), index)


def _steps(engine: Engine, count: int) -> list[Step]:
    return [Step(OpCode.STEP, engine)] * count


_FRAMES = tuple(Step(OpCode.RECEIVE, data=frame) for frame in strategies.real_frames()[-3:])
_IDLE = Step(OpCode.RUN, addr=4096, value=(1 << 64) - 1)

# How far a card is brought, and what its snapshot must then show.
MOMENTS: dict[str, tuple[Step, ...]] = {
    "fresh": (),
    "up": BRING_UP,
    "queued": (*BRING_UP, *_FRAMES, _tail(0, 8), _tail(1, 3)),
    "receiving": (*BRING_UP, *_FRAMES, *_steps(Engine.RX, 3)),
    "gathering": (*BRING_UP, _tail(0, 5), _tail(1, 5), *_steps(Engine.TX, 4)),
    "segmenting": (*BRING_UP, _tail(0, 8), *_steps(Engine.TX, 6), *_steps(Engine.LSO, 2)),
    "done": (*BRING_UP, *_FRAMES, _tail(0, 8), _IDLE),
}


@cache
def image_at(moment: str) -> bytes:
    """The snapshot of a card at a moment."""
    with World() as world:
        world.apply(MOMENTS[moment])
        return world.device.save()


def test_moments_are_what_they_say() -> None:
    assert is_mid_receive(image_at("receiving"))
    assert transmit_phase(image_at("gathering")) == Phase.GATHER
    assert transmit_phase(image_at("segmenting")) == Phase.SEGMENT
    assert all(image_at(moment) != image_at("fresh") for moment in MOMENTS if moment != "fresh")


def judge(world: World, image: bytes) -> int:
    """Load into a card with a past; what came of it, and that the card is sane in any case."""
    world.repair()
    world.device.reset()
    result = world.reload(image)
    assert result in (Result.OK, *REFUSALS)
    if result != Result.OK:
        world.apply(BRING_UP)
        check_card(world)
    return result


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """One card for all: that it refused before must not matter."""
    with World() as made:
        made.apply(BRING_UP)
        yield made


def cuts(image: bytes) -> list[int]:
    """Lengths to cut to: around every record's edges at the ends, and a sample of the rest."""
    edges = [record.at + step for record in records(image) for step in (0, 1, 4, 5)]
    sampled = {*edges[:60], *edges[-60:], *edges[:: max(len(edges) // 60, 1)], *range(0, len(image), 397)}
    return [cut for cut in sorted(sampled) if cut < len(image)]


@requirement("PCI-46")
@pytest.mark.parametrize("moment", MOMENTS)
def test_cut_short_is_refused(world: World, moment: str) -> None:
    image = image_at(moment)
    for cut in cuts(image):
        assert world.reload(image[:cut]) in REFUSALS, f"{cut} of {len(image)}"
    assert world.reload(image + b"\0") in REFUSALS
    assert judge(world, image[:-1]) in REFUSALS


@requirement("PCI-46")
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_flipped_bit_is_refused_or_harmless(world: World, moment: str) -> None:
    image = image_at(moment)
    for bit in range(0, 8 * len(image), max(8 * len(image) // 400, 1) | 1):
        changed = bytearray(image)
        changed[bit // 8] ^= 1 << bit % 8
        if world.reload(bytes(changed)) == Result.OK:
            world.settle()
            world.check_guards()
    assert judge(world, b"") in REFUSALS


@requirement("PCI-46", "RST-3")
@examples(100)
@given(moment=st.sampled_from(sorted(MOMENTS)), triples=strategies.edits, steps=scenes.programs(1, 5))
def test_edited_fields_are_refused_or_harmless(
    world: World, moment: str, triples: list[tuple[int, int, int]], steps: tuple[Step, ...]
) -> None:
    judge(world, edited(image_at(moment), triples))
    world.apply(steps)
    world.settle()
    world.check_guards()


@requirement("PCI-45")
def test_a_card_of_another_shape_is_refused() -> None:
    with Device(manual=True, queue_pairs=2) as other, pytest.raises(SnapshotConfigError):
        other.load(image_at("up"))
