"""Task offloads: packets on the wire against the references; what is offered, enabled and refused."""

from __future__ import annotations

import pytest

from vnic.ndis.offload import Offload, OffloadEncapsulation, OffloadParameters, Switch, Toggle
from vnic.ndis.oid import OID
from vnic.ndis.oid_request import query, set_
from vnic.ndis.oob import LargeSend, LargeSendType, TransmitChecksum, Vlan
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.task_offload import ChecksumBits, ChecksumTask, LargeSendTask, TaskOffload
from vnic.testbench import Bench
from vnic.testbench.frames import ADDRESSES, datagram, ethernet, tcp_frame, udp_frame
from vnic.wire import checksum, packet
from vnic.wire.segment import seed_of, segment

TCP_OPTIONS = bytes.fromhex("0101080a0000000100000002")


def addresses(version: int) -> tuple[bytes, bytes]:
    """The packed addresses of the test hosts."""
    source, destination = ADDRESSES[version]
    return packet.packed(source), packet.packed(destination)


def seeded(frame: bytes, version: int, l4: int, proto: int, field: int) -> bytes:
    """A frame as the host hands it down: the checksum field holds the pseudo header's sum."""
    length = len(frame) - l4
    seed = checksum.total(checksum.pseudo(*addresses(version), proto, length))
    return frame[: l4 + field] + seed.to_bytes(2) + frame[l4 + field + 2 :]


def zero_ip_checksum(frame: bytes, l3: int = 14) -> bytes:
    """An IPv4 header without its checksum."""
    return frame[: l3 + 10] + b"\0\0" + frame[l3 + 12 :]


def ask(version: int, **bits: bool | int) -> TransmitChecksum:
    """The out-of-band wish for an IP version."""
    return TransmitChecksum(is_ipv4=version == 4, is_ipv6=version == 6, **bits)  # type: ignore[arg-type]


@pytest.mark.parametrize("tags", [[], [(0x8100, 0x2005)]])
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("size", [0, 1, 7, 1000, 1401])
def test_tcp_checksum(version: int, size: int, tags: list[tuple[int, int]]) -> None:
    right = tcp_frame(bytes(range(256))[: size % 256] * (1 + size // 256), version=version, tags=tags)
    l4 = 14 + 4 * len(tags) + (20 if version == 4 else 40)
    sent = seeded(right, version, l4, packet.TCP, 16)
    with Bench(queues=1, cpus=1) as bench:
        bench.send(sent, checksum=ask(version, tcp=True, tcp_header_offset=l4), pieces=[14, 30])
        bench.settle()
        assert bench.transmitted == [right.ljust(60, b"\0")]


@pytest.mark.parametrize("version", [4, 6])
def test_udp_checksum(version: int) -> None:
    right = udp_frame(b"datagram", version=version)
    l4 = 34 if version == 4 else 54
    with Bench(queues=1, cpus=1) as bench:
        bench.send(seeded(right, version, l4, packet.UDP, 6), checksum=ask(version, udp=True))
        bench.settle()
        assert bench.transmitted == [right.ljust(60, b"\0")]


def test_udp_checksum_behind_ipv6_extension_headers() -> None:
    inner = packet.udp(*ADDRESSES[6], 1, 2, b"extended")
    extensions = [
        (packet.HOP_BY_HOP, packet.options_header(b"")),
        (packet.DESTINATION, packet.options_header(b"")),
    ]
    right = ethernet(datagram(6, packet.UDP, inner, extensions=extensions))
    l4 = len(right) - len(inner)
    with Bench(queues=1, cpus=1) as bench:
        bench.send(seeded(right, 6, l4, packet.UDP, 6), checksum=ask(6, udp=True))
        bench.settle()
        assert bench.transmitted == [right]


def test_ip_header_checksum_with_options() -> None:
    right = tcp_frame(b"x" * 30, ip={"options": b"\x94\x04\0\0"})
    with Bench(queues=1, cpus=1) as bench:
        wish = ask(4, ip_header=True, tcp=True, tcp_header_offset=38)
        bench.send(seeded(zero_ip_checksum(right), 4, 38, packet.TCP, 16), checksum=wish)
        bench.settle()
        assert bench.transmitted == [right]


def template(version: int, options: bytes = b"", flags: int = packet.ACK | packet.PSH | packet.FIN) -> bytes:
    """Headers of a large send as TCP/IP leaves them: seed without length, IP lengths 0."""
    frame = tcp_frame(
        version=version, seq=0xFFFFF000, flags=flags, options=options,
        field=seed_of(*addresses(version)), ip={"identification": 0x7FFE} if version == 4 else {},
    )  # fmt: skip
    return frame


@pytest.mark.parametrize("options", [b"", TCP_OPTIONS])
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(("size", "mss"), [(1, 100), (1460, 1460), (1461, 1460), (20000, 536), (65000, 1448)])
def test_large_send_v2_against_the_reference(version: int, size: int, mss: int, options: bytes) -> None:
    head = template(version, options)
    l4 = 34 if version == 4 else 54
    payload = bytes(n * 7 & 0xFF for n in range(size))
    expected = segment(head, payload, mss, l4_offset=l4)
    parameters = {"queues": 1, "cpus": 1}
    with Bench(**parameters) as bench:  # type: ignore[arg-type]
        wish = LargeSend(mss, l4, LargeSendType.V2, version == 6)
        # Below two segments a protocol must not ask: such sends are put in below it.
        sender = bench.send if size > mss else bench.inject
        sender(head + payload, large_send=wish, pieces=[len(head)])
        bench.settle()
        assert bench.transmitted == [frame.ljust(60, b"\0") for frame in expected]
        if size > mss:
            assert bench.protocol.sent[0].large_send_info == 1 << 30


def test_large_send_of_the_largest_size() -> None:
    head = template(6)
    with Bench(queues=1, cpus=1, keywords={"*JumboPacket": 9014}) as bench:
        limit = Offload.parse(bench.query(OID.TCP_OFFLOAD_CURRENT_CONFIG)).lso_v2.ipv6_max_offload_size
        payload = bytes(limit)
        assert limit > 256 * 1024 - 512
        bench.send(head + payload, large_send=LargeSend(8000, 54, LargeSendType.V2, True))
        bench.settle()
        assert b"".join(frame[74:] for frame in bench.transmitted) == payload
        assert len(bench.transmitted) == -(-limit // 8000)


def test_large_send_in_more_pieces_than_descriptors() -> None:
    head = template(4)
    payload = bytes(n & 0xFF for n in range(9000))
    with Bench(queues=1, cpus=1) as bench:
        bench.send(head + payload, large_send=LargeSend(1000, 34), pieces=[60] * 150)
        bench.settle()
        assert bench.transmitted == segment(head, payload, 1000, l4_offset=34)


def test_large_send_v1_reports_its_payload() -> None:
    head = template(4)
    payload = bytes(5000)
    with Bench(queues=1, cpus=1, profile="snp2003") as bench:
        bench.send(head + payload, large_send=LargeSend(1460, 34, LargeSendType.V1))
        bench.settle()
        assert bench.transmitted == segment(head, payload, 1460, l4_offset=34)
        assert bench.protocol.sent[0].large_send_info == 5000


def test_large_send_with_a_tag() -> None:
    head = template(4)
    with Bench(queues=1, cpus=1) as bench:
        bench.send(head + bytes(3000), large_send=LargeSend(1000, 34), vlan=Vlan(1, False, 2))
        bench.settle()
        expected = segment(head, bytes(3000), 1000, l4_offset=34)
        assert bench.transmitted == [f[:12] + b"\x81\x00\x20\x02" + f[12:] for f in expected]


@pytest.mark.parametrize(
    ("frame", "wish"),
    [
        (template(4) + bytes(100), LargeSend(10, 34)),  # below the smallest MSS
        (template(4), LargeSend(1000, 34)),  # no payload
        (template(4) + bytes(3000), LargeSend(1000, 600)),  # the TCP header is too far away
        (template(4) + bytes(3000), LargeSend(0xFFFFF, 34)),
        (template(4) + bytes(3000), LargeSend(1000, 38)),  # no TCP header there
    ],
)
def test_a_large_send_that_contradicts_itself_ends_invalid(frame: bytes, wish: LargeSend) -> None:
    with Bench(queues=1, cpus=1) as bench:
        bench.inject(frame, large_send=wish)
        bench.settle()
        assert [status for _, status in bench.injector.completed] == [NDIS_STATUS.INVALID_PACKET]
        assert bench.transmitted == []


def current(bench: Bench) -> Offload:
    """What NDIS was told is enabled."""
    return Offload.parse(bench.query(OID.TCP_OFFLOAD_CURRENT_CONFIG))


def test_hardware_and_current_offloads_of_the_default_profile() -> None:
    with Bench() as bench:
        hardware = Offload.parse(bench.query(OID.TCP_OFFLOAD_HARDWARE_CAPABILITIES))
        assert current(bench) == hardware
        assert hardware.ipv4_transmit.tcp_checksum
        assert hardware.ipv6_receive.udp_checksum
        assert not hardware.ipv6_transmit.ip_checksum
        assert hardware.lso_v2.ipv6_max_offload_size == 262144 - 256


def test_the_profile_of_the_pack_has_no_large_send_v2() -> None:
    with Bench(profile="snp2003", keywords={"*LsoV2IPv4": 1}) as bench:
        hardware = Offload.parse(bench.query(OID.TCP_OFFLOAD_HARDWARE_CAPABILITIES))
        assert hardware.lso_v2.ipv4_max_offload_size == 0
        assert hardware.lso_v1.max_offload_size > 0
        wish = OffloadParameters(lso_v2_ipv4=Switch.ENABLED)
        assert bench.request(set_(OID.TCP_OFFLOAD_PARAMETERS, wish.pack())) == NDIS_STATUS.NOT_SUPPORTED


def test_offload_parameters_switch_and_are_indicated() -> None:
    with Bench() as bench:
        wish = OffloadParameters(
            tcp_ipv4_checksum=Toggle.RX_ENABLED_TX_DISABLED, udp_ipv6_checksum=Toggle.TX_RX_DISABLED,
            lso_v2_ipv6=Switch.DISABLED,
        )  # fmt: skip
        assert bench.request(set_(OID.TCP_OFFLOAD_PARAMETERS, wish.pack())) == NDIS_STATUS.SUCCESS
        now = current(bench)
        assert not now.ipv4_transmit.tcp_checksum
        assert now.ipv4_receive.tcp_checksum
        assert not now.ipv6_transmit.udp_checksum
        assert now.lso_v2.ipv6_max_offload_size == 0
        assert now.lso_v2.ipv4_max_offload_size == 0, "large send needs the checksum that was switched off"
        statuses = [each.status for each in bench.protocol.statuses]
        assert NDIS_STATUS.TASK_OFFLOAD_CURRENT_CONFIG in statuses
        back = OffloadParameters(tcp_ipv4_checksum=Toggle.TX_RX_ENABLED, lso_v2_ipv4=Switch.ENABLED)
        assert bench.request(set_(OID.TCP_OFFLOAD_PARAMETERS, back.pack())) == NDIS_STATUS.SUCCESS
        assert current(bench).lso_v2.ipv4_max_offload_size > 0


def test_receive_checksums_can_be_switched_off_entirely_at_run_time() -> None:
    with Bench(queues=1, cpus=1) as bench:
        off = Toggle.TX_RX_DISABLED
        wish = OffloadParameters(off, off, off, off, off)
        assert bench.request(set_(OID.TCP_OFFLOAD_PARAMETERS, wish.pack())) == NDIS_STATUS.SUCCESS
        bench.receive(tcp_frame(b"x"))
        bench.settle()
        assert bench.protocol.received[0].checksum.value == 0
        assert bench.counters()["RX_CSUM_GOOD"] == 0


@pytest.mark.parametrize("data", [b"", bytes(20), OffloadParameters().pack()[:19]])
def test_malformed_offload_parameters_change_nothing(data: bytes) -> None:
    with Bench() as bench:
        before = current(bench)
        assert bench.request(set_(OID.TCP_OFFLOAD_PARAMETERS, data)) in (
            NDIS_STATUS.INVALID_LENGTH,
            NDIS_STATUS.INVALID_DATA,
        )
        assert current(bench) == before


def test_encapsulation_switches_an_ip_version() -> None:
    with Bench() as bench:
        off = OffloadEncapsulation(ipv4_enabled=2, ipv6_enabled=1, ipv6_type=2, ipv6_header_size=14)
        assert bench.request(set_(OID.OFFLOAD_ENCAPSULATION, off.pack())) == NDIS_STATUS.SUCCESS
        assert not current(bench).ipv4_transmit.tcp_checksum
        assert current(bench).ipv6_transmit.tcp_checksum
        on = OffloadEncapsulation(ipv4_enabled=1, ipv4_type=2, ipv4_header_size=14)
        assert bench.request(set_(OID.OFFLOAD_ENCAPSULATION, on.pack())) == NDIS_STATUS.SUCCESS
        assert current(bench).ipv4_transmit.tcp_checksum
        foreign = OffloadEncapsulation(ipv4_enabled=1, ipv4_type=16, ipv4_header_size=22)
        assert bench.request(set_(OID.OFFLOAD_ENCAPSULATION, foreign.pack())) == NDIS_STATUS.NOT_SUPPORTED


def test_task_offload_of_ndis_5() -> None:
    with Bench(profile="snp2003") as bench:
        request = query(OID.TCP_TASK_OFFLOAD, 256)
        assert bench.request(request) == NDIS_STATUS.SUCCESS
        offered = TaskOffload.parse(request.data)
        assert offered.checksum is not None
        assert offered.checksum.v4_transmit.tcp_checksum
        assert offered.large_send is not None
        wish = TaskOffload(ChecksumTask(v4_transmit=ChecksumBits(tcp_checksum=True)))
        assert bench.request(set_(OID.TCP_TASK_OFFLOAD, wish.pack())) == NDIS_STATUS.SUCCESS
        assert current(bench).ipv4_transmit.tcp_checksum
        assert not current(bench).ipv4_receive.tcp_checksum
        assert current(bench).lso_v1.max_offload_size == 0
        greedy = TaskOffload(offered.checksum, LargeSendTask(1 << 20, 2))
        assert bench.request(set_(OID.TCP_TASK_OFFLOAD, greedy.pack())) == NDIS_STATUS.INVALID_DATA
        assert bench.request(set_(OID.TCP_TASK_OFFLOAD, TaskOffload().pack())) == NDIS_STATUS.SUCCESS
        assert not current(bench).ipv4_transmit.tcp_checksum
