"""The card's registers as the driver reaches them: blocks by their list, registers relative to a block."""

from __future__ import annotations

from vnic.gen.enums import BlockType
from vnic.gen.model import Register
from vnic.gen.registers import BAR0
from vnic.host.bus import Bus, Window

BAR = 0
ALL_ONES = 0xFFFFFFFF
_BLOCKS_MAX = 64
_HEADER_BYTES = 16

#: Where the description of the registers has the header of each block.
_DESCRIBED = {
    BlockType.GLOBAL: BAR0.GLB_TYPE.offset,
    BlockType.MAC: BAR0.MAC_TYPE.offset,
    BlockType.INTERRUPT: BAR0.INT_TYPE.offset,
    BlockType.TEST: BAR0.TEST_TYPE.offset,
    BlockType.RSS: BAR0.RSS_TYPE.offset,
    BlockType.VECTOR: BAR0.VECS_TYPE.offset,
    BlockType.STATISTIC: BAR0.STAT_TYPE.offset,
    BlockType.QUEUE: BAR0.QPS_TYPE.offset,
    BlockType.CHIMNEY: BAR0.CHM_TYPE.offset,
    BlockType.CHIMNEY_QUEUE: BAR0.CHQS_TYPE.offset,
}
#: Blocks without which the driver does without what they are for.
_OPTIONAL = (BlockType.CHIMNEY, BlockType.CHIMNEY_QUEUE)


class BlockError(Exception):
    """The block list is broken or lacks a block that the driver needs."""


def _block_of(register: Register) -> BlockType:
    """The block a register is described in: the last one that starts at or before it."""
    return max((at, block) for block, at in _DESCRIBED.items() if at <= register.offset)[1]


def _drop(offset: int, value: int) -> None:
    """A write to a card that is gone."""


class _Nothing:
    """The window of a card that is gone: it is not touched, and reads as it would."""

    read8 = staticmethod(lambda offset: 0xFF)
    read16 = staticmethod(lambda offset: 0xFFFF)
    read32 = staticmethod(lambda offset: ALL_ONES)
    read64 = staticmethod(lambda offset: ALL_ONES << 32 | ALL_ONES)
    write8 = write16 = write32 = write64 = staticmethod(_drop)


class Registers:
    """Accesses by register; `discover` must have run. 64-bit registers are read and written whole."""

    def __init__(self, bus: Bus) -> None:
        self.window: Window = bus.window(BAR)
        self._size = bus.bar_size(BAR)
        self._shift: dict[BlockType, int] = {}
        self._base: dict[str, int] = {}

    def discover(self) -> dict[BlockType, int]:
        """Walk the block list; returns offset by type. Unknown types are passed over. Raises BlockError."""
        found: dict[BlockType, int] = {}
        offset = 0
        for _ in range(_BLOCKS_MAX):
            kind, _, following = self._read_header(offset)
            if kind in set(BlockType):
                found.setdefault(BlockType(kind), offset)
            if following == 0:
                break
            offset = following
        else:
            raise BlockError(f"the block list does not end within {_BLOCKS_MAX} blocks")
        missing = [block.name for block in _DESCRIBED if block not in (*found, *_OPTIONAL)]
        if missing:
            raise BlockError(f"the card has no block {', '.join(missing)}")
        self._shift = {block: found[block] - at for block, at in _DESCRIBED.items() if block in found}
        return found

    @property
    def has_chimney(self) -> bool:
        """Whether the chimney's blocks are there."""
        return all(block in self._shift for block in _OPTIONAL)

    def _read_header(self, offset: int) -> tuple[int, int, int]:
        if offset % 4 or offset + _HEADER_BYTES > self._size:
            raise BlockError(f"a block at {offset:#x} of {self._size:#x}")
        kind, version, following = (self.window.read32(offset + 4 * i) for i in range(3))
        if kind == ALL_ONES:
            raise BlockError("the card does not answer")
        if version < 1:
            raise BlockError(f"block type {kind} at {offset:#x} has version {version}")
        return kind, version, following

    def offset(self, register: Register, index: int = 0) -> int:
        """Where a register is in the BAR, for accesses that must be quick."""
        base = self._base.get(register.name)
        if base is None:
            base = self._base[register.name] = self._shift[_block_of(register)]
        return base + register.at(index)

    def read(self, register: Register, index: int = 0) -> int:
        """The value of a register."""
        offset = self.offset(register, index)
        return self.window.read64(offset) if register.width == 64 else self.window.read32(offset)

    def write(self, register: Register, value: int, index: int = 0) -> None:
        """Write a register."""
        offset = self.offset(register, index)
        if register.width == 64:
            self.window.write64(offset, value)
        else:
            self.window.write32(offset, value)

    def let_go(self) -> None:
        """The card is gone: touch it no more. [PROG-25]"""
        self.window = _Nothing()

    def field(self, register: Register, name: str, index: int = 0) -> int:
        """One field of a register."""
        return register.field(name).get(self.read(register, index))

    @property
    def is_answering(self) -> bool:
        """False when the card is gone: reads return all ones."""
        return self.window.read32(self.offset(BAR0.GLB_TYPE)) != ALL_ONES
