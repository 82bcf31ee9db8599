"""The blocks of a pcapng file as values, and an interface's time units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from vnic.wire.pcapng_options import NO_OPTIONS, Option, PacketOptions

SECTION_HEADER: Final = 0x0A0D0D0A
INTERFACE_DESCRIPTION: Final = 1
OBSOLETE_PACKET: Final = 2
SIMPLE_PACKET: Final = 3
NAME_RESOLUTION: Final = 4
INTERFACE_STATISTICS: Final = 5
ENHANCED_PACKET: Final = 6
CUSTOM_COPY: Final = 0x00000BAD
CUSTOM_NO_COPY: Final = 0x40000BAD

BYTE_ORDER_MAGIC: Final = 0x1A2B3C4D
UNKNOWN_SECTION_LENGTH: Final = 0xFFFFFFFFFFFFFFFF

LINKTYPE_ETHERNET: Final = 1
LINKTYPE_USER0: Final = 147

NS_PER_S: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Section:
    """A Section Header Block; `order` is '<' or '>', `length` None where the writer did not know it."""

    order: str = "<"
    version: tuple[int, int] = (1, 0)
    length: int | None = None
    hardware: str | None = None
    os: str | None = None
    application: str | None = None
    comments: tuple[str, ...] = ()
    other: tuple[Option, ...] = ()
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Interface:
    """An Interface Description Block; `index` counts in its section, `number` over the whole file.

    `tsresol` is the option's octet (units of 10^-n s, with bit 7 of 2^-n s), `tsoffset` is in seconds,
    `snaplen` 0 is no limit.
    """

    linktype: int = LINKTYPE_ETHERNET
    snaplen: int = 0
    tsresol: int = 6
    tsoffset: int = 0
    name: str | None = None
    description: str | None = None
    hardware: str | None = None
    os: str | None = None
    mac: bytes | None = None
    speed_bps: int | None = None
    fcs_bytes: int | None = None
    comments: tuple[str, ...] = ()
    other: tuple[Option, ...] = ()
    index: int = 0
    number: int = 0
    offset: int = 0

    @property
    def ticks_per_s(self) -> int:
        """Time units per second."""
        exponent = self.tsresol & 0x7F
        return 1 << exponent if self.tsresol & 0x80 else int(10**exponent)

    def to_ns(self, ticks: int) -> int:
        """Nanoseconds since 1970 of a timestamp, cut to whole ones; negative only by tsoffset."""
        if self.tsresol == 9:
            return ticks + self.tsoffset * NS_PER_S
        return ticks * NS_PER_S // self.ticks_per_s + self.tsoffset * NS_PER_S

    def to_ticks(self, time_ns: int) -> int:
        """The last tick not after `time_ns`, or the next where that one reads back as `time_ns` itself."""
        since_offset = time_ns - self.tsoffset * NS_PER_S
        if self.tsresol == 9:
            return since_offset
        ticks = since_offset * self.ticks_per_s // NS_PER_S
        return ticks + 1 if self.to_ns(ticks + 1) == time_ns else ticks


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet of an Enhanced, Simple or obsolete Packet Block; a Simple one has no time."""

    interface: Interface
    time_ns: int | None
    data: bytes
    orig_len: int
    options: PacketOptions = NO_OPTIONS
    block_type: int = ENHANCED_PACKET
    offset: int = 0


@dataclass(frozen=True, slots=True)
class NameRecord:
    """One record of a Name Resolution Block: kind (1 IPv4, 2 IPv6, 3 EUI-48, 4 EUI-64), address, names."""

    kind: int
    address: bytes
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NameResolution:
    """A Name Resolution Block."""

    records: tuple[NameRecord, ...]
    options: tuple[Option, ...] = ()
    offset: int = 0


@dataclass(frozen=True, slots=True)
class InterfaceStatistics:
    """An Interface Statistics Block; times in ns since 1970, counts of packets, None where absent."""

    interface: Interface
    time_ns: int
    start_ns: int | None = None
    end_ns: int | None = None
    received: int | None = None
    dropped: int | None = None
    accepted: int | None = None
    os_dropped: int | None = None
    delivered: int | None = None
    comments: tuple[str, ...] = ()
    other: tuple[Option, ...] = ()
    offset: int = 0


@dataclass(frozen=True, slots=True)
class RawBlock:
    """A block this codec does not interpret (custom, secrets, journal, future ones), body as in the file."""

    block_type: int
    body: bytes
    offset: int = 0


Block = Section | Interface | Packet | NameResolution | InterfaceStatistics | RawBlock

ADDRESS_BYTES: Final = {1: 4, 2: 16, 3: 6, 4: 8}
