"""A file copied through the engine, piece by piece, to a name that it takes when it is whole and right."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

from vnic.commands.dma_copies import Copies
from vnic.errors import ArgumentError

_DIGEST_BYTES = 16


def copy_file(copies: Copies, source: Path, destination: Path) -> bool:
    """Copy; whether what is on the file system then is what was read. ArgumentError: it cannot be done.

    The destination keeps what it had until the new content is there, whole and compared.
    """
    try:
        with _opened(source) as reading:
            target = _target(reading, source, destination)
            return _copy(copies, reading, target)
    except OSError as error:
        raise ArgumentError(f"{error.filename or destination}: {error.strerror}") from None
    except ValueError as error:  # a name with NUL in it
        raise ArgumentError(f"{source} to {destination}: {error}") from None


@contextmanager
def _opened(source: Path) -> Iterator[BinaryIO]:
    """The source, once it is known to be a file: opening a pipe would wait."""
    if not stat.S_ISREG(source.stat().st_mode):
        raise ArgumentError(f"{source}: not a regular file")
    with source.open("rb") as reading:
        yield reading


def _target(reading: BinaryIO, source: Path, destination: Path) -> Path:
    """Where the destination is, links followed; nothing but a file is replaced, and not the source."""
    target = Path(os.path.realpath(destination))
    if target.exists():
        if target.is_dir():
            raise ArgumentError(f"{destination}: is a directory")
        if not target.is_file():
            raise ArgumentError(f"{destination}: not a regular file")
        if os.path.samestat(os.fstat(reading.fileno()), target.stat()):
            raise ArgumentError(f"{source} and {destination} are the same file")
    if not target.parent.is_dir():
        raise ArgumentError(f"{destination}: no such directory")
    return target


def _copy(copies: Copies, reading: BinaryIO, target: Path) -> bool:
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", suffix=".part", dir=target.parent)
    part = Path(name)
    try:
        with os.fdopen(descriptor, "w+b") as writing:
            read = _pass(copies, reading, writing)
            written = _digest(writing)
        if read != written:
            copies.tally.wrong = f"read {read}, but {written} was written"
            return False
        copies.tally.digest = read
        part.chmod(stat.S_IMODE(os.fstat(reading.fileno()).st_mode) & ~_umask())
        part.replace(target)
        return True
    finally:
        part.unlink(missing_ok=True)


def _pass(copies: Copies, reading: BinaryIO, writing: BinaryIO) -> str:
    """Every piece through the engine; the digest of what was read."""
    digest = blake2b(digest_size=_DIGEST_BYTES)
    source, destination = copies.take_room(os.fstat(reading.fileno()).st_size)
    while filled := reading.readinto(source):  # type: ignore[attr-defined]
        digest.update(source[:filled])
        copies.copy(filled)
        writing.write(destination[:filled])
    writing.flush()
    return digest.hexdigest()


def _digest(written: BinaryIO) -> str:
    written.seek(0)
    digest = blake2b(digest_size=_DIGEST_BYTES)
    while part := written.read(1 << 20):
        digest.update(part)
    return digest.hexdigest()


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
