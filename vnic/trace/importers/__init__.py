"""Traces that others wrote, as vnic-trace/1: Linux mmiotrace, QEMU logs, qtest, packet captures."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

from vnic.trace.event import TraceEvent
from vnic.trace.header import TraceError, TraceHeader
from vnic.trace.importers.lines import lines_of
from vnic.wire.capture import may_become_capture
from vnic.wire.capture_source import ByteSource, CaptureError, CountedStream, uncompressed

#: Format, module, what it is.
FORMATS: Final = (
    ("mmiotrace", "vnic.trace.importers.mmiotrace", "Linux mmiotrace, text, version 20070824"),
    ("qemu", "vnic.trace.importers.qemu_log", "QEMU's log of -trace events: memory regions, PCI, vfio"),
    ("qtest", "vnic.trace.importers.qtest", "a qtest script, or the log of -qtest-log"),
    ("capture", "vnic.trace.importers.capture", "pcap or pcapng: frames that arrive"),
)
_LOOKED_AT: Final = 1000
#: A line that only one of the formats has.
_SIGNS: Final = (
    ("mmiotrace", re.compile(r"VERSION [0-9]{8}\s*$")),
    (
        "qtest",
        re.compile(
            r"\[[IRS] \+?[0-9]+\.[0-9]{6}\] |(?:read|write)[bwlq]? (?:0x)?[0-9a-fA-F]+(?: |$)"
            r"|(?:in|out)[bwl] |clock_(?:step|set)|memset |b64(?:read|write) |irq_intercept_"
        ),
    ),
    (
        "qemu",
        re.compile(
            r"(?:[0-9]+@[0-9]+\.[0-9]+:|[0-9]{4}-[0-9-]{5}T\S+ )?"
            r"(?:memory_region_|pci_|vfio_|msix?_|[a-z0-9]+_[a-z0-9_]+ )"
        ),
    ),
)


class Imported(Protocol):
    """A file that was opened: header and events, and after the last one what became of the rest.

    notes: what was left out, or is not in such a file; complaints: what is lost.
    """

    header: TraceHeader
    notes: list[str]
    complaints: list[str]

    def __iter__(self) -> Iterator[TraceEvent]: ...


def open_import(path: str | os.PathLike[str], form: str, device: str | None = None) -> Imported:
    """Open a file of a format; `device` names one where the file has several. TraceError, OSError."""
    module = importlib.import_module({name: place for name, place, _ in FORMATS}[form])
    imported: Imported = module.open_file(path, device)
    return imported


def guess(path: str | os.PathLike[str]) -> str:
    """The format of a file by its first octets or lines; TraceError, OSError."""
    if _is_capture(path):
        return "capture"
    for _, line in islice(lines_of(path), _LOOKED_AT):
        for form, sign in _SIGNS:
            if sign.match(line):
                return form
    known = ", ".join(name for name, _, _ in FORMATS)
    raise TraceError(f"{os.fspath(path)}: of no format that is known ({known})")


def _is_capture(path: str | os.PathLike[str]) -> bool:
    with Path(path).open("rb") as file:
        try:
            start = ByteSource(uncompressed(CountedStream(file))[0]).peek(4)
        except CaptureError as error:
            raise TraceError(f"{os.fspath(path)}: {error}") from error
    return len(start) == 4 and may_become_capture(start)
