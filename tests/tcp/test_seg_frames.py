"""SEG: what is checked before the engine sees a segment, as frames into the stack."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from vnic._core import ffi, lib
from vnic.wire import packet

V4 = ("192.0.2.2", "192.0.2.1")
V6 = ("2001:db8::2", "2001:db8::1")
OUR_MAC, PEER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
MSS = bytes([2, 4, 5, 180])


class Host:
    """A stack with one interface that listens on port 80, and a neighbour that it knows."""

    def __init__(self) -> None:
        config = ffi.new("struct vnic_stack_config *")
        lib.vnic_stack_defaults(config)
        config.seed, config.connections = 1, 8
        self.stack = lib.vnic_stack_create(config)
        interface = ffi.new("struct vnic_stack_interface *")
        interface.mac[0:6] = packet.mac(OUR_MAC)
        interface.mtu = 1500
        assert lib.vnic_stack_add_interface(self.stack, interface) == 0
        lib.vnic_stack_set_link(self.stack, 0, 1)
        for peer, ours in (V4, V6):
            assert (
                lib.vnic_stack_add_address(self.stack, 0, self.address(ours), 64 if ":" in ours else 24) >= 0
            )
            assert lib.vnic_stack_add_neighbour(self.stack, 0, self.address(peer), packet.mac(PEER_MAC)) >= 0
        for at in (1_000_000, 5_000_000_000):  # duplicate address detection is over
            assert lib.vnic_stack_time(self.stack, at) == 0
        for is_ipv6 in (0, 1):
            local = ffi.new("struct vnic_endpoint *")
            local.address.is_ipv6, local.port = is_ipv6, 80
            assert lib.vnic_tcp_listen(self.stack, local, 4) > 0
        self.answers()

    @staticmethod
    def address(text: str) -> Any:
        """struct vnic_address."""
        made = ffi.new("struct vnic_address *")
        raw = packet.packed(text)
        made.bytes[0 : len(raw)] = raw
        made.is_ipv6 = len(raw) == 16
        return made

    def receive(self, datagram: bytes) -> list[bytes]:
        """A datagram arrives; the TCP segments that answer it."""
        frame = packet.ethernet(datagram, source=PEER_MAC, destination=OUR_MAC)
        lib.vnic_stack_receive(self.stack, 0, frame, len(frame), 0)
        return self.answers()

    def answers(self) -> list[bytes]:
        """TCP segments that wait to be transmitted."""
        out, frame, segments = ffi.new("uint8_t[2048]"), ffi.new("struct vnic_stack_frame *"), []
        while (length := lib.vnic_stack_transmit(self.stack, 0, out, 2048, frame)) > 0:
            sent = bytes(ffi.buffer(out, length))
            is_ipv6 = sent[12:14] == b"\x86\xdd"
            if (sent[20] if is_ipv6 else sent[23]) == packet.TCP:
                segments.append(sent[54:] if is_ipv6 else sent[34:])
        assert length == 0
        return segments


@pytest.fixture
def host() -> Iterator[Host]:
    """A host that is freed at the end."""
    made = Host()
    yield made
    lib.vnic_stack_destroy(made.stack)


def datagram(segment: bytes, is_ipv6: bool = False, **changes: Any) -> bytes:
    """The segment in an IP packet."""
    if is_ipv6:
        return packet.ipv6(*V6, packet.TCP, segment, **changes)
    return packet.ipv4(*V4, packet.TCP, segment, **changes)


def syn(is_ipv6: bool = False, port: int = 80, **changes: Any) -> bytes:
    """A SYN to us."""
    pair = V6 if is_ipv6 else V4
    return packet.tcp(*pair, 40_000, port, seq=1000, flags=packet.SYN, options=MSS, **changes)


@pytest.mark.requirement("SEG-01")
@pytest.mark.parametrize("is_ipv6", [False, True])
@pytest.mark.parametrize("port", [80, 81])
def test_a_wrong_checksum_is_dropped_without_a_word(host: Host, is_ipv6: bool, port: int) -> None:
    good = syn(is_ipv6, port)
    for bit in range(0, 8 * len(good), 7):
        wrong = bytearray(good)
        wrong[bit // 8] ^= 1 << bit % 8
        assert host.receive(datagram(bytes(wrong), is_ipv6)) == []
    answer = host.receive(datagram(good, is_ipv6))
    assert len(answer) == 1
    assert answer[0][13] == (packet.SYN | packet.ACK if port == 80 else packet.RST | packet.ACK)


@pytest.mark.requirement("SEG-01")
@pytest.mark.parametrize("is_ipv6", [False, True])
def test_the_pseudo_header_counts(host: Host, is_ipv6: bool) -> None:
    good = syn(is_ipv6)
    other = ("2001:db8::3", V6[1]) if is_ipv6 else ("192.0.2.3", V4[1])
    build = packet.ipv6 if is_ipv6 else packet.ipv4
    assert host.receive(build(*other, packet.TCP, good)) == [], "the segment was summed for another address"
    assert len(host.receive(datagram(good, is_ipv6))) == 1


@pytest.mark.requirement("SEG-02")
@pytest.mark.parametrize("is_ipv6", [False, True])
@pytest.mark.parametrize("offset", [0, 4, 7, 15])
def test_a_data_offset_that_cannot_be(host: Host, is_ipv6: bool, offset: int) -> None:
    assert host.receive(datagram(syn(is_ipv6, data_offset=offset), is_ipv6)) == []
    assert len(host.receive(datagram(syn(is_ipv6), is_ipv6))) == 1


@pytest.mark.requirement("SEG-02")
@pytest.mark.parametrize("length", [0, 1, 19])
@pytest.mark.parametrize("is_ipv6", [False, True])
def test_a_segment_shorter_than_a_header(host: Host, length: int, is_ipv6: bool) -> None:
    assert host.receive(datagram(syn(is_ipv6)[:length], is_ipv6)) == []


@pytest.mark.requirement("SEG-02")
@pytest.mark.parametrize(
    "changes",
    [
        {"version": 3},
        {"version": 6},
        {"ihl": 4},
        {"ihl": 15},
        {"total_len": 19},
        {"total_len": 39},
        {"total_len": 1500},
    ],
)
def test_an_ip_header_that_lies(host: Host, changes: dict[str, Any]) -> None:
    frame = packet.ethernet(
        datagram(syn(), **changes), ethertype=packet.ETHERTYPE_IPV4, source=PEER_MAC, destination=OUR_MAC
    )
    lib.vnic_stack_receive(host.stack, 0, frame, len(frame), 0)
    assert host.answers() == []
