"""A card that lies or fails: completions that contradict the records, lost interrupts, broken rings."""

from __future__ import annotations

import pytest

from vnic.abi import DmaPurpose, FaultAction, FaultSite
from vnic.fault import Fault
from vnic.gen.model import Register
from vnic.gen.registers import BAR0
from vnic.miniport.ring import CompletionRing
from vnic.ndis.oid import OID
from vnic.ndis.status import NDIS_STATUS
from vnic.testbench import Bench
from vnic.testbench.frames import plain_frame, tcp_frame

LEVELS = ["msix", "msi", "line"]


def resets(bench: Bench) -> int:
    """How often NDIS reset the adapter."""
    return int.from_bytes(bench.query(OID.GEN_RESET_COUNTS, 4), "little")


def works(bench: Bench) -> None:
    """Frames go through in both directions."""
    bench.protocol.received.clear()
    bench.transmitted.clear()
    bench.receive(tcp_frame(b"in"))
    bench.send(plain_frame(99, 1))
    bench.settle()
    assert bench.received == [tcp_frame(b"in")]
    assert bench.transmitted == [plain_frame(99, 1)]


@pytest.mark.parametrize(
    ("offset", "mask"),
    [
        (8, 0x0005_0000_0000_0000),  # the descriptor's index
        (0, 0x0000_0001_0000_0000),  # the length in the buffer
        (16, 0x3),  # first and last of the frame
        (24, 0x7),  # the type
    ],
)
def test_a_receive_completion_that_contradicts_the_records_ends_in_a_reset(offset: int, mask: int) -> None:
    fault = Fault(
        site=FaultSite.DMA_WRITE,
        action=FaultAction.CORRUPT,
        index=DmaPurpose.COMPLETION,
        argument=offset,
        mask=mask,
    )
    with Bench(queues=1, cpus=1) as bench:
        handle = bench.device.arm(fault)
        bench.receive(plain_frame(100))
        bench.settle()
        bench.receive(plain_frame(101))
        bench.settle()
        assert handle.fired == 1
        assert resets(bench) >= 1
        works(bench)


@pytest.mark.parametrize(("offset", "mask"), [(0, 0x40), (0, 0xFFFF), (24, 0x3)])
def test_a_transmit_completion_that_contradicts_the_records_ends_in_a_reset(offset: int, mask: int) -> None:
    fault = Fault(
        site=FaultSite.DMA_WRITE,
        action=FaultAction.CORRUPT,
        index=DmaPurpose.COMPLETION,
        argument=offset,
        mask=mask,
    )
    with Bench(queues=1, cpus=1) as bench:
        bench.device.arm(fault)
        bench.send(plain_frame(100))
        bench.settle()
        assert len(bench.protocol.sent) == 1
        assert resets(bench) == 1
        works(bench)


@pytest.mark.parametrize("interrupt", LEVELS)
@pytest.mark.parametrize(
    ("site", "purpose"),
    [
        (FaultSite.DMA_READ, DmaPurpose.DESCRIPTOR),
        (FaultSite.DMA_WRITE, DmaPurpose.COMPLETION),
    ],
)
def test_a_ring_that_dma_errors_stop_is_started_again(
    interrupt: str, site: FaultSite, purpose: DmaPurpose
) -> None:
    with Bench(interrupt=interrupt, queues=2, cpus=2) as bench:
        bench.device.arm(Fault(site=site, action=FaultAction.ERROR, index=purpose, argument=1))
        bench.receive(plain_frame(100))
        bench.send(plain_frame(100))
        bench.settle()
        assert len(bench.protocol.sent) == 1
        works(bench)


def test_an_entry_of_a_chimney_that_is_off_ends_in_a_reset() -> None:
    fault = Fault(
        site=FaultSite.DMA_WRITE,
        action=FaultAction.CORRUPT,
        index=DmaPurpose.COMPLETION,
        argument=24,
        mask=8,  # the type: CHM_EVENT, which is 9, in place of RX
    )
    off = {"*TCPConnectionOffloadIPv4": 0, "*TCPConnectionOffloadIPv6": 0}
    with Bench(queues=1, keywords=off) as bench:
        with bench.device.arm(fault):
            bench.receive(tcp_frame(b"spoilt"))
            bench.settle()
        assert resets(bench) == 1
        assert not bench.received
        works(bench)


def test_a_lost_message_is_made_up_for_by_the_hang_check_or_the_next_frame() -> None:
    with Bench(queues=1, cpus=1, keywords={"*InterruptModeration": 0}) as bench:
        bench.device.arm(Fault(site=FaultSite.INTERRUPT, action=FaultAction.DROP))
        bench.send(plain_frame(100))
        bench.settle()
        assert bench.protocol.sent == []
        bench.advance(10_000_000_000)
        assert len(bench.protocol.sent) == 1
        works(bench)


def test_a_message_that_comes_twice_does_no_harm() -> None:
    with Bench(queues=1, cpus=1, keywords={"*InterruptModeration": 0}) as bench:
        bench.device.arm(Fault(site=FaultSite.INTERRUPT, action=FaultAction.DUPLICATE, count=10))
        for n in range(10):
            bench.receive(plain_frame(100, n))
            bench.settle()
        assert bench.received == [plain_frame(100, n) for n in range(10)]


def test_generations_alternate_with_each_pass() -> None:
    with Bench(starts=False) as bench:
        ring = CompletionRing(bench.system, 8)
        for done in range(40):
            assert ring.next_offset() is None
            offset = done % 8 * 32
            ring.memory.view[offset + 31] = 0x80 if done // 8 % 2 == 0 else 0
            assert ring.has_news
            assert ring.next_offset() == offset
            assert ring.tail_to_announce() == done % 8
            assert ring.tail_to_announce() is None
        ring.free()


def dropped_write(register: Register) -> Fault:
    """The next write to a register is lost."""
    return Fault(
        site=FaultSite.MMIO_WRITE,
        action=FaultAction.DROP,
        index=0,
        first=register.offset,
        last=register.offset,
    )


@pytest.mark.parametrize("register", [BAR0.QP_CQ_CTRL, BAR0.QP_RX_CTRL, BAR0.QP_TX_CTRL])
def test_a_ring_that_does_not_start_fails_initialization(register: Register) -> None:
    with Bench(queues=1, cpus=1, starts=False) as bench:
        bench.device.arm(dropped_write(register))
        assert bench.adapter.initialize() == NDIS_STATUS.DEVICE_FAILED
        bench.system.assert_no_leaks()
        assert bench.adapter.initialize() == NDIS_STATUS.SUCCESS


def test_a_queue_that_does_not_start_again_is_left_to_the_hang_check() -> None:
    with Bench(queues=1, cpus=1) as bench:
        bench.device.arm(dropped_write(BAR0.QP_TX_CTRL))
        bench.device.write32(BAR0.QP_RX_TAIL.offset, 0xFFFF)
        bench.settle()
        bench.advance(3_000_000_000)
        assert resets(bench) == 1
        works(bench)


@pytest.mark.requirement("INV-52")
def test_a_configuration_that_the_card_refuses_leaves_the_old_one() -> None:
    corrupt = Fault(
        site=FaultSite.MMIO_WRITE,
        action=FaultAction.CORRUPT,
        first=BAR0.RSS_CTRL.offset,
        last=BAR0.RSS_CTRL.offset,
        mask=0xF0,
    )
    with Bench(strict_rss=True) as bench:
        assert bench.set_rss((3, 2)) == NDIS_STATUS.SUCCESS
        bench.device.arm(corrupt)
        assert bench.set_rss((0, 1)) == NDIS_STATUS.FAILURE
        bench.receive(*[tcp_frame(b"x", ports=(n, 80)) for n in range(16)])
        bench.settle()
        assert {frame.cpu for frame in bench.protocol.received} == {2, 3}


def test_sends_that_cannot_be_mapped_end_with_resources_and_leave_no_mapping() -> None:
    # Three rings, the bounce buffer and seven receive buffers leave one mapping over.
    keywords = {"*ReceiveBuffers": 8, "*TransmitBuffers": 8}
    with Bench(queues=1, cpus=1, keywords=keywords, device={"map_regions": 12, "connections": 0}) as bench:
        bench.send(plain_frame(100), pieces=[50])
        bench.settle()
        assert [sent.status for sent in bench.protocol.sent] == [NDIS_STATUS.RESOURCES]
        assert len(bench.system.iommu.mapped) == 7
        bench.send(plain_frame(100))
        bench.settle()
        assert bench.transmitted == [plain_frame(100)]


def test_a_packet_longer_than_any_buffer_of_the_driver_is_refused() -> None:
    with Bench(queues=1, cpus=1) as bench:
        bench.inject(bytes(300_000), pieces=[1000] * 299)
        bench.settle()
        assert [status for _, status in bench.injector.completed] == [NDIS_STATUS.INVALID_LENGTH]
