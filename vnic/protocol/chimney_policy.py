"""Which connections are worth an entry of the target: rules, first match decides, and thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from vnic.ndis.chimney import TCP_UPLOAD_REASON
from vnic.protocol.journal import Cause
from vnic.stack.address import Endpoint, Prefix

_MS = 1_000_000
_PORTS = range(0x10000)


class Seen(NamedTuple):
    """A connection as the policy sees it; sizes in bytes."""

    local: Endpoint
    remote: Endpoint
    #: Since it was first seen connected.
    age_ns: int
    #: Both ways, since then.
    moved: int
    #: Of that, since the last look, and how long ago that was.
    moved_lately: int
    lately_ns: int
    #: Mean size of the user's requests of late; None: nothing is known of them.
    request_bytes: int | None
    #: Since it was offloaded; 0: it is not.
    offloaded_ns: int = 0

    @property
    def rate(self) -> float:
        """Bytes a second of late."""
        return self.moved_lately * 1e9 / self.lately_ns if self.lately_ns else 0.0


class Verdict(Enum):
    """What a policy says of a connection in the host."""

    OFFLOAD = "offload"
    #: Ask again at the next look.
    WAIT = "wait"
    #: No rule lets it.
    DENY = "deny"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Matches connections by their ends; what it says of those is `allow`, and how much they are worth.

    Members that are None match everything. Ports are ranges.
    """

    allow: bool
    local: Prefix | None = None
    remote: Prefix | None = None
    local_ports: range = _PORTS
    remote_ports: range = _PORTS
    #: Of candidates for too few entries, higher ones come first.
    priority: int = 0

    def matches(self, seen: Seen) -> bool:
        """Whether it is about this connection."""
        return (
            seen.local.port in self.local_ports
            and seen.remote.port in self.remote_ports
            and _is_in(seen.local, self.local)
            and _is_in(seen.remote, self.remote)
        )


def _is_in(end: Endpoint, prefix: Prefix | None) -> bool:
    return prefix is None or (prefix.version == end.address.version and end.address in prefix)


ALLOW_ALL = Rule(allow=True)


class Policy:
    """Never offloads by itself, and takes nothing back: what a host does that is told each move."""

    #: Time between two looks; 0: none.
    interval_ns = 0
    #: How much longer a connection waits after each refusal, and at most.
    back_off_ns = 100 * _MS
    back_off_max_ns = 60_000 * _MS

    def verdict(self, seen: Seen) -> Verdict:
        """Of a connection in the host."""
        return Verdict.DENY

    def objection(self, seen: Seen) -> Cause | None:
        """Why an offloaded connection is to come back; None: it may stay."""
        return None

    def rank(self, seen: Seen) -> tuple[int, float]:
        """What a connection is worth: the greater comes first."""
        return (0, seen.rate)

    def outranks(self, candidate: Seen, holder: Seen) -> bool:
        """Whether a candidate is worth so much more that an offloaded one gives up its entry."""
        return False

    def heeds(self, reason: TCP_UPLOAD_REASON) -> bool:
        """Whether a target that asks, but does not have to have, a connection back gets its will."""
        return False

    def back_off(self, refusals: int) -> int:
        """How long to wait after so many refusals in a row."""
        return min(self.back_off_ns << min(refusals - 1, 20), self.back_off_max_ns)


@dataclass(slots=True, kw_only=True)
class AutomaticPolicy(Policy):
    """What decides when nothing is set: rules, first match, default deny; then how much moves, and how.

    A connection is worth its entry when it is older than `min_age_ns`, moved `min_bytes`, and its user asks
    for `min_request_bytes` at a time. One that turns to small requests comes back, but not before
    `min_stay_ns`. One that gives up its place must have been `advantage` times slower, or of lower priority.
    """

    rules: Sequence[Rule] = (ALLOW_ALL,)
    interval_ns: int = 10 * _MS
    min_age_ns: int = 20 * _MS
    min_bytes: int = 64 << 10
    #: Less than a segment: one who reads each as it arrives reads in bulk all the same.
    min_request_bytes: int = 1024
    min_stay_ns: int = 200 * _MS
    advantage: float = 2.0
    heeded: frozenset[TCP_UPLOAD_REASON] = field(default_factory=lambda: frozenset(TCP_UPLOAD_REASON))

    def rule(self, seen: Seen) -> Rule | None:
        """The first that matches."""
        return next((rule for rule in self.rules if rule.matches(seen)), None)

    def verdict(self, seen: Seen) -> Verdict:
        """Of a connection in the host."""
        rule = self.rule(seen)
        if rule is None or not rule.allow:
            return Verdict.DENY
        is_ripe = seen.age_ns >= self.min_age_ns and seen.moved >= self.min_bytes
        return Verdict.OFFLOAD if is_ripe and seen.moved_lately and not self._is_small(seen) else Verdict.WAIT

    def _is_small(self, seen: Seen) -> bool:
        return seen.request_bytes is not None and seen.request_bytes < self.min_request_bytes

    def objection(self, seen: Seen) -> Cause | None:
        """Rules that changed at once, small requests after a while."""
        rule = self.rule(seen)
        if rule is None or not rule.allow:
            return Cause.POLICY
        if seen.offloaded_ns >= self.min_stay_ns and seen.moved_lately and self._is_small(seen):
            return Cause.SMALL_IO
        return None

    def rank(self, seen: Seen) -> tuple[int, float]:
        """Priority of the rule, then the rate."""
        rule = self.rule(seen)
        return (rule.priority if rule else 0, seen.rate)

    def outranks(self, candidate: Seen, holder: Seen) -> bool:
        """Higher priority; or so much faster than one that has stayed for a while."""
        mine, its = self.rank(candidate), self.rank(holder)
        if mine[0] != its[0]:
            return mine[0] > its[0]
        return holder.offloaded_ns >= self.min_stay_ns and mine[1] > self.advantage * its[1]

    def heeds(self, reason: TCP_UPLOAD_REASON) -> bool:
        """By default whatever the target says."""
        return reason in self.heeded
