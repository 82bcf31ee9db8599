"""Configuration space as a kernel works with it: capability lists, their fields, the sizes of BARs."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Protocol

from vnic.errors import UnknownError
from vnic.gen.model import Field, Register
from vnic.gen.registers import CONFIG
from vnic.host.bus import Capability

BARS = 6
_EXTENDED_START = 0x100
_MEMORY_TYPE_64 = 0b100
_FLAG_BITS = 0xF


class CapabilityId(IntEnum):
    """PCI capability ids (PCI Code and ID Assignment Specification)."""

    PM = 0x01
    MSI = 0x05
    PCIE = 0x10
    MSIX = 0x11


class ExtendedId(IntEnum):
    """PCI Express extended capability ids."""

    AER = 0x0001


class ConfigSpace(Protocol):
    """Who can be asked for configuration space."""

    def config_read(self, offset: int, width: int = 4) -> int:
        """Read."""

    def config_write(self, offset: int, value: int, width: int = 4) -> None:
        """Write."""


def walk_capabilities(space: ConfigSpace) -> Iterator[Capability]:
    """Both lists; a list that loops ends where it meets itself."""
    yield from _walk(space, space.config_read(CONFIG.CAP_PTR.offset, 1), extended=False)
    yield from _walk(space, _EXTENDED_START, extended=True)


def _walk(space: ConfigSpace, offset: int, *, extended: bool) -> Iterator[Capability]:
    seen: set[int] = set()
    while (offset := offset & ~3) and offset not in seen:
        seen.add(offset)
        header = space.config_read(offset)
        if header in (0, 0xFFFF_FFFF):
            return
        if extended:
            yield Capability(header & 0xFFFF, offset, extended=True)
            offset = header >> 20
        else:
            yield Capability(header & 0xFF, offset)
            offset = header >> 8 & 0xFF


def find_capability(space: ConfigSpace, id: int, *, extended: bool = False) -> int:
    """Offset of the first capability of this id; UnknownError when there is none."""
    for capability in walk_capabilities(space):
        if capability.id == id and capability.extended == extended:
            return capability.offset
    raise UnknownError(f"the function has no {'extended ' if extended else ''}capability {id:#x}")


class Fields:
    """Reads and writes single fields of a register, shifted to where this function has the capability."""

    def __init__(self, space: ConfigSpace, shift: int = 0) -> None:
        self._space = space
        self._shift = shift

    def __getitem__(self, key: tuple[Register, str]) -> int:
        register, name = key
        return register.field(name).get(self._space.config_read(register.offset + self._shift))

    def __setitem__(self, key: tuple[Register, str], value: int) -> None:
        register, name = key
        self._change(register, [(register.field(name), value)])

    def change(self, register: Register, **values: int) -> None:
        """Set several fields with one write."""
        self._change(register, [(register.field(name), value) for name, value in values.items()])

    def read(self, register: Register) -> int:
        """The register."""
        return self._space.config_read(register.offset + self._shift)

    def write(self, register: Register, value: int) -> None:
        """The whole register."""
        self._space.config_write(register.offset + self._shift, value)

    def _change(self, register: Register, values: list[tuple[Field, int]]) -> None:
        # Bits that a 1 clears are not written back by accident.
        word = self.read(register) & ~register.mask("w1c")
        for field, value in values:
            word = field.put(word, value)
        self.write(register, word)


def capability_fields(space: ConfigSpace, head: Register, id: int) -> Fields:
    """Fields of the capability whose first register is `head`, wherever this function has it."""
    return Fields(space, find_capability(space, id) - head.offset)


class Bar:
    """One base address register, or a pair: `size` bytes at `address` once it was assigned."""

    def __init__(self, number: int, size: int, is_64: bool) -> None:
        self.number = number
        self.size = size
        self.is_64 = is_64
        self.address = 0

    def write(self, space: ConfigSpace) -> None:
        """Tell the function where its BAR is."""
        low = CONFIG.BAR.at(self.number)
        space.config_write(low, self.address & 0xFFFF_FFFF)
        if self.is_64:
            space.config_write(low + 4, self.address >> 32)


def size_bars(space: ConfigSpace) -> list[Bar]:
    """Size every memory BAR as firmware does: all ones in, mask out. Memory Space Enable must be clear."""
    bars: list[Bar] = []
    number = 0
    while number < BARS:
        bar = _size_bar(space, number)
        if bar is not None:
            bars.append(bar)
        number += 2 if bar is not None and bar.is_64 else 1
    return bars


def _size_bar(space: ConfigSpace, number: int) -> Bar | None:
    offset = CONFIG.BAR.at(number)
    flags = space.config_read(offset) & _FLAG_BITS
    is_64 = flags & 0b110 == _MEMORY_TYPE_64
    mask = _probe(space, offset) & ~_FLAG_BITS
    width = 64 if is_64 else 32
    if is_64:
        mask |= _probe(space, offset + 4) << 32
    if not mask & 0xFFFF_FFFF:
        return None
    return Bar(number, (~mask & (1 << width) - 1) + 1, is_64)


def _probe(space: ConfigSpace, offset: int) -> int:
    saved = space.config_read(offset)
    space.config_write(offset, 0xFFFF_FFFF)
    mask = space.config_read(offset)
    space.config_write(offset, saved)
    return mask
