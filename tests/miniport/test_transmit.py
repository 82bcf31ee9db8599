"""Sending: what leaves the card, how sends end, and what waits for room."""

from __future__ import annotations

import pytest

from vnic.abi import DmaPurpose, FaultAction, FaultSite
from vnic.fault import Fault
from vnic.ndis.oid import OID
from vnic.ndis.oid_request import set_
from vnic.ndis.oob import Vlan
from vnic.ndis.status import NDIS_STATUS
from vnic.testbench import Bench
from vnic.testbench.frames import plain_frame, tcp_frame

LEVELS = ["msix", "msi", "line"]


def statuses(bench: Bench) -> list[NDIS_STATUS]:
    """How the sends ended, in their order."""
    return [sent.status for sent in bench.protocol.sent]


@pytest.mark.parametrize("interrupt", LEVELS)
@pytest.mark.parametrize("scatter", [True, False])
def test_every_byte_leaves_from_scattered_memory(interrupt: str, scatter: bool) -> None:
    frames = [plain_frame(60 + 29 * n % 1400, n) for n in range(60)]
    with Bench(interrupt=interrupt, scatter=scatter) as bench:
        for n, frame in enumerate(frames):
            bench.send(frame, pieces=[1 + n % 13] * (n % 9), backfill=n % 5)
        bench.settle()
        assert bench.transmitted == frames
        assert statuses(bench) == [NDIS_STATUS.SUCCESS] * len(frames)


def test_an_nbl_of_many_net_buffers_and_a_chain_of_nbls_complete_once_each() -> None:
    frames = [plain_frame(80, n) for n in range(30)]
    with Bench() as bench:
        bench.send(*frames[:20])
        bench.protocol.send_chain(frames[20:])
        bench.settle()
        assert bench.transmitted == frames
        assert [len(sent.data) for sent in bench.protocol.sent] == [20] + [1] * 10


def test_a_short_frame_is_padded_and_a_shorter_one_refused() -> None:
    with Bench() as bench:
        bench.send(plain_frame(20))
        bench.send(plain_frame(13))
        bench.send(plain_frame(1515))
        bench.settle()
        assert bench.transmitted == [plain_frame(20) + bytes(40), plain_frame(1515)]
        assert statuses(bench)[0] == NDIS_STATUS.SUCCESS
        assert statuses(bench)[1] == NDIS_STATUS.INVALID_LENGTH


def test_an_empty_net_buffer_fails_alone() -> None:
    with Bench() as bench:
        bench.send(b"")
        bench.send(plain_frame(80))
        bench.settle()
        assert statuses(bench) == [NDIS_STATUS.INVALID_LENGTH, NDIS_STATUS.SUCCESS]
        assert bench.transmitted == [plain_frame(80)]


def test_one_bad_packet_fails_its_nbl_while_the_others_are_sent() -> None:
    with Bench() as bench:
        bench.send(plain_frame(80, 1), plain_frame(13), plain_frame(80, 2))
        bench.settle()
        assert statuses(bench) == [NDIS_STATUS.INVALID_LENGTH]
        assert bench.transmitted == [plain_frame(80, 1), plain_frame(80, 2)]


def test_sends_beyond_the_ring_wait_and_go_out_in_order() -> None:
    frames = [plain_frame(70, n) for n in range(100)]
    with Bench(queues=1, cpus=1, keywords={"*TransmitBuffers": 8}) as bench:
        bench.device.is_manual = True
        for frame in frames:
            bench.send(frame)
        waiting = int.from_bytes(bench.query(OID.GEN_TRANSMIT_QUEUE_LENGTH, 4), "little")
        assert waiting == 100
        bench.device.is_manual = False
        bench.settle()
        assert bench.transmitted == frames
        assert [sent.data[0] for sent in bench.protocol.sent] == frames


@pytest.mark.parametrize("pieces", [127, 128, 400])
def test_a_packet_in_more_pieces_than_a_frame_may_have_is_gathered_first(pieces: int) -> None:
    frame = plain_frame(1000)
    with Bench(queues=1, cpus=1) as bench:
        for _ in range(3):
            bench.send(frame, pieces=[2] * (pieces - 1))
        bench.settle()
        assert bench.transmitted == [frame] * 3
        assert statuses(bench) == [NDIS_STATUS.SUCCESS] * 3


def test_a_packet_in_more_pieces_than_the_ring_has_room_for() -> None:
    frame = plain_frame(200)
    with Bench(queues=1, cpus=1, keywords={"*TransmitBuffers": 8}) as bench:
        for pieces in (6, 7, 8, 40):
            bench.send(frame, pieces=[3] * (pieces - 1))
        bench.settle()
        assert bench.transmitted == [frame] * 4


def test_a_cancelled_send_that_waits_is_aborted_and_one_in_the_ring_is_sent() -> None:
    with Bench(queues=1, cpus=1, keywords={"*TransmitBuffers": 8}) as bench:
        bench.device.is_manual = True
        for n in range(20):
            bench.send(plain_frame(70, n), cancel_id="odd" if n % 2 else "even", context=n)
        bench.protocol.bindings[0].cancel_send_net_buffer_lists("odd")
        aborted = {sent.context for sent in bench.protocol.sent}
        assert aborted == {n for n in range(20) if n % 2 and n >= 7}
        assert set(statuses(bench)) == {NDIS_STATUS.SEND_ABORTED}
        bench.device.is_manual = False
        bench.settle()
        assert len(bench.protocol.sent) == 20
        assert len(bench.transmitted) == 20 - len(aborted)


def test_a_cancelled_nbl_of_which_a_part_is_in_the_ring_is_sent_whole() -> None:
    with Bench(queues=1, cpus=1, keywords={"*TransmitBuffers": 8}) as bench:
        bench.device.is_manual = True
        bench.send(*[plain_frame(70, n) for n in range(12)], cancel_id=1)
        bench.protocol.bindings[0].cancel_send_net_buffer_lists(1)
        assert bench.protocol.sent == []
        bench.device.is_manual = False
        bench.settle()
        assert statuses(bench) == [NDIS_STATUS.SUCCESS]
        assert len(bench.transmitted) == 12


def test_sends_while_the_link_is_down_end_media_disconnected() -> None:
    with Bench() as bench:
        bench.device.set_link(0)
        bench.settle()
        bench.send(plain_frame(80))
        bench.settle()
        assert statuses(bench) == [NDIS_STATUS.MEDIA_DISCONNECTED]
        assert bench.transmitted == []


def test_data_that_cannot_be_read_fails_that_send_only() -> None:
    fault = Fault(
        site=FaultSite.DMA_READ, action=FaultAction.ERROR, index=DmaPurpose.DATA, skip=1, argument=1
    )
    with Bench() as bench:
        bench.device.arm(fault)
        for n in range(3):
            bench.send(plain_frame(80, n))
        bench.settle()
        assert statuses(bench) == [NDIS_STATUS.SUCCESS, NDIS_STATUS.FAILURE, NDIS_STATUS.SUCCESS]
        assert bench.transmitted == [plain_frame(80, 0), plain_frame(80, 2)]


@pytest.mark.parametrize(
    ("mode", "asked", "tci"),
    [
        (3, Vlan(5, True, 0x123), 0xB123),
        (3, Vlan(5, False, 0), 0xA000),
        (3, Vlan(), None),
        (2, Vlan(5, False, 7), 0x0007),
        (1, Vlan(5, False, 7), 0xA000),
        (1, Vlan(0, False, 7), None),
        (0, Vlan(5, False, 7), None),
    ],
)
def test_priority_and_vlan_become_a_tag_as_the_keyword_says(mode: int, asked: Vlan, tci: int | None) -> None:
    with Bench(keywords={"*PriorityVLANTag": mode}) as bench:
        bench.send(tcp_frame(b"data!!"), vlan=asked)
        bench.settle()
        tags = [] if tci is None else [(0x8100, tci)]
        assert bench.transmitted == [tcp_frame(b"data!!", tags=tags, min_len=60)]


def test_the_vlan_id_of_the_adapter_tags_what_names_none() -> None:
    with Bench() as bench:
        bench.request(set_(OID.GEN_VLAN_ID, (9).to_bytes(4, "little")))
        bench.send(tcp_frame(b"data!!"), vlan=Vlan(2, False, 0))
        bench.send(tcp_frame(b"data!!"), vlan=Vlan(0, False, 4))
        bench.settle()
        tags = [[(0x8100, 0x4009)], [(0x8100, 0x0004)]]
        assert bench.transmitted == [tcp_frame(b"data!!", tags=each) for each in tags]


def test_each_processor_sends_on_its_own_queue() -> None:
    with Bench() as bench:
        for cpu in range(4):
            with bench.processors.on(cpu):
                bench.send(plain_frame(80, cpu))
        bench.settle()
        sent = [bench.device.read64(0x20D0 + 0x100 * queue) for queue in range(4)]
        assert sent == [1, 1, 1, 1]
