"""The rules of the C border: what a driver can break in C only, beside what the NDIS layer holds it to."""

from __future__ import annotations

from collections.abc import Mapping

from vnic.ndis.rule import Rule

__all__ = ["DRIVER_RULES"]

_PAGE = "vnic: spec/drivers.md"

_TABLE = (
    Rule(
        "DRV-10", "C", "passes only pointers and handles that it was given, and that are still its own", _PAGE
    ),
    Rule("DRV-11", "C", "leaves alone what it has given back", _PAGE),
    Rule("DRV-12", "C", "returns and stores values that NDIS has", _PAGE),
    Rule("DRV-13", "C", "frees what it allocated, once, and all of it before it is halted", _PAGE),
    Rule("DRV-14", "C", "writes no further than its buffers, and no member that is not its own", _PAGE),
)

DRIVER_RULES: Mapping[str, Rule] = {rule.id: rule for rule in _TABLE}
