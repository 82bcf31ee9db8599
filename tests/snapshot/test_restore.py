"""A card restored from another's snapshot cannot be told from it, wherever between two steps it was taken."""

from __future__ import annotations

from dataclasses import dataclass, fields

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from vnic.abi import Engine, OpCode
from vnic.fuzz import scenes, strategies
from vnic.fuzz.bring_up import BRING_UP
from vnic.fuzz.effort import EFFORT, examples
from vnic.fuzz.oplang import Step
from vnic.fuzz.records import Phase, is_mid_receive, transmit_phase
from vnic.fuzz.world import World

_RUN_EXAMPLES, _RUN_STEPS = 40, 30
_ENGINES = st.lists(st.sampled_from((Engine.TX, Engine.TX, Engine.RX, Engine.LSO, Engine.IRQ)), max_size=8)


@dataclass
class Saves:
    """Saves by where the card stood in its work."""

    taken: int = 0
    pending: int = 0
    mid_receive: int = 0
    mid_gather: int = 0
    mid_segment: int = 0
    waiting_for_room: int = 0

    def note(self, image: bytes, is_idle: bool) -> None:
        """Count one."""
        phase = transmit_phase(image)
        self.taken += 1
        self.pending += not is_idle
        self.mid_receive += is_mid_receive(image)
        self.mid_gather += phase == Phase.GATHER
        self.mid_segment += phase == Phase.SEGMENT
        self.waiting_for_room += phase == Phase.READY

    def shares(self) -> str:
        """For people."""
        rest = fields(self)[1:]
        return f"{self.taken} saves: " + ", ".join(
            f"{field.name} {getattr(self, field.name) / max(self.taken, 1):.1%}" for field in rest
        )


SAVES = Saves()


class Pair(RuleBasedStateMachine):
    """Card A goes on; card B is made anew from A's snapshot now and then. Both get the same."""

    def __init__(self) -> None:
        super().__init__()
        self.worlds = [World(), World()]

    @initialize(is_up=st.sampled_from((True, True, True, False)))
    def bring_up(self, is_up: bool) -> None:
        """Most examples start from a card that runs."""
        if is_up:
            self.give(*BRING_UP)

    def give(self, *steps: Step) -> None:
        """The same input to both; what they say must be the same."""
        for world in self.worlds:
            world.said.clear()
            world.apply(steps)
        a, b = self.worlds
        assert a.said == b.said

    @rule(scene=scenes.scenes(with_tampers=False, with_faults=False))
    def act(self, scene: list[Step]) -> None:
        """Anything."""
        self.give(*scene)

    @rule(frames=st.lists(strategies.frames(), max_size=3), bell=strategies.doorbells())
    def load(self, frames: list[Step], bell: Step) -> None:
        """Work, and none of it done yet."""
        self.give(*frames, bell)

    @rule(engines=_ENGINES)
    def step(self, engines: list[Engine]) -> None:
        """Single steps."""
        self.give(*(Step(OpCode.STEP, engine) for engine in engines))

    @rule(frames=st.lists(strategies.frames(), max_size=2), bell=strategies.doorbells(), engines=_ENGINES)
    def restore(self, frames: list[Step], bell: Step, engines: list[Engine]) -> None:
        """B is thrown away in the middle of work; a new card takes A's snapshot and a copy of A's memory."""
        self.give(*frames, bell, *(Step(OpCode.STEP, engine) for engine in engines))
        a, b = self.worlds
        image = a.device.save()
        SAVES.note(image, a.device.is_idle)
        fresh = World()
        fresh.become(a.image())
        fresh.adopt_mappings(b)
        b.close()
        self.worlds[1] = fresh
        fresh.device.load(image)
        assert fresh.device.save() == image

    @invariant()
    def are_the_same(self) -> None:
        """State, what could run, when it would, and every byte of memory."""
        a, b = (world.device for world in self.worlds)
        assert a.state_hash() == b.state_hash()
        assert (a.runnable, a.idle_steps, a.now_ns) == (b.runnable, b.idle_steps, b.now_ns)
        assert a.next_deadline_ns() == b.next_deadline_ns()

    def teardown(self) -> None:
        """To the end of their work; then memory and outputs are the same."""
        a, b = self.worlds
        self.give(Step(OpCode.RUN, addr=4096, value=(1 << 64) - 1), Step(OpCode.DRAIN))
        assert a.image() == b.image()
        assert a.device.save() == b.device.save()
        a.close()
        b.close()


@pytest.mark.requirement("PCI-45", "RUN-2", "RUN-7")
def test_a_restored_card_cannot_be_told(capsys: pytest.CaptureFixture[str]) -> None:
    SAVES.__init__()  # type: ignore[misc]  # a new count for this run
    settings = examples(_RUN_EXAMPLES, stateful_step_count=_RUN_STEPS)
    run_state_machine_as_test(Pair, settings=settings)
    with capsys.disabled():
        print(f"\n{SAVES.shares()}")
    assert SAVES.taken >= 50 * min(EFFORT, 1)
    assert SAVES.pending / SAVES.taken >= 0.2
    assert SAVES.mid_receive and SAVES.mid_gather + SAVES.mid_segment
