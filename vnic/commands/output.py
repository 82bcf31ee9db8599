"""Where fetched bytes go: standard output, or a file that takes its name when it is whole."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from vnic.errors import ArgumentError


class Output:
    """Standard output for None. What is no regular file (a pipe, a device) is written to as it is.

    ArgumentError when it cannot be opened, or takes no more.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._part: Path | None = None
        try:
            self._stream = self._open()
        except OSError as error:
            raise ArgumentError(f"{path}: {error.strerror}") from None

    def _open(self) -> BinaryIO:
        path = self._path
        if path is None:
            return sys.stdout.buffer
        if path.exists() and not stat.S_ISREG(path.stat().st_mode):
            return path.open("wb")
        self._part = path.with_name(f"{path.name}.part")
        return self._part.open("wb")

    def write(self, data: memoryview) -> None:
        """Some more bytes; BrokenPipeError when nobody reads on."""
        try:
            self._stream.write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise ArgumentError(f"{self._path or 'standard output'}: {error.strerror}") from None

    def __enter__(self) -> Output:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._path is None:
            self._stream.flush()
            return
        self._stream.close()
        if self._part is not None:
            if kind is None:
                os.replace(self._part, self._path)
            else:
                self._part.unlink(missing_ok=True)
