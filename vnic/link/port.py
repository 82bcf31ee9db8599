"""What stands at the end of a link, and what a link offers to whoever drives it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


class Port(Protocol):
    """The receiving side of a card or peer."""

    def deliver(self, frame: bytes, now_ns: int) -> None:
        """Take a frame (no preamble, no FCS) that has fully arrived at virtual time `now_ns`.

        It may transmit on the link in turn; the answer leaves with the link's next `advance`.
        """


@runtime_checkable
class LinkAware(Protocol):
    """A port that wants to know when its link comes up or goes down."""

    def link_changed(self, up: bool, now_ns: int) -> None:
        """The link is now up or down."""


class Link(Protocol):
    """Something with a future: it has no clock, virtual time comes in and the next deadline goes out."""

    def next_deadline_ns(self) -> int | None:
        """When `advance` has something to do next; None while nothing is under way."""

    def advance(self, now_ns: int) -> int:
        """Do what is due up to `now_ns`; returns the number of frames delivered."""
