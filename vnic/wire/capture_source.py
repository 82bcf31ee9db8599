"""A capture's bytes, read strictly forward, and the errors that name an offset in them."""

from __future__ import annotations

import importlib
import os
import zlib
from typing import Any, BinaryIO, Protocol

CHUNK_BYTES = 1 << 16
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"


class CaptureError(Exception):
    """A capture is not what its format demands; `offset` is where, in bytes of the uncompressed file."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(f"{message} (at offset {offset})")
        self.message = message
        self.offset = offset


class TruncatedCapture(CaptureError):
    """A capture ends inside a header, block or record; `offset` is where the file ends."""


class Readable(Protocol):
    """What a source needs of a stream."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, empty at the end."""


class ByteSource:
    """Reads exact amounts from a stream and knows the offset; `peek` looks ahead once for sniffing."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._ahead = b""
        self.offset = 0

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; fewer only at the end of the stream."""
        if not self._ahead:
            data = self._stream.read(size)
            if len(data) == size:
                self.offset += size
                return data
            self._ahead = data
        parts = [self._ahead[:size]]
        self._ahead = self._ahead[size:]
        missing = size - len(parts[0])
        while missing:
            part = self._stream.read(missing)
            if not part:
                break
            parts.append(part)
            missing -= len(part)
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        self.offset += len(data)
        return data

    def peek(self, size: int) -> bytes:
        """The next `size` bytes (fewer at the end), still unread."""
        start = self.offset
        data = self.read(size)
        self._ahead = data + self._ahead
        self.offset = start
        return data

    def exactly(self, size: int, what: str) -> bytes:
        """`size` bytes of `what`; raises TruncatedCapture when the stream ends before."""
        data = self.read(size)
        if len(data) < size:
            raise TruncatedCapture(f"file ends in {what}: {len(data)} of {size} bytes", self.offset)
        return data

    def exactly_or_end(self, size: int, what: str) -> bytes:
        """As `exactly`, but empty where the stream ends just before `what`."""
        data = self.read(size)
        if data and len(data) < size:
            raise TruncatedCapture(f"file ends in {what}: {len(data)} of {size} bytes", self.offset)
        return data


class GunzipStream:
    """Uncompresses gzip, member after member; gives every byte before an error, then raises it."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._input = b""
        self._engine = zlib.decompressobj(wbits=31)
        self._in_member = False
        self._chunk = b""
        self._at = 0
        self._offset = 0

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, empty at the end; raises CaptureError on damaged data."""
        if self._at == len(self._chunk):
            self._chunk, self._at = self._next_chunk(), 0
        data = self._chunk[self._at : self._at + size]
        self._at += len(data)
        self._offset += len(data)
        return data

    def _next_chunk(self) -> bytes:
        while True:
            if self._engine.eof:
                self._input = self._engine.unused_data
                self._engine = zlib.decompressobj(wbits=31)
                self._in_member = False
            if not self._input:
                self._input = self._stream.read(CHUNK_BYTES)
                if not self._input:
                    return self._at_end_of_input()
            if not self._in_member:
                self._input = self._input.lstrip(b"\0")  # padding between or behind members
            if self._input and (chunk := self._inflate()):
                return chunk

    def _at_end_of_input(self) -> bytes:
        if self._in_member:
            raise TruncatedCapture("gzip data ends inside a member", self._offset)
        return b""

    def _inflate(self) -> bytes:
        try:
            chunk = self._engine.decompress(self._input, CHUNK_BYTES)
        except zlib.error as error:
            raise CaptureError(f"damaged gzip data: {error}", self._offset) from None
        self._in_member = True
        self._input = self._engine.unconsumed_tail
        return chunk


class ZstdStream:
    """Uncompresses Zstandard frames with the optional package `zstandard`."""

    def __init__(self, stream: Readable) -> None:
        try:
            package: Any = importlib.import_module("zstandard")
        except ImportError:
            raise CaptureError("compressed with Zstandard: install the package zstandard", 0) from None
        self._error: type[Exception] = package.ZstdError
        self._reader: Any = package.ZstdDecompressor().stream_reader(stream, read_across_frames=True)
        self._offset = 0

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, empty at the end; raises CaptureError on damaged data."""
        try:
            data = bytes(self._reader.read(size))
        except self._error as error:
            raise CaptureError(f"damaged Zstandard data: {error}", self._offset) from None
        self._offset += len(data)
        return data


class CountedStream:
    """Passes a stream through and counts what was taken from it, for progress on compressed files."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._ahead = b""
        self.taken = 0

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, empty at the end."""
        if self._ahead:
            data, self._ahead = self._ahead[:size], self._ahead[size:]
        else:
            data = self._stream.read(size)
        self.taken += len(data)
        return data

    def peek(self, size: int) -> bytes:
        """The next `size` bytes (fewer at the end), still untaken."""
        while len(self._ahead) < size:
            part = self._stream.read(size - len(self._ahead))
            if not part:
                break
            self._ahead += part
        return self._ahead[:size]

    def size(self) -> int | None:
        """The whole size in bytes, where the stream can tell."""
        try:
            return os.fstat(self._stream.fileno()).st_size
        except (OSError, AttributeError):
            return None


def uncompressed(stream: CountedStream) -> tuple[Readable, str]:
    """What a stream holds, and how it is compressed: "gzip", "zstd", or ""."""
    start = stream.peek(4)
    if start[:2] == _GZIP:
        return GunzipStream(stream), "gzip"
    if start == _ZSTD:
        return ZstdStream(stream), "zstd"
    return stream, ""
