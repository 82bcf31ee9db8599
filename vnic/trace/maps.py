"""Register maps of devices that are not made here, from JSON: names, and bits that differ between runs.

`format`: vnic-map/1; `name`; `ids`: list of PCI ids as 8086:10d3; `windows`: list of `bar` (0 to 5, or
"config"), `size` and `registers`: list of `name`, `offset`, `width` (32), `count` (1) and `stride` (the
width), `kind` (plain), `desc`, and `fields`: list of `name`, `lsb`, `width` (1), `kind`, `desc`. Numbers may
be text in hex. Of what is volatile, a statistic or a counter, all bits may differ in a tolerant replay.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from vnic.errors import ArgumentError
from vnic.gen.model import Field, Register, RegisterMap
from vnic.trace.event import digest_of
from vnic.trace.header import TraceHeader
from vnic.trace.names import Names, Window

FORMAT: Final = "vnic-map/1"
#: What a register is: bits that a device changes by itself, what it counts, or what stays as it was written.
KINDS: Final = ("plain", "volatile", "statistic", "counter")
_WIDTHS: Final = (8, 16, 32, 64)
_SIZE_MAX: Final = 1 << 32
_OCTETS_MAX: Final = 1 << 18
_FILE_MAX: Final = 1 << 22


class ForeignRegisters(RegisterMap):
    """A map that finds registers by octet: those of other devices may be narrow, or stand anywhere."""

    def lookup(self, offset: int) -> tuple[Register, int]:
        """The register that holds the byte at `offset`, and the element's index; KeyError where none is."""
        try:
            return self._by_octet[offset]
        except KeyError:
            raise KeyError(f"{self.name} has no register at {offset:#x}") from None

    @cached_property
    def _by_octet(self) -> dict[int, tuple[Register, int]]:
        return {
            offset + octet: (register, index)
            for register in self.registers
            for index, offset in enumerate(register.offsets())
            for octet in range(register.bytes)
        }


@dataclass(frozen=True)
class ForeignMap:
    """One device: PCI ids that it has, a window each BAR, and bits that a tolerant replay lets differ."""

    name: str
    ids: tuple[str, ...]
    windows: tuple[Window, ...]
    masks: Mapping[str, int]


def read_map(path: str | os.PathLike[str]) -> ForeignMap:
    """A map out of a file; ArgumentError that says where it is wrong, OSError."""
    octets = Path(path).read_bytes() if Path(path).stat().st_size <= _FILE_MAX else b""
    if not octets:
        raise ArgumentError(f"{os.fspath(path)}: empty, or longer than {_FILE_MAX} bytes")
    return parse_map(octets, os.fspath(path))


def shipped_map(ids: str) -> ForeignMap | None:
    """The map of a device that is part of the package, by ids as 8086:10d3; None where there is none."""
    return next((each for each in shipped_maps() if ids.lower() in each.ids), None)


def shipped_maps() -> Iterator[ForeignMap]:
    """All that are part of the package."""
    for entry in sorted(files("vnic").joinpath("data", "maps").iterdir(), key=lambda each: each.name):
        if entry.name.endswith(".json"):
            yield parse_map(entry.read_bytes(), entry.name)


def find_map(what: str) -> ForeignMap:
    """A file, or ids or name of a shipped map; ArgumentError."""
    for each in shipped_maps():
        if what.lower() in (each.name, *each.ids):
            return each
    try:
        return read_map(what)
    except OSError as error:
        known = ", ".join(each.name for each in shipped_maps())
        raise ArgumentError(f"{what}: {error.strerror}; and no map of that name is here ({known})") from None


def maps_of(header: TraceHeader, given: Mapping[int, ForeignMap] | None = None) -> dict[int, ForeignMap]:
    """The map of each foreign function: the one that is given, or the shipped one that its header names."""
    found = dict(given or {})
    for each in header.functions:
        if each.kind == "foreign" and each.function not in found and each.map:
            shipped = shipped_map(each.map)
            if shipped is not None:
                found[each.function] = shipped
    return found


def names_of(header: TraceHeader, given: Mapping[int, ForeignMap] | None = None) -> Names:
    """The names of a trace, those of foreign functions among them."""
    return Names(header, {number: each.windows for number, each in maps_of(header, given).items()})


# -- parsing -------------------------------------------------------------------------------------------------


def parse_map(octets: bytes, where: str) -> ForeignMap:
    """A map out of JSON; ArgumentError with `where` and the register."""
    try:
        values = json.loads(octets)
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise ArgumentError(f"no {FORMAT}")
        name = _text(values, "name", "map")
        masks: dict[str, int] = {}
        windows = tuple(_window(name, each, masks) for each in _list(values, "windows", name))
        if len({each.bar for each in windows}) < len(windows):
            raise ArgumentError("two windows of one BAR")
        ids = tuple(str(each).lower() for each in _list(values, "ids", name))
    except (ValueError, RecursionError) as error:
        raise ArgumentError(f"{where}: {error}") from None
    return ForeignMap(name, ids, windows, masks)


def _window(device: str, values: Any, masks: dict[str, int]) -> Window:
    where = values.get("bar") if isinstance(values, dict) else None
    bar = None if where == "config" else _number(values, "bar", f"{device}: window", limit=5)
    size = _number(values, "size", f"{device}: window {where}", limit=_SIZE_MAX)
    registers = tuple(_register(each, masks) for each in _list(values, "registers", f"window {where}"))
    _check_places(registers, size)
    digest = digest_of(json.dumps(values, sort_keys=True).encode())
    return Window(bar, 0, ForeignRegisters(f"{device} {where}", registers, digest, size))


def _check_places(registers: tuple[Register, ...], size: int) -> None:
    """Within the BAR, and none over another."""
    if sum(each.count * each.bytes for each in registers) > _OCTETS_MAX:
        raise ArgumentError(f"registers of more than {_OCTETS_MAX} bytes")
    spans = sorted((at, at + each.bytes, each.name) for each in registers for at in each.offsets())
    end, before = 0, ""
    for at, stop, name in spans:
        if at < end:
            raise ArgumentError(f"{name} at {at:#x} stands on {before}")
        end, before = stop, name
    if end > size:
        raise ArgumentError(f"{before} ends at {end:#x}, behind the size, {size:#x}")


def _register(values: Any, masks: dict[str, int]) -> Register:
    name = _text(values, "name", "register")
    if name in masks:
        raise ArgumentError(f"{name} is there twice")
    width = _number(values, "width", name, 32)
    if width not in _WIDTHS:
        raise ArgumentError(f"{name}: width {width}")
    count = _number(values, "count", name, 1, _OCTETS_MAX)
    stride = _number(values, "stride", name, width // 8)
    if not count or stride < width // 8:
        raise ArgumentError(f"{name}: {count} elements, {stride} bytes apart")
    fields = tuple(_field(each, name, width) for each in _list(values, "fields", name, ()))
    masks[name] = _mask(values, name, (1 << width) - 1) | sum(
        _mask(each, name, field.mask) for each, field in zip(values.get("fields", ()), fields, strict=True)
    )
    offset = _number(values, "offset", name)
    return Register(
        name, offset, width, fields, stride if count > 1 else 0, count, desc=str(values.get("desc", ""))
    )


def _field(values: Any, register: str, width: int) -> Field:
    name = _text(values, "name", register)
    lsb = _number(values, "lsb", f"{register}.{name}", limit=width)
    bits = _number(values, "width", f"{register}.{name}", 1, width + 1)
    if not 0 < bits <= width - lsb:
        raise ArgumentError(f"{register}.{name}: {bits} bits from bit {lsb} on, of {width}")
    return Field(name, lsb, bits, "rw", desc=str(values.get("desc", "")))


def _mask(values: Mapping[str, Any], name: str, mask: int) -> int:
    """What may differ: nothing of what is plain."""
    kind = values.get("kind", "plain")
    if kind not in KINDS:
        raise ArgumentError(f"{name}: kind {str(kind)[:40]!r}; there are {', '.join(KINDS)}")
    return 0 if kind == "plain" else mask


def _text(values: Any, key: str, where: str) -> str:
    text = values.get(key) if isinstance(values, dict) else None
    if not isinstance(text, str) or not text:
        raise ArgumentError(f"{where}: no {key}")
    return text


def _list(values: Any, key: str, where: str, default: Any = None) -> list[Any]:
    found = values.get(key, default) if isinstance(values, dict) else None
    if not isinstance(found, (list, tuple)):
        raise ArgumentError(f"{where}: {key} is no list")
    return list(found)


def _number(values: Any, key: str, where: str, default: int | None = None, limit: int = _SIZE_MAX) -> int:
    """An integer, or text in hex (`0x10`), from 0 to below or at a limit."""
    found = values.get(key, default) if isinstance(values, dict) else None
    try:
        number = int(found, 0) if isinstance(found, str) else found
    except ValueError:
        number = None
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= limit:
        raise ArgumentError(f"{where}: {key} {str(found)[:40]!r} is no number from 0 to {limit:#x}")
    return number
