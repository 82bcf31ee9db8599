"""Places of PCI functions: bus, device and function as people write them, and as a number."""

from __future__ import annotations

import re
from typing import Final

_PLACE: Final = re.compile(r"(?:[0-9a-f]{4}:)?([0-9a-f]{2}):([01][0-9a-f])\.([0-7])")


def place_text(number: int) -> str:
    """`00:03.0` of bus << 8 | device << 3 | function."""
    return f"{number >> 8:02x}:{number >> 3 & 31:02x}.{number & 7}"


def place_number(text: str) -> int | None:
    """The other way round; None for what is no place."""
    match = _PLACE.fullmatch(text.lower())
    return int(match[1], 16) << 8 | int(match[2], 16) << 3 | int(match[3]) if match else None
