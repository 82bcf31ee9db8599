"""pcap and pcapng: the frames of a capture arrive at a function."""

from __future__ import annotations

import os
from collections.abc import Iterator

from vnic.abi import EventType
from vnic.trace.event import TraceEvent
from vnic.trace.header import FunctionHeader, TraceError, TraceHeader
from vnic.wire.capture import CapturedFrame, TruncatedCapture, open_capture
from vnic.wire.capture_source import CaptureError


class CaptureImport:
    """Every frame of a capture, in its order, whichever way it went; times are from the first frame on.

    Frames of other links than Ethernet are an error: a card cannot receive them.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path
        self.notes: list[str] = []
        self.complaints: list[str] = []
        self.header = TraceHeader((FunctionHeader(0, "foreign"),))

    def __iter__(self) -> Iterator[TraceEvent]:
        """FRAME_IN events."""
        self.complaints.clear()
        start: int | None = None
        cut = 0
        for number, frame in enumerate(self._frames()):
            start = frame.time_ns if start is None else start
            cut += frame.is_cut
            time_ns = max(frame.time_ns - start, 0)
            yield TraceEvent(number, EventType.FRAME_IN, time_ns, data=frame.data, length=len(frame.data))
        if cut:
            self.complaints.append(f"{cut:,} frames were cut by the capture: their ends are missing")

    def _frames(self) -> Iterator[CapturedFrame]:
        try:
            with open_capture(os.fspath(self._path)) as capture:
                yield from capture
        except TruncatedCapture as error:
            self.complaints.append(f"the capture ends within a record: {error}")
        except CaptureError as error:
            raise TraceError(f"no capture: {error}") from error


def open_file(path: str | os.PathLike[str], device: str | None = None) -> CaptureImport:
    """Open one; there is no device to choose."""
    return CaptureImport(path)
