"""What a rule of the NDIS layer is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """One requirement on a driver; `page` names the public document that states it."""

    id: str
    binds: str
    text: str
    page: str
