"""A Wireshark dissector of the device events of a trace, in Lua, with the names of its register maps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from importlib.resources import files
from typing import Any, Final, TypeAlias

from vnic.abi import CopyPart, DmaPurpose, DmaStatus, Engine, EventType, InterruptKind, ResetLevel, RxVerdict
from vnic.gen.model import Field, Register, RegisterMap
from vnic.trace.event import VERSION
from vnic.trace.header import TraceHeader
from vnic.trace.names import WINDOWS, Names, Window

#: What Lua calls configuration space, which is no BAR.
_CONFIG: Final = -1
_ENUMS: Final[Mapping[str, type[IntEnum]]] = {
    "TYPES": EventType,
    "KINDS": InterruptKind,
    "PURPOSES": DmaPurpose,
    "STATUSES": DmaStatus,
    "VERDICTS": RxVerdict,
    "RESETS": ResetLevel,
    "ENGINES": Engine,
}

Sets: TypeAlias = dict[str, tuple[Window, ...]]


def dissector(header: TraceHeader, names: Names | None = None) -> str:
    """The script: `tshark -X lua_script:FILE`, or a file in Wireshark's folder of plugins.

    It knows the registers of cards and copy engines, and what `names` knows of foreign functions.
    """
    template = (files("vnic") / "data" / "dissector.lua").read_text(encoding="utf-8")
    return template.replace("@TABLES@", "\n".join(_tables(header, names or Names(header))))


def _tables(header: TraceHeader, names: Names) -> Iterable[str]:
    sets, functions = _sets(header, names)
    maps: dict[int, RegisterMap] = {}
    for windows in sets.values():
        for window in windows:
            maps.setdefault(id(window.map), window.map)
    numbers = {identity: number for number, identity in enumerate(maps, 1)}
    yield f"local VERSION = {VERSION}"
    yield f"local COPY_IRQ = {int(CopyPart.IRQ)}"
    for name, values in _ENUMS.items():
        yield f"local {name} = {_values(values)}"
    yield "-- name, offset, bytes, count, stride, inner count, inner stride; fields: name, lsb, width, values"
    yield "local MAPS = {}"
    for identity, registers in maps.items():
        yield f"MAPS[{numbers[identity]}] = {{"
        yield from (f"    {_register(each)}," for each in registers)
        yield "}"
    yield "-- where a map stands: in which BAR (-1: configuration space), from which offset on"
    yield "local WINDOWS = {"
    for name, windows in sets.items():
        yield f"    [{quoted(name)}] = {{"
        yield from (f"        {_window(each, numbers[id(each.map)])}," for each in windows)
        yield "    },"
    yield "}"
    yield "-- the kind of each function; change it for traces of other functions"
    yield f"local FUNCTIONS = {_literal(functions)}"


def _sets(header: TraceHeader, names: Names) -> tuple[Sets, dict[int, str]]:
    """The windows by name, and the name of those of each function: its kind, or `f3` where it has its own."""
    sets: Sets = dict(WINDOWS)
    functions: dict[int, str] = {}
    for each in header.functions:
        windows = names.windows[each.function]
        name = each.kind if windows == WINDOWS[each.kind] else f"f{each.function}"
        sets[name] = windows
        functions[each.function] = name
    return sets, functions


def _window(window: Window, number: int) -> str:
    bar = _CONFIG if window.bar is None else window.bar
    return _literal({"bar": bar, "base": window.base, "size": window.map.size, "map": number})


def _register(register: Register) -> str:
    return _literal(
        {
            "name": register.name,
            "offset": register.offset,
            "bytes": register.bytes,
            "count": register.count,
            "stride": register.stride,
            "inner_count": register.inner_count,
            "inner_stride": register.inner_stride,
            "fields": [_field(each) for each in register.fields],
        }
    )


def _field(field: Field) -> dict[str, Any]:
    values: dict[str, Any] = {"name": field.name, "lsb": field.lsb, "width": field.width}
    if field.enum is not None:
        values["values"] = {int(each): each.name for each in field.enum}
    return values


def _values(names: type[IntEnum]) -> str:
    return _literal({int(each): each.name for each in names})


def _literal(value: Any) -> str:
    """Numbers, strings, lists and mappings as Lua writes them."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_key(key)} = {_literal(each)}' for key, each in value.items())}}}"
    if isinstance(value, list):
        return f"{{{', '.join(map(_literal, value))}}}"
    return str(int(value))


def _key(key: int | str) -> str:
    return key if isinstance(key, str) else f"[{key}]"


def quoted(text: str) -> str:
    """A string in Lua's quotes; what is not plain ASCII becomes the octets of its UTF-8."""
    octets = text.encode("utf-8", "surrogatepass")
    plain = (chr(each) if 32 <= each < 127 and chr(each) not in '"\\' else f"\\{each:03d}" for each in octets)
    return f'"{"".join(plain)}"'
