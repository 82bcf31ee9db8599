"""What happened to a host's offloads and why, newest last, in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import NamedTuple


class Happening(StrEnum):
    """What an entry of the journal tells."""

    OFFLOADED = "offloaded"
    OFFLOAD_FAILED = "offload failed"
    UPLOADED = "uploaded"
    LOST = "state lost"
    BLOCKED = "blocked"
    ALLOWED = "allowed"
    IGNORED = "request ignored"


class Cause(StrEnum):
    """Why a connection is taken back from a target."""

    USER = "asked for"
    CLOSED = "the connection is over"
    ABORTED = "reset"
    SMALL_IO = "policy: small I/O"
    IDLE = "policy: idle"
    OUTRANKED = "policy: a better candidate"
    POLICY = "policy: denied now"
    COMPONENT = "a component forbids it"
    SWITCH = "EnableTCPChimney is off"
    PAUSE = "NetEventPause"
    POWER = "low power"
    MEDIA = "media disconnected"
    UNBIND = "the binding ends"
    UPLOAD_ALL = "the target wants all back"
    RESOURCES = "the target has no room for a request"
    NEIGHBOUR = "the neighbour is unreachable"
    ROUTE = "another interface"
    UPDATE = "an update failed"
    LOW_ACTIVITY = "target: LowActivity"
    HIGH_DROP_RATE = "target: HighDropRate"
    TARGET_SMALL_IO = "target: SmallIO"
    NO_BUFFER_PREPOSTING = "target: NoBufferPreposting"
    RECEIVED_URGENT_DATA = "target: ReceivedUrgentData"
    HIGH_FRAGMENTATION = "target: HighFragmentation"
    HIGH_OUT_OF_ORDER_PACKETS = "target: HighOutOfOrderPackets"
    TIMEOUT_EXPIRATION = "target: TimeoutExpiration"
    INVALID_STATE = "target: InvalidState"
    UPLOAD_REQUESTED = "target: UploadRequested"
    HARDWARE_FAILURE = "target: HardwareFailure"


class Entry(NamedTuple):
    """One happening; `subject` is a connection, an adapter or a component."""

    time_ns: int
    what: Happening
    subject: str
    reason: str

    def __str__(self) -> str:
        return f"{self.time_ns / 1e9:.6f} {self.subject}: {self.what} ({self.reason})"


class Journal:
    """The last `limit` entries; `listeners` hear of each new one."""

    def __init__(self, now_ns: Callable[[], int], limit: int = 4096) -> None:
        self._now_ns = now_ns
        self._entries: deque[Entry] = deque(maxlen=limit)
        self.listeners: list[Callable[[Entry], None]] = []

    def note(self, what: Happening, subject: str, reason: str) -> None:
        """Something happened now."""
        entry = Entry(self._now_ns(), what, subject, reason)
        self._entries.append(entry)
        for listener in list(self.listeners):
            listener(entry)

    def __iter__(self) -> Iterator[Entry]:
        return iter(tuple(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def of(self, what: Happening) -> list[Entry]:
        """The entries that tell one thing."""
        return [entry for entry in self._entries if entry.what is what]
