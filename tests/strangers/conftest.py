"""What a protocol hands the card, tshark, and a TAP in a namespace with the card behind it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from vnic.host.pump import Pump
from vnic.link.netns import Namespace, unavailable
from vnic.link.tap import Tap
from vnic.ndis.oid import OID, PacketFilter
from vnic.ndis.oid_request import set_
from vnic.ndis.oob import LargeSend, LargeSendType, ReceiveChecksum, TransmitChecksum
from vnic.ndis.status import NDIS_STATUS
from vnic.protocol.capture import Received
from vnic.testbench import Bench
from vnic.testbench.bench import RSS_KEY, hash_oracle
from vnic.wire import checksum, packet, verify
from vnic.wire.parse import L3, L4, Frame

CARD_MAC = bytes.fromhex("020000000001")
KERNEL_MAC = bytes.fromhex("02000000aa01")
KERNEL = {4: "10.9.0.1", 6: "fd00:9::1"}
CARD = {4: "10.9.0.2", 6: "fd00:9::2"}
ALL_TYPES = 0x1FF00
SOLICITED = bytes.fromhex("3333ff000002")
FILTER = PacketFilter.DIRECTED | PacketFilter.BROADCAST | PacketFilter.MULTICAST
PATIENCE_S = 20
Spoil = Callable[[bytes], bytes]


# ---- what is handed down -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Handed:
    """A packet as a protocol hands it down, unfinished, and the keywords that say what is left to do."""

    frame: bytes
    oob: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Route:
    """From whom to whom the card sends."""

    source: str
    destination: str
    source_mac: bytes = CARD_MAC
    destination_mac: bytes = KERNEL_MAC

    @property
    def version(self) -> int:
        """The IP version."""
        return ip_address(self.source).version

    def _seed(self, proto: int, length: int) -> int:
        """The sum of the pseudo header, as a protocol leaves it in the checksum field."""
        ends = packet.packed(self.source), packet.packed(self.destination)
        return checksum.total(checksum.pseudo(*ends, proto, length))

    def datagram(self, proto: int, payload: bytes, **ip: Any) -> bytes:
        """An IP datagram; an IPv4 header goes without its checksum."""
        if self.version == 4:
            return packet.ipv4(self.source, self.destination, proto, payload, header_checksum=0, **ip)
        return packet.ipv6(self.source, self.destination, proto, payload, **ip)

    def _frame(self, datagram: bytes, tags: Sequence[tuple[int, int]]) -> bytes:
        return packet.ethernet(datagram, source=self.source_mac, destination=self.destination_mac, tags=tags)

    def ip(self, proto: int, payload: bytes, **ip: Any) -> Handed:
        """Any datagram, nothing but the IPv4 header's checksum left to the card."""
        asked = TransmitChecksum(is_ipv4=self.version == 4, ip_header=self.version == 4)
        frame = self._frame(self.datagram(proto, payload, **ip), ())
        return Handed(frame, {"checksum": asked} if asked.ip_header else {})

    def tcp(
        self,
        ports: tuple[int, int],
        payload: bytes = b"",
        *,
        mss: int = 0,
        kind: LargeSendType = LargeSendType.V2,
        tags: Sequence[tuple[int, int]] = (),
        ip: dict[str, Any] | None = None,
        **tcp: Any,
    ) -> Handed:
        """A TCP segment, or with `mss` a large send."""
        bare = packet.tcp(self.source, self.destination, *ports, payload, field=0, **tcp)
        seed = self._seed(packet.TCP, 0 if mss else len(bare))
        segment = packet.tcp(self.source, self.destination, *ports, payload, field=seed, **tcp)
        frame = self._frame(self.datagram(packet.TCP, segment, **(ip or {})), tags)
        offset, is_ipv6 = len(frame) - len(segment), self.version == 6
        if mss:
            return Handed(frame, {"large_send": LargeSend(mss, offset, kind, is_ipv6)})
        return Handed(
            frame, {"checksum": TransmitChecksum(not is_ipv6, is_ipv6, True, False, not is_ipv6, offset)}
        )

    def udp(
        self,
        ports: tuple[int, int],
        payload: bytes = b"",
        *,
        tags: Sequence[tuple[int, int]] = (),
        ip: dict[str, Any] | None = None,
    ) -> Handed:
        """A UDP datagram."""
        seed = self._seed(packet.UDP, 8 + len(payload))
        inner = packet.udp(self.source, self.destination, *ports, payload, field=seed)
        frame = self._frame(self.datagram(packet.UDP, inner, **(ip or {})), tags)
        is_ipv6 = self.version == 6
        return Handed(frame, {"checksum": TransmitChecksum(not is_ipv6, is_ipv6, False, True, not is_ipv6)})


@pytest.fixture(scope="session")
def route() -> type[Route]:
    """Makes routes."""
    return Route


# ---- tshark ------------------------------------------------------------------------------------------------

Row = dict[str, str]
Tshark = Callable[..., list[Row]]
_CHECKS = ("ip.check_checksum", "tcp.check_checksum", "udp.check_checksum")


def dissect(path: Path, fields: Sequence[str], *options: str) -> list[Row]:
    """The fields of each frame as tshark sees them, several values of one field with a comma between."""
    preferences = [part for check in _CHECKS for part in ("-o", f"{check}:TRUE")]
    wanted = [part for name in fields for part in ("-e", name)]
    command = ["tshark", "-n", "-r", str(path), *preferences, *options, "-T", "fields", "-E", "separator=|"]
    done = subprocess.run([*command, *wanted], capture_output=True, text=True, timeout=60, check=False)
    complaints = [line for line in done.stderr.splitlines() if "Running as user" not in line]
    assert done.returncode == 0 and not complaints, done.stderr
    return [dict(zip(fields, line.split("|"), strict=True)) for line in done.stdout.splitlines()]


@pytest.fixture(scope="session")
def tshark() -> Tshark:
    """Dissects capture files, checking all checksums."""
    if shutil.which("tshark") is None:
        pytest.skip("needs tshark: not installed")
    return dissect


# ---- a card behind a TAP -----------------------------------------------------------------------------------


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """A network namespace of the test's own."""
    reason = unavailable()
    if not reason and not Path("/dev/net/tun").exists():
        reason = "needs /dev/net/tun: no TAP driver here"
    if reason:
        pytest.skip(reason)
    with Namespace() as made:
        yield made


def answer(frame: Frame) -> Handed | None:
    """What the least of hosts answers: ARP, Neighbor Solicitations (RFC 4861 4.3), echo requests."""
    four, six = Route(CARD[4], KERNEL[4]), Route(CARD[6], KERNEL[6])
    body = frame.payload
    if frame.ethertype == packet.ETHERTYPE_ARP and frame.data[20:22] == b"\0\1":
        reply = packet.arp(CARD[4], KERNEL[4], operation=2, source_mac=CARD_MAC, target_mac=KERNEL_MAC)
        return Handed(
            packet.ethernet(reply, ethertype=packet.ETHERTYPE_ARP, source=CARD_MAC, destination=KERNEL_MAC)
        )
    if frame.proto == packet.ICMP and body[:1] == b"\x08":
        return four.ip(packet.ICMP, packet.icmp(0, 0, body[4:]))
    if frame.proto == packet.ICMPV6 and body[:1] == b"\x80":
        return six.ip(packet.ICMPV6, packet.icmpv6(CARD[6], KERNEL[6], 129, 0, body[4:]))
    if frame.proto == packet.ICMPV6 and body[:1] == b"\x87":
        told = (0x60000000).to_bytes(4) + body[8:24] + b"\2\1" + CARD_MAC
        return six.ip(packet.ICMPV6, packet.icmpv6(CARD[6], KERNEL[6], 136, 0, told), hop_limit=255)
    return None


class Plugged:
    """A card whose link is a TAP: the kernel of a namespace is its only neighbour, and real time passes.

    `seen` are the frames that were indicated, `arrived` those that came to the card's door. spoil_in and
    spoil_out: what the cable does to a frame to the card and to the kernel. RSS is on with all types.
    """

    def __init__(
        self,
        namespace: Namespace,
        *,
        vnet_hdr: bool = False,
        offloads: bool = False,
        mtu: int = 1500,
        spoil_in: Spoil = bytes,
        spoil_out: Spoil = bytes,
        **bench: Any,
    ) -> None:
        self.namespace = namespace
        self.mtu = mtu
        self.arrived: list[bytes] = []
        self.seen: list[tuple[Received, Frame]] = []
        self.on_frame: Callable[[Received, Frame], None] | None = None
        self._spoil_in, self._spoil_out = spoil_in, spoil_out
        self.tap = Tap("tap0", netns=namespace, vnet_hdr=vnet_hdr or offloads, offloads=offloads)
        namespace.sysctl("net.ipv4.tcp_congestion_control", "reno")
        namespace.bring_up("tap0", [f"{KERNEL[4]}/24", f"{KERNEL[6]}/64"], mac=KERNEL_MAC.hex(":"), mtu=mtu)
        defaults: dict[str, Any] = {"device": {"mac": CARD_MAC}, "packet_filter": FILTER}
        self.bench = Bench(link=self, **defaults | bench)
        assert self.bench.request(set_(OID.O802_3_MULTICAST_LIST, SOLICITED)) == NDIS_STATUS.SUCCESS
        assert self.bench.set_rss(types=ALL_TYPES) == NDIS_STATUS.SUCCESS
        self.pump = Pump(self.bench.world)
        self.pump.attach(self.tap, lambda now_ns: self.tap.pump(self, now_ns))

    def transmit(self, frame: bytes, now_ns: int) -> None:
        """The card's link: into the kernel."""
        assert self.tap.write(self._spoil_out(frame)), self.tap.statistics

    def deliver(self, frame: bytes, now_ns: int) -> None:
        """The TAP's port: into the card."""
        self.arrived.append(self._spoil_in(frame))
        self.bench.device.deliver(self.arrived[-1], now_ns)

    def send(self, handed: Handed, **oob: Any) -> None:
        """Send through the protocol."""
        self.bench.send(handed.frame, **handed.oob | oob)

    def look(self) -> None:
        """Look at what was indicated since, and answer it."""
        fresh = list(self.bench.protocol.received)
        self.bench.protocol.received.clear()
        for received in fresh:
            frame = Frame.parse(received.data)
            self.seen.append((received, frame))
            reply = answer(frame)
            if reply is not None:
                self.send(reply)
            elif self.on_frame is not None:
                self.on_frame(received, frame)

    def wait_for(self, is_done: Callable[[], bool]) -> None:
        """Let real time pass until something is so."""

        def has_come() -> bool:
            self.look()
            return is_done()

        assert self.pump.run_until(has_come, PATIENCE_S), "the kernel did not do what was awaited"

    def kernel(self, protocol: str) -> dict[str, int]:
        """The kernel's counters of one protocol in this namespace, IPv6 among them as Udp6..."""
        folder = "/proc/thread-self/net"
        text = self.namespace.run("cat", f"{folder}/snmp", f"{folder}/snmp6")
        rows = [line.split() for line in text.splitlines()]
        names, values = (row[1:] for row in rows if row[0] == f"{protocol}:")
        single = {row[0]: int(row[1]) for row in rows if row[0].startswith(f"{protocol}6")}
        return dict(zip(names, map(int, values), strict=True)) | single

    def __enter__(self) -> Plugged:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.pump.close()
            self.bench.__exit__(kind, error, trace)
        finally:
            self.tap.close()


@pytest.fixture
def plug(namespace: Namespace) -> Callable[..., Plugged]:
    """Plugs cards into the kernel."""
    return partial(Plugged, namespace)


# ---- what a received frame must be -------------------------------------------------------------------------


def check_received(received: Received, frame: Frame, *, is_split: bool = False) -> None:
    """Checksum verdicts, hash, processor and pieces of a frame are those of the references."""
    transport, header = verify.transport(frame), verify.ipv4_header(frame)
    is_good, is_bad = transport is verify.Verdict.GOOD, transport is verify.Verdict.BAD
    is_tcp, is_udp = frame.l4 is L4.TCP, frame.l4 is L4.UDP
    assert received.checksum == ReceiveChecksum(
        is_tcp and is_bad, is_udp and is_bad, header is verify.Verdict.BAD,
        is_tcp and is_good, is_udp and is_good, header is verify.Verdict.GOOD,
    )  # fmt: skip
    kind, value = hash_oracle(frame.data, ALL_TYPES, RSS_KEY)
    assert received.hash == ((kind, 1, value) if kind else None)
    if kind:
        assert received.cpu == value % 128 % 4
    if is_split and frame.l3 is not L3.NONE and frame.header_end < len(frame.data):
        assert received.pieces[0] == frame.header_end
    else:
        assert len(received.pieces) == -(-len(frame.data) // 2048)


@pytest.fixture(scope="session")
def check() -> Callable[..., None]:
    """Holds a received frame against the references."""
    return check_received
