"""What the SystemRDL sources say, as plain values: maps, registers, fields, enums, descriptors."""

from __future__ import annotations

from dataclasses import dataclass, field

ACCESS_KINDS = ("ro", "rw", "w1c", "rc", "pulse")


class SpecError(Exception):
    """A source that compiles as SystemRDL but breaks a rule of this project."""


@dataclass(frozen=True)
class EnumMember:
    """One named value of an enum."""

    name: str
    value: int
    desc: str


@dataclass(frozen=True)
class EnumSpec:
    """A SystemRDL `enum`; `name` is its snake-case type name."""

    name: str
    members: tuple[EnumMember, ...]


@dataclass(frozen=True)
class FieldSpec:
    """A bit field; `mask` is in place."""

    name: str
    lsb: int
    width: int
    access: str
    reset: int
    sticky: bool
    enum: EnumSpec | None
    desc: str

    @property
    def mask(self) -> int:
        return ((1 << self.width) - 1) << self.lsb

    @property
    def readable(self) -> bool:
        return self.access != "pulse"


@dataclass(frozen=True)
class ArraySpec:
    """An array of registers or regfiles; `offset` is that of element 0 in the map, in bytes."""

    name: str
    offset: int
    stride: int
    count: int


@dataclass(frozen=True)
class RegisterSpec:
    """A register template; `file` is the regfile array it repeats with, `inner` a second array level."""

    name: str
    groups: tuple[str, ...]
    offset: int
    width: int
    fields: tuple[FieldSpec, ...]
    file: ArraySpec | None
    inner: ArraySpec | None
    hook_read: bool
    hook_write: bool
    desc: str

    @property
    def dims(self) -> tuple[ArraySpec, ...]:
        """The array levels, outermost first."""
        return tuple(level for level in (self.file, self.inner) if level)

    @property
    def reset(self) -> int:
        return sum(f.reset << f.lsb for f in self.fields)

    def mask(self, kind: str) -> int:
        """Bits of one access kind; "read" and "sticky" give the readable and the sticky ones."""
        if kind == "read":
            return sum(f.mask for f in self.fields if f.readable)
        if kind == "sticky":
            return sum(f.mask for f in self.fields if f.sticky)
        return sum(f.mask for f in self.fields if f.access == kind)


@dataclass(frozen=True)
class MapSpec:
    """A register map (one top-level `addrmap`); registers are in the order of their offsets."""

    name: str
    source: str
    prefix: str
    size: int
    registers: tuple[RegisterSpec, ...]
    arrays: tuple[ArraySpec, ...]
    desc: str

    @property
    def hash(self) -> int:
        return fnv1a64(canonical_text(self))


@dataclass(frozen=True)
class WordField:
    """A descriptor's field: a bit field in 64-bit word `word`."""

    word: int
    bits: FieldSpec

    @property
    def name(self) -> str:
        return self.bits.name


@dataclass(frozen=True)
class DescriptorSpec:
    """A descriptor in memory: `words` little-endian 64-bit words."""

    name: str
    source: str
    words: int
    fields: tuple[WordField, ...]
    desc: str

    @property
    def bytes(self) -> int:
        return self.words * 8


@dataclass
class Spec:
    """Everything that was read."""

    maps: list[MapSpec] = field(default_factory=list)
    descriptors: list[DescriptorSpec] = field(default_factory=list)
    enums: dict[str, EnumSpec] = field(default_factory=dict)

    @property
    def sources(self) -> str:
        """The source files, as generated files name them."""
        names = [m.source for m in self.maps] + [d.source for d in self.descriptors]
        return ", ".join(f"spec/{name}" for name in dict.fromkeys(names))


def fnv1a64(text: str) -> int:
    """FNV-1a, 64 bits, over the UTF-8 bytes of `text`."""
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFF_FFFF_FFFF_FFFF
    return value


def canonical_text(reg_map: MapSpec) -> str:
    """All that a driver or a saved state can see of a map; prose and comments are left out."""
    lines = [f"map {reg_map.name} {reg_map.size:#x}"]
    for reg in reg_map.registers:
        dims = "".join(f" [{d.stride:#x}*{d.count}]" for d in reg.dims)
        hooks = f" read={reg.hook_read:d} write={reg.hook_write:d}"
        lines.append(f"reg {reg.name} {reg.offset:#x} {reg.width}{dims}{hooks}")
        for bits in reg.fields:
            lines.append(
                f"field {bits.name} {bits.lsb} {bits.width} {bits.access} {bits.reset:#x} {bits.sticky:d}"
                + (f" {canonical_enum(bits.enum)}" if bits.enum else "")
            )
    return "\n".join(lines) + "\n"


def canonical_enum(enum: EnumSpec) -> str:
    """An enum's name and values on one line."""
    return enum.name + ":" + ",".join(f"{m.name}={m.value}" for m in enum.members)


def camel(name: str) -> str:
    """`LINK_SPEED` or `link_speed` as `LinkSpeed`."""
    return "".join(part.capitalize() for part in name.split("_"))
