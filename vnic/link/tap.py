"""A TAP interface of the Linux kernel: frames out of its stack into a port, and a port's frames into it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, fields
from types import TracebackType
from typing import Final

from vnic.link.netns import Namespace, entered, open_netns
from vnic.link.port import Port
from vnic.link.vnet import HEADER_BYTES, HEADER_BYTES_MERGEABLE, VnetError, VnetHeader, segment_gso

_DEVICE: Final = "/dev/net/tun"

# include/uapi/linux/if_tun.h
_TUNSETIFF: Final = 0x400454CA
_TUNSETOFFLOAD: Final = 0x400454D0
_TUNSETVNETHDRSZ: Final = 0x400454D8
_TUNSETVNETLE: Final = 0x400454DC
_IFF_TAP: Final = 0x0002
_IFF_NO_PI: Final = 0x1000
_IFF_VNET_HDR: Final = 0x4000
_TUN_F_CSUM: Final = 0x01
_TUN_F_TSO4: Final = 0x02
_TUN_F_TSO6: Final = 0x04
_TUN_F_TSO_ECN: Final = 0x08

_READ_BYTES: Final = 1 << 17
FRAME_BYTES_MAX: Final = 65_536 + 18  # an IP packet of any length behind a tagged Ethernet header
_FRAME_BYTES_MIN: Final = 14


class TapError(OSError):
    """A TAP cannot be opened or was taken away."""


class TapNotFound(TapError):
    """No such TAP, or no TAP driver."""


class TapForbidden(TapError):
    """The rights are missing: CAP_NET_ADMIN."""


class TapBusy(TapError):
    """Another process holds the TAP."""


@dataclass(slots=True)
class TapStatistics:
    """Counts of a TAP: `received` is out of the kernel (after segmentation), `sent` into it."""

    received: int = 0
    received_bytes: int = 0
    sent: int = 0
    sent_bytes: int = 0
    large_sends: int = 0
    checksums_completed: int = 0
    malformed: int = 0
    size_dropped: int = 0
    down_dropped: int = 0
    queue_dropped: int = 0
    refused: int = 0

    def as_dict(self) -> dict[str, int]:
        """All counts by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


class Tap:
    """One TAP queue, non-blocking, in this or another network namespace; a Port towards the kernel.

    With `vnet_hdr` each frame travels behind a virtio_net_hdr of `header_bytes` (10 or 12). With `offloads`
    too, the kernel leaves checksums and segmentation to this side: what `read` gives is complete all the
    same. Raises TapNotFound, TapForbidden, TapBusy, TapError, and NetnsError for a wrong namespace.
    """

    def __init__(
        self,
        name: str = "vnic%d",
        *,
        vnet_hdr: bool = False,
        offloads: bool = False,
        header_bytes: int = HEADER_BYTES_MERGEABLE,
        netns: Namespace | str | os.PathLike[str] | int | None = None,
        create: bool = True,
    ) -> None:
        """`name` may hold %d for the kernel to number; `create` False demands that the TAP exists."""
        if offloads and not vnet_hdr:
            raise ValueError("offloads travel in the virtio_net_hdr: they need vnet_hdr")
        if header_bytes not in (HEADER_BYTES, HEADER_BYTES_MERGEABLE):
            raise ValueError(f"a virtio_net_hdr is 10 or 12 bytes, not {header_bytes}")
        if not 0 < len(name.encode()) < 16:
            raise ValueError(f"interface name {name!r} is not 1 to 15 bytes long")
        self.header_bytes = header_bytes if vnet_hdr else 0
        self.statistics = TapStatistics()
        self._ready: deque[bytes] = deque()
        self._buffer = bytearray(_READ_BYTES)
        with _inside(netns):
            self._fd, self.name = _attach(name, vnet_hdr=vnet_hdr, create=create)
        try:
            if vnet_hdr:
                self._set_up_headers(offloads)
        except OSError as error:
            self.close()
            raise TapError(error.errno, f"the TAP driver refuses virtio_net_hdr: {error.strerror}") from None

    def fileno(self) -> int:
        """The descriptor, for select and poll; -1 once closed."""
        return self._fd

    def read(self) -> bytes | None:
        """The next complete frame out of the kernel, None when there is none; raises TapError when gone."""
        while not self._ready:
            data = self._read_once()
            if data is None:
                return None
            self._unpack(data)
        frame = self._ready.popleft()
        self.statistics.received += 1
        self.statistics.received_bytes += len(frame)
        return frame

    def write(self, frame: bytes, header: VnetHeader | None = None) -> bool:
        """Hand a frame to the kernel; False, with a count of the reason, when it was not taken.

        `header` marks it (DATA_VALID, NEEDS_CSUM, GSO) on a TAP with vnet_hdr, else ValueError. Raises
        TapError when the TAP is gone.
        """
        if header is not None and not self.header_bytes:
            raise ValueError("a header needs a TAP with vnet_hdr")
        if not _FRAME_BYTES_MIN <= len(frame) <= FRAME_BYTES_MAX:
            self.statistics.size_dropped += 1
            return False
        data = frame
        if self.header_bytes:
            data = (header or VnetHeader()).build(self.header_bytes) + frame
        try:
            os.write(self._fd, data)
        except OSError as error:
            self._count_refusal(error)
            return False
        self.statistics.sent += 1
        self.statistics.sent_bytes += len(frame)
        return True

    def deliver(self, frame: bytes, now_ns: int) -> None:
        """Port: a frame that the card sent goes to the kernel, which checks its checksums itself."""
        self.write(frame)

    def pump(self, port: Port, now_ns: int, max_frames: int = 64) -> int:
        """Deliver up to `max_frames` waiting frames of the kernel to a port; returns how many."""
        count = 0
        while count < max_frames and (frame := self.read()) is not None:
            port.deliver(frame, now_ns)
            count += 1
        return count

    def close(self) -> None:
        """Close; a TAP that this object made disappears. Safe to call twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Tap:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _set_up_headers(self, offloads: bool) -> None:
        fcntl.ioctl(self._fd, _TUNSETVNETHDRSZ, struct.pack("i", self.header_bytes))
        fcntl.ioctl(self._fd, _TUNSETVNETLE, struct.pack("i", 1))
        wanted = _TUN_F_CSUM | _TUN_F_TSO4 | _TUN_F_TSO6 | _TUN_F_TSO_ECN if offloads else 0
        fcntl.ioctl(self._fd, _TUNSETOFFLOAD, wanted)

    def _read_once(self) -> bytes | None:
        try:
            size = os.readv(self._fd, [self._buffer])
        except OSError as error:
            # EIO and EFAULT: the interface is down, or went down during the read.
            if error.errno in (errno.EAGAIN, errno.EINTR, errno.EIO, errno.EFAULT):
                return None
            raise TapError(error.errno, f"TAP {self.name} is gone: {error.strerror}") from None
        return bytes(memoryview(self._buffer)[:size])

    def _unpack(self, data: bytes) -> None:
        """Put what one read gave into `_ready`: one frame, or the segments of a large send."""
        if not self.header_bytes:
            self._ready.append(data)
            return
        try:
            header = VnetHeader.parse(data, self.header_bytes)
            frames = segment_gso(data[self.header_bytes :], header)
        except VnetError:
            self.statistics.malformed += 1
            return
        self.statistics.large_sends += header.gso_type != 0
        self.statistics.checksums_completed += header.flags & 1
        self._ready.extend(frames)

    def _count_refusal(self, error: OSError) -> None:
        counts = self.statistics
        if error.errno == errno.EIO:
            counts.down_dropped += 1
        elif error.errno in (errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM):
            counts.queue_dropped += 1
        elif error.errno in (errno.EINVAL, errno.EMSGSIZE):
            counts.refused += 1  # a header that contradicts its frame
        else:
            raise TapError(error.errno, f"TAP {self.name} is gone: {error.strerror}") from None


@contextlib.contextmanager
def _inside(netns: Namespace | str | os.PathLike[str] | int | None) -> Iterator[None]:
    if netns is None:
        yield
    elif isinstance(netns, Namespace):
        with netns.entered():
            yield
    else:
        fd = open_netns(netns)
        try:
            with entered(fd):
                yield
        finally:
            os.close(fd)


def _attach(name: str, *, vnet_hdr: bool, create: bool) -> tuple[int, str]:
    """Open the TAP driver and attach to an interface of the current namespace; returns its final name."""
    if not create:
        _demand_exists(name)
    try:
        fd = os.open(_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            raise TapForbidden(error.errno, f"no rights to open {_DEVICE}") from None
        raise TapNotFound(error.errno, f"no TAP driver: {_DEVICE}: {error.strerror}") from None
    mode = _IFF_TAP | _IFF_NO_PI | (_IFF_VNET_HDR if vnet_hdr else 0)
    try:
        answer = fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), mode))
    except OSError as error:
        os.close(fd)
        raise _attach_error(name, error) from None
    return fd, answer[:16].split(b"\0")[0].decode()


def _demand_exists(name: str) -> None:
    try:
        socket.if_nametoindex(name)
    except OSError:
        raise TapNotFound(errno.ENODEV, f"no such TAP: {name}") from None


def _attach_error(name: str, error: OSError) -> TapError:
    if error.errno in (errno.EPERM, errno.EACCES):
        return TapForbidden(error.errno, f"no rights to TAP {name}: needs CAP_NET_ADMIN")
    if error.errno == errno.EBUSY:
        return TapBusy(error.errno, f"TAP {name} is in use")
    if error.errno == errno.EINVAL:
        return TapError(error.errno, f"{name} is no TAP, was made with other flags, or is no interface name")
    return TapError(error.errno, f"TAP {name}: {error.strerror}")
