"""What a device has sent and the host does not see yet: completions and messages, in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from vnic.events import Event
from vnic.function import PciFunction
from vnic.host.bus import Interrupt
from vnic.testbench.step import Step, StepKind


@dataclass(frozen=True, slots=True, eq=False)
class Write:
    """A write that has not reached memory."""

    function: PciFunction[Any]
    event: Event
    queues: frozenset[int]

    def land(self) -> None:
        """Memory has it from now on, where it is still mapped."""
        put(places_of(self.function, self.event.addr, len(self.event.data)), self.event.data)

    def step(self) -> Step:
        """Its landing."""
        return Step(StepKind.COMPLETION_WRITE, "the bus", self, None, self.queues, (self.event,))


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """An interrupt that has not reached the controller."""

    interrupt: Interrupt
    queues: frozenset[int]

    def step(self) -> Step:
        """Its delivery."""
        kind, vector = self.interrupt.kind.name, self.interrupt.vector
        change = "" if self.interrupt.addr else (" asserted" if self.interrupt.data else " deasserted")
        return Step(
            StepKind.INTERRUPT_DELIVERY, "the bus", self, None, self.queues, (), f"{kind} {vector}{change}"
        )


class Posting:
    """Posted writes as PCIe has them: nothing overtakes, the answer of a read pushes the writes before it."""

    def __init__(self, deliver: Callable[[Interrupt], object]) -> None:
        self._deliver = deliver
        self._posted: deque[Write | Message] = deque()

    def __len__(self) -> int:
        return len(self._posted)

    def add(self, posted: Write | Message) -> None:
        """One more is on its way."""
        self._posted.append(posted)

    @property
    def first(self) -> Write | Message | None:
        """What arrives next."""
        return self._posted[0] if self._posted else None

    @property
    def writes(self) -> list[Write]:
        """The writes that have not landed."""
        return [each for each in self._posted if isinstance(each, Write)]

    def arrive(self) -> None:
        """The first arrives."""
        posted = self._posted.popleft()
        if isinstance(posted, Write):
            posted.land()
        else:
            self._deliver(posted.interrupt)

    def push(self) -> None:
        """The host reads from the device: memory has every write when it has its answer."""
        messages = [each for each in self._posted if isinstance(each, Message)]
        for write in self.writes:
            write.land()
        self._posted = deque(messages)


def places_of(function: PciFunction[Any], addr: int, length: int) -> tuple[memoryview, ...]:
    """The memory behind bus addresses, in pieces; less where nothing is mapped."""
    places = []
    while length > 0:
        found = function.memory_at(addr, length)
        if found is None:
            break
        places.append(found[0])
        addr, length = addr + len(found[0]), length - len(found[0])
    return tuple(places)


def put(places: Sequence[memoryview], data: bytes) -> None:
    """Write bytes over pieces of memory, as far as they go."""
    for place in places:
        part, data = data[: len(place)], data[len(place) :]
        place[: len(part)] = part
