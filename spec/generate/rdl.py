"""Reads SystemRDL files into the model and refuses what the register file cannot do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from systemrdl.compiler import RDLCompiler
from systemrdl.component import Addrmap
from systemrdl.node import AddressableNode, AddrmapNode, FieldNode, Node, RegfileNode, RegNode
from systemrdl.rdltypes import NoValue
from systemrdl.rdltypes.builtin_enums import AccessType, OnReadType, OnWriteType
from systemrdl.rdltypes.user_enum import UserEnum

from .model import (
    ArraySpec,
    DescriptorSpec,
    EnumMember,
    EnumSpec,
    FieldSpec,
    MapSpec,
    RegisterSpec,
    Spec,
    SpecError,
    WordField,
)

DESCRIPTOR_FILE = "descriptors.rdl"
UPPER = re.compile(r"[A-Z][A-Z0-9_]*\Z")
ENUM_MAX = 0x7FFF_FFFF  # C11 6.7.2.2: an enumerator is an int
MIN_MAP_BYTES = 64


def read_spec(folder: Path) -> Spec:
    """Compile every `*.rdl` of a folder, registers before descriptors.

    Raises SpecError, or RDLCompileError after the compiler has printed its message.
    """
    spec = Spec()
    sources = sorted(folder.glob("*.rdl"), key=lambda path: (path.name == DESCRIPTOR_FILE, path.name))
    if not sources:
        raise SpecError(f"no *.rdl file in {folder}")
    for path in sources:
        for top in _elaborated(path):
            if path.name == DESCRIPTOR_FILE:
                spec.descriptors.append(_descriptor(spec, top, path.name))
            else:
                spec.maps.append(_MapReader(spec, top, path.name).read())
    _refuse_repeats([m.name for m in spec.maps], "addrmap")
    _refuse_repeats([m.prefix for m in spec.maps], "cprefix")
    _refuse_repeats([d.name for d in spec.descriptors], "descriptor")
    return spec


def _elaborated(path: Path) -> Iterator[AddrmapNode]:
    compiler = RDLCompiler()
    compiler.compile_file(str(path), incl_search_paths=[str(path.parent)])
    for name, definition in compiler.root.comp_defs.items():
        if isinstance(definition, Addrmap):
            yield compiler.elaborate(name).top


def _refuse_repeats(names: list[str], what: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise SpecError(f"{what} {name!r} is declared twice")


def _is_set(node: Node, name: str) -> bool:
    """A boolean property, built in or user defined; a user property without a value counts as true."""
    value = node.get_property(name, default=None)
    return value is NoValue or bool(value)


def _desc(node: Node) -> str:
    return " ".join((node.get_property("desc", default=None) or "").split())


def _check_upper(node: Node) -> str:
    if not UPPER.match(node.inst_name):
        raise SpecError(f"{node.get_path()}: names of registers and fields are upper case")
    return node.inst_name


@dataclass(frozen=True)
class _Level:
    """Where a walk stands: the offset of element 0, the name so far and the arrays around."""

    offset: int = 0
    prefix: str = ""
    groups: tuple[str, ...] = ()
    arrays: tuple[ArraySpec, ...] = ()


class _MapReader:
    """Reads one register map."""

    def __init__(self, spec: Spec, top: AddrmapNode, source: str) -> None:
        self.spec = spec
        self.top = top
        self.source = source
        self.registers: list[RegisterSpec] = []
        self.arrays: list[ArraySpec] = []

    def read(self) -> MapSpec:
        self._walk(self.top, _Level())
        name = self.top.inst_name
        _refuse_repeats([r.name for r in self.registers], f"{name}: register")
        return MapSpec(
            name=name,
            source=self.source,
            prefix=(self.top.get_property("cprefix", default=None) or name.upper()).rstrip("_"),
            size=self._size(),
            registers=tuple(sorted(self.registers, key=lambda r: r.offset)),
            arrays=tuple(sorted(self.arrays, key=lambda a: a.offset)),
            desc=_desc(self.top),
        )

    def _size(self) -> int:
        """`mapsize` when given, else the power of two that holds every register (as a BAR would)."""
        used = self.top.size
        size = self.top.get_property("mapsize", default=None)
        if size is None:
            return max(MIN_MAP_BYTES, 1 << (used - 1).bit_length())
        if size < used or size % MIN_MAP_BYTES:
            raise SpecError(f"{self.top.inst_name}: mapsize {size:#x} for {used:#x} bytes of registers")
        return int(size)

    def _walk(self, parent: Node, level: _Level) -> None:
        for node in parent.children():
            if isinstance(node, RegNode):
                self.registers.append(self._register(node, self._enter(node, level)))
            elif isinstance(node, RegfileNode):
                self._walk(node, self._enter(node, level))
            elif isinstance(node, AddressableNode):
                raise SpecError(f"{node.get_path()}: only regs and regfiles may stand in a map")

    def _enter(self, node: AddressableNode, level: _Level) -> _Level:
        name = level.prefix + _check_upper(node)
        offset = level.offset + node.raw_address_offset
        arrays = level.arrays
        if node.is_array:
            dimensions, stride = node.array_dimensions or [], node.array_stride
            if len(dimensions) != 1 or stride is None:
                raise SpecError(f"{node.get_path()}: arrays have one dimension; nest regfiles for two")
            arrays = (*arrays, ArraySpec(name, offset, stride, dimensions[0]))
            self.arrays.append(arrays[-1])
        flat = isinstance(node, RegfileNode) and _is_set(node, "flat")
        return _Level(
            offset=offset,
            prefix=level.prefix if flat else name + "_",
            groups=(*level.groups, node.inst_name),
            arrays=arrays,
        )

    def _register(self, node: RegNode, level: _Level) -> RegisterSpec:
        width, path = node.get_property("regwidth"), node.get_path()
        if width not in (32, 64) or node.get_property("accesswidth") != 32:
            raise SpecError(f"{path}: regwidth is 32 or 64 and accesswidth 32")
        if level.offset % 4:
            raise SpecError(f"{path}: offset {level.offset:#x} is not a multiple of 4")
        file = level.arrays[0] if level.arrays and level.arrays[0].name != level.prefix[:-1] else None
        rest = level.arrays[1:] if file else level.arrays
        if len(rest) > 1:
            raise SpecError(f"{path}: more than two array levels")
        nodes = node.fields()
        return RegisterSpec(
            name=level.prefix[:-1],
            groups=level.groups,
            offset=level.offset,
            width=width,
            fields=tuple(_field(self.spec, f) for f in nodes),
            file=file,
            inner=rest[0] if rest else None,
            hook_read=any(_is_set(f, "swacc") for f in nodes),
            hook_write=any(_is_set(f, "swmod") for f in nodes),
            desc=_desc(node),
        )


def _field(spec: Spec, node: FieldNode) -> FieldSpec:
    reset = node.get_property("reset", default=None)
    if reset is not None and not isinstance(reset, int):
        raise SpecError(f"{node.get_path()}: reset must be a constant")
    return FieldSpec(
        name=_check_upper(node),
        lsb=node.low,
        width=node.width,
        access=_access(node),
        reset=reset or 0,
        sticky=_is_set(node, "keep") or _is_set(node.parent, "keep"),
        enum=_enum(spec, node),
        desc=_desc(node),
    )


def _access(node: FieldNode) -> str:
    """The access kind of a field; SystemRDL 2.0 9.6.1 allows more than the register file has."""
    on_read, on_write = node.get_property("onread"), node.get_property("onwrite")
    if _is_set(node, "singlepulse"):
        return "pulse"
    kind = {
        (AccessType.r, None, None): "ro",
        (AccessType.rw, None, None): "rw",
        (AccessType.rw, None, OnWriteType.woclr): "w1c",
        (AccessType.r, OnReadType.rclr, None): "rc",
        (AccessType.w, None, None): "pulse",
    }.get((node.get_property("sw"), on_read, on_write))
    if kind is None:
        raise SpecError(f"{node.get_path()}: sw/onread/onwrite give none of ro, rw, w1c, rc, pulse")
    if kind == "pulse" and node.get_property("reset"):
        raise SpecError(f"{node.get_path()}: a write-only field reads 0, so its reset must be 0")
    return kind


def _enum(spec: Spec, node: FieldNode) -> EnumSpec | None:
    """The field's `encode`, entered once into the spec's enums."""
    encode: type[UserEnum] | None = node.get_property("encode", default=None)
    if encode is None:
        return None
    enum = EnumSpec(
        encode.type_name,
        tuple(EnumMember(m.name, m.value, " ".join((m.rdl_desc or "").split())) for m in encode),
    )
    if spec.enums.setdefault(enum.name, enum) != enum:
        raise SpecError(f"enum {enum.name} is declared twice with different members")
    for member in enum.members:
        if not UPPER.match(member.name) or member.value > ENUM_MAX:
            raise SpecError(f"enum {enum.name}: member {member.name} is not upper case, or exceeds an int")
    return enum


def _descriptor(spec: Spec, top: AddrmapNode, source: str) -> DescriptorSpec:
    fields: list[WordField] = []
    words = top.children()
    for index, node in enumerate(words):
        if not isinstance(node, RegNode) or not _is_word(node, index):
            raise SpecError(f"{node.get_path()}: a descriptor is made of 64-bit regs W0, W1, ... in a row")
        fields.extend(WordField(index, _field(spec, f)) for f in node.fields())
    _refuse_repeats([f.name for f in fields], f"{top.inst_name}: field")
    return DescriptorSpec(top.inst_name, source, len(words), tuple(fields), _desc(top))


def _is_word(node: RegNode, index: int) -> bool:
    in_place = node.inst_name == f"W{index}" and node.raw_address_offset == index * 8
    return in_place and not node.is_array and node.get_property("regwidth") == 64
