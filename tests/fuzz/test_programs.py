"""Hostile programs on the card: budgets, bounds, guards, determinism, restoring, and coming up again."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import event, given, note
from hypothesis import strategies as st

from vnic.abi import OpCode
from vnic.fuzz import scenes
from vnic.fuzz.bring_up import BRING_UP, Level, check_card, reset
from vnic.fuzz.coverage import COUNTERS, Coverage
from vnic.fuzz.effort import examples
from vnic.fuzz.oplang import Flag, Program, Step, WorldCode, encode
from vnic.fuzz.world import PLACES, Region, World
from vnic.gen.registers import BAR0

requirement = pytest.mark.requirement
_NOT_SHADOWED = {OpCode.CFG_WRITE, OpCode.RESET, OpCode.REMOVE, WorldCode.TAMPER}


@dataclass(frozen=True)
class Manner:
    """How a twin runs the same program."""

    split: int | None
    is_watched: bool
    is_restored: bool


MOSTLY = st.sampled_from((True, True, False))
MANNERS = st.builds(Manner, st.sampled_from((None, 1, 2, 3, 64)), st.booleans(), st.booleans())


def begin(is_up: bool, answering: bool = False, split: int | None = None) -> World:
    """A world whose card is fresh, or brought up."""
    world = World(split=split, answering=answering)
    if is_up:
        world.apply(BRING_UP)
    return world


def finish(world: World) -> None:
    """Come to rest as far as that is near, and take what is left."""
    world.settle()
    world.drain()


def restore(world: World) -> None:
    """Save, live another life, and load: what is saved then is the same."""
    image = world.device.save()
    world.device.reset()
    world.device.load(image)
    assert world.device.save() == image


def run_twin(program: Program, manner: Manner, *, is_up: bool, answering: bool) -> World:
    """The same program on another card in another manner."""
    twin = begin(is_up, answering, manner.split)
    if manner.is_watched:
        twin.watch()
    middle = len(program.steps) // 2
    twin.apply(program.steps[:middle])
    if manner.is_restored:
        restore(twin)
    twin.apply(program.steps[middle:])
    finish(twin)
    return twin


def shadow_is_clean(world: World) -> bool:
    """Whether the memory behind BAR0 is untouched."""
    shadow = PLACES[Region.SHADOW]
    return world.read(shadow.addr, shadow.size) == bytes(shadow.size)


@requirement("RUN-3", "RUN-4", "RUN-5", "RUN-6", "RUN-7", "PCI-14", "PCI-15", "PCI-16", "PCI-17")
@examples(140)
@given(steps=scenes.programs(4, 16), is_up=MOSTLY, answering=st.booleans(), manner=MANNERS)
def test_a_program_does_the_same_in_every_manner(
    coverage: Coverage, steps: tuple[Step, ...], is_up: bool, answering: bool, manner: Manner
) -> None:
    program = Program(Flag.UP if is_up else Flag(0), steps)
    note(encode(program).hex())
    with begin(is_up, answering) as world:
        world.apply(program)
        coverage.note_program(steps)
        event(f"left idle: {world.device.is_idle}")
        finish(world)
        world.check_guards()
        if is_up and not any(step.code in _NOT_SHADOWED for step in steps):
            assert shadow_is_clean(world)
        with run_twin(program, manner, is_up=is_up, answering=answering) as twin:
            assert twin.said == world.said
            assert twin.device.state_hash() == world.device.state_hash()
            assert twin.image() == world.image()
        coverage.note_world(world)


@requirement("RST-2", "RST-3", "RST-4", "RST-6", "RST-8", "PCI-20", "PCI-22", "PCI-23", "PCI-25")
@pytest.mark.parametrize("level", Level, ids=lambda level: level.name.lower())
@examples(20)
@given(steps=scenes.programs(4, 12), is_up=st.booleans())
def test_a_card_comes_up_after_a_reset_from_any_state(
    coverage: Coverage, level: Level, steps: tuple[Step, ...], is_up: bool
) -> None:
    with begin(is_up) as world:
        world.apply(steps)
        coverage.note_program(steps)
        coverage.note_world(world)
        coverage.note_level(level.name)
        reset(world, level)
        world.apply(BRING_UP)
        check_card(world)
        world.check_guards()


def _counters(world: World) -> list[int]:
    return [world.device.read(0, counter.offset, counter.bytes) for counter in COUNTERS]


def _keeps_counters(step: Step) -> bool:
    if step.code == OpCode.WRITE:
        touched = range(step.addr, step.addr + 8)
        return BAR0.STAT_CTRL.offset not in touched and BAR0.GLB_CTRL.offset not in touched
    return step.code not in (OpCode.CFG_WRITE, OpCode.RESET, OpCode.REMOVE)


@requirement("RX-1", "TX-22")
@examples(40)
@given(steps=scenes.programs(4, 12, with_tampers=False, with_faults=False))
def test_counters_never_fall(steps: tuple[Step, ...]) -> None:
    with begin(is_up=True) as world:
        before = _counters(world)
        for step in filter(_keeps_counters, steps):
            world.act(step)
            after = _counters(world)
            assert all(old <= new for old, new in zip(before, after, strict=True))
            before = after
