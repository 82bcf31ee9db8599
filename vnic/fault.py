"""Faults to inject into a device: what to match, and what happens then."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Protocol

from vnic.abi import DmaStatus, FaultAction, FaultPick, FaultSite, FaultTimer

__all__ = [
    "ANY",
    "BYTES_1",
    "POSTED",
    "DmaStatus",
    "Fault",
    "FaultAction",
    "FaultHandle",
    "FaultPick",
    "FaultSite",
    "FaultTimer",
    "describe",
    "pack",
    "refusal",
    "unpack",
]

ANY = 0xFF
_ALL = (1 << 64) - 1
_BYTE = 0xFF
_LAYOUT = struct.Struct("<4BI7Q")
#: Of the first version of the structure; what is behind it was 0 then.
BYTES_1 = 56

#: What travels by itself: nobody waits for it to be answered, so it can be lost or late.
POSTED = frozenset(
    {
        FaultSite.DMA_WRITE,
        FaultSite.INTERRUPT,
        FaultSite.FRAME_IN,
        FaultSite.FRAME_OUT,
        FaultSite.MMIO_WRITE,
    }
)
_DMA = frozenset({FaultSite.DMA_READ, FaultSite.DMA_WRITE})
_MMIO = frozenset({FaultSite.MMIO_READ, FaultSite.MMIO_WRITE})
_OWN = frozenset({FaultSite.TIMER, FaultSite.ADMIN})

#: [FLT-1] Where each action means something.
MEANINGS: dict[FaultAction, frozenset[FaultSite]] = {
    FaultAction.ERROR: _DMA | {FaultSite.MMIO_READ} | _OWN,
    FaultAction.DROP: POSTED | _OWN,
    FaultAction.CORRUPT: POSTED | {FaultSite.DMA_READ, FaultSite.MMIO_READ, FaultSite.ADMIN},
    FaultAction.DUPLICATE: POSTED | {FaultSite.MMIO_READ, FaultSite.ADMIN},
    FaultAction.DELAY: POSTED | _OWN,
    FaultAction.REORDER: POSTED,
    FaultAction.STUCK: _DMA | _MMIO,
    FaultAction.REMOVE: frozenset(FaultSite),
}

_WHY: dict[tuple[FaultAction, FaultSite], str] = {
    (FaultAction.ERROR, FaultSite.MMIO_WRITE): "a posted write has no answer that could be an error: DROP it",
    (FaultAction.ERROR, FaultSite.INTERRUPT): "a message has no answer that could be an error: DROP it",
    (FaultAction.ERROR, FaultSite.FRAME_IN): "the frames of the card have no FCS: DROP or CORRUPT it",
    (FaultAction.ERROR, FaultSite.FRAME_OUT): "the frames of the card have no FCS: DROP or CORRUPT it",
    (FaultAction.DROP, FaultSite.DMA_READ): "a read without an answer is an ERROR with status TIMEOUT",
    (FaultAction.DROP, FaultSite.MMIO_READ): "a read without an answer is an ERROR: all ones",
    (FaultAction.CORRUPT, FaultSite.TIMER): "a timer carries no data",
    (FaultAction.DUPLICATE, FaultSite.DMA_READ): "a second read of the same step sees the same bytes",
    (FaultAction.DUPLICATE, FaultSite.TIMER): "a timer that expired does not run: DUPLICATE what it sends",
    (FaultAction.DELAY, FaultSite.DMA_READ): "a read is answered within its step: hold the step",
    (FaultAction.DELAY, FaultSite.MMIO_READ): "who reads waits, and no virtual time passes meanwhile",
    (FaultAction.REORDER, FaultSite.DMA_READ): "a read is answered within its step: hold the step",
    (FaultAction.REORDER, FaultSite.MMIO_READ): "who reads waits for the answer before it goes on",
    (FaultAction.REORDER, FaultSite.TIMER): "timers expire in the order of time: DELAY one",
    (FaultAction.REORDER, FaultSite.ADMIN): "one command is at hand at a time: REORDER the write-backs",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Matches (skip+1) to (skip+count) of `site` behave as `action` says; spec/faults.md.

    index: DMA purpose, vector, queue, BAR, FaultTimer or chimney operation. first, last: bus addresses or
    register offsets, inclusive; of frames lengths, of timers vectors or connections, of commands objects.
    argument: of ERROR the status, of CORRUPT where 8 bytes are XORed with `mask`, of DELAY and DUPLICATE ns,
    of REORDER how many matches go first, of STUCK the values of the bits of `mask`.
    pick: which occurrences are matches: all, one in `one_in` by chance from `seed`, or each `one_in`th.
    """

    site: FaultSite
    action: FaultAction
    index: int = ANY
    first: int = 0
    last: int = _ALL
    skip: int = 0
    count: int = 1
    argument: int = 0
    mask: int = _ALL
    pick: FaultPick = FaultPick.ALL
    one_in: int = 0
    seed: int = 0


def refusal(fault: Fault) -> str | None:
    """Why a fault cannot be armed on any function; None: it can, if the function has the site."""
    try:
        site, action = FaultSite(fault.site), FaultAction(fault.action)
    except ValueError as unknown:
        return str(unknown)
    if site not in MEANINGS[action]:
        why = _WHY.get((action, site), "only data that are read or written have bits that stick")
        return f"{action.name} means nothing at {site.name}: {why}"
    return _refusal_of_argument(fault) or _refusal_of_match(fault)


def _refusal_of_argument(fault: Fault) -> str | None:
    if fault.action == FaultAction.ERROR:
        return _refusal_of_error(fault)
    if fault.action in (FaultAction.CORRUPT, FaultAction.STUCK) and fault.mask == 0:
        return f"{FaultAction(fault.action).name} with a mask of 0 changes nothing"
    if fault.action == FaultAction.DUPLICATE and fault.argument != 0 and fault.site not in POSTED:
        return f"the second {FaultSite(fault.site).name} follows at once: its argument is 0"
    if fault.action in (FaultAction.DELAY, FaultAction.REORDER) and fault.argument == 0:
        return f"{FaultAction(fault.action).name} by 0 changes nothing"
    return None


def _refusal_of_error(fault: Fault) -> str | None:
    is_status = DmaStatus.UNSUPPORTED <= fault.argument <= DmaStatus.TIMEOUT
    if fault.site in _DMA and not is_status:
        return f"{fault.argument} is no status that a transfer can end with"
    if fault.site == FaultSite.ADMIN and not 0 < fault.argument <= _BYTE:
        return f"{fault.argument} is no status of a command that failed"
    if fault.site == FaultSite.TIMER and fault.index != FaultTimer.MODERATION:
        return "only the interval of a vector is known when it begins, and can end early"
    return None


def _refusal_of_match(fault: Fault) -> str | None:
    if fault.first > fault.last:
        return f"a range from {fault.first:#x} to {fault.last:#x}"
    if fault.count == 0:
        return "a count of 0 never fires"
    picks = {
        FaultPick.ALL: fault.one_in == 0 and fault.seed == 0,
        FaultPick.CHANCE: fault.one_in != 0,
        FaultPick.EVERY: fault.seed < fault.one_in,
    }
    if not picks.get(fault.pick, False):
        return f"pick {fault.pick} with one_in {fault.one_in} and seed {fault.seed}"
    return None


# -- as data -------------------------------------------------------------------------------------------------


def pack(fault: Fault) -> bytes:
    """struct vnic_fault, as an ARM has it: without what is behind its first version while that is 0."""
    match = (fault.first, fault.last, fault.skip, fault.count, fault.argument, fault.mask, fault.seed)
    data = _LAYOUT.pack(fault.site, fault.action, fault.index, fault.pick, fault.one_in, *match)
    return data if fault.seed else data[:BYTES_1]


def unpack(data: bytes) -> Fault:
    """The fault of an ARM, sound or not; what is not there is 0."""
    fields = _LAYOUT.unpack(data[: _LAYOUT.size].ljust(_LAYOUT.size, b"\0"))
    site, action, index, pick, one_in, first, last, skip, count, argument, mask, seed = fields
    return Fault(
        site=site,
        action=action,
        index=index,
        first=first,
        last=last,
        skip=skip,
        count=count,
        argument=argument,
        mask=mask,
        pick=pick,
        one_in=one_in,
        seed=seed,
    )


def describe(fault: Fault) -> str:
    """One line: site, action, and what is not as it is by itself."""
    usual = Fault(site=fault.site, action=fault.action)
    parts = [_name(FaultSite, fault.site), _name(FaultAction, fault.action)]
    for name in ("index", "first", "last", "skip", "count", "argument", "mask", "pick", "one_in", "seed"):
        value = getattr(fault, name)
        if value != getattr(usual, name):
            parts.append(f"{name}={'all' if value == _ALL else f'{value:#x}' if value > _BYTE else value}")
    return " ".join(parts)


def _name(names: type[FaultSite | FaultAction], value: int) -> str:
    try:
        return names(value).name.lower()
    except ValueError:
        return str(value)


# -- armed ---------------------------------------------------------------------------------------------------


class Registry(Protocol):
    """Where faults are armed: a device."""

    def fault_fired(self, number: int) -> int:
        """How often a fault fired."""

    def disarm(self, number: int) -> None:
        """Take a fault out."""


class FaultHandle:
    """An armed fault; as a context manager it disarms at the end of the block."""

    def __init__(self, registry: Registry, fault: Fault, number: int) -> None:
        self.fault = fault
        self.number = number
        self._registry = registry
        self._fired_last: int | None = None

    @property
    def is_armed(self) -> bool:
        """Whether disarm() was not called yet."""
        return self._fired_last is None

    @property
    def fired(self) -> int:
        """How often it fired; after disarm(), what it was then."""
        return self._registry.fault_fired(self.number) if self._fired_last is None else self._fired_last

    def disarm(self) -> int:
        """Take it out; how often it fired. Idempotent."""
        if self._fired_last is None:
            self._fired_last = self.fired
            self._registry.disarm(self.number)
        return self._fired_last

    def __enter__(self) -> FaultHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.disarm()
