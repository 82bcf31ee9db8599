"""Trace files: events read one after the other, and written."""

from __future__ import annotations

import gzip
import importlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self, cast

from vnic.abi import EventType
from vnic.errors import ArgumentError
from vnic.trace.event import (
    CONTINUES,
    FRAMES,
    GOES_ON,
    HASHED,
    HEAD,
    IS_DIGEST,
    PART_BYTES,
    VERSION,
    TraceEvent,
    event_octets,
)
from vnic.trace.header import TraceError, TraceHeader
from vnic.wire.capture_source import (
    ByteSource,
    CaptureError,
    CountedStream,
    Readable,
    TruncatedCapture,
    uncompressed,
)
from vnic.wire.pcapng import (
    LINKTYPE_ETHERNET,
    LINKTYPE_USER0,
    Direction,
    Interface,
    Packet,
    PacketOptions,
    PcapngReader,
    PcapngWriter,
    Section,
    Verdict,
    VerdictKind,
)

DEVICE: Final = "vnic-dev"
SNAPLEN: Final = 262_144
_DATA_LIMIT: Final = 1 << 30
_TYPES: Final = frozenset(int(each) for each in EventType)


def interfaces_of(header: TraceHeader) -> list[Interface]:
    """A port for each card, then that of the device events."""
    ports = [each for each in header.functions if each.kind != "copy"]
    return [
        *(_interface(LINKTYPE_ETHERNET, f"port{number}") for number in range(len(ports))),
        _interface(LINKTYPE_USER0, DEVICE),
    ]


def ports_of(header: TraceHeader) -> dict[int, int]:
    """The port of each function that has one."""
    with_port = [each.function for each in header.functions if each.kind != "copy"]
    return {function: port for port, function in enumerate(with_port)}


def _interface(linktype: int, name: str) -> Interface:
    return Interface(linktype=linktype, name=name, tsresol=9, snaplen=SNAPLEN)


def head_of(header: TraceHeader) -> bytes:
    """What stands before the events: section header and interfaces."""
    stream = io.BytesIO()
    TraceWriter(stream, header)
    return stream.getvalue()


def open_octets(
    source: str | os.PathLike[str] | BinaryIO,
) -> tuple[BinaryIO | None, Readable, TraceHeader]:
    """The file, if opened here; the octets of a trace from its first block on; and its header."""
    with TraceReader(source) as reader:
        header = reader.header
    if not isinstance(source, (str, os.PathLike)):
        source.seek(0)
        return None, uncompressed(CountedStream(source))[0], header
    stream = open(source, "rb")  # noqa: SIM115
    return stream, uncompressed(CountedStream(stream))[0], header


# -- reading -------------------------------------------------------------------------------------------------


class TraceReader:
    """Iterates over the events of a trace, .gz and .zst as well.

    After the last one: lost (numbers that are missing), skipped (events of a kind that is not known) and cut
    (the offset at which a file ends within a block; None). TraceError for what is no trace, or is broken.
    """

    def __init__(self, source: str | os.PathLike[str] | BinaryIO) -> None:
        self._owns = isinstance(source, (str, os.PathLike))
        self._stream: BinaryIO = open(source, "rb") if self._owns else source  # type: ignore[arg-type, assignment]  # noqa: SIM115
        self.lost = 0
        self.skipped = 0
        self.cut: int | None = None
        self._count = 0
        self._parts: list[bytes] | None = None
        try:
            self._reader = PcapngReader(ByteSource(uncompressed(CountedStream(self._stream))[0]))
            self.header = TraceHeader.parse(self._reader.section.hardware)
        except (CaptureError, OSError, EOFError) as error:
            self.close()
            raise TraceError(f"no trace: {error}") from error
        except TraceError:
            self.close()
            raise
        self._functions = {port: function for function, port in ports_of(self.header).items()}

    def close(self) -> None:
        """Close the file that was opened here."""
        if self._owns:
            self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.close()

    def __iter__(self) -> Iterator[TraceEvent]:
        """Each event from where the reader stands."""
        blocks = iter(self._reader)
        while True:
            try:
                block = next(blocks)
            except StopIteration:
                return
            except TruncatedCapture as error:
                self.cut = error.offset
                return
            except (CaptureError, OSError, EOFError) as error:
                raise TraceError(f"after {self._count} events: {error}") from error
            event = self._event(block) if isinstance(block, Packet) else None
            if event is not None:
                yield event

    def _event(self, packet: Packet) -> TraceEvent | None:
        if packet.interface.linktype == LINKTYPE_ETHERNET:
            return self._frame(packet)
        if packet.interface.name != DEVICE or len(packet.data) < HEAD.size:
            return None
        return self._device_event(packet)

    def _frame(self, packet: Packet) -> TraceEvent:
        options = packet.options
        is_in = ((options.flags or 0) & 3) == Direction.INBOUND
        verdict = options.verdicts[0].value if options.verdicts else b"\0"
        number, self._count = self._count, self._count + 1
        return TraceEvent(
            number,
            EventType.FRAME_IN if is_in else EventType.FRAME_OUT,
            packet.time_ns or 0,
            self._functions.get(packet.interface.index, 0),
            (options.queue or 0) & 0xFF,
            addr=options.toeplitz | HASHED if is_in and options.toeplitz is not None else 0,
            value=verdict[0] if is_in and verdict else 0,
            data=packet.data,
            length=packet.orig_len,
            offset=packet.offset,
        )

    def _device_event(self, packet: Packet) -> TraceEvent | None:
        version, kind, function, index, width, flags, _, addr, value, length, number = HEAD.unpack_from(
            packet.data
        )
        data = packet.data[HEAD.size :]
        if not flags & CONTINUES:
            self._count_lost(number)
            self._parts = [] if flags & GOES_ON else None
        if flags & (GOES_ON | CONTINUES):
            joined = self._join(data, is_last=not flags & GOES_ON)
            if joined is None:
                return None
            data = joined
        digest = int.from_bytes(data[:8], "little") if flags & IS_DIGEST else None
        is_short = len(data) < (8 if digest is not None else length)
        number, self._count = self._count, self._count + 1
        if version != VERSION or kind not in _TYPES or is_short:
            self.skipped += 1
            return None
        return TraceEvent(
            number,
            EventType(kind),
            packet.time_ns or 0,
            function,
            index,
            width,
            addr,
            value,
            b"" if digest is not None else data[:length],
            digest,
            length,
            packet.offset,
        )

    def _count_lost(self, number: int) -> None:
        gap = number - self._count & 0xFFFF_FFFF
        if 0 < gap < 1 << 31:
            self.lost += gap
            self._count += gap

    def _join(self, data: bytes, *, is_last: bool) -> bytes | None:
        """The parts of an event together; None: more to come, or the first is missing."""
        if self._parts is None:
            return None
        self._parts.append(data)
        if len(self._parts) > _DATA_LIMIT // PART_BYTES:
            raise TraceError(f"an event of more than {_DATA_LIMIT} bytes, after {self._count} events")
        if not is_last:
            return None
        joined, self._parts = b"".join(self._parts), None
        return joined


# -- writing -------------------------------------------------------------------------------------------------


class TraceWriter:
    """Writes events that were made or changed in Python; the same events give the same bytes.

    Numbers are given anew, so that they follow each other.
    """

    def __init__(self, target: str | os.PathLike[str] | BinaryIO, header: TraceHeader) -> None:
        self._owns = isinstance(target, (str, os.PathLike))
        self._stream = create_stream(target) if isinstance(target, (str, os.PathLike)) else target
        self.header = header
        self._writer = PcapngWriter(self._stream, Section(hardware=header.text()))
        self._ports = ports_of(header)
        for interface in interfaces_of(header):
            self._device = self._writer.add_interface(interface)
        self.count = 0

    def write(self, event: TraceEvent) -> None:
        """One event."""
        event = event._replace(number=self.count)
        self.count += 1
        is_frame = event.type in FRAMES and event.digest is None and len(event.data) <= PART_BYTES
        if is_frame and event.function in self._ports:
            self._writer.packet(
                self._ports[event.function], event.time_ns, event.data, options=_frame_options(event)
            )
            return
        original = HEAD.size + (event.length if event.digest is not None else 0)
        for octets in event_octets(event):
            self._writer.packet(self._device, event.time_ns, octets, max(original, len(octets)))

    def close(self) -> None:
        """Flush, and close the file that was opened here."""
        self._stream.flush()
        if self._owns:
            self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.close()


def _frame_options(event: TraceEvent) -> PacketOptions:
    if event.type == EventType.FRAME_OUT:
        return PacketOptions(flags=int(Direction.OUTBOUND), queue=event.index)
    verdict = Verdict(VerdictKind.HARDWARE, bytes((event.value & 0xFF,)))
    toeplitz = event.addr & (HASHED - 1) if event.addr & HASHED else None
    return PacketOptions(
        flags=int(Direction.INBOUND), toeplitz=toeplitz, queue=event.index, verdicts=(verdict,)
    )


def create_stream(path: str | os.PathLike[str]) -> BinaryIO:
    """A new file, compressed when its name says so; ArgumentError when zstandard is needed and missing."""
    name = Path(path)
    if name.suffix == ".gz":
        raw = open(name, "wb", buffering=0)  # noqa: SIM115
        # No name and no time: the same events give the same bytes.
        packed = gzip.GzipFile("", "wb", 6, raw, 0)
        packed.myfileobj = raw
        return cast(BinaryIO, packed)
    if name.suffix != ".zst":
        return name.open("wb")
    try:
        zstandard: Any = importlib.import_module("zstandard")
    except ImportError:
        raise ArgumentError(f"{path}: .zst needs the package zstandard") from None
    return cast(BinaryIO, zstandard.open(name, "wb"))
