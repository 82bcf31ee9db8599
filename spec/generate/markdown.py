"""Fills the marked tables of the manual's chapters from the model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from .model import DescriptorSpec, EnumSpec, FieldSpec, MapSpec, RegisterSpec, Spec, SpecError

BEGIN = re.compile(r"<!-- begin generated: (?P<key>[^>]*?) -->\s*\Z")
END = "<!-- end generated -->"
FENCE = re.compile(r"\s*(```|~~~)")


def fill(spec: Spec, name: str, text: str) -> str:
    """A chapter with what stands between its markers replaced.

    Keys: `<map>`, `<map>.<regfile or register>`, `descriptor <name>`, `enum <name>`. Raises SpecError for a
    key that names nothing and for markers that do not pair.
    """
    out: list[str] = []
    key: str | None = None
    fenced = False
    for number, line in enumerate(text.split("\n"), 1):
        fenced ^= key is None and FENCE.match(line) is not None
        begin = None if fenced else BEGIN.match(line)
        if begin and key is not None:
            raise SpecError(f"{name}:{number}: table begins inside table {key!r}")
        if line.strip() == END and not fenced:
            if key is None:
                raise SpecError(f"{name}:{number}: table ends before it begins")
            key = None
        if key is None:
            out.append(line)
        if begin:
            key = begin["key"].strip()
            out += ["", *_table(spec, key, f"{name}:{number}"), ""]
    if key is not None:
        raise SpecError(f"{name}: table {key!r} has no end marker")
    return "\n".join(out)


def _table(spec: Spec, key: str, where: str) -> list[str]:
    kind, _, rest = key.partition(" ")
    if kind == "descriptor":
        for desc in spec.descriptors:
            if desc.name == rest:
                return list(_descriptor(desc))
    elif kind == "enum" and rest in spec.enums:
        return list(_enum(spec.enums[rest]))
    else:
        map_name, _, part = key.partition(".")
        for reg_map in spec.maps:
            registers = [r for r in reg_map.registers if not part or part in (r.name, *r.groups[:-1])]
            if reg_map.name == map_name and registers:
                return list(_registers(reg_map, registers))
    raise SpecError(f"{where}: {key!r} names no map, register, regfile, descriptor or enum")


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _head(*titles: str) -> list[str]:
    return [_row(*titles), "|" + "---|" * len(titles)]


def _registers(reg_map: MapSpec, registers: list[RegisterSpec]) -> Iterator[str]:
    yield from _head("Offset", "Register", "Access", "Reset", "Description")
    for reg in registers:
        kinds = "/".join(dict.fromkeys(f.access for f in reg.fields)) or "ro"
        yield _row(_offset(reg), f"`{reg.name}`", kinds, f"0x{reg.reset:X}", reg.desc)
    for reg in registers:
        yield ""
        yield f"**`{reg.name}`** ({_offset(reg)}, {reg.width} bits)" + (f" {reg.desc}" if reg.desc else "")
        yield ""
        yield from _fields(reg.fields, lambda f: f.access)


def _offset(reg: RegisterSpec) -> str:
    steps = (f" + {dim.stride:#x} {name}" for dim, name in zip(reg.dims, "ij", strict=False))
    ends = (f"{name} < {dim.count}" for dim, name in zip(reg.dims, "ij", strict=False))
    text = f"0x{reg.offset:04X}" + "".join(steps)
    return text + (f", {', '.join(ends)}" if reg.dims else "")


def _fields(fields: tuple[FieldSpec, ...], access: Callable[[FieldSpec], str]) -> Iterator[str]:
    yield from _head("Bits", "Field", "Access", "Reset", "Description")
    for bits in fields:
        notes = [bits.desc] if bits.desc else []
        notes += ["Survives FLR."] if bits.sticky else []
        notes += [_values(bits.enum)] if bits.enum else []
        yield _row(_bits(bits), f"`{bits.name}`", access(bits), f"0x{bits.reset:X}", " ".join(notes))


def _bits(bits: FieldSpec) -> str:
    return str(bits.lsb) if bits.width == 1 else f"{bits.lsb + bits.width - 1}:{bits.lsb}"


def _values(enum: EnumSpec) -> str:
    return "Values: " + ", ".join(f"{m.value} `{m.name}`" for m in enum.members) + "."


def _descriptor(desc: DescriptorSpec) -> Iterator[str]:
    yield f"**`{desc.name}`** ({desc.bytes} bytes)" + (f" {desc.desc}" if desc.desc else "")
    yield ""
    yield from _head("Word", "Bits", "Field", "Description")
    for item in desc.fields:
        notes = [item.bits.desc] if item.bits.desc else []
        notes += [_values(item.bits.enum)] if item.bits.enum else []
        yield _row(str(item.word), _bits(item.bits), f"`{item.name}`", " ".join(notes))


def _enum(enum: EnumSpec) -> Iterator[str]:
    yield from _head("Value", "Name", "Meaning")
    for member in enum.members:
        yield _row(str(member.value), f"`{member.name}`", member.desc)
