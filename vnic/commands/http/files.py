"""The files below one directory, found by the path of a request: nothing outside can be reached."""

from __future__ import annotations

import contextlib
import errno
import html
import mimetypes
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from urllib.parse import quote_from_bytes

from vnic.commands.http.request import HttpError

_INDEX = b"index.html"
_LISTING_MAX = 10_000
_NOT_THERE = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENXIO)


@dataclass(slots=True)
class Content:
    """What is sent: an open file (`fd`), or bytes made here; size in bytes."""

    size: int
    kind: str
    fd: int = -1
    data: bytes = b""
    #: Of a file, ns.
    modified_ns: int | None = None

    @property
    def etag(self) -> str | None:
        """A strong validator; None for what is made here."""
        return None if self.modified_ns is None else f'"{self.modified_ns:x}-{self.size:x}"'

    @property
    def last_modified(self) -> str | None:
        """The date as HTTP has it, whole seconds."""
        if self.modified_ns is None:
            return None
        return formatdate(self.modified_ns // 10**9, usegmt=True)

    def read(self, offset: int, count: int) -> bytes:
        """Bytes at an offset; fewer when the file has become shorter."""
        if self.fd < 0:
            return self.data[offset : offset + count]
        return os.pread(self.fd, count, offset)

    def close(self) -> None:
        """Close the file; idempotent."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Content:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Files:
    """A directory. Links are followed as far as they stay inside of it."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        """NotADirectoryError and its like when it cannot be served."""
        self._root = os.fsencode(Path(directory).resolve(strict=True))
        with os.scandir(self._root):
            pass

    def open(self, path: bytes) -> Content:
        """The file, index or listing at a decoded path. HttpError: 301, 400, 403, 404."""
        where = self._locate(path)
        try:
            fd = os.open(where, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError as error:
            raise _open_error(error) from None
        try:
            return self._describe(fd, path)
        except BaseException:
            os.close(fd)
            raise

    def _locate(self, path: bytes) -> bytes:
        if not path.startswith(b"/") or b"\0" in path:
            raise HttpError(HTTPStatus.BAD_REQUEST, "no path")
        parts = [part for part in path.split(b"/") if part not in (b"", b".")]
        if b".." in parts:
            raise HttpError(HTTPStatus.FORBIDDEN, "outside of what is served")
        return b"/".join([self._root, *parts])

    def _describe(self, fd: int, path: bytes) -> Content:
        """What was opened is asked where it is: a link that leads out is seen, and no race can hide it."""
        real = os.readlink(b"/proc/self/fd/%d" % fd)
        if real != self._root and not real.startswith(self._root.rstrip(b"/") + b"/"):
            raise HttpError(HTTPStatus.FORBIDDEN, "outside of what is served")
        found = os.fstat(fd)
        if stat.S_ISDIR(found.st_mode):
            content = self._directory(path, real)
            os.close(fd)
            return content
        if not stat.S_ISREG(found.st_mode):
            raise HttpError(HTTPStatus.FORBIDDEN, "not a regular file")
        if path.endswith(b"/"):
            raise HttpError(HTTPStatus.NOT_FOUND, "not a directory")
        return Content(found.st_size, _kind_of(real), fd, modified_ns=found.st_mtime_ns)

    def _directory(self, path: bytes, real: bytes) -> Content:
        if not path.endswith(b"/"):
            # Never //: that would name another host.
            target = quote_from_bytes(b"/" + path.strip(b"/") + b"/")
            raise HttpError(
                HTTPStatus.MOVED_PERMANENTLY, "a directory ends in a slash", fields=(("Location", target),)
            )
        if os.path.lexists(os.path.join(real, _INDEX)):
            return self.open(path + _INDEX)
        return self._list(path, real)

    def _list(self, path: bytes, real: bytes) -> Content:
        try:
            with os.scandir(real) as entries:
                names = sorted(self._names(entries))
        except OSError as error:
            raise _open_error(error) from None
        title = html.escape("/" + path.strip(b"/").decode("utf-8", "replace"))
        rows = [
            f'<li><a href="{quote_from_bytes(b"./" + name)}">{_text(name)}</a></li>\n'
            for name in names[:_LISTING_MAX]
        ]
        page = (
            f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>\n'
            f"<body><h1>{title}</h1>\n<ul>\n{''.join(rows)}</ul></body></html>\n"
        )
        data = page.encode()
        return Content(len(data), "text/html; charset=utf-8", data=data)

    def _names(self, entries: Iterator[os.DirEntry[bytes]]) -> Iterator[bytes]:
        """What can be fetched; a link that leads out cannot."""
        root = self._root.rstrip(b"/") + b"/"
        for entry in entries:
            if entry.is_symlink() and not (os.path.realpath(entry.path) + b"/").startswith(root):
                continue
            with contextlib.suppress(OSError):  # a link that leads nowhere
                yield entry.name + b"/" if stat.S_ISDIR(entry.stat().st_mode) else entry.name


def _text(name: bytes) -> str:
    return html.escape(name.decode("utf-8", "replace"))


def _kind_of(path: bytes) -> str:
    kind, encoding = mimetypes.guess_type(os.fsdecode(path))
    return "application/octet-stream" if kind is None or encoding else kind


def _open_error(error: OSError) -> HttpError:
    if isinstance(error, PermissionError):
        return HttpError(HTTPStatus.FORBIDDEN, "no rights to it")
    if isinstance(error, FileNotFoundError | NotADirectoryError) or error.errno in _NOT_THERE:
        return HttpError(HTTPStatus.NOT_FOUND, "not found")
    return HttpError(HTTPStatus.FORBIDDEN, "cannot be opened")
