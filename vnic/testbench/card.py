"""What a bench asks of a card, so that something else can stand in its place."""

from __future__ import annotations

from typing import Protocol

from vnic.abi import RxVerdict
from vnic.device import FrameSink
from vnic.host.bus import Function


class Card(Function, Protocol):
    """A function that is a card: it has a link, a deadline, and an end."""

    is_manual: bool

    def connect_link(self, sink: FrameSink | None) -> None:
        """Frames that are sent go to `sink` from now on."""

    def set_link(self, mbps: int) -> None:
        """Link up with a speed, or down with 0."""

    def receive(self, frame: bytes | bytearray | memoryview) -> RxVerdict:
        """A frame arrives."""

    def next_deadline_ns(self) -> int | None:
        """When it next has something to do by itself."""

    def close(self) -> None:
        """The end."""
