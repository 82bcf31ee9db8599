"""Numbers as people read them."""

from __future__ import annotations

from typing import Final

#: Where there is no figure: a dash.
NONE: Final = "\u2013"
_BYTES: Final = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
_TIMES: Final = ((10**9, "s"), (10**6, "ms"), (10**3, "µs"))


def count(value: int) -> str:
    """1,234,567."""
    return f"{value:,}"


def octets(value: int) -> str:
    """12.3 MiB."""
    for unit, name in _BYTES:
        if value >= unit:
            return f"{value / unit:,.1f} {name}"
    return f"{value:,} B"


def time(value_ns: int, digits: int = 3) -> str:
    """12.345 ms: nanoseconds, with a unit that fits, and so many digits behind the point at most."""
    for unit, name in _TIMES:
        if value_ns >= unit:
            shown = f"{value_ns / unit:,.{digits}f}"
            return f"{shown.rstrip('0').rstrip('.')} {name}"
    return f"{value_ns:,} ns"


def rate(bytes_: int, span_ns: int) -> str:
    """Mb/s or Gb/s of so many bytes in that time; a dash where no time went by."""
    if span_ns <= 0:
        return NONE
    megabits = bytes_ * 8_000 / span_ns
    return f"{megabits / 1000:,.2f} Gb/s" if megabits >= 1000 else f"{megabits:,.1f} Mb/s"


def share(part: int, whole: int) -> str:
    """A percentage."""
    return f"{100 * part / whole:.1f} %" if whole else NONE
