"""A trace as a test file that stands on its own: the trace is in it when it is small, or beside it."""

from __future__ import annotations

import base64
import gzip
import io
import os
import re
import textwrap
from pathlib import Path
from typing import Final

from vnic.trace.file import create_stream, open_octets

#: Bytes of a compressed trace that go into the test file.
INLINE_BYTES: Final = 65_536
_COLUMNS: Final = 100
_CHUNK: Final = 1 << 20

_INLINE: Final = '''"""{title}; replayed strictly."""

from __future__ import annotations

import base64
import gzip
import io

from vnic.trace.regression import assert_replays

# `python {name}` writes the trace to a file, for `vnic trace dump`.
TRACE = """\\
{octets}
"""


def test_{function}() -> None:
    assert_replays(io.BytesIO(gzip.decompress(base64.b64decode(TRACE))))


if __name__ == "__main__":
    with open("{stem}.pcapng", "wb") as file:
        file.write(gzip.decompress(base64.b64decode(TRACE)))
'''

_BESIDE: Final = '''"""{title}; replayed strictly."""

from __future__ import annotations

from pathlib import Path

from vnic.trace.regression import assert_replays


def test_{function}() -> None:
    assert_replays(Path(__file__).with_name("{trace}"))
'''


def export_pytest(
    source: str | os.PathLike[str], target: str | os.PathLike[str], title: str = "A recorded run"
) -> Path | None:
    """Write `target`, a Python file for pytest; which file was written beside it for the trace, if any.

    The same trace gives the same bytes. TraceError for what is no trace; OSError.
    """
    path = Path(target)
    function = re.sub(r"\W+", "_", path.stem.removeprefix("test_"), flags=re.ASCII).strip("_") or "trace"
    packed = _packed(source)
    words = {
        "title": _harmless(title),
        "function": function,
        "name": _harmless(path.name),
        "stem": function,
    }
    if packed is not None:
        octets = "\n".join(textwrap.wrap(base64.b64encode(packed).decode(), _COLUMNS))
        path.write_text(_INLINE.format(octets=octets, **words))
        return None
    beside = path.with_name(f"{function}.pcapng.gz")
    _copy(source, beside)
    path.write_text(_BESIDE.format(trace=beside.name, **words))
    return beside


def _harmless(text: str) -> str:
    """Text that ends neither a comment nor a string."""
    return re.sub(r"[^ -\[\]-~]|\"", "?", text)


def _packed(source: str | os.PathLike[str]) -> bytes | None:
    """The trace compressed, always the same bytes; None when it is too large to be inlined."""
    file, stream, _ = open_octets(source)
    stop = INLINE_BYTES
    octets = io.BytesIO()
    try:
        with gzip.GzipFile("", "wb", 9, octets, 0) as packed:
            while part := stream.read(_CHUNK):
                packed.write(part)
                if octets.tell() >= stop:
                    return None
    finally:
        if file is not None:
            file.close()
    return octets.getvalue() if octets.tell() < stop else None


def _copy(source: str | os.PathLike[str], target: Path) -> None:
    if target.exists() and target.samefile(source):
        return
    file, stream, _ = open_octets(source)
    out = create_stream(target)
    try:
        while part := stream.read(_CHUNK):
            out.write(part)
    finally:
        out.close()
        if file is not None:
            file.close()
