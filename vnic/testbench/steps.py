"""The steps of a device and of the host around it, one at a time: chosen, held, taken, and told."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Hashable
from typing import Any

from vnic.abi import DmaPurpose, DmaStatus, Engine, EventType
from vnic.device import Device, Frame
from vnic.events import Event
from vnic.function import PciFunction
from vnic.host.bus import Interrupt
from vnic.host.cpu import Item, Kind, Processors
from vnic.testbench.hold import Hold, StepError
from vnic.testbench.lookahead import Lookahead
from vnic.testbench.posting import Message, Posting, Write, places_of, put
from vnic.testbench.rings import Rings
from vnic.testbench.step import Step, StepKind, kind_of
from vnic.testbench.world import World

_MOST = 1_000_000
_READS = (EventType.MMIO_READ, EventType.CFG_READ)
_ACTS = (EventType.DMA_READ, EventType.DMA_WRITE, EventType.INTERRUPT, EventType.FRAME_OUT)
_ITEMS = {Kind.INTERRUPT: StepKind.ISR, Kind.DPC: StepKind.DPC, Kind.WORK: StepKind.WORK_ITEM}
_LINK = "the link"

__all__ = ["Hold", "StepError", "Steps"]


class Steps:
    """Everything that can go on next, in a device and in the host, as far as they are given.

    The device is in manual mode until close().

    interrupts: who takes what the device raises, when the test lets it through; frames: likewise. Without
    them they are left to be fetched from the device.

    A step of an engine is a bounded DMA or a frame. A completion that it writes at its end is a step of its
    own: it is posted, and lands in memory when it is taken, or when the host reads a register (PCIe: nothing
    overtakes a posted write, the answer of a read pushes it). A hold keeps an engine with all its queues,
    since its next step is what it is. The device's steps are foreseen on a copy of it: faults that are armed
    are not.
    """

    def __init__(
        self,
        device: PciFunction[Any],
        *,
        interrupts: Callable[[Interrupt], object] | None = None,
        frames: Callable[[bytes], object] | None = None,
        processors: Processors | None = None,
        world: World | None = None,
    ) -> None:
        if not isinstance(device, PciFunction):
            raise StepError(f"{type(device).__name__}: it does not take steps one at a time")
        self.device = device
        self._was_manual = device.is_manual
        self._takes_interrupts = interrupts is not None
        self._posting = Posting(interrupts or (lambda interrupt: None))
        self._send = frames
        self._processors = processors
        self._world = world
        self._frames: deque[Frame] = deque()
        self._holds: list[Hold] = []
        self._acts: list[Event] = []
        self._lookahead: Lookahead[PciFunction[Any]] | None = None
        self.is_closed = False
        #: Every step that was taken, newest last.
        self.taken: deque[Step] = deque(maxlen=1024)
        device.is_manual = True
        self._observations = (
            device.observe(self._acts.append, _ACTS),
            device.observe(lambda event: self._posting.push(), _READS),
        )

    def close(self) -> None:
        """Let everything through that waits; the device is in the mode that it was in before. Idempotent."""
        if self.is_closed:
            return
        self.is_closed = True
        self._holds.clear()
        for observation in self._observations:
            observation.cancel()
        if not self.device.is_closed:
            self._collect()
        while self._posting.first is not None:
            self._posting.arrive()
        while self._frames:
            self._pass_frame()
        if self._lookahead is not None:
            self._lookahead.close()
            self._lookahead = None
        if not self.device.is_closed:
            self.device.is_manual = self._was_manual

    # -- what is possible ------------------------------------------------------------------------------------

    def possible(self) -> list[Step]:
        """The next steps, of which each could be taken: engines first, then bus, link, processors."""
        return [step for step in self._all(is_searching=self._is_searching) if not self._is_held(step)]

    @property
    def held(self) -> list[Step]:
        """The steps that could be taken but for a hold."""
        return [step for step in self._all(is_searching=self._is_searching) if self._is_held(step)]

    @property
    def _is_searching(self) -> bool:
        return any(hold.queue is not None for hold in self._holds)

    def _is_held(self, step: Step) -> bool:
        return any(hold.keeps(step) for hold in self._holds)

    def _all(self, *, is_searching: bool = False) -> list[Step]:
        self._collect()
        found = [self._foresee(part, is_searching) for part in self.device.runnable]
        if self._posting.first is not None:
            found.append(self._posting.first.step())
        if self._frames:
            frame = self._frames[0]
            detail = f"{len(frame.data)} bytes"
            found.append(
                Step(StepKind.FRAME_OUT, "the card", frame, None, frozenset({frame.queue}), (), detail)
            )
        if self._world is not None and self._world.has_due_link:
            found.append(Step(StepKind.LINK, _LINK, _LINK))
        if self._processors is not None:
            found += [_of_item(item) for item in self._processors.eligible]
        return found

    def _sources(self) -> list[Hashable]:
        """What tells the possible steps apart, without looking at what they do."""
        self._collect()
        sources: list[Hashable] = [int(part) for part in self.device.runnable]
        sources += [self._posting.first] if self._posting.first is not None else []
        sources += [self._frames[0]] if self._frames else []
        sources += [_LINK] if self._world is not None and self._world.has_due_link else []
        return sources + (list(self._processors.eligible) if self._processors is not None else [])

    def _collect(self) -> None:
        """Take out of the device what it has for the host and the link."""
        if self._takes_interrupts:
            for interrupt in self.device.interrupts():
                self._posting.add(Message(interrupt, self._queues_of_vector(interrupt.vector)))
        if self._send is not None and isinstance(self.device, Device):
            self._frames.extend(self.device.frames())

    # -- looking ahead ---------------------------------------------------------------------------------------

    @property
    def _ahead(self) -> Lookahead[PciFunction[Any]]:
        if self._lookahead is None:
            self._lookahead = Lookahead(self.device)
        return self._lookahead

    def _foresee(self, part: int, is_searching: bool = False) -> Step:
        acts = self._ahead.foresee(part)
        return self._engine_step(part, acts, self._queues(part, acts, is_searching))

    def _engine_step(self, part: int, acts: list[Event], queues: frozenset[int]) -> Step:
        """Named after its first act; a completion that follows something is a step of its own."""
        own = [act for at, act in enumerate(acts) if at == 0 or not _is_completion(act)]
        kind = kind_of(own[0]) if own else StepKind.OTHER
        return Step(kind, self._name(part), part, part, queues, tuple(own))

    def _name(self, part: int) -> str:
        if isinstance(self.device, Device):
            return f"engine {Engine(part).name}"
        return f"channel {part}" if part < 16 else "the interrupt delay"

    def _queues(self, part: int, acts: list[Event], is_searching: bool) -> frozenset[int]:
        if not isinstance(self.device, Device):
            return frozenset({part})
        rings = Rings(self._card_copy(), self.device)
        return frozenset().union(*(rings.queues_of(act, is_searching=is_searching) for act in acts))

    def _queues_of_vector(self, vector: int) -> frozenset[int]:
        if not isinstance(self.device, Device):
            return frozenset({vector})
        return Rings(self._card_copy(), self.device).queues_of_vector(vector)

    def _card_copy(self) -> Device:
        copy = self._ahead.copy()
        assert isinstance(copy, Device)
        return copy

    # -- taking ----------------------------------------------------------------------------------------------

    def take(self, step: Step | None = None) -> Step:
        """Take a step, by default the first; what it did. StepError when it is not possible."""
        if step is None:
            possible = self.possible()
            if not possible:
                raise StepError(self._nothing())
            step = possible[0]
        self._check(step)
        done = self._do(step)
        for hold in self._holds:
            hold.see(done)
        self.taken.append(done)
        return done

    def _check(self, step: Step) -> None:
        if step.source not in self._sources():
            raise StepError(f"{step}: not possible now")
        if self._holds and any(each.source == step.source for each in self.held):
            raise StepError(f"{step}: held")

    def _do(self, step: Step) -> Step:
        if step.part is not None:
            return self._run_engine(step.part)
        if step.kind in (StepKind.COMPLETION_WRITE, StepKind.INTERRUPT_DELIVERY):
            self._posting.arrive()
        elif step.kind is StepKind.FRAME_OUT:
            self._pass_frame()
        elif step.kind is StepKind.LINK:
            assert self._world is not None
            self._world.move_links()
        elif isinstance(step.source, Item):
            assert self._processors is not None
            self._processors.run_one(step.source)
        return step

    def _run_engine(self, part: int) -> Step:
        """One step of an engine; its completion is taken back out of memory, and is on its way.

        One that the step begins with has landed with it, unless another is on its way before it.
        """
        acts = self._ahead.foresee(part)
        queues = self._queues(part, acts, is_searching=True)
        before = {
            act.addr: b"".join(bytes(each) for each in places_of(self.device, act.addr, len(act.data)))
            for act in acts[0 if self._posting.writes else 1 :]
            if _is_completion(act)
        }
        self._acts.clear()
        self.device.step(part)
        done = list(self._acts)
        for act in done:
            old = before.get(act.addr, b"")
            if _is_completion(act) and len(old) == len(act.data):
                put(places_of(self.device, act.addr, len(act.data)), old)
                self._posting.add(Write(self.device, act, self._of_completion(act, queues)))
        self._collect()
        return self._engine_step(part, done, queues)

    def _of_completion(self, act: Event, queues: frozenset[int]) -> frozenset[int]:
        if not isinstance(self.device, Device):
            return queues
        return Rings(self._card_copy(), self.device).queues_of(act)

    def _pass_frame(self) -> None:
        frame = self._frames.popleft()
        if self._send is not None:
            self._send(frame.data)

    # -- going on --------------------------------------------------------------------------------------------

    def until(self, kind: StepKind, queue: int | None = None, *, lets_time_pass: bool = True) -> Step:
        """Take steps up to and with the first of a kind; StepError when none comes."""
        for _ in range(_MOST):
            done = self._next(lets_time_pass, kind, queue)
            if done.is_(kind, queue):
                return done
        raise StepError(f"no {kind.name} in {_MOST} steps")

    def before(self, kind: StepKind, queue: int | None = None, *, lets_time_pass: bool = True) -> Step:
        """Take steps until one of a kind is possible; which. It is not taken. StepError when none comes."""
        for _ in range(_MOST):
            for step in self._all(is_searching=queue is not None):
                if step.is_(kind, queue) and not self._is_held(step):
                    return step
            self._next(lets_time_pass, kind, queue)
        raise StepError(f"no {kind.name} in {_MOST} steps")

    def _next(self, lets_time_pass: bool, kind: StepKind, queue: int | None) -> Step:
        """The first step, or the first after the next deadline."""
        while not (possible := self.possible()):
            if not lets_time_pass or not self._wait():
                of_queue = f" of queue {queue}" if queue is not None else ""
                raise StepError(f"{kind.name}{of_queue} never comes: {self._nothing()}")
        return self.take(possible[0])

    def settle(self) -> int:
        """Take every step, and let time pass, until nothing but what is held is left; how many steps."""
        return self._run_all(lambda possible: possible[0])

    def shuffle(self, seed: int) -> list[Step]:
        """The same in an order that the seed chooses at each step; the steps that were taken."""
        chance = random.Random(seed)
        taken: list[Step] = []

        def choose(possible: list[Step]) -> Step:
            taken.append(chance.choice(possible))
            return taken[-1]

        self._run_all(choose)
        return taken

    def _run_all(self, choose: Callable[[list[Step]], Step]) -> int:
        for count in range(_MOST):
            while not (possible := self.possible()):
                if not self._wait():
                    return count
            self.take(choose(possible))
        raise StepError(f"still something to do after {_MOST} steps")

    def _wait(self) -> bool:
        """Whether time could pass; a deadline that a hold keeps from being met stays where it is."""
        before_ns = self.device.now_ns
        return self.advance_to_deadline() is not None and self.device.now_ns > before_ns

    def advance_to_deadline(self) -> int | None:
        """Let time pass until device or link do something by themselves; the time, None when they never do.

        Nothing moves before a step is taken.
        """
        if self._world is None:
            deadline_ns = self.device.next_deadline_ns()
            if deadline_ns is not None:
                self.device.advance(max(deadline_ns, self.device.now_ns))
            return deadline_ns
        deadline_ns = self._world.next_deadline_ns()
        if deadline_ns is not None:
            self._world.clock.advance_to(deadline_ns)
            self._world.tell_time()
        return deadline_ns

    # -- holding ---------------------------------------------------------------------------------------------

    def hold(
        self, *, before: StepKind | None = None, after: StepKind | None = None, queue: int | None = None
    ) -> Hold:
        """Withhold steps of a kind, or what comes after the first step of a kind, from now on.

        after: no more of its engine, and nothing that follows from it: of `queue` when one is given.
        """
        if (before is None) == (after is None):
            raise StepError("a hold is before a kind of step, or after one")
        hold = Hold(before, after, queue, self._release)
        self._holds.append(hold)
        return hold

    def _release(self, hold: Hold) -> None:
        self._holds = [each for each in self._holds if each is not hold]

    def holding(self) -> list[str]:
        """What waits here, for a report."""
        lines = [f"the test holds {hold}" for hold in self._holds]
        if len(self._posting):
            lines.append(f"{len(self._posting)} writes and messages of the device have not arrived")
        if self._frames:
            lines.append(f"{len(self._frames)} frames have not left the card for the link")
        return lines

    def _nothing(self) -> str:
        held = "; ".join(str(step) for step in self.held)
        return f"only what is held is possible: {held}" if held else "nothing is possible"


def _is_completion(act: Event) -> bool:
    return (
        act.type == EventType.DMA_WRITE and act.index == DmaPurpose.COMPLETION and act.value == DmaStatus.OK
    )


def _of_item(item: Item) -> Step:
    return Step(_ITEMS[item.kind], f"processor {item.cpu}", item, detail=item.name)
