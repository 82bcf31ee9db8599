"""What a test wants of the testbench: the keywords of @pytest.mark.vnic, checked and sorted."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any

from vnic.errors import ArgumentError
from vnic.link.impairments import Impairments
from vnic.protocol.chimney_options import ChimneyOptions
from vnic.testbench.bench import Bench

#: What the fixtures themselves take.
OWN = {
    "driver": "a name as --vnic-driver has it, or a class derived from Miniport",
    "chimney": "True, or ChimneyOptions: connections are offloaded",
    "netdma": "True, or NetDmaOptions: received data is moved by a copy engine",
    "plan": "a fault plan, or its text: armed once the bench is up",
    "timeout": "seconds, 0: none",
    "forth": "Impairments, or a mapping: of frames that the card sends only",
    "back": "likewise of frames that it receives",
}
#: What the fixtures give to Bench by themselves.
_GIVEN = frozenset({"self", "link", "world", "miniport", "starts"})
_CONNECTIONS = 1024


@dataclass(frozen=True, slots=True)
class Wanted:
    """Keywords: of Bench, of the wire (both directions, then each), and the fixtures' own."""

    bench: dict[str, Any] = field(default_factory=dict)
    wire: dict[str, Any] = field(default_factory=dict)
    own: dict[str, Any] = field(default_factory=dict)

    @property
    def has_wire(self) -> bool:
        """Whether something is said of the wire."""
        return bool(self.wire) or bool({"forth", "back"} & self.own.keys())

    def impairments(self, direction: str) -> Impairments:
        """What the wire does to frames `forth` or `back`; ArgumentError for what has no meaning."""
        special = self.own.get(direction)
        if isinstance(special, Impairments):
            return special
        try:
            return Impairments(**self.wire | dict(special or {}))
        except (TypeError, ValueError) as error:
            raise ArgumentError(f"@pytest.mark.vnic: {error}") from None

    def bench_parameters(self) -> dict[str, Any]:
        """Parameters of Bench; a chimney needs a card that has one."""
        parameters = dict(self.bench)
        if self.own.get("chimney"):
            parameters["device"] = {"connections": _CONNECTIONS} | dict(parameters.get("device") or {})
        return parameters

    @property
    def chimney(self) -> ChimneyOptions | None:
        """How connections are offloaded, if they are."""
        asked = self.own.get("chimney")
        return ChimneyOptions() if asked is True else asked or None


@cache
def bench_keywords() -> frozenset[str]:
    """Keywords that go to Bench."""
    return frozenset(inspect.signature(Bench.__init__).parameters) - _GIVEN


@cache
def wire_keywords() -> frozenset[str]:
    """Keywords that go to the wire."""
    return frozenset(each.name for each in fields(Impairments))


def wanted(marks: Iterable[tuple[tuple[Any, ...], Mapping[str, Any]]]) -> Wanted:
    """Of (arguments, keywords) of marks, the nearest first; ArgumentError that names the right keywords."""
    keywords: dict[str, Any] = {}
    for arguments, given in marks:
        if arguments:
            raise ArgumentError(f"@pytest.mark.vnic takes keywords only, not {arguments[0]!r}")
        keywords = dict(given) | keywords
    found = Wanted()
    for name, value in keywords.items():
        _home(name, found)[name] = value
    return found


def _home(name: str, found: Wanted) -> dict[str, Any]:
    for known, home in ((OWN, found.own), (bench_keywords(), found.bench), (wire_keywords(), found.wire)):
        if name in known:
            return home
    raise ArgumentError(_unknown(name))


def _unknown(name: str) -> str:
    everything = sorted({*OWN, *bench_keywords(), *wire_keywords()})
    near = difflib.get_close_matches(name, everything, 1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    return (
        f"@pytest.mark.vnic has no keyword {name!r}{meant}\n"
        f"  of the bench: {', '.join(sorted(bench_keywords()))}\n"
        f"  of the wire: {', '.join(sorted(wire_keywords()))}\n"
        f"  of the fixtures: {', '.join(sorted(OWN))}"
    )
