"""Random programs on the engine and on the reference, compared after each act: nothing differs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.copy.oracle import Mode
from tests.copy.pair import Pair, Shape
from tests.copy.programs import PHASES, Program, a_fault
from vnic.fuzz.effort import examples

SHAPES = st.builds(
    Shape,
    channels=st.sampled_from((1, 2, 2, 3, 16)),
    vectors=st.sampled_from((16, 1, 17)),
    transfer_log2=st.sampled_from((12, 13, 20)),
    mode=st.sampled_from(tuple(Mode)),
    is_overlapping=st.booleans(),
)
TAPES = st.binary(min_size=150, max_size=500)
MOST_STEPS = 400


def play(pair: Pair, program: Program) -> None:
    """The whole program, compared after every act."""
    program.begin()
    pair.check()
    while not program.tape.is_over:
        program.act()
        pair.check()
    pair.run(MOST_STEPS)
    pair.check()


@pytest.mark.requirement(
    "DMA-3", "DMA-20", "DMA-21", "DMA-22", "DMA-24", "DMA-30", "DMA-31", "DMA-51", "INV-59", "INV-63"
)
@examples(50, phases=PHASES)
@given(shape=SHAPES, tape=TAPES)
def test_programs_without_errors_do_as_the_reference(shape: Shape, tape: bytes) -> None:
    pair = Pair(shape)
    with pair.engine:
        play(pair, Program(pair, tape, is_clean=True))


@pytest.mark.requirement("DMA-40", "DMA-41", "DMA-42", "DMA-44", "DMA-46", "DMA-52", "DMA-54")
@examples(60, phases=PHASES)
@given(shape=SHAPES, tape=TAPES)
def test_hostile_programs_do_as_the_reference(shape: Shape, tape: bytes) -> None:
    pair = Pair(shape)
    with pair.engine:
        play(pair, Program(pair, tape))


@pytest.mark.requirement("DMA-40", "DMA-41", "DMA-42", "DMA-43")
@examples(50, phases=PHASES)
@given(shape=SHAPES, tape=TAPES)
def test_programs_with_faults_do_as_the_reference(shape: Shape, tape: bytes) -> None:
    pair = Pair(shape)
    with pair.engine:
        program = Program(pair, tape)
        for _ in range(1 + program.tape.number(3)):
            pair.arm(a_fault(program.tape))
        play(pair, program)
