"""An interface of a stack as a port of a link: a peer without a card, in virtual time or on a real clock."""

from __future__ import annotations

from typing import Protocol

from vnic.stack.interface import Interface
from vnic.stack.stack import Stack


class Transmitter(Protocol):
    """Where frames go: the end of a wire, a TAP."""

    def transmit(self, frame: bytes, now_ns: int) -> None:
        """Take a frame that was sent."""


class Port:
    """Both a Port and a Link of vnic.link: what it receives at one time is one burst, answered by advance().

    The link is up until link_changed() says otherwise.

    The stack's interface leaves nothing to a link that can nothing: it is made without offloads.
    """

    def __init__(self, stack: Stack, interface: Interface, link: Transmitter | None = None) -> None:
        self.stack = stack
        self.interface = interface
        self.link = link
        interface.set_link(True)
        self._waiting: list[tuple[bytes, int]] = []
        self._arrived_ns = 0

    # -- Port ------------------------------------------------------------------------------------------------

    def deliver(self, frame: bytes, now_ns: int) -> None:
        """A frame arrives."""
        if self._waiting and now_ns != self._arrived_ns:
            self._take_in()
        self._arrived_ns = now_ns
        self._waiting.append((frame, 0))

    def link_changed(self, up: bool, now_ns: int) -> None:
        """The link went up or down."""
        self._pass_time(now_ns)
        self.interface.set_link(up)

    # -- Link ------------------------------------------------------------------------------------------------

    def next_deadline_ns(self) -> int | None:
        """When the stack has something to do by itself; at once when frames wait for it."""
        if self.stack.is_closed:
            return None
        return self._arrived_ns if self._waiting else self.stack.next_deadline_ns()

    def advance(self, now_ns: int) -> int:
        """Take in what arrived, tell the sockets, send what follows; how much was done."""
        if self.stack.is_closed:
            return 0
        received = self._take_in()
        self._pass_time(now_ns)
        return received + self.stack.dispatch() + self._send(now_ns)

    def _take_in(self) -> int:
        waiting, self._waiting = self._waiting, []
        if waiting and not self.stack.is_closed:
            self._pass_time(self._arrived_ns)
            self.interface.receive_burst(waiting)
        return len(waiting)

    def _pass_time(self, now_ns: int) -> None:
        if now_ns >= self.stack.now_ns:  # a timer may have been set for this very time
            self.stack.advance(now_ns)

    def _send(self, now_ns: int) -> int:
        count = 0
        while not self.stack.is_closed and (sent := self.interface.transmit()) is not None:
            if self.link is not None:
                self.link.transmit(sent[0], now_ns)
            count += 1
        return count
