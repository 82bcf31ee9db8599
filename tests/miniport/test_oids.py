"""Every OID of the miniport: what it answers, what it takes, what it refuses, and the sizes it reports."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from vnic.miniport.oids import DRIVER_VERSION, VENDOR_DESCRIPTION
from vnic.ndis.oid import OID, OIDS, Answerer, PacketFilter
from vnic.ndis.oid_request import query, set_
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import (
    InterruptModeration,
    InterruptModerationState,
    LinkParameters,
    MediaDuplexState,
    StatisticsInfo,
)
from vnic.testbench import Bench
from vnic.testbench.frames import plain_frame, tcp_frame

OK, SHORT = NDIS_STATUS.SUCCESS, NDIS_STATUS.INVALID_LENGTH


def ulong(value: int) -> bytes:
    """A ULONG."""
    return struct.pack("<I", value)


ANSWERS: list[tuple[OID, bytes]] = [
    (OID.GEN_TRANSMIT_BLOCK_SIZE, ulong(1514)),
    (OID.GEN_RECEIVE_BLOCK_SIZE, ulong(1514)),
    (OID.GEN_MAXIMUM_TOTAL_SIZE, ulong(1514)),
    (OID.GEN_MAXIMUM_FRAME_SIZE, ulong(1500)),
    (OID.GEN_TRANSMIT_BUFFER_SPACE, ulong(4 * 511 * 1514)),
    (OID.GEN_RECEIVE_BUFFER_SPACE, ulong(4 * 127 * 2048)),
    (OID.GEN_VENDOR_ID, bytes.fromhex("02000000")),
    (OID.GEN_VENDOR_DESCRIPTION, VENDOR_DESCRIPTION),
    (OID.GEN_VENDOR_DRIVER_VERSION, ulong(DRIVER_VERSION)),
    (OID.GEN_INTERRUPT_MODERATION, InterruptModeration(InterruptModerationState.ENABLED).pack()),
    (OID.GEN_VLAN_ID, ulong(0)),
    (OID.GEN_TRANSMIT_QUEUE_LENGTH, ulong(0)),
    (OID.GEN_RCV_CRC_ERROR, ulong(0)),
    (OID.O802_3_RCV_ERROR_ALIGNMENT, ulong(0)),
    (OID.O802_3_XMIT_ONE_COLLISION, ulong(0)),
    (OID.O802_3_XMIT_MORE_COLLISIONS, ulong(0)),
    (OID.O802_3_XMIT_DEFERRED, ulong(0)),
    (OID.O802_3_XMIT_MAX_COLLISIONS, ulong(0)),
    (OID.O802_3_RCV_OVERRUN, ulong(0)),
    (OID.O802_3_XMIT_UNDERRUN, ulong(0)),
    (OID.O802_3_XMIT_HEARTBEAT_FAILURE, ulong(0)),
    (OID.O802_3_XMIT_TIMES_CRS_LOST, ulong(0)),
    (OID.O802_3_XMIT_LATE_COLLISIONS, ulong(0)),
    (OID.O802_3_PERMANENT_ADDRESS, bytes.fromhex("020000000001")),
    (OID.O802_3_CURRENT_ADDRESS, bytes.fromhex("020000000001")),
    (OID.O802_3_MAXIMUM_LIST_SIZE, ulong(32)),
    (OID.GEN_CURRENT_PACKET_FILTER, ulong(PacketFilter.PROMISCUOUS)),
]


def test_answers_and_the_sizes_they_need() -> None:
    with Bench() as bench:
        for oid, wanted in ANSWERS:
            assert bench.query(oid) == wanted, str(oid)
            tight = query(oid, len(wanted) - 1)
            assert bench.request(tight) == NDIS_STATUS.BUFFER_TOO_SHORT, str(oid)
            assert (tight.bytes_written, tight.bytes_needed) == (0, len(wanted))


SETS: list[tuple[OID, bytes, NDIS_STATUS]] = [
    (OID.GEN_CURRENT_PACKET_FILTER, ulong(0x0D), OK),
    (OID.GEN_CURRENT_PACKET_FILTER, ulong(0x40), NDIS_STATUS.NOT_SUPPORTED),
    (OID.GEN_CURRENT_LOOKAHEAD, ulong(128), OK),
    (OID.GEN_CURRENT_LOOKAHEAD, ulong(100_000), NDIS_STATUS.INVALID_DATA),
    (OID.GEN_NETWORK_LAYER_ADDRESSES, bytes(8), OK),
    (OID.GEN_MACHINE_NAME, "card".encode("utf-16-le"), OK),
    (OID.GEN_INTERRUPT_MODERATION, InterruptModeration(InterruptModerationState.DISABLED).pack(), OK),
    (
        OID.GEN_INTERRUPT_MODERATION,
        InterruptModeration(InterruptModerationState.UNKNOWN).pack(),
        NDIS_STATUS.INVALID_DATA,
    ),
    (OID.GEN_VLAN_ID, ulong(4094), OK),
    (OID.GEN_VLAN_ID, ulong(4095), NDIS_STATUS.INVALID_DATA),
    (OID.GEN_LINK_PARAMETERS, LinkParameters().pack(), OK),
    (OID.GEN_LINK_PARAMETERS, LinkParameters(MediaDuplexState.HALF).pack(), NDIS_STATUS.NOT_SUPPORTED),
    (OID.O802_3_MULTICAST_LIST, bytes.fromhex("01005e000001"), OK),
    (OID.O802_3_MULTICAST_LIST, bytes.fromhex("00005e000001"), NDIS_STATUS.INVALID_DATA),
    (OID.O802_3_MULTICAST_LIST, bytes(7), SHORT),
    (
        OID.O802_3_MULTICAST_LIST,
        b"".join(b"\1\0\0\0\0" + bytes([n]) for n in range(33)),
        NDIS_STATUS.MULTICAST_FULL,
    ),
    (OID.GEN_HD_SPLIT_PARAMETERS, bytes.fromhex("8001080000000000"), NDIS_STATUS.NOT_SUPPORTED),
    (OID.GEN_STATISTICS, bytes(152), NDIS_STATUS.NOT_SUPPORTED),
]


@pytest.mark.parametrize(("oid", "data", "wanted"), SETS, ids=lambda value: str(value)[:40])
def test_sets(oid: OID, data: bytes, wanted: NDIS_STATUS) -> None:
    with Bench(queues=1, cpus=1) as bench:
        request = set_(oid, data)
        assert bench.request(request) == wanted
        if wanted == OK:
            assert request.bytes_read == len(data)


def test_short_buffers_of_sets_name_the_size() -> None:
    with Bench(queues=1, cpus=1) as bench:
        for oid, size in (
            (OID.GEN_CURRENT_PACKET_FILTER, 4),
            (OID.GEN_CURRENT_LOOKAHEAD, 4),
            (OID.GEN_INTERRUPT_MODERATION, 12),
            (OID.GEN_VLAN_ID, 4),
            (OID.TCP_OFFLOAD_PARAMETERS, 20),
            (OID.GEN_RECEIVE_SCALE_PARAMETERS, 28),
        ):
            request = set_(oid, bytes(size - 1))
            assert bench.request(request) == SHORT, str(oid)
            assert request.bytes_needed == size, str(oid)


def test_the_supported_list_is_what_the_miniport_serves() -> None:
    with Bench(queues=1, cpus=1, keywords={"*HeaderDataSplit": 1}) as bench:
        supported = bench.adapter.general
        assert supported is not None
        served = {
            oid
            for oid, info in OIDS.items()
            if oid in supported.supported_oids and Answerer.MINIPORT in (info.query, info.set)
        }
        assert set(supported.supported_oids) == served
        for oid in supported.supported_oids:
            if OIDS[OID(oid)].query is Answerer.MINIPORT:
                assert bench.query(oid), oid


def test_header_split_parameters() -> None:
    with Bench(queues=1, cpus=1, keywords={"*HeaderDataSplit": 1}) as bench:
        for flags, wanted in ((0, OK), (1, OK), (2, NDIS_STATUS.INVALID_DATA)):
            data = bytes.fromhex("80010800") + ulong(flags)
            assert bench.request(set_(OID.GEN_HD_SPLIT_PARAMETERS, data)) == wanted


def test_unknown_oids_are_not_supported() -> None:
    with Bench(queues=1, cpus=1) as bench:
        for oid in (0xFF010101, 0x0D010101):
            assert bench.request(query(oid, 64)) == NDIS_STATUS.NOT_SUPPORTED
            assert bench.request(set_(oid, bytes(64))) == NDIS_STATUS.NOT_SUPPORTED


def moderated(bench: Bench) -> bool:
    """Whether a second frame right after the first waits for its interrupt."""
    before = bench.processors[0].interrupts
    for n in range(2):
        bench.receive(plain_frame(80, n))
        bench.world.pump()
    held = bench.processors[0].interrupts == before + 1
    bench.settle()
    return held


def test_interrupt_moderation_is_switched_at_run_time() -> None:
    with Bench(queues=1, cpus=1) as bench:
        assert moderated(bench)
        for state, wanted in (
            (InterruptModerationState.DISABLED, False),
            (InterruptModerationState.ENABLED, True),
        ):
            assert bench.request(set_(OID.GEN_INTERRUPT_MODERATION, InterruptModeration(state).pack())) == OK
            bench.advance(1_000_000)
            moderated(bench)
            bench.advance(1_000_000)
            assert moderated(bench) is wanted
            assert bench.query(OID.GEN_INTERRUPT_MODERATION) == InterruptModeration(state).pack()


Drive = Callable[[Bench], object]


def test_statistics_count_frames_and_bytes_by_kind_and_direction() -> None:
    with Bench() as bench:
        many, all_of_them = bytes.fromhex("01005e000001"), b"\xff" * 6
        bench.receive(
            plain_frame(100), plain_frame(101), plain_frame(70, to=many), plain_frame(80, to=all_of_them)
        )
        bench.send(plain_frame(200))
        bench.send(plain_frame(300, to=many))
        bench.send(plain_frame(400, to=all_of_them), plain_frame(401, to=all_of_them))
        bench.inject(plain_frame(13))
        bench.receive(plain_frame(1519), plain_frame(10))
        bench.settle()
        info = StatisticsInfo.parse(bench.query(OID.GEN_STATISTICS))
        assert (info.if_hc_in_ucast_pkts, info.if_hc_in_ucast_octets) == (2, 201)
        assert (info.if_hc_in_multicast_pkts, info.if_hc_in_multicast_octets) == (1, 70)
        assert (info.if_hc_in_broadcast_pkts, info.if_hc_in_broadcast_octets) == (1, 80)
        assert (info.if_hc_out_ucast_pkts, info.if_hc_out_ucast_octets) == (1, 200)
        assert (info.if_hc_out_multicast_pkts, info.if_hc_out_multicast_octets) == (1, 300)
        assert (info.if_hc_out_broadcast_pkts, info.if_hc_out_broadcast_octets) == (2, 801)
        assert (info.if_in_errors, info.if_out_errors) == (2, 1)
        assert info.if_hc_in_octets == 351
        assert int.from_bytes(bench.query(OID.GEN_XMIT_OK, 8), "little") == 4
        assert int.from_bytes(bench.query(OID.GEN_RCV_OK, 8), "little") == 4


def test_frames_without_a_buffer_are_discards() -> None:
    with Bench(queues=1, cpus=1, keywords={"*ReceiveBuffers": 8}) as bench:
        bench.device.is_manual = True
        bench.receive(*[tcp_frame(bytes([n])) for n in range(20)])
        bench.device.is_manual = False
        bench.settle()
        info = StatisticsInfo.parse(bench.query(OID.GEN_STATISTICS))
        assert info.if_hc_in_ucast_pkts + info.if_in_discards == 20
        assert info.if_in_discards > 0


def test_a_network_address_replaces_the_permanent_one() -> None:
    with Bench(
        keywords={"NetworkAddress": "02-AA-BB-CC-DD-EE"}, packet_filter=PacketFilter.DIRECTED
    ) as bench:
        assert bench.station == bytes.fromhex("02aabbccddee")
        bench.receive(plain_frame(80), plain_frame(80, to=bench.station))
        bench.settle()
        assert bench.received == [plain_frame(80, to=bench.station)]
        assert bench.query(OID.O802_3_PERMANENT_ADDRESS) == bytes.fromhex("020000000001")
