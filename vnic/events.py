"""What observers see: inputs and outputs of a device, in the order in which they happened."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from vnic.abi import DmaStatus, EventType

__all__ = ["Answer", "DmaStatus", "Event", "EventType", "Observer"]


class Event(NamedTuple):
    """One input or output; see enum vnic_event_type for what the fields mean in each type."""

    type: EventType
    function: int
    index: int  # type: ignore[assignment]  # a tuple has an index(), which nobody needs of an event
    width: int
    time_ns: int
    addr: int
    value: int
    data: bytes


Observer = Callable[[Event], None]

# answer(bus address, bytes, is_write): what is not mapped was asked for; a read fills the bytes.
Answer = Callable[[int, memoryview, bool], DmaStatus]
