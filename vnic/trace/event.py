"""An event of a trace as a value, and its octets in the file."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from vnic.abi import EventType, FrameHash

VERSION: Final = 1
HEAD: Final = struct.Struct("<BBBBBBHQQII")
PART_BYTES: Final = 131_072
FUNCTIONS: Final = 8

#: Of a frame that arrived: there is a hash, in the 32 bits below.
HASHED: Final = 1 << FrameHash.SHIFT

IS_DIGEST: Final = 1
GOES_ON: Final = 2
CONTINUES: Final = 4

_FNV_BASIS: Final = 0xCBF29CE484222325
_FNV_PRIME: Final = 0x100000001B3
_MASK: Final = (1 << 64) - 1


#: What a replay gives to a device; of the reads the value comes out of it.
INPUTS: Final = frozenset(
    {
        EventType.MMIO_READ,
        EventType.MMIO_WRITE,
        EventType.CFG_READ,
        EventType.CFG_WRITE,
        EventType.FRAME_IN,
        EventType.TIME,
        EventType.RUN,
        EventType.STEP,
        EventType.LINK,
        EventType.RESET,
        EventType.REMOVE,
        EventType.ARM,
        EventType.LOAD,
        EventType.TAKE,
        EventType.RELEASE,
    }
)
#: Register and configuration accesses.
ACCESSES: Final = frozenset(
    {EventType.MMIO_READ, EventType.MMIO_WRITE, EventType.CFG_READ, EventType.CFG_WRITE}
)
READS: Final = frozenset({EventType.MMIO_READ, EventType.CFG_READ})
FRAMES: Final = frozenset({EventType.FRAME_IN, EventType.FRAME_OUT})


class TraceEvent(NamedTuple):
    """One input or output; what the fields mean in each type, enum vnic_event_type and spec/trace.md say.

    number: of events of the file before this one. digest: stands for data that a compact trace leaves out.
    length: of the data as they were. offset: of its (last) block in the uncompressed file.
    """

    number: int
    type: EventType
    time_ns: int
    function: int = 0
    index: int = 0  # type: ignore[assignment]  # a tuple has an index(), which nobody needs of an event
    width: int = 0
    addr: int = 0
    value: int = 0
    data: bytes = b""
    digest: int | None = None
    length: int = 0
    offset: int = 0

    @property
    def text(self) -> str:
        """What a MARK says."""
        return self.data.decode("utf-8", "replace")


def digest_of(data: bytes) -> int:
    """FNV-1a with little-endian words of 64 bits for octets, their upper half folded down after each."""
    value = _FNV_BASIS ^ len(data)
    for (word,) in struct.iter_unpack("<Q", data + bytes(-len(data) % 8)):
        value = (value ^ word) * _FNV_PRIME & _MASK
        value ^= value >> 32
    return value


def event_octets(event: TraceEvent) -> list[bytes]:
    """The packets of an event that is no frame on a port: one, or more when its data are cut."""
    length = event.length if event.digest is not None else len(event.data)

    def head(flags: int) -> bytes:
        return HEAD.pack(
            VERSION,
            event.type,
            event.function,
            event.index,
            event.width,
            flags,
            0,
            event.addr,
            event.value,
            length,
            event.number & 0xFFFF_FFFF,
        )

    if event.digest is not None:
        return [head(IS_DIGEST) + event.digest.to_bytes(8, "little")]
    starts = range(0, max(len(event.data), 1), PART_BYTES)
    last = starts[-1]
    return [
        head((GOES_ON if at != last else 0) | (CONTINUES if at else 0)) + event.data[at : at + PART_BYTES]
        for at in starts
    ]
