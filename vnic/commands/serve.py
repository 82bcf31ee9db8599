"""`vnic serve`: the files of a directory over HTTP, by our stack, our driver and our card, to a TAP."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from vnic.commands import plug as plugging
from vnic.commands.http.files import Files
from vnic.commands.http.server import Exchange, Server
from vnic.commands.meter import Meter, make_meter, rate_text, size_text
from vnic.commands.plug import Plug
from vnic.commands.table import Table, print_tables
from vnic.errors import ArgumentError
from vnic.stack.address import Endpoint

_LINE_MAX = 200
_REQUEST_BYTES = 1 << 16
#: Answers below this many bytes show no progress.
_SHOWN_FROM = 1 << 20


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("directory", metavar="DIR", help="what is served; nothing outside of it is")
    plugging.declare(parser)
    parser.add_argument("--port", type=_port, default=80, metavar="N", help="TCP port (80)")
    parser.add_argument(
        "--once", dest="requests", action="store_const", const=1, help="end after one request"
    )
    parser.add_argument("--requests", type=_count, metavar="N", help="end after so many requests")


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 0xFFFF:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 1 to 65535")
    return int(text)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


@dataclass
class Ledger:
    """What was served."""

    meter: Meter
    requests: int = 0
    bytes: int = 0
    retransmits: int = 0
    failed: int = 0
    busy_ns: int = 0
    srtt_us: list[int] = field(default_factory=list)

    def note(self, exchange: Exchange) -> None:
        """One request came to its end."""
        self.requests += 1
        self.bytes += exchange.bytes
        self.retransmits += exchange.retransmits
        self.failed += not exchange.is_whole
        took_ns = exchange.end_ns - exchange.start_ns
        self.busy_ns += took_ns
        if exchange.srtt_us:
            self.srtt_us.append(exchange.srtt_us)
        self.meter.note(_line_of(exchange))

    def table(self) -> Table:
        """The sums."""
        rtt = sorted(self.srtt_us)[len(self.srtt_us) // 2] if self.srtt_us else 0
        rows: list[tuple[str, int | str]] = [
            ("requests", self.requests),
            ("not answered to their end", self.failed),
            ("bytes of content", self.bytes),
            ("rate while answering", rate_text(self.bytes, self.busy_ns / 1e9)),
            ("segments retransmitted", self.retransmits),
            ("median RTT", f"{rtt / 1000:.2f} ms"),
        ]
        return Table("Served", ("what", "count"), [row for row in rows if row[1]])


def _line_of(exchange: Exchange) -> str:
    took_s = (exchange.end_ns - exchange.start_ns) / 1e9
    figures = (
        f"{exchange.status.value}",
        size_text(exchange.bytes),
        f"{took_s:.3f} s",
        rate_text(exchange.bytes, took_s),
        f"{exchange.retransmits} retransmitted",
        f"RTT {exchange.srtt_us / 1000:.2f} ms",
        *(() if exchange.is_whole else ("NOT ALL OF IT",)),
    )
    return f"{exchange.peer} {exchange.line[:_LINE_MAX]}: {', '.join(figures)}"


def execute(options: argparse.Namespace) -> int:
    """Serve until the last request or a signal; 0, or 1 when one of --requests was not answered whole."""
    try:
        files = Files(options.directory)
    except OSError as error:
        raise ArgumentError(f"{options.directory}: {error.strerror}") from None
    meter = make_meter("answering", quiet=options.quiet)
    ledger = Ledger(meter)
    with Plug(options, receive_buffer=_REQUEST_BYTES) as plug, plug.stopping_at_signals():
        server = Server(
            plug.host.stack,
            files,
            [Endpoint(IPv4Address(0), options.port), Endpoint(IPv6Address(0), options.port)],
            now_ns=lambda: plug.now_ns,
            on_exchange=ledger.note,
            limit=options.requests,
        )
        if not options.quiet:
            _announce(plug, options)
        plug.run_until(lambda: _look(server, meter))
        meter.close()
        server.close()
        plug.farewell()
        if not options.quiet:
            print_tables([ledger.table(), *plug.tables()])
    return int(ledger.failed > 0 and options.requests is not None)


def _announce(plug: Plug, options: argparse.Namespace) -> None:
    for each in plug.addresses:
        host = f"[{each.ip}]" if each.version == 6 else str(each.ip)
        port = "" if options.port == 80 else f":{options.port}"
        print(f"serving {options.directory} at http://{host}{port}/ on {plug.tap.name}", flush=True)


def _look(server: Server, meter: Meter) -> bool:
    server.look_at_clock()
    done, total = server.progress
    if total > _SHOWN_FROM:
        meter.show(done, total)
    return server.is_finished
