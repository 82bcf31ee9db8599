"""pcapng: reads a file as a stream of blocks, and gives the codec's whole vocabulary under one name.

Format: draft-ietf-opsawg-pcapng. Memory is bounded by one block and by the interfaces of one section.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any, Final

from vnic.wire import pcapng_options as opt
from vnic.wire.capture_source import ByteSource, CaptureError, Readable, TruncatedCapture
from vnic.wire.pcapng_blocks import (
    ADDRESS_BYTES,
    BYTE_ORDER_MAGIC,
    CUSTOM_COPY,
    CUSTOM_NO_COPY,
    ENHANCED_PACKET,
    INTERFACE_DESCRIPTION,
    INTERFACE_STATISTICS,
    LINKTYPE_ETHERNET,
    LINKTYPE_USER0,
    NAME_RESOLUTION,
    OBSOLETE_PACKET,
    SECTION_HEADER,
    SIMPLE_PACKET,
    UNKNOWN_SECTION_LENGTH,
    Block,
    Interface,
    InterfaceStatistics,
    NameRecord,
    NameResolution,
    Packet,
    RawBlock,
    Section,
)
from vnic.wire.pcapng_options import (
    NO_OPTIONS,
    Direction,
    HashAlgorithm,
    Option,
    PacketHash,
    PacketOptions,
    Verdict,
    VerdictKind,
)
from vnic.wire.pcapng_writer import PcapngWriter

__all__ = [
    "CUSTOM_COPY",
    "CUSTOM_NO_COPY",
    "ENHANCED_PACKET",
    "LINKTYPE_ETHERNET",
    "LINKTYPE_USER0",
    "NO_OPTIONS",
    "OBSOLETE_PACKET",
    "SIMPLE_PACKET",
    "Block",
    "CaptureError",
    "Direction",
    "HashAlgorithm",
    "Interface",
    "InterfaceStatistics",
    "NameRecord",
    "NameResolution",
    "Option",
    "Packet",
    "PacketHash",
    "PacketOptions",
    "PcapngReader",
    "PcapngWriter",
    "RawBlock",
    "Section",
    "TruncatedCapture",
    "Verdict",
    "VerdictKind",
]

BLOCK_LIMIT_BYTES: Final = 16 << 20
_UNKNOWN_DROPS: Final = 0xFFFF


class PcapngReader:
    """Iterates over the blocks of a pcapng stream; the first Section Header is read at once.

    Packets, interfaces, sections, names and statistics always come; other blocks only with `raw_blocks`.
    An error raises CaptureError after everything before it was given.
    """

    def __init__(
        self, stream: Readable, *, block_limit: int = BLOCK_LIMIT_BYTES, raw_blocks: bool = False
    ) -> None:
        self._source = stream if isinstance(stream, ByteSource) else ByteSource(stream)
        self._limit = block_limit
        self._raw_blocks = raw_blocks
        self._interface_count = 0
        self._interface_bytes = 0
        self.interfaces: list[Interface] = []
        self.section = Section()
        self._header = struct.Struct("<II")
        self._epb = struct.Struct("<IIIII")
        self._readers: dict[int, Callable[[bytes, int], Block]] = {
            INTERFACE_DESCRIPTION: self._interface,
            OBSOLETE_PACKET: self._obsolete_packet,
            SIMPLE_PACKET: self._simple_packet,
            NAME_RESOLUTION: self._name_resolution,
            INTERFACE_STATISTICS: self._statistics,
            ENHANCED_PACKET: self._enhanced_packet,
        }
        self._first: Section | None = self._first_section()

    @property
    def offset(self) -> int:
        """Bytes of the uncompressed file read so far."""
        return self._source.offset

    def __iter__(self) -> Iterator[Block]:
        """Each block from where the reader stands."""
        if self._first is not None:
            first, self._first = self._first, None
            yield first
        while True:
            offset = self._source.offset
            head = self._source.exactly_or_end(8, "a block header")
            if not head:
                return
            block = self._block(head, offset)
            if block is not None:
                yield block

    def packets(self) -> Iterator[Packet]:
        """The packets only."""
        for block in self:
            if isinstance(block, Packet):
                yield block

    def _first_section(self) -> Section:
        start = self._source.peek(4)
        if start != SECTION_HEADER.to_bytes(4, "little"):
            raise CaptureError(f"not a pcapng file: starts with {start.hex(' ') or 'nothing'}", 0)
        return self._start_section(self._source.exactly(8, "a block header"), 0)

    def _block(self, head: bytes, offset: int) -> Block | None:
        # A section header's type reads the same in both byte orders; its own magic tells which one rules.
        if head[:4] == b"\x0a\x0d\x0d\x0a":
            return self._start_section(head, offset)
        block_type, total = self._header.unpack(head)
        body = self._body(total, b"", offset)
        reader = self._readers.get(block_type)
        if reader is not None:
            return reader(body, offset + 8)
        return RawBlock(block_type, body, offset) if self._raw_blocks else None

    def _body(self, total: int, done: bytes, offset: int) -> bytes:
        """The rest of a block of `total` bytes of which 8 and `done` are read."""
        if total < 12 + len(done) or total & 3:
            raise CaptureError(f"block length {total} is too short or no multiple of 4", offset)
        if total > self._limit:
            raise CaptureError(f"block of {total} bytes is over the limit of {self._limit}", offset)
        rest = self._source.exactly(total - 8 - len(done), f"the block that starts at offset {offset}")
        trailer: int = struct.unpack(self.section.order + "I", rest[-4:])[0]
        if trailer != total:
            raise CaptureError(f"block of {total} bytes ends with length {trailer}", self._source.offset - 4)
        return done + rest[:-4]

    def _start_section(self, head: bytes, offset: int) -> Section:
        magic = self._source.exactly(4, "a section header")
        order = byte_orders().get(magic)
        if order is None:
            raise CaptureError(f"byte-order magic is {magic.hex(' ')}", offset + 8)
        self.section = Section(order=order)
        self._header = struct.Struct(order + "II")
        self._epb = struct.Struct(order + "IIIII")
        self.interfaces = []
        self._interface_bytes = 0
        body = self._body(struct.unpack(order + "I", head[4:])[0], magic, offset)
        if len(body) < 16:
            raise CaptureError(f"section header of {len(body) + 12} bytes, fewer than 28", offset)
        major, minor, length = struct.unpack_from(order + "HHQ", body, 4)
        if major != 1:
            raise CaptureError(f"pcapng version {major}.{minor} is not known", offset + 12)
        values = self._fields(opt.split(body[16:], order, offset + 24), _SECTION_OPTIONS, offset)
        self.section = Section(
            order=order,
            version=(major, minor),
            length=None if length == UNKNOWN_SECTION_LENGTH else length,
            offset=offset,
            **values,
        )
        return self.section

    def _fields(
        self, options: list[Option], known: dict[int, tuple[str, str]], offset: int
    ) -> dict[str, Any]:
        """Sort options into dataclass fields: texts, bytes and numbers, comments, the rest in `other`."""
        values: dict[str, Any] = {}
        comments: list[str] = []
        other: list[Option] = []
        for option in options:
            name, layout = known.get(option.code, ("", ""))
            if option.code == opt.COMMENT:
                comments.append(opt.text(option.value))
            elif not name or name in values:
                other.append(option)
            elif layout == "text":
                values[name] = opt.text(option.value)
            elif layout.endswith("s"):
                if len(option.value) != struct.calcsize(layout):
                    raise CaptureError(f"option {name} is {len(option.value)} bytes", offset)
                values[name] = option.value
            else:
                values[name] = opt.number(option, self.section.order + layout, f"option {name}", offset)
        return {**values, "comments": tuple(comments), "other": tuple(other)}

    def _interface(self, body: bytes, offset: int) -> Interface:
        if len(body) < 8:
            raise CaptureError(f"interface description of {len(body)} bytes, fewer than 8", offset)
        self._interface_bytes += len(body) + 12
        if self._interface_bytes > self._limit:
            raise CaptureError(f"interface descriptions of one section are over {self._limit} bytes", offset)
        linktype, _, snaplen = struct.unpack_from(self.section.order + "HHI", body)
        options = opt.split(body[8:], self.section.order, offset + 8)
        interface = Interface(
            linktype=linktype,
            snaplen=snaplen,
            index=len(self.interfaces),
            number=self._interface_count,
            offset=offset - 8,
            **self._fields(options, _INTERFACE_OPTIONS, offset),
        )
        self.interfaces.append(interface)
        self._interface_count += 1
        return interface

    def _described(self, index: int, offset: int) -> Interface:
        if index >= len(self.interfaces):
            raise CaptureError(f"interface {index} of {len(self.interfaces)} is not described", offset)
        return self.interfaces[index]

    def _enhanced_packet(self, body: bytes, offset: int) -> Packet:
        if len(body) < 20:
            raise CaptureError(f"enhanced packet block of {len(body)} bytes, fewer than 20", offset)
        index, high, low, captured, orig_len = self._epb.unpack_from(body)
        interface = self._described(index, offset)
        data = _packet_data(body, 20, captured, offset)
        end = 20 + (captured + 3 & ~3)
        options = NO_OPTIONS
        if end < len(body):
            options = opt.parse_packet_options(body[end:], self.section.order, offset + end)
        time_ns = interface.to_ns(high << 32 | low)
        return Packet(interface, time_ns, data, orig_len, options, ENHANCED_PACKET, offset - 8)

    def _obsolete_packet(self, body: bytes, offset: int) -> Packet:
        if len(body) < 20:
            raise CaptureError(f"packet block of {len(body)} bytes, fewer than 20", offset)
        index, drops, high, low, captured, orig_len = struct.unpack_from(self.section.order + "HHIIII", body)
        interface = self._described(index, offset)
        data = _packet_data(body, 20, captured, offset)
        end = 20 + (captured + 3 & ~3)
        options = opt.parse_obsolete_options(
            body[end:], self.section.order, offset + end, None if drops == _UNKNOWN_DROPS else drops
        )
        time_ns = interface.to_ns(high << 32 | low)
        return Packet(interface, time_ns, data, orig_len, options, OBSOLETE_PACKET, offset - 8)

    def _simple_packet(self, body: bytes, offset: int) -> Packet:
        if len(body) < 4:
            raise CaptureError("simple packet block without its length", offset)
        interface = self._described(0, offset)
        orig_len: int = struct.unpack_from(self.section.order + "I", body)[0]
        captured = min(orig_len, interface.snaplen or orig_len)
        data = _packet_data(body, 4, captured, offset)
        return Packet(interface, None, data, orig_len, NO_OPTIONS, SIMPLE_PACKET, offset - 8)

    def _name_resolution(self, body: bytes, offset: int) -> NameResolution:
        records: list[NameRecord] = []
        position = 0
        while True:
            if position + 4 > len(body):
                raise CaptureError("name resolution block without its end record", offset + position)
            kind, length = struct.unpack_from(self.section.order + "HH", body, position)
            position += 4
            if kind == 0:
                break
            value = body[position : position + length]
            if len(value) < length:
                raise CaptureError(f"name record of {length} bytes overruns its block", offset + position)
            records.append(_name_record(kind, value, offset + position))
            position += length + 3 & ~3
        options = opt.split(body[position:], self.section.order, offset + position)
        return NameResolution(tuple(records), tuple(options), offset - 8)

    def _statistics(self, body: bytes, offset: int) -> InterfaceStatistics:
        if len(body) < 12:
            raise CaptureError(f"interface statistics of {len(body)} bytes, fewer than 12", offset)
        order = self.section.order
        index, high, low = struct.unpack_from(order + "III", body)
        interface = self._described(index, offset)
        options = opt.split(body[12:], order, offset + 12)
        values = self._fields(options, _STATISTICS_OPTIONS, offset)
        for name in ("start_ns", "end_ns"):
            if name in values:
                upper, lower = struct.unpack(order + "II", values[name])
                values[name] = interface.to_ns(upper << 32 | lower)
        return InterfaceStatistics(
            interface=interface, time_ns=interface.to_ns(high << 32 | low), offset=offset - 8, **values
        )


def byte_orders() -> dict[bytes, str]:
    """The byte-order magic's two spellings and the struct prefix each one means."""
    return {BYTE_ORDER_MAGIC.to_bytes(4, "little"): "<", BYTE_ORDER_MAGIC.to_bytes(4, "big"): ">"}


def _packet_data(body: bytes, start: int, captured: int, offset: int) -> bytes:
    data = body[start : start + captured]
    if len(data) < captured:
        raise CaptureError(f"packet of {captured} bytes overruns its block of {len(body) + 12}", offset)
    return data


def _name_record(kind: int, value: bytes, offset: int) -> NameRecord:
    size = ADDRESS_BYTES.get(kind, 0)
    if len(value) < size:
        raise CaptureError(f"name record of kind {kind} has {len(value)} bytes", offset)
    names = value[size:].removesuffix(b"\0").split(b"\0") if len(value) > size else []
    return NameRecord(kind, value[:size], tuple(opt.text(name) for name in names))


_SECTION_OPTIONS: Final = {
    opt.SHB_HARDWARE: ("hardware", "text"),
    opt.SHB_OS: ("os", "text"),
    opt.SHB_USERAPPL: ("application", "text"),
}
_INTERFACE_OPTIONS: Final = {
    opt.IF_NAME: ("name", "text"),
    opt.IF_DESCRIPTION: ("description", "text"),
    opt.IF_HARDWARE: ("hardware", "text"),
    opt.IF_OS: ("os", "text"),
    opt.IF_MACADDR: ("mac", "6s"),
    opt.IF_SPEED: ("speed_bps", "Q"),
    opt.IF_TSRESOL: ("tsresol", "B"),
    opt.IF_FCSLEN: ("fcs_bytes", "B"),
    opt.IF_TSOFFSET: ("tsoffset", "q"),
}
_STATISTICS_OPTIONS: Final = {
    opt.ISB_STARTTIME: ("start_ns", "8s"),
    opt.ISB_ENDTIME: ("end_ns", "8s"),
    opt.ISB_IFRECV: ("received", "Q"),
    opt.ISB_IFDROP: ("dropped", "Q"),
    opt.ISB_FILTERACCEPT: ("accepted", "Q"),
    opt.ISB_OSDROP: ("os_dropped", "Q"),
    opt.ISB_USRDELIV: ("delivered", "Q"),
}
