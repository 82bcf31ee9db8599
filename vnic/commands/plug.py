"""A host of ours plugged into a TAP of the kernel, in real time: what `vnic serve` and `vnic get` share."""

from __future__ import annotations

import argparse
import errno
import fcntl
import hashlib
import secrets
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType, TracebackType

from vnic.commands.conflict import find_conflict
from vnic.commands.table import Table
from vnic.errors import ArgumentError, VnicError
from vnic.host.pump import Pump
from vnic.link.capture import CaptureWriter
from vnic.link.netns import NetnsError
from vnic.link.tap import Tap, TapError
from vnic.stack.address import AddressOnLink, address_of, address_on_link
from vnic.testbench.host import FAST, Host
from vnic.wire.pcapng import Direction

DEFAULT_ADDRESS = "10.0.0.1/24"
_ETHERNET = 14
_MTU = range(576, 9601)
_BUFFER_BYTES = 1 << 20
_MEMORY_BYTES = 64 << 20
_FRAMES_A_TICK = 256
_FAREWELL_S = 0.05
# include/uapi/linux/sockios.h, if.h
_SIOCGIFFLAGS, _SIOCGIFMTU = 0x8913, 0x8921
_IFF_UP = 1


class PlugError(VnicError):
    """The link cannot be used: what is wrong with it, in a line."""


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments that say where the host is."""
    parser.add_argument("--tap", required=True, metavar="NAME", help="TAP of the kernel; it must exist")
    parser.add_argument(
        "--address",
        action="append",
        type=_address,
        metavar="ADDRESS/LENGTH",
        help=f"address of our host, IPv4 or IPv6; may be repeated ({DEFAULT_ADDRESS})",
    )
    parser.add_argument(
        "--gateway", action="append", type=_gateway, default=[], metavar="ADDRESS", help="default router"
    )
    parser.add_argument("--pcap", type=Path, metavar="FILE", help="keep every frame on the TAP, as pcapng")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def _address(text: str) -> AddressOnLink:
    try:
        found = address_on_link(text)
    except ArgumentError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if "/" not in text:
        raise argparse.ArgumentTypeError(f"{text} has no prefix length: say {text}/24")
    if found.ip.is_multicast or found.ip.is_unspecified or found.ip.is_loopback:
        raise argparse.ArgumentTypeError(f"{found.ip} cannot be a host's address")
    return found


def _gateway(text: str) -> str:
    try:
        return str(address_of(text))
    except ArgumentError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


class Cable:
    """Between the card and the TAP: hands frames over both ways, and keeps them when asked to."""

    def __init__(self, tap: Tap, writer: CaptureWriter | None, path: Path | None) -> None:
        self._tap = tap
        self._writer = writer
        self._path = path
        self.deliver_to_card: Callable[[bytes, int], None] = lambda frame, now_ns: None

    def transmit(self, frame: bytes, now_ns: int) -> None:
        """The card's link."""
        if self._writer is not None:
            self._record(self._writer, frame, now_ns, Direction.OUTBOUND)
        self._tap.write(frame)

    def deliver(self, frame: bytes, now_ns: int) -> None:
        """The TAP's port."""
        if self._writer is not None:
            self._record(self._writer, frame, now_ns, Direction.INBOUND)
        self.deliver_to_card(frame, now_ns)

    def _record(self, writer: CaptureWriter, frame: bytes, now_ns: int, direction: Direction) -> None:
        try:
            writer.record(frame, now_ns, direction=direction)
        except OSError as error:
            self._writer = None
            raise PlugError(f"{self._path}: {error.strerror}") from None


class Plug:
    """Host, cable, TAP and pump; ends them in order. Raises PlugError."""

    def __init__(
        self,
        options: argparse.Namespace,
        *,
        send_buffer: int = _BUFFER_BYTES,
        receive_buffer: int = _BUFFER_BYTES,
    ) -> None:
        self._buffers = {"send_buffer": send_buffer, "receive_buffer": receive_buffer}
        self.addresses: list[AddressOnLink] = options.address or [address_on_link(DEFAULT_ADDRESS)]
        self.is_stopped = False
        self._open = ExitStack()
        try:
            self._set_up(options)
        except BaseException:
            self._open.close()
            raise

    def _set_up(self, options: argparse.Namespace) -> None:
        self.tap = self._open.enter_context(_open_tap(options.tap))
        mac = station_address(options.tap, self.addresses)
        mtu = _check_interface(options.tap)
        self._refuse_conflict(mac)
        writer = self._open_capture(options.pcap)
        cable = Cable(self.tap, writer, options.pcap)
        self.host = self._open.enter_context(self._make_host(options, cable, mac, mtu))
        cable.deliver_to_card = self._way_in()
        self.pump = self._open.enter_context(Pump(self.host.world))
        self.pump.attach(self.tap, lambda now_ns: self.tap.pump(cable, now_ns, _FRAMES_A_TICK))

    def _refuse_conflict(self, mac: bytes) -> None:
        found = find_conflict(self.tap, [each.ip for each in self.addresses], mac)
        if found is not None:
            raise PlugError(f"address in use: {found[0]} belongs to {found[1].hex(':')}")

    def _open_capture(self, path: Path | None) -> CaptureWriter | None:
        if path is None:
            return None
        try:
            writer = CaptureWriter(path, ports=(self.tap.name,), epoch_ns=time.time_ns())
        except OSError as error:
            raise PlugError(f"{path}: {error.strerror}") from None
        return self._open.enter_context(writer)

    def _way_in(self) -> Callable[[bytes, int], None]:
        """Where frames of the TAP go."""
        return self.host.bench.device.deliver

    def _make_host(self, options: argparse.Namespace, cable: Cable, mac: bytes, mtu: int) -> Host:
        keywords = dict(FAST["keywords"]) | {"*JumboPacket": max(mtu + _ETHERNET, 1514)}
        return Host(
            *map(str, self.addresses),
            gateways=options.gateway,
            link=cable,
            stack={
                "address_probes": 0,
                "seed": secrets.randbits(64),
                **self._buffers,
            },
            bench={
                **FAST,
                "keywords": keywords,
                "memory_bytes": _MEMORY_BYTES,
                "device": {"mac": mac, "max_frame": max(mtu + _ETHERNET + 4, 1518)},
            },
        )

    # -- running ---------------------------------------------------------------------------------------------

    @property
    def now_ns(self) -> int:
        """The clock of the host."""
        return self.host.world.clock.now_ns

    def run_until(self, is_done: Callable[[], bool], within_s: float = 1e9) -> bool:
        """Let real time pass until then, until a signal, or so long; PlugError when the TAP is gone."""
        try:
            return self.pump.run_until(lambda: self.is_stopped or is_done(), within_s)
        except TapError as error:
            raise PlugError(str(error.strerror)) from None

    def farewell(self) -> None:
        """A moment for the last segments to leave, whatever signals came."""
        with suppress(TapError):
            self.pump.run_until(lambda: False, _FAREWELL_S)

    @contextmanager
    def stopping_at_signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM end run_until; a second SIGINT interrupts."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number: int, frame: FrameType | None) -> None:
            if self.is_stopped and number == signal.SIGINT:
                raise KeyboardInterrupt
            self.is_stopped = True

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    # -- what the card saw -----------------------------------------------------------------------------------

    def tables(self) -> list[Table]:
        """Counters of the card, its driver and the stack that are not 0."""
        card = self.host.bench.counters()
        processor = self.host.bench.processors[0]
        driver = self.host.protocol.bindings[0].statistics
        stack = self.host.stack.statistics
        rows = {
            "frames received": sum(
                v for k, v in card.items() if k.startswith("RX_") and k.endswith("_FRAMES")
            ),
            "bytes received": sum(v for k, v in card.items() if k.startswith("RX_") and k.endswith("_BYTES")),
            "frames sent": sum(v for k, v in card.items() if k.startswith("TX_") and k.endswith("_FRAMES")),
            "bytes sent": sum(v for k, v in card.items() if k.startswith("TX_") and k.endswith("_BYTES")),
            "frames dropped": sum(v for k, v in card.items() if "_DROP_" in k and not k.endswith("_ADDRESS")),
            "checksums verified": card["RX_CSUM_GOOD"],
            "checksums inserted": card["TX_CSUM_INSERTED"],
            "large sends": card["TX_LSO_SENDS"],
            "packets cut from them": card["TX_LSO_SEGMENTS"],
            "errors of the driver": card["GUEST_ERRORS"] + card["DMA_ERRORS"],
            "interrupts": processor.interrupts,
            "DPCs": processor.dpcs,
            "sends that failed": driver.failed,
            "frames the TAP refused": _refused(self.tap),
            "TCP retransmissions": stack["tcp_retransmits"],
            "TCP timeouts": stack["tcp_timeouts"],
            "segments out of order": stack["tcp_out_of_order"],
        }
        return [Table("Card", ("what", "count"), [row for row in rows.items() if row[1]])]

    def __enter__(self) -> Plug:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)


def station_address(name: str, addresses: Sequence[AddressOnLink]) -> bytes:
    """A locally administered MAC address that is the same for the same TAP and addresses."""
    told = f"{name} {' '.join(map(str, addresses))}".encode()
    return b"\x02" + hashlib.sha256(told).digest()[:5]


def _refused(tap: Tap) -> int:
    counts = tap.statistics
    return counts.refused + counts.size_dropped + counts.down_dropped + counts.queue_dropped


def _open_tap(name: str) -> Tap:
    try:
        return Tap(name, create=False)
    except (TapError, NetnsError) as error:
        hint = f"; make it with: ip tuntap add dev {name} mode tap" if error.errno == errno.ENODEV else ""
        raise PlugError(f"{error.strerror}{hint}") from None
    except ValueError as error:
        raise PlugError(str(error)) from None


def _check_interface(name: str) -> int:
    """Warn when the kernel's side is down; its MTU."""
    request = struct.pack("16s16x", name.encode())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        flags = struct.unpack_from("16xH", fcntl.ioctl(control, _SIOCGIFFLAGS, request))[0]
        mtu = int(struct.unpack_from("16xi", fcntl.ioctl(control, _SIOCGIFMTU, request))[0])
    if not flags & _IFF_UP:
        print(f"vnic: {name} is down; bring it up with: ip link set dev {name} up", file=sys.stderr)
    if mtu not in _MTU:
        raise PlugError(f"{name} has an MTU of {mtu}, which is not {_MTU.start} to {_MTU.stop - 1}")
    return mtu
