"""Capture files as links: frames replayed from a file into a port, and traffic recorded into one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from vnic.link.port import Port
from vnic.wire.capture import CapturedFrame, CaptureError
from vnic.wire.pcapng import (
    LINKTYPE_ETHERNET,
    Direction,
    Interface,
    InterfaceStatistics,
    PacketOptions,
    PcapngWriter,
    Section,
    Verdict,
)
from vnic.wire.pcapng_writer import DEFAULT_SNAPLEN


class Replay:
    """Delivers a capture's frames to a port in file order; driven like any link, with virtual time.

    `speed` scales the recorded times (2: twice as fast), None gives each frame as soon as it is asked for,
    and `gap_ns` spaces the frames evenly instead. A time that goes back counts as the one before. A capture
    that ends in an error raises its CaptureError from the `advance` after its last good frame.
    """

    def __init__(
        self,
        frames: Iterable[CapturedFrame],
        port: Port,
        *,
        speed: float | Fraction | None = 1,
        gap_ns: int | None = None,
        start_ns: int = 0,
        deliver_cut: bool = True,
    ) -> None:
        if speed is not None and speed <= 0:
            raise ValueError(f"speed {speed} is not above 0")
        self._frames: Iterator[CapturedFrame] = iter(frames)
        self._port = port
        self._speed = None if speed is None else Fraction(speed)
        self._gap_ns = gap_ns
        self._deliver_cut = deliver_cut
        self._first_ns: int | None = None
        self._due_ns = self._start_ns = start_ns
        self.delivered = 0
        self.delivered_bytes = 0
        self.cut = 0
        self.error: CaptureError | None = None
        self._next = self._pull()

    @property
    def is_finished(self) -> bool:
        """Whether every frame was delivered and no error is left to raise."""
        return self._next is None and self.error is None

    def next_deadline_ns(self) -> int | None:
        """When the next frame (or the capture's error) is due; None at the end."""
        return None if self.is_finished else self._due_ns

    def advance(self, now_ns: int, max_frames: int | None = None) -> int:
        """Deliver what is due by `now_ns`, at most `max_frames`; returns how many."""
        count = 0
        while self._next is not None and self._due_ns <= now_ns and count != max_frames:
            frame, due_ns = self._next, self._due_ns
            self._next = self._pull()
            self.delivered += 1
            self.delivered_bytes += len(frame.data)
            self._port.deliver(frame.data, now_ns if self._speed is None else due_ns)
            count += 1
        if self._next is None and self.error is not None and not count:
            error, self.error = self.error, None
            raise error
        return count

    def _pull(self) -> CapturedFrame | None:
        """The next frame to deliver, its due time set; keeps the capture's error for later."""
        while True:
            try:
                frame = next(self._frames, None)
            except CaptureError as error:
                self.error = error
                return None
            if frame is None:
                return None
            if frame.is_cut:
                self.cut += 1
                if not self._deliver_cut:
                    continue
            self._due_ns = max(self._due_ns, self._due(frame))
            return frame

    def _due(self, frame: CapturedFrame) -> int:
        is_first = self._first_ns is None
        if self._first_ns is None:
            self._first_ns = frame.time_ns
        if self._gap_ns is not None:
            return self._due_ns + (0 if is_first else self._gap_ns)
        if self._speed is None:
            return self._due_ns
        return self._start_ns + int((frame.time_ns - self._first_ns) / self._speed)


class CaptureWriter:
    """Records frames of one or more ports to pcapng with nanosecond times, direction, RSS hash and queue.

    `target` is a path (opened here and closed by `close`) or a binary stream (left open). Times are virtual
    ns after `epoch_ns`. A frame longer than `snaplen` is cut, its length on the wire kept.
    """

    def __init__(
        self,
        target: str | os.PathLike[str] | BinaryIO,
        *,
        ports: Iterable[str] = ("port0",),
        section: Section | None = None,
        snaplen: int = DEFAULT_SNAPLEN,
        epoch_ns: int = 0,
    ) -> None:
        self._owned = isinstance(target, str | os.PathLike)
        self._stream: BinaryIO = (
            Path(target).open("wb")  # noqa: SIM115 (closed by close)
            if isinstance(target, str | os.PathLike)
            else target
        )
        self.writer = PcapngWriter(self._stream, section)
        self._snaplen = snaplen
        self._epoch_ns = epoch_ns
        self.recorded: list[int] = []
        for name in ports:
            self.add_port(name)

    def add_port(self, name: str) -> int:
        """Describe one more Ethernet interface; returns its index."""
        self.recorded.append(0)
        return self.writer.add_interface(
            Interface(linktype=LINKTYPE_ETHERNET, snaplen=self._snaplen, tsresol=9, name=name)
        )

    def record(
        self,
        frame: bytes,
        now_ns: int,
        *,
        direction: Direction = Direction.UNKNOWN,
        port: int = 0,
        toeplitz: int | None = None,
        queue: int | None = None,
        dropcount: int | None = None,
        packetid: int | None = None,
        verdict: Verdict | None = None,
        comment: str | None = None,
        orig_len: int | None = None,
    ) -> None:
        """Write one frame; `toeplitz` becomes epb_hash, `queue` epb_queue, and so on."""
        options = PacketOptions(
            flags=int(direction) or None,
            toeplitz=toeplitz,
            queue=queue,
            dropcount=dropcount,
            packetid=packetid,
            comments=() if comment is None else (comment,),
            verdicts=() if verdict is None else (verdict,),
        )
        length = len(frame) if orig_len is None else orig_len
        data = frame[: self._snaplen] if self._snaplen else frame
        self.writer.packet(port, self._epoch_ns + now_ns, data, length, options)
        self.recorded[port] += 1

    def statistics(
        self, now_ns: int, *, port: int = 0, received: int | None = None, dropped: int | None = None
    ) -> None:
        """Write an Interface Statistics Block with what the card received and dropped on a port."""
        block = InterfaceStatistics(
            interface=self.writer.interfaces[port],
            time_ns=self._epoch_ns + now_ns,
            received=received,
            dropped=dropped,
        )
        self.writer.statistics(block, port)

    def close(self) -> None:
        """Flush, and close the file if it was opened here."""
        self._stream.flush()
        if self._owned:
            self._stream.close()

    def __enter__(self) -> CaptureWriter:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()


class RecordedPort:
    """Stands before a port and records what is delivered to it, as inbound frames of that port."""

    def __init__(
        self, port: Port, writer: CaptureWriter, interface: int = 0, direction: Direction = Direction.INBOUND
    ) -> None:
        self._port = port
        self._writer = writer
        self._interface = interface
        self._direction = direction

    def deliver(self, frame: bytes, now_ns: int) -> None:
        """Record, then pass on."""
        self._writer.record(frame, now_ns, direction=self._direction, port=self._interface)
        self._port.deliver(frame, now_ns)
