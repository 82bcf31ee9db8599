"""Receiving: every byte, over every interrupt level, with what the out-of-band information says of it."""

from __future__ import annotations

import pytest

from vnic.abi import DmaPurpose, FaultAction, FaultSite
from vnic.fault import Fault
from vnic.miniport.receive import NblFlag
from vnic.ndis.oid import OID, PacketFilter
from vnic.ndis.oid_request import set_
from vnic.ndis.oob import ReceiveChecksum
from vnic.ndis.status import NDIS_STATUS
from vnic.testbench import Bench
from vnic.testbench.frames import PEER, plain_frame, tcp_frame, udp_frame
from vnic.wire import packet

LEVELS = ["msix", "msi", "line"]


def mixed_frames(count: int) -> list[bytes]:
    """Frames of many lengths, TCP, UDP and neither."""
    makers = (
        lambda n: tcp_frame(bytes([n & 0xFF]) * (n * 37 % 1400), ports=(1000 + n % 7, 80)),
        lambda n: udp_frame(bytes([n & 0xFF]) * (n * 53 % 1400), version=6, ports=(2000 + n % 5, 53)),
        lambda n: plain_frame(60 + n * 41 % 1400, n),
    )
    return [makers[n % 3](n) for n in range(count)]


@pytest.mark.parametrize("interrupt", LEVELS)
@pytest.mark.parametrize("scatter", [True, False])
def test_every_frame_arrives_byte_for_byte(interrupt: str, scatter: bool) -> None:
    frames = mixed_frames(100)
    with Bench(interrupt=interrupt, scatter=scatter) as bench:
        for start in range(0, 100, 20):
            bench.receive(*frames[start : start + 20])
            bench.settle()
        assert bench.received == frames


@pytest.mark.parametrize("interrupt", LEVELS)
def test_frames_of_one_flow_keep_their_order_while_rss_spreads_flows(interrupt: str) -> None:
    with Bench(interrupt=interrupt) as bench:
        assert bench.set_rss() == NDIS_STATUS.SUCCESS
        frames = [tcp_frame(n.to_bytes(4), ports=(5000 + n % 16, 80)) for n in range(200)]
        bench.receive(*frames)
        bench.settle()
        seen = bench.protocol.received
        assert sorted(bench.received) == sorted(frames)
        assert {frame.cpu for frame in seen} == {0, 1, 2, 3}
        for flow in range(16):
            port = (5000 + flow).to_bytes(2)
            assert [f.data for f in seen if f.data[34:36] == port] == [f for f in frames if f[34:36] == port]


def test_more_frames_than_a_dpc_may_take_come_in_several_dpcs() -> None:
    with Bench(queues=1, cpus=1, frames_per_dpc=8, keywords={"*InterruptModeration": 0}) as bench:
        before = bench.processors[0].dpcs
        frames = [plain_frame(100, n) for n in range(64)]
        bench.device.is_manual = True
        bench.receive(*frames)
        bench.device.is_manual = False
        bench.settle()
        assert bench.received == frames
        assert bench.processors[0].dpcs - before >= 8


@pytest.mark.parametrize("length", [1514, 2048, 2049, 4096, 9000, 9614])
def test_a_jumbo_frame_is_an_mdl_chain_of_the_buffers_it_took(length: int) -> None:
    with Bench(keywords={"*JumboPacket": 9614}) as bench:
        frame = plain_frame(length)
        bench.receive(frame)
        bench.settle()
        (seen,) = bench.protocol.received
        assert seen.data == frame
        assert seen.pieces == (2048,) * (length // 2048) + ((length % 2048,) if length % 2048 else ())


def test_a_frame_longer_than_the_keyword_allows_is_dropped_and_counted() -> None:
    with Bench() as bench:
        bench.receive(plain_frame(1519))
        bench.settle()
        assert bench.received == []
        assert bench.counters()["RX_DROP_OVERSIZE"] == 1


GOOD4 = ReceiveChecksum(ip_succeeded=True)


@pytest.mark.parametrize(
    ("frame", "verdict"),
    [
        (tcp_frame(b"x"), ReceiveChecksum(tcp_succeeded=True, ip_succeeded=True)),
        (tcp_frame(b"x", field=0x1234), ReceiveChecksum(tcp_failed=True, ip_succeeded=True)),
        (tcp_frame(b"x", version=6), ReceiveChecksum(tcp_succeeded=True)),
        (udp_frame(b"x"), ReceiveChecksum(udp_succeeded=True, ip_succeeded=True)),
        (udp_frame(b"x", field=1), ReceiveChecksum(udp_failed=True, ip_succeeded=True)),
        (udp_frame(b"x", field=0), GOOD4),
        (tcp_frame(b"x", ip={"header_checksum": 1}), ReceiveChecksum(tcp_succeeded=True, ip_failed=True)),
        (plain_frame(80), ReceiveChecksum()),
    ],
)
def test_checksum_verdicts(frame: bytes, verdict: ReceiveChecksum) -> None:
    with Bench(queues=1, cpus=1) as bench:
        bench.receive(frame)
        bench.settle()
        assert bench.protocol.received[0].checksum == verdict


def test_receive_checksums_switched_off_by_keyword_are_not_reported() -> None:
    keywords = {"*TCPChecksumOffloadIPv4": 1, "*IPChecksumOffloadIPv4": 1}
    with Bench(queues=1, cpus=1, keywords=keywords) as bench:
        bench.receive(tcp_frame(b"x"), udp_frame(b"x"))
        bench.settle()
        tcp, udp = bench.protocol.received
        assert tcp.checksum == ReceiveChecksum()
        assert udp.checksum == ReceiveChecksum(udp_succeeded=True)


def test_a_tag_is_taken_out_and_reported() -> None:
    with Bench(queues=1, cpus=1) as bench:
        bench.receive(tcp_frame(b"data", tags=[(0x8100, 0xB123)]))
        bench.settle()
        (seen,) = bench.protocol.received
        assert seen.data == tcp_frame(b"data")
        assert (seen.vlan.user_priority, seen.vlan.canonical_format, seen.vlan.vlan_id) == (5, True, 0x123)


def test_a_tag_is_taken_out_and_not_told_of_when_the_keyword_switches_tagging_off() -> None:
    with Bench(queues=1, cpus=1, keywords={"*PriorityVLANTag": 0}) as bench:
        bench.receive(tcp_frame(b"data", tags=[(0x8100, 0xB123)]))
        bench.settle()
        (seen,) = bench.protocol.received
        assert seen.data == tcp_frame(b"data")
        assert seen.vlan.value == 0


@pytest.mark.parametrize("version", [4, 6])
def test_header_split_puts_headers_and_data_into_mdls_of_their_own(version: int) -> None:
    with Bench(queues=1, cpus=1, keywords={"*HeaderDataSplit": 1, "*JumboPacket": 9614}) as bench:
        frames = [tcp_frame(bytes(n), version=version) for n in (0, 1, 1000, 5000)]
        bench.receive(*frames, plain_frame(200))
        bench.settle()
        *split, plain = bench.protocol.received
        headers = 54 if version == 4 else 74
        assert [frame.data for frame in split] == frames
        assert [frame.pieces for frame in split] == [
            (headers,),
            (headers, 1),
            (headers, 1000),
            (headers, 2048, 2048, 904),
        ]
        family = NblFlag.IS_IPV4 if version == 4 else NblFlag.IS_IPV6
        wanted = NblFlag.HD_SPLIT | NblFlag.IS_TCP | NblFlag.SPLIT_AT_UPPER_LAYER_PROTOCOL_PAYLOAD | family
        assert {frame.nbl_flags for frame in split} == {int(wanted)}
        assert (plain.data, plain.pieces, plain.nbl_flags) == (plain_frame(200), (200,), 0)


def test_nbls_that_the_protocol_keeps_leave_buffers_for_others_and_come_back() -> None:
    with Bench(queues=1, cpus=1, keywords={"*ReceiveBuffers": 16}) as bench:
        bench.protocol.keeps_nbls = True
        frames = [plain_frame(100, n) for n in range(60)]
        for frame in frames:
            bench.receive(frame)
            bench.settle()
        assert bench.received == frames
        lent = [frame.was_lent for frame in bench.protocol.received]
        assert not any(lent[:13])
        assert all(lent[20:]), "a short ring must lend"
        bench.protocol.release()
        bench.receive(frames[0])
        bench.settle()
        assert not bench.protocol.received[-1].was_lent


def test_nothing_is_copied_between_the_card_and_the_protocol() -> None:
    with Bench(queues=1, cpus=1) as bench:
        bench.protocol.keeps_nbls = True
        bench.receive(plain_frame(300, 7))
        bench.settle()
        (nbl,) = bench.protocol.held
        assert nbl.first_net_buffer is not None
        ((address, part),) = nbl.first_net_buffer.views()
        assert bench.memory.read(address, 300) == plain_frame(300, 7)
        bench.memory.write(address + 299, b"\xaa")
        assert part[299] == 0xAA
        bench.memory.write(address + 299, plain_frame(300, 7)[299:])


def address_frames(bench: Bench) -> dict[str, bytes]:
    """One frame for each kind of destination."""
    return {
        "mine": plain_frame(80, 1, bench.station),
        "other": plain_frame(80, 2, PEER),
        "listed": plain_frame(80, 3, bytes.fromhex("01005e000001")),
        "unlisted": plain_frame(80, 4, bytes.fromhex("01005e000002")),
        "broadcast": plain_frame(80, 5, b"\xff" * 6),
    }


@pytest.mark.parametrize(
    ("packet_filter", "wanted"),
    [
        (0, set()),
        (PacketFilter.DIRECTED, {"mine"}),
        (PacketFilter.MULTICAST, {"listed"}),
        (PacketFilter.ALL_MULTICAST, {"listed", "unlisted"}),
        (PacketFilter.BROADCAST, {"broadcast"}),
        (PacketFilter.DIRECTED | PacketFilter.BROADCAST, {"mine", "broadcast"}),
        (PacketFilter.PROMISCUOUS, {"mine", "other", "listed", "unlisted", "broadcast"}),
    ],
)
def test_packet_filter_and_multicast_list(packet_filter: int, wanted: set[str]) -> None:
    with Bench(queues=1, cpus=1, packet_filter=packet_filter) as bench:
        addresses = bytes.fromhex("01005e000001") + bytes.fromhex("333300000001")
        assert bench.request(set_(OID.O802_3_MULTICAST_LIST, addresses)) == NDIS_STATUS.SUCCESS
        frames = address_frames(bench)
        bench.receive(*frames.values())
        bench.settle()
        assert bench.received == [frame for name, frame in frames.items() if name in wanted]
        card_drops = bench.counters()["RX_DROP_ADDRESS"]
        assert card_drops == len(frames) - len(wanted), "the card filters, not NDIS"


def test_a_vlan_id_lets_its_own_frames_and_untagged_ones_in() -> None:
    with Bench(queues=1, cpus=1, packet_filter=PacketFilter.DIRECTED) as bench:
        assert bench.request(set_(OID.GEN_VLAN_ID, (5).to_bytes(4, "little"))) == NDIS_STATUS.SUCCESS
        mine = [
            tcp_frame(b"a", tags=[(0x8100, 5)]),
            tcp_frame(b"b"),
            tcp_frame(b"c", tags=[(0x8100, 0x6000)]),
        ]
        bench.receive(mine[0], tcp_frame(b"no", tags=[(0x8100, 6)]), *mine[1:])
        bench.settle()
        assert [frame[-1:] for frame in bench.received] == [b"a", b"b", b"c"]
        assert bench.counters()["RX_DROP_VLAN"] == 1


def test_moderation_makes_fewer_interrupts_of_the_same_frames() -> None:
    raised = {}
    for moderation in (0, 1):
        with Bench(queues=1, cpus=1, keywords={"*InterruptModeration": moderation}) as bench:
            for n in range(50):
                bench.receive(plain_frame(100, n))
                bench.advance(1_000)
            bench.settle()
            assert len(bench.received) == 50
            raised[moderation] = bench.processors[0].interrupts
    assert raised[0] >= 50
    assert raised[1] <= 10


def test_a_frame_whose_buffer_could_not_be_written_is_not_indicated_and_its_buffer_is_used_again() -> None:
    with Bench(queues=1, cpus=1, keywords={"*ReceiveBuffers": 8}) as bench:
        fault = Fault(
            site=FaultSite.DMA_WRITE, action=FaultAction.ERROR, index=DmaPurpose.DATA, skip=2, argument=1
        )
        bench.device.arm(fault)
        frames = [plain_frame(100, n) for n in range(30)]
        for frame in frames:
            bench.receive(frame)
            bench.settle()
        assert bench.received == [frame for frame in frames if frame != frames[2]]
        assert bench.counters()["RX_DROP_DMA"] == 1


def test_fragments_and_padding_arrive_as_they_were() -> None:
    whole = packet.ipv4("10.0.0.1", "10.0.0.2", packet.UDP, bytes(range(200)))
    frames = [packet.ethernet(piece, min_len=60) for piece in packet.ipv4_fragments(whole, 24)]
    with Bench() as bench:
        bench.set_rss()
        bench.receive(*frames)
        bench.settle()
        assert bench.received == frames
