"""A list of operations on a card, run in one call: the language of batches, fuzzers and bug reports."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from vnic.abi import Engine, OpCode, ResetLevel
from vnic.errors import ArgumentError, CapacityError

# struct vnic_op: code, index, width, 5 reserved, addr, value.
OP = struct.Struct("<BBB5xQQ")
_VALUE = struct.Struct("<Q")
_VALUE_OFFSET = 16


class Op(NamedTuple):
    """One operation; see enum vnic_op_code for the fields. `value` holds the result after a run."""

    code: int
    index: int = 0  # type: ignore[assignment]  # a tuple has an index(), which nobody needs of this
    width: int = 0
    addr: int = 0
    value: int = 0


class OpList:
    """Up to `capacity` operations in one block of memory, and the frames they receive; run by Device.batch().

    Results replace `value`. Reads can be run again as they are; for RUN and RECEIVE, whose `value` is an
    argument, mark() and rewind() bring the list back.
    """

    def __init__(self, capacity: int = 512) -> None:
        if capacity < 1:
            raise ArgumentError(f"a list of {capacity} operations")
        self.buffer = bytearray(capacity * OP.size)
        self.data = bytearray()
        self.count = 0
        self._written: bytes = b""
        self.native: Any = None  # the compiled module's view of `buffer`, kept by Device.batch()

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Op]:
        return (self[i] for i in range(self.count))

    def __getitem__(self, index: int) -> Op:
        return Op(*OP.unpack_from(self.buffer, self._offset(index)))

    def value(self, index: int) -> int:
        """The value, or result, of one operation."""
        result: int = _VALUE.unpack_from(self.buffer, self._offset(index) + _VALUE_OFFSET)[0]
        return result

    def values(self) -> list[int]:
        """The values, or results, of all operations."""
        return [self.value(i) for i in range(self.count)]

    def clear(self) -> None:
        """Empty the list."""
        self.count = 0
        self.data.clear()

    def mark(self) -> None:
        """Remember the operations as they are, for rewind()."""
        self._written = bytes(self.buffer)

    def rewind(self) -> None:
        """Bring back what mark() remembered; ArgumentError when it did not."""
        if len(self._written) != len(self.buffer):
            raise ArgumentError("nothing was marked")
        self.buffer[:] = self._written

    # -- building --------------------------------------------------------------------------------------------

    def append(self, op: Op) -> int:
        """Add any operation, valid or not; its index. CapacityError when the list is full."""
        offset = self.count * OP.size
        if offset >= len(self.buffer):
            raise CapacityError(f"the list holds {self.count} operations")
        try:
            OP.pack_into(self.buffer, offset, *op)
        except struct.error as error:
            raise ArgumentError(f"{op}: {error}") from None
        self.count += 1
        return self.count - 1

    def read(self, offset: int, width: int = 4, bar: int = 0) -> int:
        """Register read; the result is its value()."""
        return self.append(Op(OpCode.READ, bar, width, offset))

    def write(self, offset: int, value: int, width: int = 4, bar: int = 0) -> int:
        """Register write."""
        return self.append(Op(OpCode.WRITE, bar, width, offset, value))

    def config_read(self, offset: int, width: int = 4) -> int:
        """Configuration read; the result is its value()."""
        return self.append(Op(OpCode.CFG_READ, 0, width, offset))

    def config_write(self, offset: int, value: int, width: int = 4) -> int:
        """Configuration write."""
        return self.append(Op(OpCode.CFG_WRITE, 0, width, offset, value))

    def run(self, steps: int, byte_count: int) -> int:
        """Run within a budget; the steps taken are its value()."""
        return self.append(Op(OpCode.RUN, addr=steps, value=byte_count))

    def step(self, engine: Engine) -> int:
        """One step; value() is 1 when it was taken."""
        return self.append(Op(OpCode.STEP, engine))

    def advance(self, ns: int) -> int:
        """Let time pass."""
        return self.append(Op(OpCode.ADVANCE, value=ns))

    def set_link(self, mbps: int) -> int:
        """Link up with a speed, or down with 0."""
        return self.append(Op(OpCode.LINK, value=mbps))

    def reset(self, level: ResetLevel) -> int:
        """Reset from outside."""
        return self.append(Op(OpCode.RESET, level))

    def remove(self, removed: bool = True) -> int:
        """Surprise removal, or the return."""
        return self.append(Op(OpCode.REMOVE, value=int(removed)))

    def receive(self, frame: bytes) -> int:
        """A frame arrives; the verdict is its value()."""
        index = self.append(Op(OpCode.RECEIVE, addr=len(self.data), value=len(frame)))
        self.data += frame
        return index

    def drain(self) -> int:
        """Take and forget interrupts and frames; their number is its value()."""
        return self.append(Op(OpCode.DRAIN))

    # -- as bytes --------------------------------------------------------------------------------------------

    def to_bytes(self) -> bytes:
        """The operations and their data, for a file."""
        return _VALUE.pack(self.count) + bytes(self.buffer[: self.count * OP.size]) + bytes(self.data)

    @classmethod
    def from_bytes(cls, encoded: bytes) -> OpList:
        """The reverse of to_bytes(); ArgumentError when it is cut short."""
        if len(encoded) < _VALUE.size:
            raise ArgumentError("an operation list has a count")
        count: int = _VALUE.unpack_from(encoded)[0]
        end = _VALUE.size + count * OP.size
        if end > len(encoded):
            raise ArgumentError(f"{count} operations do not fit in {len(encoded)} bytes")
        ops = cls(max(count, 1))
        ops.buffer[: count * OP.size] = encoded[_VALUE.size : end]
        ops.data[:] = encoded[end:]
        ops.count = count
        return ops

    def _offset(self, index: int) -> int:
        if not 0 <= index < self.count:
            raise IndexError(f"operation {index} of {self.count}")
        return index * OP.size
