"""Writes pcapng blocks; the same calls give the same bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import replace
from typing import BinaryIO, Final

from vnic.wire import pcapng_options as opt
from vnic.wire.pcapng_blocks import (
    ADDRESS_BYTES,
    BYTE_ORDER_MAGIC,
    CUSTOM_COPY,
    CUSTOM_NO_COPY,
    ENHANCED_PACKET,
    INTERFACE_DESCRIPTION,
    INTERFACE_STATISTICS,
    NAME_RESOLUTION,
    SECTION_HEADER,
    SIMPLE_PACKET,
    UNKNOWN_SECTION_LENGTH,
    Interface,
    InterfaceStatistics,
    NameRecord,
    Section,
)
from vnic.wire.pcapng_options import NO_OPTIONS, Option, PacketOptions, text_option

DEFAULT_SNAPLEN: Final = 262_144  # what tshark accepts at most


class PcapngWriter:
    """Writes one section after another to a binary stream; the first starts at once."""

    def __init__(self, stream: BinaryIO, section: Section | None = None) -> None:
        self._stream = stream
        self.interfaces: list[Interface] = []
        self.start_section(section or Section())

    def start_section(self, section: Section) -> None:
        """Begin a section of unknown length; the interfaces start again from 0."""
        if section.order not in ("<", ">"):
            raise ValueError(f"byte order {section.order!r} is neither '<' nor '>'")
        self._order = section.order
        self._frame = struct.Struct(section.order + "IIIIIII")
        self.interfaces = []
        options = [text_option(opt.COMMENT, comment) for comment in section.comments]
        options += _texts(
            (opt.SHB_HARDWARE, section.hardware),
            (opt.SHB_OS, section.os),
            (opt.SHB_USERAPPL, section.application),
        )
        fixed = struct.pack(self._order + "IHHQ", BYTE_ORDER_MAGIC, *section.version, UNKNOWN_SECTION_LENGTH)
        self._block(SECTION_HEADER, fixed + opt.join([*options, *section.other], self._order))

    def add_interface(self, interface: Interface) -> int:
        """Describe an interface (its `index` and `number` are ignored); returns the index for `packet`."""
        index = len(self.interfaces)
        order = self._order
        options = [text_option(opt.COMMENT, comment) for comment in interface.comments]
        options += _texts((opt.IF_NAME, interface.name), (opt.IF_DESCRIPTION, interface.description))
        if interface.mac is not None:
            options.append(Option(opt.IF_MACADDR, struct.pack("6s", interface.mac)))
        if interface.speed_bps is not None:
            options.append(Option(opt.IF_SPEED, struct.pack(order + "Q", interface.speed_bps)))
        if interface.tsresol != 6:
            options.append(Option(opt.IF_TSRESOL, bytes((interface.tsresol,))))
        options += _texts((opt.IF_OS, interface.os))
        if interface.fcs_bytes is not None:
            options.append(Option(opt.IF_FCSLEN, bytes((interface.fcs_bytes,))))
        if interface.tsoffset:
            options.append(Option(opt.IF_TSOFFSET, struct.pack(order + "q", interface.tsoffset)))
        options += _texts((opt.IF_HARDWARE, interface.hardware))
        fixed = struct.pack(order + "HHI", interface.linktype, 0, interface.snaplen)
        self._block(INTERFACE_DESCRIPTION, fixed + opt.join([*options, *interface.other], order))
        self.interfaces.append(replace(interface, index=index))
        return index

    def packet(
        self,
        interface: int,
        time_ns: int,
        data: bytes,
        orig_len: int | None = None,
        options: PacketOptions = NO_OPTIONS,
    ) -> None:
        """Write an Enhanced Packet Block; data longer than the interface's snaplen raises ValueError."""
        described = self.interfaces[interface]
        size = len(data)
        if described.snaplen and size > described.snaplen:
            raise ValueError(f"packet of {size} bytes is over the interface's snaplen {described.snaplen}")
        ticks = described.to_ticks(time_ns)
        if not 0 <= ticks < 1 << 64:
            raise ValueError(f"time {time_ns} ns has no timestamp on interface {interface}")
        area = opt.build_packet_options(options, self._order)
        padding = bytes(-size & 3)
        total = 32 + size + len(padding) + len(area)
        head = self._frame.pack(
            ENHANCED_PACKET, total, interface, ticks >> 32, ticks & 0xFFFFFFFF, size,
            size if orig_len is None else orig_len,
        )  # fmt: skip
        self._stream.write(b"".join((head, data, padding, area, struct.pack(self._order + "I", total))))

    def simple_packet(self, data: bytes, orig_len: int | None = None) -> None:
        """Write a Simple Packet Block: interface 0, no time, no options; data must be the snaplen's cut."""
        snaplen = self.interfaces[0].snaplen
        length = len(data) if orig_len is None else orig_len
        if len(data) != min(length, snaplen or length):
            raise ValueError(f"a simple packet of {length} bytes cannot hold {len(data)} of them")
        self._block(SIMPLE_PACKET, struct.pack(self._order + "I", length) + data + bytes(-len(data) & 3))

    def name_resolution(self, records: Iterable[NameRecord], options: Iterable[Option] = ()) -> None:
        """Write a Name Resolution Block."""
        parts = []
        for record in records:
            if len(record.address) != ADDRESS_BYTES.get(record.kind):
                raise ValueError(f"name record kind {record.kind} with {len(record.address)} address bytes")
            names = b"".join(name.encode("utf-8", "surrogateescape") + b"\0" for name in record.names)
            value = record.address + names
            head = struct.pack(self._order + "HH", record.kind, len(value))
            parts.append(head + value + bytes(-len(value) & 3))
        self._block(NAME_RESOLUTION, b"".join(parts) + bytes(4) + opt.join(options, self._order))

    def statistics(self, statistics: InterfaceStatistics, interface: int) -> None:
        """Write an Interface Statistics Block for the interface of this index."""
        described, order = self.interfaces[interface], self._order
        options = [text_option(opt.COMMENT, comment) for comment in statistics.comments]
        for code, time_ns in (
            (opt.ISB_STARTTIME, statistics.start_ns),
            (opt.ISB_ENDTIME, statistics.end_ns),
        ):
            if time_ns is not None:
                options.append(Option(code, self._stamp(described, time_ns)))
        for code, count in (
            (opt.ISB_IFRECV, statistics.received),
            (opt.ISB_IFDROP, statistics.dropped),
            (opt.ISB_FILTERACCEPT, statistics.accepted),
            (opt.ISB_OSDROP, statistics.os_dropped),
            (opt.ISB_USRDELIV, statistics.delivered),
        ):
            if count is not None:
                options.append(Option(code, struct.pack(order + "Q", count)))
        fixed = struct.pack(order + "I", interface) + self._stamp(described, statistics.time_ns)
        self._block(INTERFACE_STATISTICS, fixed + opt.join([*options, *statistics.other], order))

    def custom(self, enterprise: int, data: bytes, *, copy: bool = True) -> None:
        """Write a Custom Block under an IANA Private Enterprise Number; `copy` lets other tools keep it."""
        body = struct.pack(self._order + "I", enterprise) + data
        self.raw_block(CUSTOM_COPY if copy else CUSTOM_NO_COPY, body)

    def raw_block(self, block_type: int, body: bytes) -> None:
        """Write a block of any type; the body is padded to 32 bits."""
        if block_type == SECTION_HEADER:
            raise ValueError("a section header is written by start_section")
        self._block(block_type, body + bytes(-len(body) & 3))

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()

    def _stamp(self, interface: Interface, time_ns: int) -> bytes:
        ticks = interface.to_ticks(time_ns)
        return struct.pack(self._order + "II", ticks >> 32, ticks & 0xFFFFFFFF)

    def _block(self, block_type: int, body: bytes) -> None:
        total = len(body) + 12
        head = struct.pack(self._order + "II", block_type, total)
        self._stream.write(head + body + struct.pack(self._order + "I", total))


def _texts(*pairs: tuple[int, str | None]) -> list[Option]:
    return [text_option(code, value) for code, value in pairs if value is not None]
