"""Where the states of two runs part: by state hashes on the way, then event by event."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from vnic.trace.replay import Outcome, Replay

_EVERY: Final = 1000


@dataclass(frozen=True, slots=True)
class Parting:
    """The number of events after which the states differ, or one run is no longer as its trace says."""

    events: int
    why: str


def parting(
    one: str | os.PathLike[str], other: str | os.PathLike[str], every: int = _EVERY
) -> Parting | None:
    """Replays both traces side by side and compares state hashes every `every` events; None: no difference.

    Two runs can do the same for long after their states differ: this finds the event that made it so.
    """
    found = _walk(one, other, 0, every)
    if found is None or every == 1:
        return found
    return _walk(one, other, max(found.events - every, 0), 1) or found


def _walk(
    one: str | os.PathLike[str], other: str | os.PathLike[str], start: int, every: int
) -> Parting | None:
    with Replay(one) as left, Replay(other) as right:
        try:
            place = start
            while True:
                ends = [_advance(replay, place) for replay in (left, right)]
                found = _difference(ends, left, right)
                if found or all(ends):
                    return found
                place += every
        finally:
            for replay in (left, right):
                for device in replay.devices.values():
                    device.close()


def _advance(replay: Replay, place: int) -> str:
    """Why the replay is over, or nothing."""
    if replay.events >= place > 0:
        return ""
    outcome = replay.run(place)
    return "" if outcome is Outcome.STOPPED else outcome.name


def _difference(ends: list[str], left: Replay, right: Replay) -> Parting | None:
    events = min(left.events, right.events)
    for number, (end, name) in enumerate(zip(ends, ("first", "second"), strict=True)):
        if end == Outcome.DIFFERENT.name:
            return Parting((left, right)[number].events, f"the {name} trace is not what its device does")
    if left.events != right.events and any(ends):
        return Parting(events, "one trace ends here")
    for number, device in left.devices.items():
        partner = right.devices.get(number)
        if partner is None or device.state_hash() != partner.state_hash():
            return Parting(events, f"the state of function {number} differs")
    return None
