"""Classic pcap files: micro- and nanosecond, both byte orders, read and written."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from vnic.wire.capture_source import ByteSource, CaptureError, Readable
from vnic.wire.pcapng_blocks import LINKTYPE_ETHERNET, NS_PER_S

MAGIC_MICRO: Final = 0xA1B2C3D4
MAGIC_NANO: Final = 0xA1B23C4D
MAGIC_MODIFIED: Final = 0xA1B2CD34  # libpcap's "modified" records of the 1990s, 24 bytes each

RECORD_LIMIT_BYTES: Final = 16 << 20
_FCS_PRESENT: Final = 1 << 26


@dataclass(frozen=True, slots=True)
class PcapRecord:
    """One record: its frame, arrival in ns since 1970, length on the wire, and place in the file."""

    data: bytes
    time_ns: int
    orig_len: int
    offset: int = 0


def pcap_magics() -> list[bytes]:
    """What a classic pcap file may start with, in both byte orders."""
    numbers = (MAGIC_MICRO, MAGIC_NANO, MAGIC_MODIFIED)
    return [number.to_bytes(4, "little") for number in numbers] + [
        number.to_bytes(4, "big") for number in numbers
    ]


def is_pcap(start: bytes) -> bool:
    """Whether a file that starts with these 4 bytes is classic pcap (the modified kind included)."""
    return start in pcap_magics()


class PcapReader:
    """Iterates over the records; the header is read at once, an error comes after the records before it."""

    def __init__(self, stream: Readable, *, record_limit: int = RECORD_LIMIT_BYTES) -> None:
        self._source = stream if isinstance(stream, ByteSource) else ByteSource(stream)
        self._limit = record_limit
        start = self._source.peek(4)
        if not is_pcap(start):
            raise CaptureError(f"not a pcap file: starts with {start.hex(' ') or 'nothing'}", 0)
        header = self._source.exactly(24, "the pcap file header")
        self.order = "<" if header[3] == 0xA1 else ">"
        magic, major, minor, self.zone_s, _, self.snaplen, network = struct.unpack(
            self.order + "IHHiIII", header
        )
        if magic == MAGIC_MODIFIED:
            raise CaptureError("the modified pcap of the 1990s is not read: convert it with editcap", 0)
        if (major, minor) != (2, 4):
            raise CaptureError(f"pcap version {major}.{minor} is not read, only 2.4", 4)
        self.nanoseconds = magic == MAGIC_NANO
        self.linktype = network & 0xFFFF
        self.fcs_bytes = (network >> 28) * 2 if network & _FCS_PRESENT else 0

    @property
    def offset(self) -> int:
        """Bytes of the uncompressed file read so far."""
        return self._source.offset

    def __iter__(self) -> Iterator[PcapRecord]:
        """Each record from where the reader stands."""
        layout = struct.Struct(self.order + "IIII")
        unit_ns = 1 if self.nanoseconds else 1000
        while True:
            offset = self._source.offset
            head = self._source.exactly_or_end(16, "a record header")
            if not head:
                return
            seconds, fraction, captured, orig_len = layout.unpack(head)
            if captured > self._limit:
                raise CaptureError(
                    f"record of {captured} bytes is over the limit of {self._limit}", offset + 8
                )
            data = self._source.exactly(captured, f"the record that starts at offset {offset}")
            yield PcapRecord(data, seconds * NS_PER_S + fraction * unit_ns, orig_len, offset)


class PcapWriter:
    """Writes a pcap file; times are in ns since 1970, cut to microseconds unless `nanoseconds`."""

    def __init__(
        self,
        stream: BinaryIO,
        *,
        nanoseconds: bool = True,
        order: str = "<",
        snaplen: int = 262_144,
        linktype: int = LINKTYPE_ETHERNET,
    ) -> None:
        if order not in ("<", ">"):
            raise ValueError(f"byte order {order!r} is neither '<' nor '>'")
        self._stream = stream
        self._layout = struct.Struct(order + "IIII")
        self._unit_ns = 1 if nanoseconds else 1000
        self._snaplen = snaplen
        magic = MAGIC_NANO if nanoseconds else MAGIC_MICRO
        stream.write(struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, snaplen, linktype))

    def packet(self, time_ns: int, data: bytes, orig_len: int | None = None) -> None:
        """Write a record; a time past 2106 or data over the snaplen raises ValueError."""
        seconds, rest = divmod(time_ns, NS_PER_S)
        if not 0 <= seconds < 1 << 32:
            raise ValueError(f"time {time_ns} ns does not fit pcap's 32-bit seconds")
        if len(data) > self._snaplen:
            raise ValueError(f"frame of {len(data)} bytes is over the snaplen {self._snaplen}")
        length = len(data) if orig_len is None else orig_len
        self._stream.write(self._layout.pack(seconds, rest // self._unit_ns, len(data), length) + data)

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()
