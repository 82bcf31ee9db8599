"""Virtual time that several machines and the links between them share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from vnic.errors import UnrestError
from vnic.host.clock import VirtualClock
from vnic.host.cpu import Level, Processors
from vnic.link.port import Link

_ROUNDS = 100_000


class Timed(Protocol):
    """A device: it hears of time and names its next deadline."""

    @property
    def now_ns(self) -> int:
        """Its time."""

    def advance(self, now_ns: int) -> None:
        """Time is `now_ns` now."""

    def next_deadline_ns(self) -> int | None:
        """When it next has something to do by itself."""


class World:
    """One clock; every device is told of the time before anything happens at it."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self._devices: list[Timed] = []
        self._links: list[Link] = []
        self._machines: list[Processors] = []

    def add_machine(self, device: Timed, processors: Processors) -> None:
        """A device and the processors of its host take part from now on."""
        self._devices.append(device)
        self._machines.append(processors)

    def remove_machine(self, device: Timed, processors: Processors) -> None:
        """They are gone."""
        self._devices.remove(device)
        self._machines.remove(processors)

    def add_link(self, link: Link) -> None:
        """A link moves its frames as time goes on."""
        self._links.append(link)

    def pump(self) -> bool:
        """Let devices, links and every processor do what is due now; False when nothing was."""
        self.tell_time()
        moved = self.move_links()
        for processors in self._machines:
            if processors.level == Level.PASSIVE and processors.depth == 0:
                moved += processors.run_until_idle()
        return moved > 0

    def tell_time(self) -> None:
        """Every device hears what time it is."""
        now_ns = self.clock.now_ns
        for device in self._devices:
            if device.now_ns < now_ns:
                device.advance(now_ns)

    def move_links(self) -> int:
        """Let links do what is due; how many frames arrived."""
        return sum(link.advance(self.clock.now_ns) for link in self._links)

    @property
    def has_due_link(self) -> bool:
        """Whether a link has something to do now."""
        deadlines = [link.next_deadline_ns() for link in self._links]
        return any(deadline is not None and deadline <= self.clock.now_ns for deadline in deadlines)

    def next_deadline_ns(self) -> int | None:
        """When a device or link next has something to do; timers of the clock are not among them."""
        deadlines = [device.next_deadline_ns() for device in self._devices]
        deadlines += [link.next_deadline_ns() for link in self._links]
        known = [deadline for deadline in deadlines if deadline is not None]
        return max(min(known), self.clock.now_ns) if known else None

    def settle(self) -> None:
        """Run until nothing is under way, letting pass the time that devices and links wait for.

        UnrestError when that never ends.
        """
        for _ in range(_ROUNDS):
            if self.pump():
                continue
            deadline_ns = self.next_deadline_ns()
            if deadline_ns is None:
                return
            self.clock.advance_to(deadline_ns)
        raise UnrestError(f"still busy after {_ROUNDS} rounds")

    def run_for(self, duration_ns: int) -> None:
        """Let virtual time pass, stopping at every deadline on the way."""
        self.run_until(lambda: False, duration_ns)

    def run_until(self, is_done: Callable[[], bool], within_ns: int) -> bool:
        """Let time pass until `is_done`; False when `within_ns` went by first."""
        end_ns = self.clock.now_ns + within_ns
        for _ in range(_ROUNDS):
            while self.pump():
                pass
            if is_done():
                return True
            if self.clock.now_ns >= end_ns:
                return False
            known = [self.next_deadline_ns(), self.clock.next_deadline_ns(), end_ns]
            following = min(deadline for deadline in known if deadline is not None)
            self.clock.advance_to(min(max(following, self.clock.now_ns), end_ns))
        raise UnrestError(f"still busy after {_ROUNDS} deadlines")

    def delay(self, ns: int) -> None:
        """Let time pass for a driver that waits; other processors stand still."""
        self.clock.advance(ns)
        for device in self._devices:
            device.advance(self.clock.now_ns)
