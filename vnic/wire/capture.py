"""Opens a capture file of any kind, told by its content, and gives its frames one after another."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final

from vnic.wire.capture_source import (
    ByteSource,
    CaptureError,
    CountedStream,
    TruncatedCapture,
    uncompressed,
)
from vnic.wire.pcap import PcapReader, is_pcap, pcap_magics
from vnic.wire.pcapng import NO_OPTIONS, Interface, PacketOptions, PcapngReader, byte_orders
from vnic.wire.pcapng_blocks import LINKTYPE_ETHERNET

__all__ = ["Capture", "CaptureError", "CapturedFrame", "TruncatedCapture", "open_capture"]

ETHERNET_ONLY: Final = frozenset({LINKTYPE_ETHERNET})
_PCAPNG: Final = b"\x0a\x0d\x0d\x0a"

# pcap, its header's upper bits and pcapng's options may each say that an FCS stands at a frame's end.
# A card hands frames over without it, so it is taken off here.


@dataclass(frozen=True, slots=True)
class CapturedFrame:
    """One frame of a capture without its FCS; `number` counts from 1 as Wireshark does.

    A frame of a Simple Packet Block carries no time: it gets that of the frame before (0 at the start).
    """

    data: bytes
    time_ns: int
    orig_len: int
    interface: int = 0
    linktype: int = LINKTYPE_ETHERNET
    options: PacketOptions = NO_OPTIONS
    number: int = 1
    offset: int = 0

    @property
    def is_cut(self) -> bool:
        """Whether the capture's snaplen cut bytes off the frame."""
        return self.orig_len > len(self.data)


class Capture:
    """The frames of an open capture, once; a context manager that closes what it opened.

    Frames on links other than `linktypes` raise CaptureError, or are left out and counted in `skipped`.
    """

    def __init__(
        self, stream: BinaryIO, *, linktypes: Collection[int] | None, skip: bool, owned: bool, limit: int
    ) -> None:
        self._stream = stream
        self._owned = owned
        self._linktypes = linktypes
        self._skip = skip
        self._counted = CountedStream(stream)
        self.size = self._counted.size()
        source, self.compression = uncompressed(self._counted)
        self._source = ByteSource(source)
        self._reader = self._open_reader(limit)
        self.skipped = 0

    def _open_reader(self, limit: int) -> PcapReader | PcapngReader:
        start = self._source.peek(4)
        if start == _PCAPNG:
            _check_pcapng_start(self._source.peek(12))
            return PcapngReader(self._source, block_limit=limit)
        if is_pcap(start):
            reader = PcapReader(self._source, record_limit=limit)
            self._check_linktype(reader.linktype, 20)
            return reader
        if not start:
            raise CaptureError("empty file: no pcap or pcapng header", 0)
        if len(start) < 4 and may_become_capture(start):
            raise TruncatedCapture(f"file ends after {len(start)} bytes of its magic number", len(start))
        shown = self._source.peek(8).hex(" ")
        raise CaptureError(f"not a pcap or pcapng file: starts with {shown}", 0)

    @property
    def format(self) -> str:
        """'pcap' or 'pcapng'."""
        return "pcap" if isinstance(self._reader, PcapReader) else "pcapng"

    @property
    def interfaces(self) -> list[Interface]:
        """The interfaces described so far in the section being read; for pcap the one its header tells of."""
        if isinstance(self._reader, PcapngReader):
            return self._reader.interfaces
        resolution = 9 if self._reader.nanoseconds else 6
        return [Interface(self._reader.linktype, self._reader.snaplen, resolution)]

    def position(self) -> int:
        """Bytes of the file taken so far, compressed ones if it is; `size` (None if unknown) is the end."""
        return self._counted.taken

    def __iter__(self) -> Iterator[CapturedFrame]:
        """The frames from where the capture stands; raises CaptureError after what could be read.

        At the end, or at an error, a file that this object opened is closed.
        """
        try:
            if isinstance(self._reader, PcapReader):
                yield from self._pcap_frames(self._reader)
            else:
                yield from self._pcapng_frames(self._reader)
        except CaptureError:
            self.close()
            raise
        self.close()

    def _pcap_frames(self, reader: PcapReader) -> Iterator[CapturedFrame]:
        if self._refused(reader.linktype, 20):
            self.skipped = sum(1 for _ in reader)
            return
        for number, record in enumerate(reader, 1):
            data, orig_len = _without_fcs(record.data, record.orig_len, reader.fcs_bytes)
            yield CapturedFrame(
                data, record.time_ns, orig_len, 0, reader.linktype, NO_OPTIONS, number, record.offset
            )

    def _pcapng_frames(self, reader: PcapngReader) -> Iterator[CapturedFrame]:
        time_ns = 0
        for number, packet in enumerate(reader.packets(), 1):
            interface = packet.interface
            if packet.time_ns is not None:
                time_ns = packet.time_ns
            if self._refused(interface.linktype, packet.offset):
                self.skipped += 1
                continue
            fcs_bytes = packet.options.fcs_bytes or interface.fcs_bytes or 0
            data, orig_len = _without_fcs(packet.data, packet.orig_len, fcs_bytes)
            yield CapturedFrame(
                data, time_ns, orig_len, interface.number, interface.linktype, packet.options,
                number, packet.offset,
            )  # fmt: skip

    def _check_linktype(self, linktype: int, offset: int) -> None:
        if self._linktypes is None or linktype in self._linktypes or self._skip:
            return
        wanted = ", ".join(str(known) for known in sorted(self._linktypes))
        raise CaptureError(f"link type {linktype} is not Ethernet (wanted: {wanted})", offset)

    def _refused(self, linktype: int, offset: int) -> bool:
        self._check_linktype(linktype, offset)
        return self._linktypes is not None and linktype not in self._linktypes

    def close(self) -> None:
        """Close the file if this object opened it."""
        if self._owned:
            self._stream.close()

    def __enter__(self) -> Capture:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()


def open_capture(
    source: str | os.PathLike[str] | BinaryIO,
    *,
    linktypes: Collection[int] | None = ETHERNET_ONLY,
    skip_other_links: bool = False,
    limit: int = 16 << 20,
) -> Capture:
    """Open a pcap or pcapng file, plain or compressed with gzip or Zstandard, told by content.

    `linktypes` None takes all; `limit` bounds one block or record in bytes. Raises CaptureError for what is
    no capture, OSError for what cannot be opened.
    """
    owned = isinstance(source, str | os.PathLike)
    stream: BinaryIO = (
        Path(source).open("rb")  # noqa: SIM115 (the Capture closes it)
        if isinstance(source, str | os.PathLike)
        else source
    )
    try:
        return Capture(stream, linktypes=linktypes, skip=skip_other_links, owned=owned, limit=limit)
    except BaseException:
        if owned:
            stream.close()
        raise


def may_become_capture(start: bytes) -> bool:
    """Whether these first bytes, fewer than 4, are the beginning of a known magic number."""
    candidates = [_PCAPNG, *pcap_magics()]
    return any(magic.startswith(start) for magic in candidates)


def _check_pcapng_start(start: bytes) -> None:
    """A text file may begin with the section header's line ends; the byte-order magic tells them apart."""
    magic = start[8:12]
    if not any(spelling.startswith(magic) for spelling in byte_orders()):
        raise CaptureError(f"not a pcap or pcapng file: starts with {start.hex(' ')}", 0)


def _without_fcs(data: bytes, orig_len: int, fcs_bytes: int) -> tuple[bytes, int]:
    """Take off the FCS, or as much of it as snaplen left."""
    if not fcs_bytes or orig_len < fcs_bytes:
        return data, orig_len
    bare = orig_len - fcs_bytes
    return data[:bare], bare
