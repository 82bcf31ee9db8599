"""Rings and loopback that never end: a driver must not be able to keep the card, and us, busy for ever."""

from __future__ import annotations

import pytest

from vnic.device import Device
from vnic.function import Budget
from vnic.gen.descriptors import TxData
from vnic.gen.enums import DescType, RingError, TxStatus
from vnic.gen.registers import BAR0
from vnic.testbench.rig import MAC, Rig, plain_frame

BROADCAST = b"\xff" * 6


def rest(device: Device) -> int:
    """Run until nothing can go; the steps that it took, which the card has bounded beforehand."""
    bound = device.idle_steps
    used = device.run(Budget(bound + 1, (1 << 63) - 1))
    assert device.is_idle
    return used.steps


def test_cve_2015_6815_a_large_send_without_headers() -> None:
    """QEMU e1000: a context with header length 0 made process_tx_desc() loop: it took nothing off the send.

    Here a large send whose HDR_LEN could not be one is refused with OFFLOAD [TX-11].
    """
    with Rig(manual=True) as rig:
        rig[0].send(plain_frame(4000), lso=1, mss=64, hdr_len=0, l3_offset=14, l4_offset=34)
        assert rest(rig.device) <= 8
        assert [report.status for report in rig[0].reports()] == [TxStatus.OFFLOAD]
        assert rig.sent() == []


def test_cve_2015_6815_descriptors_that_move_nothing() -> None:
    """The same with contexts and nothing behind them: a frame that has no end, in a ring full of it.

    Here what is more than 128 descriptors is passed over, each once, and refused when its end comes [TX-4].
    """
    with Rig(manual=True, tx_count=256) as rig:
        context = rig[0].piece(b"", type=DescType.CONTEXT, len=0, eop=0)
        rig[0].send_raw([context] * 200)
        assert rest(rig.device) <= 4 * 200
        assert rig[0].reports() == []
        rig[0].send_raw([rig[0].piece(plain_frame())])
        assert rest(rig.device) <= 4 * 200
        assert [report.status for report in rig[0].reports()] == [TxStatus.DESCRIPTOR]
        assert rig.get(BAR0.QP_TX_HEAD) == rig[0].tx_tail


@pytest.mark.parametrize("tail", [256, 257, 0x7FFF, 0xFFFF, 0xFFFF_FFFF])
def test_cve_2016_1981_a_tail_that_the_head_never_meets(tail: int) -> None:
    """QEMU e1000: TDT and RDT beyond TDLEN let the head run around the ring for ever, looking for them.

    Here a TAIL at or above COUNT stops the ring with BAD_TAIL [RING-6], and nothing of it is read.
    """
    with Rig(manual=True, tx_count=256) as rig:
        rig[0].send(plain_frame(), ring=False)
        rig[0].put(BAR0.QP_TX_TAIL, tail)
        assert rest(rig.device) <= 1, "the interrupt that says so"
        assert rig[0].error(BAR0.QP_TX_STATUS) == RingError.BAD_TAIL
        assert rig.get(BAR0.QP_TX_HEAD) == 0
        assert rig.sent() == []
        rig[0].put(BAR0.QP_RX_TAIL, tail)
        assert rig[0].error(BAR0.QP_RX_STATUS) == RingError.BAD_TAIL


@pytest.mark.parametrize("count", [0, 1, 3, 7, 65_536])
def test_cve_2015_5278_a_ring_of_a_size_that_is_none(count: int) -> None:
    """QEMU ne2000: a ring whose stop and start were equal made the receive path copy for ever.

    Here a COUNT that is no power of two from 8 to 32768 does not start a ring [RING-3].
    """
    with Rig() as rig:
        for control, size, status in (
            (BAR0.QP_RX_CTRL, BAR0.QP_RX_COUNT, BAR0.QP_RX_STATUS),
            (BAR0.QP_TX_CTRL, BAR0.QP_TX_COUNT, BAR0.QP_TX_STATUS),
        ):
            rig[0].put(control, 0)
            rig[0].put(size, count)
            rig[0].put(control, 1)
            assert rig[0].get(control) & 1 == 0
            assert rig[0].error(status) == RingError.BAD_COUNT
        assert rig.receive(plain_frame()) == []
        assert rig.device.is_idle


def test_cve_2021_20255_a_command_that_is_its_own_successor() -> None:
    """QEMU eepro100: a command block that linked to itself, and DMA into it, recursed until the stack ended.

    Here a ring entry may name its own ring's memory: it is read once, and what it says then is sent.
    """
    with Rig(manual=True) as rig:
        ring = rig[0].tx_memory.address
        own = TxData(ring, 16 * 4, DescType.DATA, eop=1, rs=1).pack()
        rig[0].send_raw([own] * 4)
        assert rest(rig.device) <= 3 * 4
        assert rig.sent() == [own * 4] * 4


def test_cve_2021_20255_received_into_the_ring_that_is_being_read() -> None:
    """The same with the receiver: the frame overwrites the ring that names its buffer.

    Here descriptors are fetched before and used as they were [RING-8], so the frame changes nothing.
    """
    with Rig(manual=True, rx_count=8, posted=0) as rig:
        rig[0].post_rx(7, [rig[0].rx_memory.address] * 7)
        for number in range(7):
            rig.inject(plain_frame(128, number))
        rest(rig.device)
        frames = rig[0].take()
        assert [(frame.first.len, frame.first.error) for frame in frames] == [(128, 0)] * 7
        assert rig[0].error(BAR0.QP_RX_STATUS) == RingError.NONE


@pytest.mark.parametrize("to", [MAC, BROADCAST], ids=["unicast", "broadcast"])
def test_cve_2021_3416_loopback_does_not_nest(to: bytes) -> None:
    """Ten of QEMU's cards called their own receive function from transmit: loopback recursed without bound.

    Here loopback puts frames into the receive buffer, from which a later step takes them.
    """
    with Rig(manual=True, posted=63) as rig:
        rig.change(BAR0.GLB_CTRL, LOOPBACK=1)
        for number in range(30):
            rig[0].send(plain_frame(60, number, to=to))
        rest(rig.device)
        assert [frame.data for frame in rig[0].take()] == [plain_frame(60, n, to=to) for n in range(30)]
        assert rig.sent() == []


def test_cve_2021_3416_a_looped_frame_that_is_received_over_its_own_ring() -> None:
    """The worst case of both: the looped frame lands in the transmit ring as fresh descriptors.

    Here they are descriptors of a driver that said TAIL: what lies behind TAIL is never looked at.
    """
    with Rig(manual=True, posted=0, tx_count=8) as rig:
        rig.change(BAR0.GLB_CTRL, LOOPBACK=1)
        rig[0].post_rx(8, [rig[0].tx_memory.address] * 8)
        bomb = MAC + MAC + TxData(rig[0].tx_memory.address, 60, DescType.DATA, eop=1).pack() * 3
        rig[0].send(bomb)
        steps = rest(rig.device)
        assert steps <= 8
        assert rig.counters("TX_UNICAST_")["FRAMES"] == 1
