"""Observation, faults that do not fire, budgets, snapshots change nothing; overlap ends as it may."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.copy.oracle import Mode
from tests.copy.oracle_overlap import Image, outcomes
from tests.copy.pair import DATA, FRESH, Shape
from tests.copy.programs import PHASES, Program, Tape, a_fault
from tests.copy.scene import Scene, slot
from tests.copy.twin import Manner, Twin
from vnic.fuzz.effort import examples
from vnic.gen.descriptors import CopyDescriptor
from vnic.gen.enums import ChanStatus

SHAPES = st.builds(
    Shape,
    channels=st.sampled_from((1, 2, 5)),
    transfer_log2=st.sampled_from((13, 20)),
    mode=st.sampled_from(tuple(Mode)),
    is_overlapping=st.booleans(),
)
MANNERS = st.sampled_from(
    (
        Manner(is_watched=True),
        Manner(has_fault=True),
        Manner(is_restored=True),
        Manner(cut=1),
        Manner(cut=3),
        Manner(bytes=8192),
        Manner(bytes=9000, is_watched=True),
        Manner(is_watched=True, cut=7),
        Manner(is_restored=True, cut=16),
    )
)
TAPES = st.binary(min_size=150, max_size=400)


def played(shape: Shape, tape: bytes, manner: Manner) -> tuple[list[object], list[bytes]]:
    """What an engine said and left in memory."""
    twin = Twin(shape, manner)
    with twin.engine:
        program = Program(twin, tape)
        if program.tape.chance(80):
            twin.arm(a_fault(program.tape))
        program.begin()
        while not program.tape.is_over:
            program.act()
            twin.check()
        twin.run(300)
        twin.check()
        return twin.said, twin.image()


@pytest.mark.requirement("DMA-51", "DMA-54", "PCI-44", "RUN-7")
@examples(50, phases=PHASES)
@given(shape=SHAPES, tape=TAPES, manner=MANNERS)
def test_a_program_ends_alike_in_every_manner(shape: Shape, tape: bytes, manner: Manner) -> None:
    assert played(shape, tape, manner) == played(shape, tape, Manner())


@pytest.mark.requirement("DMA-51")
@pytest.mark.parametrize("cut", [1, 3, 5, 15, 16, 17, 33, 100])
@pytest.mark.parametrize("busy", [(0, 1), (0, 2, 5), (4,), (1, 3, 4, 5)], ids=str)
def test_channels_take_turns_of_16_steps(cut: int, busy: tuple[int, ...]) -> None:
    with Scene(Shape(channels=6)) as scene:
        scene.chain(*(CopyDescriptor(null=1, compl_write=n % 3 == 0, int_en=n % 5 == 0) for n in range(30)))
        scene.pair.put(slot(30), CopyDescriptor(size=9, src=DATA.addr, dst=DATA.addr + 64, next=slot(0)))
        for index in busy:
            scene.neighbour(index).start(70, slot(index))
        while scene.pair.run(cut):
            scene.pair.check()
        scene.neighbour(busy[-1]).start(3, slot(1))
        scene.neighbour(busy[0]).start(3, slot(2))
        scene.pair.run(4)
        scene.pair.check()


def a_chain(tape: Tape) -> list[CopyDescriptor]:
    """Some descriptors among few bytes, so that they meet."""
    chain = []
    for _ in range(2 + tape.number(4)):
        size = tape.one_of((8, 64, 200, 4096, 5000))
        source, target = (DATA.addr + tape.one_of((0, 8, 100, 4000, 4096, 6000)) for _ in range(2))
        d = CopyDescriptor(size=size, src=source, dst=target)
        kind = tape.number(12)
        d.fence, d.compl_write, d.int_en = int(kind == 1), int(kind == 2), int(kind == 3)
        d.null, d.op = int(kind == 4), int(kind == 5)
        chain.append(d)
    return chain


@pytest.mark.requirement("DMA-27", "INV-65")
@examples(80, phases=PHASES)
@given(tape=st.binary(min_size=40, max_size=60), appends=st.booleans(), is_stepped=st.booleans())
def test_an_overlapping_engine_ends_as_it_may(tape: bytes, appends: bool, is_stepped: bool) -> None:
    chain = a_chain(Tape(tape))
    allowed = set(outcomes(Image(DATA.addr, FRESH[DATA]), chain))
    with Scene(Shape(is_overlapping=True)) as scene:
        scene.chain(*chain)
        scene.start(1 if appends else len(chain))
        for count in range(1, len(chain) + 1):
            if is_stepped:
                scene.pair.engine.step(0)
            scene.count(max(count, scene.dmacount))
        scene.pair.engine.run()
        assert scene.pair.engine.read(0, 0x88, 8) & 0x3F == ChanStatus.DONE
        assert bytes(scene.pair.bytes[DATA]) in allowed


def test_the_reference_knows_outcomes_that_differ() -> None:
    ways = ((0, 100), (100, 200), (200, 300))
    chain = [CopyDescriptor(size=8, src=DATA.addr + a, dst=DATA.addr + b) for a, b in ways]
    fresh = Image(DATA.addr, FRESH[DATA])
    assert len(set(outcomes(fresh, chain))) > 1
    fenced = [replace(descriptor, fence=1) for descriptor in chain]
    assert len(set(outcomes(fresh, fenced))) == 1
