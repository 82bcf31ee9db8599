"""`vnic get`: a URL fetched over HTTP, by our stack, our driver and our card, from behind a TAP."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path

from vnic.commands import plug as plugging
from vnic.commands.http.client import Fetch, Head, ResponseError, request_of
from vnic.commands.http.fields import MalformedError
from vnic.commands.meter import Meter, make_meter, rate_text, size_text
from vnic.commands.output import Output
from vnic.commands.place import Place
from vnic.commands.plug import Plug
from vnic.commands.table import print_tables
from vnic.errors import ArgumentError, VnicError
from vnic.stack.address import Address, address_of
from vnic.stack.errors import HostUnreachableError, RefusedError, ResetError, StackError, TimedOutError
from vnic.stack.tcp import TcpInfo

_REQUEST_BYTES = 1 << 16
_REDIRECTS_MAX = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_HTTP_FAILED = 1
_NETWORK_FAILED = 3

_NETWORK_TEXTS: tuple[tuple[type[Exception], str], ...] = (
    (RefusedError, "connection refused"),
    (TimedOutError, "timed out"),
    (ResetError, "connection reset by the server"),
    (HostUnreachableError, "unreachable: no such host on the link, and no --gateway leads there"),
)


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("url", metavar="URL", help="http://ADDRESS[:PORT]/PATH")
    plugging.declare(parser)
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to (standard output)")
    parser.add_argument(
        "--resolve",
        action="append",
        type=_resolution,
        default=[],
        metavar="NAME:ADDRESS",
        help="the address of a host named in the URL; may be repeated",
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=30.0,
        metavar="S",
        help="longest wait without progress (30)",
    )


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return value


def _resolution(text: str) -> tuple[str, Address]:
    name, _, address = text.partition(":")
    try:
        return name.lower(), address_of(address.strip("[]"))
    except ArgumentError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


class GetError(VnicError):
    """The fetch failed; `status` is that of the command."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class Getter:
    """One `vnic get`: follows redirections on the same host to the content."""

    def __init__(self, plug: Plug, options: argparse.Namespace, meter: Meter) -> None:
        self._plug = plug
        self._timeout_ns = int(options.timeout * 1e9)
        self._known: dict[str, Address] = dict(options.resolve)
        self._meter = meter
        self._progress = (False, 0)
        self._progressed_ns = 0
        self.info: TcpInfo | None = None

    def fetch(self, url: str, output: Output) -> Fetch:
        """The exchange that brought the content. Raises GetError."""
        for _ in range(_REDIRECTS_MAX + 1):
            place = Place.of(url, self._known)
            fetch = self._exchange(place, output)
            head = fetch.head
            assert head is not None
            location = head.fields.get("location")
            if head.status in _REDIRECTS and location is not None:
                target = place.joined(location)
                if target is None:
                    raise GetError(f"redirected to another host, not followed: {location}", _HTTP_FAILED)
                url = target
            elif head.status >= 300:
                raise GetError(f"{url}: {head.status} {head.reason}", _HTTP_FAILED)
            else:
                return fetch
        raise GetError(f"more than {_REDIRECTS_MAX} redirections", _HTTP_FAILED)

    def _exchange(self, place: Place, output: Output) -> Fetch:
        try:
            socket = self._plug.host.stack.connect(place.endpoint)
        except StackError as error:
            raise _failure(place, error) from None
        fetch = Fetch(socket, request_of(place.url), write=output.write, on_head=_is_content)
        self._progressed_ns = self._plug.now_ns
        try:
            self._plug.run_until(lambda: self._is_over(fetch))
            self._check(place, fetch)
            self.info = socket.info
        finally:
            (socket.close if fetch.is_done and fetch.error is None else socket.abort)()
            self._plug.farewell()
        return fetch

    def _is_over(self, fetch: Fetch) -> bool:
        """Whether it ended, or nothing came for too long."""
        progress = fetch.socket.is_connected, fetch.bytes_in
        if progress != self._progress:
            self._progress, self._progressed_ns = progress, self._plug.now_ns
            self._meter.show(fetch.body.received, fetch.body.expected)
        return fetch.is_done or self._plug.now_ns - self._progressed_ns > self._timeout_ns

    def _check(self, place: Place, fetch: Fetch) -> None:
        if fetch.error is not None:
            raise _failure(place, fetch.error)
        if not fetch.is_done and self._plug.is_stopped:
            raise KeyboardInterrupt
        if not fetch.is_done:
            what = "nothing more came" if fetch.socket.is_connected else "no answer"
            text = f"{place.endpoint}: timed out: {what} within {self._timeout_ns / 1e9:g} s"
            raise GetError(text, _NETWORK_FAILED)


def _failure(place: Place, error: Exception) -> Exception:
    """In a line what went wrong; what is neither the network's nor the server's fault stays as it is."""
    for kind, text in _NETWORK_TEXTS:
        if isinstance(error, kind):
            return GetError(f"{place.endpoint}: {text}", _NETWORK_FAILED)
    if isinstance(error, MalformedError | ResponseError):
        return GetError(f"{place.endpoint}: {error}", _HTTP_FAILED)
    if isinstance(error, StackError):
        return GetError(f"{place.endpoint}: {error.strerror}", _NETWORK_FAILED)
    return error


def _is_content(head: Head) -> bool:
    return head.status < 300


def execute(options: argparse.Namespace) -> int:
    """Fetch; 0: it is whole, 1: the server answered with an error, 2: the call is wrong, 3: the network."""
    Place.of(options.url, dict(options.resolve))  # what is wrong with it is told before anything is opened
    name = options.url.rpartition("/")[2] or options.url
    with ExitStack() as stack:
        plug = stack.enter_context(Plug(options, send_buffer=_REQUEST_BYTES))
        stack.enter_context(plug.stopping_at_signals())
        meter = make_meter(name, quiet=options.quiet)
        stack.callback(meter.close)
        getter = Getter(plug, options, meter)
        begun_ns = plug.now_ns
        try:
            with Output(options.output) as output:
                fetch = getter.fetch(options.url, output)
        except GetError as error:
            meter.close()
            print(f"vnic: {error}", file=sys.stderr)
            return error.status
        meter.close()
        if not options.quiet:
            _report(plug, getter, fetch, plug.now_ns - begun_ns)
    return 0


def _report(plug: Plug, getter: Getter, fetch: Fetch, took_ns: int) -> None:
    info = getter.info
    line = f"{size_text(fetch.body.received)} in {took_ns / 1e9:.3f} s, "
    line += rate_text(fetch.body.received, took_ns / 1e9)
    if info is not None:
        line += f", {info.retransmits} retransmitted, RTT {info.srtt_us / 1000:.2f} ms"
    print(line, file=sys.stderr)
    print_tables(plug.tables(), sys.stderr)
