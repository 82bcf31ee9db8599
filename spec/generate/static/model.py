"""Registers as values: fields, offsets, decode and encode, and maps that find a register by offset."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property


@dataclass(frozen=True, slots=True)
class Field:
    """A bit field of a register; `access` is one of ro, rw, w1c, rc, pulse."""

    name: str
    lsb: int
    width: int
    access: str
    reset: int = 0
    sticky: bool = False
    enum: type[IntEnum] | None = None
    desc: str = ""

    @property
    def max(self) -> int:
        """The largest value."""
        return (1 << self.width) - 1

    @property
    def mask(self) -> int:
        """The field's bits, in place."""
        return self.max << self.lsb

    def get(self, value: int) -> int:
        """The field out of a register value."""
        return (value >> self.lsb) & self.max

    def put(self, value: int, field_value: int) -> int:
        """A register value with this field replaced; ValueError when it does not fit."""
        if not 0 <= field_value <= self.max:
            raise ValueError(f"{self.name}: {field_value:#x} does not fit in {self.width} bits")
        return value & ~self.mask | field_value << self.lsb


@dataclass(frozen=True)
class Register:
    """A register, or an array of them: `count` elements `stride` bytes apart, each of an inner array."""

    name: str
    offset: int
    width: int
    fields: tuple[Field, ...]
    stride: int = 0
    count: int = 1
    inner_stride: int = 0
    inner_count: int = 1
    hook_read: bool = False
    hook_write: bool = False
    desc: str = ""

    def __str__(self) -> str:
        return self.name

    @property
    def bytes(self) -> int:
        """Width in bytes."""
        return self.width // 8

    @cached_property
    def reset(self) -> int:
        """The value after reset."""
        return sum(f.reset << f.lsb for f in self.fields)

    def at(self, i: int = 0, j: int = 0) -> int:
        """Offset in the map of element `i` (and `j` of its inner array); IndexError outside."""
        if not (0 <= i < self.count and 0 <= j < self.inner_count):
            raise IndexError(f"{self.name}[{i}][{j}] of [{self.count}][{self.inner_count}]")
        return self.offset + i * self.stride + j * self.inner_stride

    def offsets(self) -> Iterator[int]:
        """The offsets of all elements, by index."""
        for i in range(self.count):
            for j in range(self.inner_count):
                yield self.at(i, j)

    def field(self, name: str) -> Field:
        """The field of that name; KeyError when there is none."""
        for candidate in self.fields:
            if candidate.name == name:
                return candidate
        raise KeyError(f"{self.name} has no field {name}")

    def mask(self, *access: str) -> int:
        """The bits of fields of these access kinds; of all fields when none is given."""
        return sum(f.mask for f in self.fields if not access or f.access in access)

    def decode(self, value: int) -> dict[str, int]:
        """Field values by name."""
        return {f.name: f.get(value) for f in self.fields}

    def encode(self, **fields: int) -> int:
        """A register value, 0 in fields not given; KeyError (unknown field), ValueError (too large)."""
        value = 0
        for name, field_value in fields.items():
            try:
                value = self.field(name).put(value, field_value)
            except ValueError as error:
                raise ValueError(f"{self.name}.{error}") from None
        return value


@dataclass(frozen=True)
class RegisterMap:
    """The registers of one address space; `hash` equals that of the C library built from the same source."""

    name: str
    registers: tuple[Register, ...]
    hash: int
    size: int
    desc: str = ""

    def __getitem__(self, name: str) -> Register:
        """The register of that name; KeyError when there is none."""
        return self._by_name[name]

    def __iter__(self) -> Iterator[Register]:
        return iter(self.registers)

    def lookup(self, offset: int) -> tuple[Register, int]:
        """The register that holds the byte at `offset`, and the element's index.

        The index of element i, inner element j is i * inner_count + j. KeyError where nothing is implemented.
        """
        try:
            return self._by_word[offset >> 2]
        except KeyError:
            raise KeyError(f"{self.name} has no register at {offset:#x}") from None

    def describe(self, offset: int) -> str:
        """A name for an offset, for people: `QP_RX_TAIL[3]`, `TIME+4`, or the bare number."""
        try:
            register, index = self.lookup(offset)
        except KeyError:
            return f"{offset:#x}"
        rest = offset - register.at(*divmod(index, register.inner_count))
        many = register.count * register.inner_count > 1
        return register.name + (f"[{index}]" if many else "") + (f"+{rest}" if rest else "")

    @cached_property
    def _by_name(self) -> dict[str, Register]:
        return {register.name: register for register in self.registers}

    @cached_property
    def _by_word(self) -> dict[int, tuple[Register, int]]:
        return {
            (offset + step) >> 2: (register, index)
            for register in self.registers
            for index, offset in enumerate(register.offsets())
            for step in range(0, register.bytes, 4)
        }
