"""The Linux kernel's UDP, ICMP, ARP and ND against the card, both ways: fragments, jumbo frames, tags too."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from vnic.ndis.oob import ReceiveChecksum, Vlan
from vnic.wire import packet
from vnic.wire.parse import L4, Frame, HashType, Mark

if TYPE_CHECKING:
    from tests.strangers.conftest import Plugged, Route

    Plug = Callable[..., Plugged]
    Check = Callable[..., None]

PORT = 7000
KERNEL, CARD = {4: "10.9.0.1", 6: "fd00:9::1"}, {4: "10.9.0.2", 6: "fd00:9::2"}
CARD_MAC, KERNEL_MAC = "02:00:00:00:00:01", "02:00:00:00:aa:01"
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
# linux/if_packet.h
_SOL_PACKET, _PACKET_AUXDATA, _TP_STATUS_VLAN_VALID = 263, 8, 0x10
_ETH_P_ALL = 3


@contextlib.contextmanager
def kernel_socket(plugged: Plugged, version: int) -> Iterator[socket.socket]:
    """A UDP socket of the kernel, bound to PORT, that does not wait."""
    with plugged.namespace.entered():
        made = socket.socket(FAMILIES[version], socket.SOCK_DGRAM)
    with made:
        made.bind((KERNEL[version], PORT))
        made.setblocking(False)
        yield made


def arrived(source: socket.socket, into: list[bytes]) -> int:
    """Take what has arrived at a socket; how much that is in all."""
    with contextlib.suppress(BlockingIOError):
        while True:
            into.append(source.recv(1 << 16))
    return len(into)


def contents(size: int) -> bytes:
    """A datagram's content."""
    return (bytes(range(251)) * 40)[:size]


# ---- the card sends


@pytest.mark.requirement("TX-7", "TX-8", "TX-15")
@pytest.mark.parametrize("vnet_hdr", [False, True])
@pytest.mark.parametrize("version", [4, 6])
def test_the_kernel_receives_datagrams_with_checksums_of_the_card(
    plug: Plug, route: type[Route], version: int, vnet_hdr: bool
) -> None:
    sizes = [0, 1, 2, 7, 16, 17, 18, 19, 500, 1451, 1452, 8951, 8952]
    with plug(vnet_hdr=vnet_hdr, mtu=9000, keywords={"*JumboPacket": 9014}) as plugged:
        received: list[bytes] = []
        with kernel_socket(plugged, version) as server:
            way = route(CARD[version], KERNEL[version])
            for size in sizes:
                plugged.send(way.udp((9, PORT), contents(size)))
            plugged.wait_for(lambda: arrived(server, received) >= len(sizes))
        assert received == [contents(size) for size in sizes]
        counters = plugged.kernel("Udp")
        assert counters["InCsumErrors"] == counters["Udp6InCsumErrors"] == counters["InErrors"] == 0
        assert plugged.bench.counters()["TX_CSUM_INSERTED"] >= len(sizes)


@pytest.mark.parametrize("version", [4, 6])
def test_the_kernel_drops_what_the_card_was_not_asked_to_finish(
    plug: Plug, route: type[Route], version: int
) -> None:
    """What the test above relies on: the kernel does look at these checksums."""
    handed = route(CARD[version], KERNEL[version]).udp((9, PORT), contents(100))
    key = "InCsumErrors" if version == 4 else "Udp6InCsumErrors"
    with plug() as plugged, kernel_socket(plugged, version) as server:
        plain = packet.udp(CARD[version], KERNEL[version], 9, PORT, contents(100), field=0x1234)
        maker = packet.ipv4 if version == 4 else packet.ipv6
        datagram = maker(CARD[version], KERNEL[version], packet.UDP, plain)
        plugged.bench.send(packet.ethernet(datagram, source=CARD_MAC, destination=KERNEL_MAC))
        plugged.send(handed)
        received: list[bytes] = []
        plugged.wait_for(lambda: arrived(server, received) >= 1)
        assert received == [contents(100)]
        assert plugged.kernel("Udp")[key] == 1


# ---- the card receives


@pytest.mark.requirement("RX-7", "RX-11", "RSS-3", "RSS-5", "RSS-6")
@pytest.mark.parametrize("offloads", [False, True])
@pytest.mark.parametrize("version", [4, 6])
def test_datagrams_of_the_kernel_fragmented_or_whole(
    plug: Plug, check: Check, version: int, offloads: bool
) -> None:
    sizes = [0, 1, 18, 500, 1452, 1473, 5000, 8000]
    with plug(offloads=offloads) as plugged, kernel_socket(plugged, version) as sender:
        for size in sizes:
            sender.sendto(contents(size), (CARD[version], PORT))
        plugged.wait_for(lambda: len(reassemble(plugged, version)) >= len(sizes))
        assert reassemble(plugged, version) == [contents(size) for size in sizes]
        for received, frame in plugged.seen:
            check(received, frame)
        own = [(got, frame) for got, frame in plugged.seen if is_own(frame)]
        whole = [(got, frame) for got, frame in own if frame.l4 is L4.UDP]
        pieces = [(got, frame) for got, frame in own if Mark.FRAGMENT in frame.marks]
        assert (len(whole), len(pieces)) == (5, 12)
        assert all(received.checksum.udp_succeeded for received, _ in whole)
        verdict = ReceiveChecksum(ip_succeeded=version == 4)
        assert {received.checksum for received, _ in pieces} == {verdict}
        by_ports, by_address = (
            (HashType.UDP_IPV4, HashType.IPV4) if version == 4 else (HashType.UDP_IPV6, HashType.IPV6)
        )
        assert {received.hash[0] for received, _ in whole if received.hash} == {by_ports}
        assert {received.hash[0] for received, _ in pieces if received.hash} == {by_address}


def is_own(frame: Frame) -> bool:
    """Whether a frame belongs to a datagram of the test."""
    return frame.proto == packet.UDP


def place(frame: Frame, version: int) -> tuple[int, int]:
    """(identification, offset) of a fragment."""
    if version == 4:
        identification, word = struct.unpack_from(">HH", frame.data, 18)
        return identification, word % 0x2000 * 8
    word, identification = struct.unpack_from(">HI", frame.data, frame.l4_offset - 6)
    return identification, word & 0xFFF8


def reassemble(plugged: Plugged, version: int) -> list[bytes]:
    """The contents of the datagrams that are whole, shortest first; fragments must come in order."""
    whole: list[bytes] = []
    pieces: dict[int, bytes] = {}
    for _, frame in plugged.seen:
        if not is_own(frame):
            continue
        if frame.l4 is L4.UDP:
            whole.append(frame.payload)
            continue
        identification, offset = place(frame, version)
        assert offset == len(pieces.get(identification, b"")), "fragments changed their order"
        pieces[identification] = pieces.get(identification, b"") + frame.payload
    whole += [data[8:] for data in pieces.values() if int.from_bytes(data[4:6]) == len(data)]
    return sorted(whole, key=len)


@pytest.mark.requirement("RX-8", "RX-13")
@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("version", [4, 6])
def test_jumbo_datagrams_of_the_kernel(plug: Plug, check: Check, version: int, split: bool) -> None:
    sizes = [2006, 2007, 4000, 8952]
    keywords = {"*JumboPacket": 9014, "*HeaderDataSplit": int(split)}
    with plug(mtu=9000, keywords=keywords) as plugged, kernel_socket(plugged, version) as sender:
        for size in sizes:
            sender.sendto(contents(size), (CARD[version], PORT))
        plugged.wait_for(lambda: len(reassemble(plugged, version)) >= len(sizes))
        assert reassemble(plugged, version) == [contents(size) for size in sizes]
        for received, frame in plugged.seen:
            check(received, frame, is_split=split)
        assert sum(received.checksum.udp_succeeded for received, _ in plugged.seen) == len(sizes)


# ---- echo, and finding each other


@pytest.mark.requirement("RX-4")
@pytest.mark.parametrize("version", [4, 6])
def test_the_kernel_finds_the_card_and_its_pings_are_answered_through_it(plug: Plug, version: int) -> None:
    sizes = [0, 1, 56, 1400, 7000]
    kind, protocol = (8, socket.IPPROTO_ICMP) if version == 4 else (128, socket.IPPROTO_ICMPV6)
    with plug(mtu=9000, keywords={"*JumboPacket": 9014}) as plugged:
        plugged.namespace.sysctl("net.ipv4.ping_group_range", "0 2147483647")
        with plugged.namespace.entered():
            pinger = socket.socket(FAMILIES[version], socket.SOCK_DGRAM, protocol)
        with pinger:
            pinger.setblocking(False)
            for number, size in enumerate(sizes):
                echo = struct.pack(">BBHHH", kind, 0, 0, 0, number) + contents(size)
                pinger.sendto(echo, (CARD[version], 0))
            replies: list[bytes] = []
            plugged.wait_for(lambda: arrived(pinger, replies) >= len(sizes))
        assert [reply[8:] for reply in replies] == [contents(size) for size in sizes]
        assert [reply[0] for reply in replies] == [kind - 8 if version == 4 else 129] * len(sizes)
        assert plugged.kernel("Icmp")["InCsumErrors"] == plugged.kernel("Icmp")["Icmp6InErrors"] == 0
        neighbour = plugged.namespace.run("ip", "neigh", "show", CARD[version])
        assert CARD_MAC in neighbour
        found = [frame for _, frame in plugged.seen if frame.data[:6] != bytes.fromhex("020000000001")]
        assert {frame.data[:6].hex() for frame in found} == {
            "ffffffffffff" if version == 4 else "3333ff000002"
        }


@pytest.mark.parametrize("version", [4, 6])
def test_the_kernel_answers_the_cards_ping(
    plug: Plug, route: type[Route], check: Check, version: int
) -> None:
    body = b"\0\x07\0\x01" + contents(333)
    echo = packet.icmp(8, 0, body) if version == 4 else packet.icmpv6(CARD[6], KERNEL[6], 128, 0, body)
    proto, kind = (packet.ICMP, 0) if version == 4 else (packet.ICMPV6, 129)
    with plug() as plugged:
        plugged.send(route(CARD[version], KERNEL[version]).ip(proto, echo))

        def replies() -> list[bytes]:
            return [f.payload for _, f in plugged.seen if f.proto == proto and f.payload[:1] == bytes([kind])]

        plugged.wait_for(lambda: bool(replies()))
        (reply,) = replies()
        assert reply[4:] == body
        for received, frame in plugged.seen:
            check(received, frame)


# ---- tags


@contextlib.contextmanager
def packet_socket(plugged: Plugged) -> Iterator[socket.socket]:
    """A socket of the kernel for whole frames on the TAP, which tells the tag that the kernel took off."""
    with plugged.namespace.entered():
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        made.bind(("tap0", _ETH_P_ALL))
    with made:
        made.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
        made.setblocking(False)
        yield made


def tagged_frames(source: socket.socket) -> list[tuple[int, bytes]]:
    """(tag control information, frame without the tag) of what the kernel found tagged."""
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            frame, extras, _, _ = source.recvmsg(1 << 16, 256)
            for _, _, data in extras:
                status, _, _, _, _, tci, _ = struct.unpack("=IIIHHHH", data[:20])
                if status & _TP_STATUS_VLAN_VALID:
                    found.append((tci, frame))
    return found


@pytest.mark.requirement("TX-10")
@pytest.mark.parametrize("version", [4, 6])
def test_the_kernel_finds_the_tag_that_the_card_inserted(
    plug: Plug, route: type[Route], version: int
) -> None:
    tag, data = Vlan(user_priority=6, vlan_id=0x5A5), contents(5000)
    with plug() as plugged, packet_socket(plugged) as sniffer:
        way, headers = route(CARD[version], KERNEL[version]), 54 if version == 4 else 74
        plugged.send(way.udp((9, PORT), contents(500)), vlan=tag)
        plugged.send(way.tcp((9, PORT), data, mss=1400), vlan=tag)
        found: list[tuple[int, bytes]] = []

        def have_come() -> bool:
            found.extend(tagged_frames(sniffer))
            return len(found) >= 5

        plugged.wait_for(have_come)
        assert [tci for tci, _ in found] == [tag.tci] * 5
        assert found[0][1][headers - 12 :] == contents(500)
        assert b"".join(frame[headers:] for _, frame in found[1:]) == data


@pytest.mark.requirement("RX-6", "RX-7")
@pytest.mark.parametrize("version", [4, 6])
def test_a_tag_of_the_kernel_is_taken_off_and_told(
    plug: Plug, route: type[Route], check: Check, version: int
) -> None:
    way = route(KERNEL[version], CARD[version])
    whole = packet.udp(way.source, way.destination, PORT, PORT, contents(600))
    maker = packet.ipv4 if version == 4 else packet.ipv6
    datagram = maker(way.source, way.destination, packet.UDP, whole)
    untagged = packet.ethernet(datagram, source=KERNEL_MAC, destination=CARD_MAC)
    with plug() as plugged, packet_socket(plugged) as sender:
        for tci in (0x0005, 0xE123, 0x2FFF):
            sender.send(untagged[:12] + struct.pack(">HH", 0x8100, tci) + untagged[12:])
        plugged.wait_for(lambda: sum(is_own(frame) for _, frame in plugged.seen) >= 3)
        own = [(got, frame) for got, frame in plugged.seen if is_own(frame)]
        assert [received.vlan.tci for received, _ in own] == [0x0005, 0xE123, 0x2FFF]
        for received, frame in own:
            assert received.data == untagged
            assert received.checksum.udp_succeeded
            check(received, frame)
